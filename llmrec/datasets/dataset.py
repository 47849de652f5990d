"""Dataset: the frames of one data set, with what it is and under which terms."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Dataset", "LazyFrames"]

Frame = Any
"""A pandas or polars DataFrame, or a pyarrow Table."""


class LazyFrames(Mapping[str, Frame]):
    """Frames by name, each read when it is first asked for.

    Parameters
    ----------
    readers : mapping of str to callable
        For each name a function without arguments that returns the frame.

    Examples
    --------
    >>> frames = LazyFrames({"train": lambda: "the training rows"})
    >>> frames["train"]
    'the training rows'
    """

    def __init__(self, readers: Mapping[str, Callable[[], Frame]]) -> None:
        self._readers = dict(readers)
        self._frames: dict[str, Frame] = {}

    def __getitem__(self, name: str) -> Frame:
        if name not in self._frames:
            self._frames[name] = self._readers[name]()
        return self._frames[name]

    def __contains__(self, name: object) -> bool:
        # Mapping's own would read the file to find out.
        return name in self._readers

    def __iter__(self) -> Iterator[str]:
        return iter(self._readers)

    def __len__(self) -> int:
        return len(self._readers)

    def __repr__(self) -> str:
        return f"LazyFrames({', '.join(self._readers)})"


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Interactions and the text of the items, as the loaders return them.

    Columns ``user`` and ``item`` are int64 where every id is a plain integer, else str, and the same in
    all frames. ``rating`` is float64, ``timestamp`` (seconds since 1970) and ``position`` (order within
    the user) are int64; every other column is text, in which an empty string means "not known".

    Attributes
    ----------
    name : str
    interactions : frame
        ``user``, ``item``, and where the source has them ``rating`` and ``timestamp`` or ``position``.
    items : frame
        ``item``, ``title``, ``text`` and what else the source says of an item. Some may have no
        interactions.
    users : frame or None
        ``user`` and what the source says of a user.
    tags : frame or None
        ``user``, ``item``, ``tag``: words that users gave to items.
    splits : mapping of str to frame
        Further files of the data set, such as ``train`` and ``test``; each is read when asked for.
    description : str
        What the data is, its licence, and whom to cite.

    Examples
    --------
    >>> from llmrec.datasets import load_movietweetings
    >>> dataset = load_movietweetings()
    >>> dataset
    Dataset('movietweetings-sample': 68,055 interactions, 4,333 users, 2,414 items)
    """

    name: str
    interactions: Frame
    items: Frame
    users: Frame | None = None
    tags: Frame | None = None
    splits: Mapping[str, Frame] = field(default_factory=dict)
    description: str = ""

    def __repr__(self) -> str:
        counts = ", ".join(f"{number:,} {what}" for what, number in self._counts().items())
        splits = f"; splits: {', '.join(self.splits)}" if self.splits else ""
        return f"Dataset({self.name!r}: {counts}{splits})"

    def _repr_html_(self) -> str:
        rows = {what: f"{number:,}" for what, number in self._counts().items()}
        if self.splits:
            rows["splits"] = ", ".join(self.splits)
        cells = "".join(
            f"<tr><th>{html.escape(what)}</th><td>{html.escape(value)}</td></tr>"
            for what, value in rows.items()
        )
        return (
            f"<strong>{html.escape(self.name)}</strong><table>{cells}</table>"
            f"<pre>{html.escape(self.description)}</pre>"
        )

    def _counts(self) -> dict[str, int]:
        import narwhals.stable.v1 as nw

        interactions = nw.from_native(self.interactions, eager_only=True)
        counts = {
            "interactions": len(interactions),
            "users": interactions["user"].n_unique(),
            "items": len(nw.from_native(self.items, eager_only=True)),
        }
        if self.tags is not None:
            counts["tags"] = len(nw.from_native(self.tags, eager_only=True))
        return counts
