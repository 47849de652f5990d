"""The trial on hidden items: nothing of their events is left in the queries."""

from __future__ import annotations

import numpy as np

from llmrec import TextView, TfidfEncoder
from llmrec.cold_trial import cold_trial
from llmrec.interactions import Interactions


def made(seed=0, n_users=60, n_items=50):
    rng = np.random.default_rng(seed)
    events = [(user, int(item)) for user in range(n_users) for item in rng.choice(n_items, 8, replace=False)]
    known = Interactions.from_table(events)
    texts = [f"kind{item % 5} word{item}" for item in known.items]
    return known, TextView(TfidfEncoder(), metric="cosine", name="words").fit(texts)


def test_hidden_items_are_a_fifth_and_their_events_are_what_is_right():
    known, words = made()
    views, relevant = cold_trial(known, [words], known.histories())
    assert len(views[0].support) == relevant.shape[1] == 10
    assert views[0].queries.vectors.shape[0] == relevant.shape[0]
    assert relevant.sum(axis=1).min() >= 1
    assert relevant.sum() <= known.n_events * 0.3


def test_no_query_has_a_word_that_only_hidden_items_have():
    known, words = made()
    views, _ = cold_trial(known, [words], known.histories())
    items, queries = (one.toarray() for one in (views[0].vectors, views[0].queries.vectors))
    column_words = words.encoder_.column_words()
    own = [column for column, word in enumerate(column_words) if word.startswith("word")]
    assert (items[:, own] > 0).any(axis=1).all()
    assert (queries[:, own] @ items[:, own].T == 0).all()


def test_equal_events_hide_equal_items():
    known, words = made()
    first, again = (cold_trial(known, [words], known.histories())[1] for _ in range(2))
    np.testing.assert_array_equal(first.toarray(), again.toarray())
