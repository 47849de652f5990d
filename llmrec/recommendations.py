"""What ``recommend`` answers: items with scores, best first, and on what they stand."""

from __future__ import annotations

import html
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast, overload

import numpy as np

from llmrec.base import FloatArray
from llmrec.errors import MissingExtraError, ParameterError, UnknownUserError, nearest

__all__ = ["RecommendationBatch", "Recommendations"]

_BACKENDS = ("pandas", "polars", "pyarrow")


@dataclass(frozen=True, eq=False)
class Recommendations:
    """Items for one request, best first.

    Iteration and indexing give ``(item, score)`` pairs; ``in`` asks for an item.

    Attributes
    ----------
    items : list
        Ids, as they were given to ``fit``.
    scores : ndarray of float32
        Higher is better, in descending order. Comparable within one answer, not between answers.
    user : hashable or None
        Whom they are for; None for an anonymous request.
    basis : str
        On what they stand: ``"history"``, ``"context"``, ``"history+context"``; ``"popular"`` where nothing
        is known of the user; ``"similar"`` and ``"search"`` for the methods of these names.

    Examples
    --------
    >>> answer = Recommendations(["tea", "jam"], np.array([0.9, 0.5], dtype=np.float32), user="ann")
    >>> [item for item, score in answer]
    ['tea', 'jam']
    >>> answer
    Recommendations for 'ann' (by history)
      1. tea  0.9
      2. jam  0.5
    """

    items: list[Hashable]
    scores: FloatArray
    user: Hashable | None = None
    basis: str = "history"

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[tuple[Hashable, float]]:
        return iter(zip(self.items, self.scores.tolist(), strict=True))

    def __getitem__(self, place: int) -> tuple[Hashable, float]:
        return self.items[place], float(self.scores[place])

    def __contains__(self, item: object) -> bool:
        return item in self.items

    def __repr__(self) -> str:
        lines = [f"  {place}. {item}  {score:.3g}" for place, (item, score) in enumerate(self, start=1)]
        return "\n".join([f"{self._title()}{'' if lines else ': nothing is left'}", *lines])

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{place}</td><td>{html.escape(str(item))}</td><td>{score:.3g}</td></tr>"
            for place, (item, score) in enumerate(self, start=1)
        )
        head = "<tr><th>rank</th><th>item</th><th>score</th></tr>"
        return f"<table><caption>{html.escape(self._title())}</caption>{head}{rows}</table>"

    def _title(self) -> str:
        whom = "" if self.user is None else f" for {self.user!r}"
        return f"Recommendations{whom} (by {self.basis})"

    def to_frame(self, backend: str | None = None) -> Any:
        """Return a frame with the columns user, item, score, rank.

        Parameters
        ----------
        backend : {"pandas", "polars", "pyarrow"}, optional
            The library of the frame; the first of these that is installed, if not given.
        """
        return _frame([self], backend)


@dataclass(frozen=True, eq=False)
class RecommendationBatch(Sequence[Recommendations]):
    """Answers for several users, in the order in which they were asked for.

    Attributes
    ----------
    rows : tuple of Recommendations
    """

    rows: tuple[Recommendations, ...]

    @property
    def users(self) -> list[Hashable | None]:
        """The users, one a row."""
        return [row.user for row in self.rows]

    @property
    def items(self) -> list[list[Hashable]]:
        """The items of each user, best first."""
        return [row.items for row in self.rows]

    @property
    def scores(self) -> list[FloatArray]:
        """The scores of each user's items."""
        return [row.scores for row in self.rows]

    @property
    def basis(self) -> list[str]:
        """On what each user's items stand."""
        return [row.basis for row in self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Recommendations]:
        return iter(self.rows)

    @overload
    def __getitem__(self, index: int) -> Recommendations: ...
    @overload
    def __getitem__(self, index: slice) -> RecommendationBatch: ...
    def __getitem__(self, index: int | slice) -> Recommendations | RecommendationBatch:
        return RecommendationBatch(self.rows[index]) if isinstance(index, slice) else self.rows[index]

    def for_user(self, user: Hashable) -> Recommendations:
        """Return the row of one user.

        Raises
        ------
        UnknownUserError
            If the batch has no row for that user.
        """
        for row in self.rows:
            if row.user == user:
                return row
        raise UnknownUserError(f"no row for user {user!r} in this batch.{nearest(user, self.users)}")

    def __repr__(self) -> str:
        shown = [repr(row) for row in self.rows[:5]]
        more = [f"… and {len(self) - 5} more users"] if len(self) > 5 else []
        return "\n".join([*shown, *more]) or "RecommendationBatch of no users"

    def _repr_html_(self) -> str:
        shown = "".join(row._repr_html_() for row in self.rows[:5])
        return shown + (f"<p>… and {len(self) - 5} more users</p>" if len(self) > 5 else "")

    def to_frame(self, backend: str | None = None) -> Any:
        """Return one frame with the columns user, item, score, rank; see :meth:`Recommendations.to_frame`."""
        return _frame(self.rows, backend)


def frame_of(columns: Mapping[str, Any], backend: str | None) -> Any:
    """Return a frame of columns in the chosen library, or the first one installed."""
    import narwhals as nw

    return nw.from_dict(dict(columns), backend=cast(Any, _chosen_backend(backend))).to_native()


def _frame(rows: Sequence[Recommendations], backend: str | None) -> Any:
    lengths = [len(row) for row in rows]
    columns = {
        "user": [row.user for row, length in zip(rows, lengths, strict=True) for _ in range(length)],
        "item": [item for row in rows for item in row.items],
        "score": np.concatenate([row.scores for row in rows] or [np.empty(0, np.float32)]),
        "rank": np.concatenate([np.arange(1, length + 1) for length in lengths] or [np.empty(0, np.int64)]),
    }
    return frame_of(columns, backend)


def _chosen_backend(backend: str | None) -> str:
    """Return the library that makes frames: ``backend``, or the first that is installed."""
    import importlib.util

    if backend is not None and backend not in _BACKENDS:
        raise ParameterError(
            f"backend must be one of {_BACKENDS}; got {backend!r}.{nearest(backend, _BACKENDS)}"
        )
    for name in _BACKENDS if backend is None else (backend,):
        if importlib.util.find_spec(name) is not None:
            return name
    wanted = backend or "pandas, polars or pyarrow"
    raise MissingExtraError(f"to_frame needs {wanted}; install one with: pip install 'llmrec[pandas]'")
