"""A lock for many readers and one writer."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

__all__ = ["ReadWriteLock"]


class ReadWriteLock:
    """Let readers in together, a writer alone, and neither wait for ever.

    A waiting writer goes before readers that come later; when it is done, the readers that waited go
    before the next writer.

    Examples
    --------
    >>> lock = ReadWriteLock()
    >>> with lock.reading():
    ...     with lock.reading():
    ...         pass
    >>> with lock.writing():
    ...     pass
    """

    def __init__(self) -> None:
        # A plain lock under the condition: nobody here takes it twice. By its own name it is taken without a
        # call.
        self._guard = threading.Lock()
        self._condition = threading.Condition(self._guard)
        self._readers = 0
        self._readers_waiting = 0
        self._readers_due = 0
        self._writers_waiting = 0
        self._is_writing = False
        self._mine = _Mine()
        self._reading = _Reading(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return ReadWriteLock, ()

    def reading(self) -> AbstractContextManager[None]:
        """Hold the lock with other readers. A thread that reads already gets in at once."""
        return self._reading

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the lock alone."""
        with self._guard:
            self._writers_waiting += 1
            self._condition.wait_for(self._may_write)
            self._writers_waiting -= 1
            self._is_writing = True
        try:
            yield
        finally:
            with self._guard:
                self._is_writing = False
                self._readers_due = self._readers_waiting
                self._condition.notify_all()

    def _may_read(self, depth: int) -> bool:
        is_my_turn = depth > 0 or self._readers_due > 0 or not self._writers_waiting
        return not self._is_writing and is_my_turn

    def _may_write(self) -> bool:
        return not (self._is_writing or self._readers or self._readers_due)


class _Mine(threading.local):
    """How often the thread that asks is reading."""

    depth = 0


class _Reading:
    """What ``with lock.reading()`` enters: without state of its own, so one serves all threads."""

    def __init__(self, lock: ReadWriteLock):
        self._lock = lock

    def __enter__(self) -> None:
        lock = self._lock
        depth = lock._mine.depth
        with lock._guard:
            # First what is usual, without a call.
            if (lock._is_writing or lock._writers_waiting) and not lock._may_read(depth):
                lock._readers_waiting += 1
                lock._condition.wait_for(lambda: lock._may_read(depth))
                lock._readers_waiting -= 1
            if lock._readers_due:
                lock._readers_due -= 1
            lock._readers += 1
        lock._mine.depth = depth + 1

    def __exit__(self, *error: object) -> None:
        lock = self._lock
        lock._mine.depth -= 1
        with lock._guard:
            lock._readers -= 1
            # Nobody but a writer waits for readers to leave.
            if lock._writers_waiting and not lock._readers:
                lock._condition.notify_all()
