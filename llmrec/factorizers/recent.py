"""Recency: another factorizer, asked about histories in which late events count more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sklearn.base import clone

from llmrec.base import ContentFactorizer, Factorizer, FloatArray, IntArray, Matrix
from llmrec.errors import ComponentError, DataError
from llmrec.validation import check_choice, check_fitted, check_number

if TYPE_CHECKING:
    from typing_extensions import Self

    from llmrec.interactions import Events, Histories, Interactions

__all__ = ["Recent"]


class Recent(ContentFactorizer):
    """Let late events of a history count more, for any factorizer.

    What is learned, and the item vectors, are those of the factorizer inside; only queries differ: an event
    counts half after ``half_life``, from the last event of the history backwards. Choose it where tastes
    move on.

    Parameters
    ----------
    factorizer : Factorizer
        One whose queries read event weights, as all here do but :class:`Popularity`.
    half_life : float, default 5.0
    unit : {"events", "days"}, default "events"
        What age is counted in. A history that comes without times, such as that of an anonymous request, is
        taken as of one day.

    Attributes
    ----------
    factorizer_ : Factorizer

    Notes
    -----
    New events reach the factorizer inside by its own ``partial_fit``. The updater of a recommender moves
    the vectors of bare factor models alone.

    Examples
    --------
    >>> from llmrec.factorizers import ItemKNN
    >>> from llmrec.interactions import Histories, Interactions
    >>> events = Interactions.from_table([("ann", "tea"), ("ann", "jam"), ("bob", "tea"), ("bob", "jam")])
    >>> recent = Recent(ItemKNN(), half_life=1).fit(events)
    >>> recent.query_vectors(Histories.of([[1, 0]], n_columns=2)).toarray().tolist()
    [[1.0, 0.5]]
    """

    def __init__(self, factorizer: Factorizer, *, half_life: float = 5.0, unit: str = "events"):
        self.factorizer = factorizer
        self.half_life = half_life
        self.unit = unit

    def fit(self, interactions: Interactions, content: Matrix | None = None) -> Self:
        """Fit a copy of the factorizer, with the items' texts if it reads them.

        Raises
        ------
        DataError
            If ages are counted in days and the events have no times.
        """
        check_number("half_life", self.half_life, 0, above=True)
        check_choice("unit", self.unit, ("events", "days"))
        if not isinstance(self.factorizer, Factorizer):
            raise ComponentError(f"factorizer must be a Factorizer, got {self.factorizer!r}.")
        if self.unit == "days" and interactions.events.timestamps is None:
            raise DataError(
                "ages in days need event times, and the events have none; "
                "add a 'timestamp' column, or choose unit='events'."
            )
        inner: Factorizer = clone(self.factorizer)
        if isinstance(inner, ContentFactorizer):
            self.factorizer_: Factorizer = inner.fit(interactions, content)
        else:
            self.factorizer_ = inner.fit(interactions)
        return self

    def item_vectors(self) -> Matrix:
        """Return the item vectors of the factorizer inside."""
        check_fitted(self, "factorizer_")
        return self.factorizer_.item_vectors()

    def query_vectors(self, histories: Histories) -> Matrix:
        """Return what the factorizer inside makes of the decayed histories."""
        check_fitted(self, "factorizer_")
        return self.factorizer_.query_vectors(self._decayed(histories))

    def history_parts(self, histories: Histories) -> Matrix | None:
        """Return the parts that the factorizer inside splits the decayed histories into."""
        check_fitted(self, "factorizer_")
        return self.factorizer_.history_parts(self._decayed(histories))

    def partial_fit(self, interactions: Interactions, events: Events) -> IntArray:
        """Let the factorizer inside learn from new events."""
        check_fitted(self, "factorizer_")
        return self.factorizer_.partial_fit(interactions, events)

    def learn_content(self, item_rows: IntArray, content: Matrix) -> IntArray:
        """Let the factorizer inside take new texts, if it reads any."""
        check_fitted(self, "factorizer_")
        inner: Any = self.factorizer_
        if isinstance(inner, ContentFactorizer):
            return inner.learn_content(item_rows, content)
        return super().learn_content(item_rows, content)

    def item_support(self, item_counts: FloatArray, item_rows: IntArray) -> FloatArray:
        """Return what the factorizer inside says, or the number of events."""
        inner: Any = self.factorizer_
        if isinstance(inner, ContentFactorizer):
            return inner.item_support(item_counts, item_rows)
        return item_counts

    def _decayed(self, histories: Histories) -> Histories:
        if self.unit == "days" and histories.timestamps is None:
            return histories
        return histories.decayed(self.half_life, self.unit)
