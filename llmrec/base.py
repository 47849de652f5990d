"""The six roles of a recommender, each an abstract class to subclass.

==================  ==================================================  ====================================
role                reads                                               gives
==================  ==================================================  ====================================
:class:`Tokenizer`      a text                                          its words
:class:`Encoder`        texts                                           one vector a text
:class:`Factorizer`     interactions                                    a vector an item, and a query vector
                                                                        for any history
:class:`Fuser`          the vectors of several views                    one vector an item, one a query
:class:`Ranker`         item vectors and query vectors                  the best ``k`` items a query
:class:`OnlineUpdater`  new events                                      moved user and item vectors
==================  ==================================================  ====================================

Arrays are ``float32``, C-contiguous, ``(n, dim)``; a matrix of vectors may also be a SciPy ``csr_array``.
Users and items are rows (``int32``) here: ids live in :class:`~llmrec.interactions.Interactions` and
:class:`~llmrec.recommender.Recommender` alone.

A component is a scikit-learn estimator: ``__init__`` takes keyword arguments and only stores them under
their own names, what is learned ends in ``_``; ``clone``, ``get_params``, ``set_params`` and the reprs follow
from that, and so does saving to a model folder.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator

from llmrec.errors import DataError
from llmrec.validation import check_fitted, check_matrix, check_texts, not_fitted

if TYPE_CHECKING:
    from typing_extensions import Self

    from llmrec.interactions import Events, Histories, Interactions

__all__ = [
    "Component",
    "ContentFactorizer",
    "Encoder",
    "FactorModel",
    "Factorizer",
    "FloatArray",
    "Fuser",
    "IntArray",
    "ItemFacts",
    "Matrix",
    "OnlineState",
    "OnlineUpdater",
    "Ranker",
    "ScoreWeights",
    "Tokenizer",
    "ViewKind",
    "ViewVectors",
]

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int32]
BoolArray = npt.NDArray[np.bool_]
Matrix = Any
"""A ``float32`` array, a SciPy ``csr_array``, or :class:`~llmrec.vectors.JoinedVectors` of both."""

ViewKind = Literal["text", "behaviour", "popularity"]
"""What a view's item vectors are made of."""


class Component(BaseEstimator):  # type: ignore[misc]
    """Base of the six roles: parameters are stored, learned state ends in ``_``."""

    _learns_by: ClassVar[str] = "fit"

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Refuse learned state before it is there. Python asks here for what it did not find."""
            if name.endswith("_") and not name.startswith("_") and not hasattr(type(self), name):
                raise not_fitted(self, self._learns_by)
            # Once more for the error that it had, which may be one of a property's own.
            return object.__getattribute__(self, name)

    def get_state(self) -> dict[str, Any]:
        """Return what was learned, by attribute name: all public attributes that end in ``_``.

        Values are arrays, ``csr_array``, numbers, strings, lists and dicts of these, or components.
        Override it, with :meth:`set_state`, where a model keeps its state elsewhere.
        """
        from llmrec.vectors import storable

        return {
            name: storable(value)
            for name, value in vars(self).items()
            if name.endswith("_") and not name.startswith("_")
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Take back what :meth:`get_state` gave."""
        for name, value in state.items():
            setattr(self, name, value)


class Tokenizer(Component, ABC):
    """Cut a text into words, for the encoders that count or look up words."""

    @abstractmethod
    def tokenize(self, text: str) -> list[str]:
        """Return the words of ``text`` in their order; a text without words gives an empty list."""


class Encoder(Component, ABC):
    """Turn texts into vectors.

    A subclass needs :meth:`encode` and :attr:`dim`; :meth:`fit` only if it learns from the texts.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Let a short cut that is inherited not pass over what a subclass changes."""
        super().__init_subclass__(**kwargs)
        own = vars(cls)
        if "fit_encode" not in own and ("fit" in own or "encode" in own):
            cls.fit_encode = Encoder.fit_encode  # type: ignore[method-assign]

    def fit(self, texts: Sequence[str]) -> Self:
        """Learn from the texts of the catalogue. A pretrained encoder has nothing to learn."""
        return self

    def fit_encode(self, texts: Sequence[str]) -> Matrix:
        """Learn from texts, and return their vectors: what ``fit`` and ``encode`` do, one after the other.

        Override it where they share work.
        """
        self.fit(texts)
        return self.encode_distinct(texts)

    def encode_distinct(self, texts: Sequence[str]) -> Matrix:
        """Return what :meth:`encode` does, but encode equal texts once, and check what comes back.

        Raises
        ------
        DataError
            If ``encode`` gives something else than one finite row of width ``dim`` a text.
        """
        rows = {text: row for row, text in enumerate(dict.fromkeys(check_texts(texts)))}
        vectors = check_matrix(self.encode(list(rows)), f"the vectors of {type(self).__name__}", self.dim)
        if vectors.shape[0] != len(rows):
            raise DataError(f"{type(self).__name__} gave {vectors.shape[0]} vectors for {len(rows)} texts.")
        return vectors[[rows[text] for text in texts]]

    @abstractmethod
    def encode(self, texts: Sequence[str]) -> Matrix:
        """Return ``(n_texts, dim)`` vectors, float32, dense or ``csr_array``.

        The vector of a text does not depend on the texts beside it. An empty text, or one without a
        single known word, has a vector of zeros; ``encode([])`` has shape ``(0, dim)``.
        """

    @property
    @abstractmethod
    def dim(self) -> int:
        """Width of the vectors."""

    def column_words(self) -> Sequence[str] | None:
        """Return the word that each column counts; None, the default, where a column is no word."""
        return None


class Factorizer(Component, ABC):
    """Learn a space from behaviour, in which ``score = query vector · item vector``.

    The query vector comes from a history alone (a *fold-in*), so a new user needs no training.
    """

    kind: ClassVar[ViewKind] = "behaviour"

    @abstractmethod
    def fit(self, interactions: Interactions) -> Self:
        """Learn from all interactions. A second ``fit`` forgets the first."""

    @abstractmethod
    def item_vectors(self) -> Matrix:
        """Return ``(n_items, dim)``: one vector for each item of the interactions."""

    @abstractmethod
    def query_vectors(self, histories: Histories) -> Matrix:
        """Return ``(len(histories), dim)``: the fold-in of each history, dense or ``csr_array``."""

    def history_parts(self, histories: Histories) -> Matrix | None:
        """Split fold-ins by the items of their histories; None, the default, where they cannot be split.

        Returns
        -------
        ndarray or csr_array of shape (nnz, dim), or None
            What each entry of ``histories.weight_matrix()`` adds to the query vector of its history, in
            the order of that matrix. What the parts do not add up to, such as a bias, is no history's.
        """
        return None

    def known_query_vectors(self, user_rows: IntArray) -> Matrix | None:
        """Return the query vectors kept for known users, ``(n, dim)``; None if there are none."""
        return None

    def partial_fit(self, interactions: Interactions, events: Events) -> IntArray:
        """Learn from ``events``, which ``interactions`` already hold; return the item rows that moved.

        The default learns nothing from an event beside the histories it extends. Items and users may
        be new: their rows come after those known.
        """
        return np.empty(0, dtype=np.int32)


class ContentFactorizer(Factorizer):
    """A :class:`Factorizer` that also reads what items are about, where their texts were encoded."""

    @abstractmethod
    def fit(self, interactions: Interactions, content: Matrix | None = None) -> Self:
        """Learn from all interactions and, if given, from the items' text vectors.

        Parameters
        ----------
        interactions : Interactions
        content : ndarray or csr_array of shape (n_items, dim), optional
            Text vectors of length 1, zero where an item has no text. None where no texts are read.
        """

    def learn_content(self, item_rows: IntArray, content: Matrix) -> IntArray:
        """Take the text vectors of new or changed items; return the item rows that moved, sorted.

        The default takes nothing.
        """
        return np.empty(0, dtype=np.int32)

    def item_support(self, item_counts: FloatArray, item_rows: IntArray) -> FloatArray:
        """Return on how much items' vectors stand, ``(n,)``: 0 for one of which nothing is known.

        The default is the number of events of each, ``item_counts``; a model that can place an item by
        its text alone answers half an event for those.
        """
        return item_counts


class FactorModel(Factorizer):
    """A :class:`Factorizer` with a vector for each user and each item, which an updater may move.

    Attributes
    ----------
    user_vectors_ : ndarray of shape (n_users, dim)
    item_vectors_ : ndarray of shape (n_items, dim)
    """

    user_vectors_: FloatArray
    item_vectors_: FloatArray

    def item_vectors(self) -> FloatArray:
        """Return ``(n_items, dim)`` item factors."""
        return self.item_vectors_

    def _check_fitted(self) -> None:
        check_fitted(self, "item_vectors_")

    @abstractmethod
    def query_vectors(self, histories: Histories) -> FloatArray:
        """Return ``(len(histories), dim)``: the exact solution for each history, items held fixed."""

    def known_query_vectors(self, user_rows: IntArray) -> FloatArray:
        """Return the vectors of known users."""
        return self.user_vectors_.take(user_rows, axis=0)

    @abstractmethod
    def fold_in_items(self, audiences: Histories) -> FloatArray:
        """Return ``(len(audiences), dim)``: the exact solution for each audience, users held fixed."""

    def solve_items(self, interactions: Interactions, item_rows: IntArray) -> FloatArray:
        """Return the exact vectors of some items, users held fixed: ``(n, dim)``.

        By default the fold-in of their audiences; a model that knows more of an item than its audience
        adds it here.
        """
        return self.fold_in_items(interactions.audiences(item_rows))

    @abstractmethod
    def targets(self, events: Events) -> FloatArray:
        """Return ``(n_events,)``: the score that each event asks for (1 for implicit feedback)."""

    @property
    def is_implicit(self) -> bool:
        """Whether what did not happen asks for a score of 0; False where the model predicts ratings."""
        return True

    @property
    def learnable(self) -> tuple[FloatArray, FloatArray]:
        """Two ``(dim,)`` masks: the coordinates of user and of item vectors that a gradient may move."""
        self._check_fitted()
        ones = np.ones(self.item_vectors_.shape[1], dtype=np.float32)
        return ones, ones

    @property
    def has_derived_state(self) -> bool:
        """Whether ``set_user_vectors`` and ``set_item_vectors`` must be called when vectors change.

        Where they do no more than write, the default finds, an updater may write to the vectors itself.
        """
        own = type(self)
        return (
            own.set_user_vectors is not FactorModel.set_user_vectors
            or own.set_item_vectors is not FactorModel.set_item_vectors
        )

    def resize(self, n_users: int, n_items: int) -> None:
        """Make room for new users and items; their vectors start at zero. Costs O(new rows), amortised."""
        from llmrec.vectors import grown

        self._check_fitted()
        self.user_vectors_ = grown(self.user_vectors_, n_users)
        self.item_vectors_ = grown(self.item_vectors_, n_items)

    def set_user_vectors(self, user_rows: IntArray, vectors: FloatArray) -> None:
        """Replace the vectors of some users."""
        self._check_fitted()
        self.user_vectors_[user_rows] = vectors

    def set_item_vectors(self, item_rows: IntArray, vectors: FloatArray) -> None:
        """Replace the vectors of some items."""
        self._check_fitted()
        self.item_vectors_[item_rows] = vectors


# Not frozen, which takes three times as long: each view makes one for each request.
@dataclass(slots=True)
class ViewVectors:
    """The vectors of one view, of items or of queries.

    Attributes
    ----------
    name : str
        The view's name, unique within a recommender.
    kind : {"text", "behaviour", "popularity"}
    vectors : ndarray or csr_array of shape (n, dim)
    support : ndarray of shape (n,), float32
        On how much each row stands: its number of events, or 1 for a text. Where it is 0 the view has
        nothing to say of that row, and the fuser treats the view as absent there, not as zero.
    queries : ViewVectors, optional
        Beside item vectors that a fuser is fitted on: the query vectors of (a sample of) the known users.
    """

    name: str
    kind: ViewKind
    vectors: Matrix
    support: FloatArray
    queries: ViewVectors | None = None

    @property
    def present(self) -> BoolArray:
        """Which rows have something to stand on."""
        return self.support > 0

    def take(self, rows: IntArray) -> ViewVectors:
        """Return the same view of some rows."""
        return ViewVectors(self.name, self.kind, self.vectors[rows], self.support[rows])


@dataclass(frozen=True)
class ScoreWeights:
    """What one view's query vector adds to a fused score: ``weights · query + baseline``.

    Attributes
    ----------
    weights : ndarray of float64, shape (dim,)
    baseline : float
        Added whatever the query, such as minus the mean of a z-score.
    """

    weights: npt.NDArray[np.float64]
    baseline: float = 0.0


class Fuser(Component, ABC):
    """Join the vectors of several views into one space, in which one inner product ranks.

    The views come in the same order in all methods.

    Attributes
    ----------
    needs_held_out : bool
        Whether the recommender should call :meth:`tune`, for which it fits all views once more.
    gives_new_items : bool
        Whether :meth:`fuse_items` returns arrays that neither the views nor the fuser keep.
    """

    needs_held_out: ClassVar[bool] = False
    gives_new_items: ClassVar[bool] = False

    @abstractmethod
    def fit(self, views: Sequence[ViewVectors], interactions: Interactions) -> Self:
        """Learn how to join from each view's vectors of all items; ``queries`` in it are those of users."""

    def tune(
        self,
        views: Sequence[ViewVectors],
        seen: Histories,
        held_out: Histories,
        parts: IntArray | None = None,
    ) -> None:
        """Learn from events that the views have not seen, before :meth:`fit`; most fusers do not.

        The views were fitted on earlier events; their ``queries`` are those of users, a row each in
        ``seen``, their earlier events, and in ``held_out``, their later ones. ``parts`` numbers the ways in
        which the later events of each were chosen, where there are several.
        """

    def tune_cold(self, views: Sequence[ViewVectors], relevant: Any) -> None:
        """Learn how to join the text views for items without events, after :meth:`tune`; most fusers do not.

        Parameters
        ----------
        views : sequence of ViewVectors
            The text views' vectors of items whose events were hidden; their ``queries`` are those of users.
        relevant : csr_array of shape (n_users, n_items)
            What these users had met of these items.
        """

    @abstractmethod
    def fuse_items(self, views: Sequence[ViewVectors]) -> Matrix:
        """Return ``(n_items, dim)`` from the item vectors of each view."""

    @abstractmethod
    def fuse_queries(self, views: Sequence[ViewVectors]) -> Matrix:
        """Return ``(n_queries, dim)`` from the query vectors of each view."""

    def score_weights(
        self, items: Sequence[ViewVectors], queries: Sequence[ViewVectors]
    ) -> list[ScoreWeights] | None:
        """Say how the score of one item for one query depends on the query in each view, for explanations.

        Parameters
        ----------
        items, queries : sequence of ViewVectors
            With one row each.

        Returns
        -------
        list of ScoreWeights, or None
            One a view. The score, the inner product of the fused vectors, is the sum over the views of
            ``weights · query + baseline``. None, the default, where it cannot be taken apart.
        """
        return None

    def ranker_over(self, ranker: Ranker) -> Ranker:
        """Return what is to rank the fused vectors: the ranker that was asked for, by default.

        A fuser by which one inner product does not rank puts another one around it. Called when the fuser is
        fitted, with a ranker that has no index yet.
        """
        return ranker


@dataclass(frozen=True)
class ItemFacts:
    """What is known of some items beside their fused vectors, for the rankers that ask.

    Attributes
    ----------
    rows : ndarray of int32, shape (n,)
        Which items; those after the last known one are new.
    counts : ndarray of shape (n,)
        Number of events of each.
    views : sequence of ViewVectors
        The vectors of these items in each view.
    columns : mapping of name to sequence
        The catalogue's columns, all items by row. A column may end early: what follows is not known.
    """

    rows: IntArray
    counts: npt.NDArray[np.int64]
    views: Sequence[ViewVectors]
    columns: Mapping[str, Sequence[Any]]

    def column(self, name: str) -> list[Any]:
        """Return these items' values in a column, None where none is known.

        Raises
        ------
        MissingColumnError
            If the items have no such column.
        """
        from llmrec.errors import MissingColumnError, nearest

        if name not in self.columns:
            known = ", ".join(repr(one) for one in self.columns) or "no columns"
            raise MissingColumnError(
                f"the ranker reads the item column {name!r}; the items have {known}."
                f"{nearest(name, self.columns)}"
            )
        values = self.columns[name]
        return [values[row] if row < len(values) else None for row in self.rows.tolist()]


class Ranker(Component, ABC):
    """Find the ``k`` best items for each query."""

    _learns_by: ClassVar[str] = "index"

    def with_base(self, wrap: Callable[[Ranker], Ranker]) -> Ranker:
        """Return this ranker with ``wrap`` of what scores the items; a re-ranker wraps what is inside it.

        The default wraps the ranker itself.
        """
        return wrap(self)

    @abstractmethod
    def index(self, item_vectors: Matrix) -> Self:
        """Take the catalogue: ``(n_items, dim)``, finite."""

    def index_given(self, item_vectors: Matrix) -> Self:
        """Do what :meth:`index` does with vectors that nobody else keeps: a copy of them may be spared."""
        return self.index(item_vectors)

    @abstractmethod
    def rank(
        self,
        queries: Matrix,
        k: int,
        exclude: Sequence[IntArray] | None = None,
        allow: IntArray | None = None,
    ) -> tuple[IntArray, FloatArray]:
        """Return the item rows and the scores of the best ``k`` for each query, best first.

        Parameters
        ----------
        queries : ndarray, csr_array or JoinedVectors of shape (n_queries, dim)
        k : int
        exclude : sequence of ndarray, optional
            For each query, the item rows that it must not get.
        allow : ndarray, optional
            The only item rows that any query may get; all, if not given.

        Returns
        -------
        rows, scores : ndarray of shape (n_queries, width)
            ``width`` is ``k``, or less where fewer items are left for every query. Where a query has
            fewer than another, its row is filled up with row -1 and score ``-inf``.
            Equal scores are ordered by item row.
        """

    @abstractmethod
    def update(self, rows: IntArray, vectors: Matrix) -> None:
        """Replace the vectors of items; rows after the last known one are new items."""

    def describe(self, facts: ItemFacts) -> None:
        """Take what else is known of items; the recommender calls it after ``index`` and ``update``.

        The default takes nothing.
        """

    def rank_for(
        self,
        histories: Histories,
        queries: Matrix,
        k: int,
        exclude: Sequence[IntArray] | None = None,
        allow: IntArray | None = None,
    ) -> tuple[IntArray, FloatArray]:
        """Rank with each query's history at hand, ``(len(histories) == n_queries)``; else as :meth:`rank`.

        This is what the recommender calls. The default looks at the queries alone.
        """
        return self.rank(queries, k, exclude, allow)

    def view_shares(self, query: Matrix, row: int, exclude: IntArray) -> npt.NDArray[np.float64] | None:
        """Return what each view adds to the score of one item, for explanations.

        Parameters
        ----------
        query : Matrix of shape (1, dim)
        row : int
        exclude : ndarray of int32
            Items that the query must not get.

        Returns
        -------
        ndarray of shape (n_views,), or None
            None, the default, where the score is a measure of the fused vectors.
        """
        return None


@dataclass
class OnlineState:
    """What an updater works on: a factor model, and the interactions, which already hold the new events."""

    model: FactorModel
    interactions: Interactions


class OnlineUpdater(Component, ABC):
    """Fold new events into the vectors of a :class:`FactorModel`, in place."""

    @abstractmethod
    def update(self, state: OnlineState, events: Events) -> IntArray:
        """Move the vectors that ``events`` touch; return the item rows that moved, sorted and unique.

        The model has been resized: the rows of new users and items exist and are zero.
        """
