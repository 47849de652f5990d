"""Many readers beside one writer: answers are whole, nobody starves, nothing raises."""

from __future__ import annotations

import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from llmrec import ALSFactorizer, Recommender
from llmrec.lock import ReadWriteLock

USERS = [f"u{n}" for n in range(12)]
ITEMS = [f"i{n}" for n in range(40)]
N_READERS = 8


def fitted():
    random = np.random.default_rng(0)
    events = [(user, ITEMS[row]) for user in USERS for row in random.choice(20, 6, replace=False)]
    texts = {item: f"text {n % 5} of item {n}" for n, item in enumerate(ITEMS)}
    rec = Recommender(factorizer=(ALSFactorizer(factors=4), "item-knn", "popularity"))
    return rec.fit(events, items=texts), events


def run_beside(write, read, n_readers=N_READERS, seconds=3.0):
    """Run readers in a loop until the writer is done; return how often each has read."""
    done = threading.Event()
    counts = [0] * n_readers

    def reader(number):
        while not done.is_set():
            read(number)
            counts[number] += 1

    with ThreadPoolExecutor(n_readers) as pool:
        running = [pool.submit(reader, number) for number in range(n_readers)]
        try:
            write(time.monotonic() + seconds)
        finally:
            done.set()
        for one in running:
            one.result(timeout=30)
    return counts


def test_answers_beside_a_writer_are_whole():
    rec, events = fitted()
    seen = {user: {item for who, item in events if who == user} for user in USERS}

    def write(deadline):
        for n in range(120):
            if time.monotonic() > deadline:
                break
            user, item = USERS[n % len(USERS)], ITEMS[20 + n % 20]
            rec.partial_fit([(user, item)], items=[(f"new{n}", f"text {n % 5} fresh")])
            seen[user] = seen[user] | {item}  # after the event is in: readers may rely on it

    def read(number):
        user = USERS[number % len(USERS)]
        had_seen = seen[user]
        answer = rec.recommend(user, k=10)
        assert had_seen.isdisjoint(answer.items)
        assert len(set(answer.items)) == len(answer.items) == len(answer.scores) == 10
        assert np.isfinite(answer.scores).all()
        assert (np.diff(answer.scores) <= 0).all()
        batch = rec.recommend([user, "nobody"], k=5, context="fresh text")
        assert [len(row) for row in batch] == [5, 5]
        assert len(rec.similar_items("i3", k=5)) == 5
        assert len(rec.search("fresh text", k=5)) == 5

    counts = run_beside(write, read)
    assert min(counts) > 0
    # Afterwards the model is what the same events give without readers.
    assert all(seen[user].isdisjoint(rec.recommend(user, k=200).items) for user in USERS)
    alone, _ = fitted()
    n_written = rec.interactions_.n_events - len(events)
    for n in range(n_written):
        event = (USERS[n % len(USERS)], ITEMS[20 + n % 20])
        alone.partial_fit([event], items=[(f"new{n}", f"text {n % 5} fresh")])
    for mine, theirs in zip(rec.recommend(USERS, k=10), alone.recommend(USERS, k=10), strict=True):
        np.testing.assert_allclose(mine.scores, theirs.scores, rtol=1e-3, atol=1e-4)


def test_refit_beside_readers_serves_the_old_model_until_the_new_is_ready():
    rec, events = fitted()
    others = [(user, f"other-{item}") for user, item in events]

    def write(deadline):
        for n in range(2):
            rec.fit(others if n % 2 == 0 else events)

    def read(number):
        items = rec.recommend(USERS[number], k=5).items
        assert len({item.startswith("other-") for item in items}) == 1

    assert min(run_beside(write, read, n_readers=3)) > 0


def test_saving_beside_a_writer_gives_a_whole_model(tmp_path):
    rec, _ = fitted()

    def write(deadline):
        for n in range(30):
            rec.partial_fit([(USERS[n % len(USERS)], f"new{n}")])

    def save(number):
        rec.save(tmp_path / str(number))

    run_beside(write, save, n_readers=2)
    again = Recommender.load(tmp_path / "0")
    known = again.interactions_
    assert known.n_events == len(known.events.item_rows) == known.item_counts.sum()
    assert len(again.recommend("u0", k=5)) == 5


# -- the lock ----------------------------------------------------------------------------------------------


def test_readers_get_in_between_the_turns_of_a_tight_writer():
    lock = ReadWriteLock()
    n_writes = 0

    def write(deadline):
        nonlocal n_writes
        while time.monotonic() < deadline:
            with lock.writing():
                n_writes += 1
                time.sleep(0.001)

    def read(number):
        with lock.reading():
            pass

    counts = run_beside(write, read, seconds=1.0)
    assert min(counts) >= 20
    assert n_writes >= 20


def test_writer_gets_in_beside_tight_readers():
    lock = ReadWriteLock()
    n_writes = 0

    def write(deadline):
        nonlocal n_writes
        while time.monotonic() < deadline:
            with lock.writing():
                n_writes += 1

    def read(number):
        with lock.reading():
            time.sleep(0.001)

    run_beside(write, read, seconds=1.0)
    assert n_writes >= 20


def test_readers_are_in_together_and_a_writer_alone():
    lock = ReadWriteLock()
    inside, together, wrong = [0, 0], [0], []
    count = threading.Lock()

    def step(kind, change):
        with count:
            inside[kind] += change
            together[0] = max(together[0], inside[0])
            if inside[1] > 1 or (inside[1] and inside[0]):
                wrong.append(tuple(inside))

    def write(deadline):
        while time.monotonic() < deadline:
            with lock.writing():
                step(1, 1)
                step(1, -1)

    def read(number):
        if number < 2:
            with lock.writing():
                step(1, 1)
                step(1, -1)
            return
        with lock.reading():
            step(0, 1)
            time.sleep(0.0005)
            step(0, -1)

    run_beside(write, read, seconds=1.0)
    assert wrong == []
    assert together[0] > 1


def test_a_reader_may_read_again_while_a_writer_waits():
    lock = ReadWriteLock()
    order = []

    def write():
        with lock.writing():
            order.append("write")

    with lock.reading():
        writer = threading.Thread(target=write)
        writer.start()
        time.sleep(0.05)  # the writer waits now
        with lock.reading():
            order.append("read")
    writer.join(timeout=10)
    assert order == ["read", "write"]


@pytest.mark.parametrize("kind", ["reading", "writing"])
def test_an_error_inside_gives_the_lock_back(kind):
    lock = ReadWriteLock()
    with pytest.raises(RuntimeError), getattr(lock, kind)():
        raise RuntimeError
    with lock.writing():
        pass
    with lock.reading():
        pass


def test_a_copy_of_a_lock_is_free():
    lock = ReadWriteLock()
    with lock.writing():
        other = pickle.loads(pickle.dumps(lock))
        with other.reading():
            pass
