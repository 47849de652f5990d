"""The trial on hidden items: nothing of their events is left in the queries."""

from __future__ import annotations

import numpy as np

from llmrec import TextView, TfidfEncoder
from llmrec.cold_trial import cold_trial
from llmrec.factorizers import ALSFactorizer
from llmrec.interactions import Interactions
from llmrec.views import FactorView


def made(seed=0, n_users=60, n_items=50):
    rng = np.random.default_rng(seed)
    events = [(user, int(item)) for user in range(n_users) for item in rng.choice(n_items, 8, replace=False)]
    known = Interactions.from_table(events)
    texts = [f"kind{item % 5} word{item}" for item in known.items]
    return known, TextView(TfidfEncoder(), metric="cosine", name="words").fit(texts)


def test_hidden_items_are_a_fifth_and_their_events_are_what_is_right():
    known, words = made()
    views, relevant = cold_trial(known, [words], [], known.histories())
    assert len(views[0].support) == relevant.shape[1] == 10
    assert views[0].queries.vectors.shape[0] == relevant.shape[0]
    assert relevant.sum(axis=1).min() >= 1
    assert relevant.sum() <= known.n_events * 0.3


def test_no_query_has_a_word_that_only_hidden_items_have():
    known, words = made()
    views, _ = cold_trial(known, [words], [], known.histories())
    items, queries = (one.toarray() for one in (views[0].vectors, views[0].queries.vectors))
    column_words = words.encoder_.column_words()
    own = [column for column, word in enumerate(column_words) if word.startswith("word")]
    assert (items[:, own] > 0).any(axis=1).all()
    assert (queries[:, own] @ items[:, own].T == 0).all()


def test_equal_events_hide_equal_items():
    known, words = made()
    first, again = (cold_trial(known, [words], [], known.histories())[1] for _ in range(2))
    np.testing.assert_array_equal(first.toarray(), again.toarray())


def test_a_view_that_reads_texts_is_fitted_again_without_the_hidden_events():
    known, words = made()
    als = ALSFactorizer(4, content_prior=1.0, progress=False).fit(known, words.vectors_)
    kept = als.item_vectors_.copy()
    views, relevant = cold_trial(known, [words], [FactorView("als", als)], known.histories())
    assert [view.name for view in views] == ["words", "als"]
    hidden_only = views[1]
    assert hidden_only.support.tolist() == [0.5] * relevant.shape[1]
    assert hidden_only.queries.vectors.shape == (relevant.shape[0], 4)
    # Two hidden items of one kind, which differ in a word that no other item has, are placed alike.
    kinds = [int(word[4]) for word in (f"kind{item % 5}" for item in known.items)]
    hidden = [row for row in range(known.n_items) if row in set(rows_of(views[0], words))]
    first, second = next(
        (one, other)
        for one in range(len(hidden))
        for other in range(one + 1, len(hidden))
        if kinds[hidden[one]] == kinds[hidden[other]]
    )
    np.testing.assert_allclose(hidden_only.vectors[first], hidden_only.vectors[second], rtol=0.2, atol=1e-3)
    np.testing.assert_array_equal(als.item_vectors_, kept)


def rows_of(view, words):
    """Return which items the rows of a text view are."""
    all_rows = words.vectors_.toarray()
    return [int(np.flatnonzero((all_rows == one).all(axis=1))[0]) for one in view.vectors.toarray()]
