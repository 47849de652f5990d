"""What is fitted on the training part is the same whatever the test part holds."""

from __future__ import annotations

import numpy as np
import pytest

from llmrec import Popularity, Recommender, TfidfEncoder, WhitenedEncoder
from llmrec.evaluation import split_by_time, split_cold_items, split_users_by_time

WORDS = ["space", "horror", "heist", "love", "war", "robot", "song", "cook", "train", "ghost"]


def texts(names, extra=""):
    return {name: f"{WORDS[hash_of(name) % 10]} {WORDS[hash_of(name) % 7]} {name}{extra}" for name in names}


def hash_of(name):
    return sum(map(ord, name)) * 7


def history():
    rng = np.random.default_rng(0)
    return [(f"u{rng.integers(15)}", f"i{rng.integers(20)}", 1, float(time)) for time in range(300)]


def later(kind):
    """Return two futures of the same past: users, items and counts differ."""
    if kind == "loud":
        return [(f"u{n % 15}", "i3", 1, 1000.0 + n) for n in range(60)] + [("new", "latest", 1, 2000.0)]
    return [(f"u{n % 15}", f"z{n % 4}", 1, 1000.0 + n) for n in range(61)]


def fitted(train):
    rec = Recommender(
        encoder=[TfidfEncoder(), WhitenedEncoder(TfidfEncoder(components=6), components=4)],
        factorizer=["als", Popularity(half_life=None)],
        fuser="concat",
    )
    return rec.fit(train, items=texts(train.items))


def learned(rec):
    """Return all arrays and lists of words that were learned, by path."""
    found, waiting = {}, [(name, view) for name, view in rec.views_.items()]
    while waiting:
        path, one = waiting.pop()
        if hasattr(one, "get_state"):
            waiting += [(f"{path}.{name}", value) for name, value in one.get_state().items()]
        elif isinstance(one, dict):
            waiting += [(f"{path}.{name}", value) for name, value in one.items()]
        else:
            found[path] = one.toarray() if hasattr(one, "toarray") else one
    return found


@pytest.mark.parametrize(
    "split",
    [lambda events: split_by_time(events, at=1000), lambda events: split_by_time(events, share=61 / 361)],
    ids=["at", "share"],
)
def test_vocabulary_idf_whitening_and_popularity_do_not_depend_on_the_test_part(split):
    loud, quiet = (split(history() + later(kind)) for kind in ("loud", "quiet"))
    assert loud.test.n_events == quiet.test.n_events == 61
    assert set(loud.test.items) != set(quiet.test.items)
    first, second = learned(fitted(loud.train)), learned(fitted(quiet.train))
    assert first.keys() == second.keys()
    assert any("vocabulary" in path for path in first)
    assert any("idf" in path for path in first)
    for path, value in first.items():
        np.testing.assert_array_equal(value, second[path], err_msg=path)


def test_what_is_learned_does_depend_on_training_events():
    first = learned(fitted(split_by_time(history() + later("loud"), at=1000).train))
    second = learned(fitted(split_by_time(history()[:-40] + later("loud"), at=1000).train))
    assert any(not np.array_equal(value, second.get(path)) for path, value in first.items())


def test_the_model_knows_no_id_of_the_test_part_alone():
    split = split_by_time(history() + later("loud"), at=1000)
    known = fitted(split.train).interactions_
    assert "latest" in split.test.items
    assert "latest" not in known.items
    assert "new" not in known.users
    cold = split_cold_items(history(), 0.3)
    assert not set(fitted(cold.train).interactions_.items) & set(cold.test.items)


def test_texts_of_cold_items_are_known_when_they_are_passed():
    cold = split_cold_items(history(), 0.3)
    everything = texts({*cold.train.items, *cold.test.items})
    rec = Recommender(encoder="tfidf", factorizer=None, fuser="concat").fit(cold.train, items=everything)
    assert set(cold.test.items) <= set(rec.interactions_.items)
    assert rec.interactions_.n_events == cold.train.n_events


def test_a_users_test_events_are_not_before_their_training_events():
    train, test = split_users_by_time(history(), 0.2)
    for row, user in enumerate(test.users):
        earliest = test.histories(np.array([row], np.int32)).timestamps.min()
        latest = train.histories(np.array([train.users.row(user)], np.int32)).timestamps.max()
        assert latest <= earliest
