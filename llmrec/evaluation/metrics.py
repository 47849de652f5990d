"""Ranking metrics for one list against the set of items that turned out right."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence

import numpy as np

from llmrec.errors import ParameterError
from llmrec.validation import check_integer

__all__ = ["ndcg_at_k", "recall_at_k"]


def recall_at_k(recommended: Sequence[Hashable], relevant: Collection[Hashable], k: int) -> float:
    """Return the share of the relevant items that are among the first ``k``.

    The denominator is the number of relevant items, also where that is above ``k``.

    Raises
    ------
    ParameterError
        If nothing is relevant: leave such users out.

    Examples
    --------
    >>> recall_at_k(["a", "b", "c"], {"b", "z"}, k=2)
    0.5
    """
    hits = _hits(recommended, relevant, k)
    return float(hits.sum() / len(set(relevant)))


def ndcg_at_k(recommended: Sequence[Hashable], relevant: Collection[Hashable], k: int) -> float:
    r"""Return the normalised discounted cumulative gain of the first ``k``, with gains of 0 and 1.

    A hit at place :math:`p` counts :math:`1 / \log_2(p + 1)`; the sum is divided by that of the best
    possible list (Järvelin & Kekäläinen, ACM TOIS 2002).

    Raises
    ------
    ParameterError
        If nothing is relevant: leave such users out.

    Examples
    --------
    >>> round(ndcg_at_k(["a", "b", "c"], {"b"}, k=3), 4)
    0.6309
    """
    hits = _hits(recommended, relevant, k)
    discounts = 1 / np.log2(np.arange(2, k + 2))
    ideal = discounts[: len(set(relevant))].sum()
    return float((hits * discounts[: len(hits)]).sum() / ideal)


def _hits(recommended: Sequence[Hashable], relevant: Collection[Hashable], k: int) -> np.ndarray:
    check_integer("k", k, minimum=1)
    wanted = set(relevant)
    if not wanted:
        raise ParameterError("there is no relevant item, so nothing can be measured; leave such users out.")
    # An item recommended twice is right once, or recall could exceed 1.
    hits = []
    for item in recommended[:k]:
        hits.append(item in wanted)
        wanted.discard(item)
    return np.array(hits, dtype=np.float64)
