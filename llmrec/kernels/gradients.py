"""Conjugate gradients with a diagonal preconditioner: the parts of a step."""

from __future__ import annotations

from typing import Any

import numpy as np

from llmrec.kernels.jit import kernel
from llmrec.kernels.lanes import LANES, combined_rows, row_dots

__all__ = ["add_products", "advance", "begin"]


@kernel
def begin(inverse: Any, residual: Any, direction: Any) -> Any:
    """Set the first direction; return the energy: the preconditioned square of the residual."""
    energy = np.float32(0)
    for k in range(len(direction)):
        direction[k] = inverse[k] * residual[k]
        energy += direction[k] * residual[k]
    return energy


@kernel
def advance(inverse: Any, image: Any, energy: Any, x: Any, residual: Any, direction: Any) -> Any:
    """Take a step, given the matrix times the direction; return the energy left, and what the loss fell."""
    curvature = np.float32(0)
    for k in range(len(x)):
        curvature += direction[k] * image[k]
    length = energy / curvature
    left = np.float32(0)
    for k in range(len(x)):
        x[k] += length * direction[k]
        residual[k] -= length * image[k]
        left += inverse[k] * residual[k] * residual[k]
    turn = left / energy
    for k in range(len(x)):
        direction[k] = inverse[k] * residual[k] + turn * direction[k]
    return left, length * energy


@kernel
def add_products(
    blocks: Any, panel: Any, weights: Any, n: Any, direction: Any, scales: Any, image: Any
) -> None:
    """Add ``w (y · direction) y`` over the first ``n`` rows of ``panel`` to ``image``; ``scales`` hold 16.

    In two reads of a few rows: the registers of AVX2 do not hold a row between its product and its share.
    """
    for first in range(0, n, LANES):
        count = min(LANES, n - first)
        row_dots(blocks, panel[first:], weights, first, count, direction, scales)
        combined_rows(blocks, panel[first:], scales, count, image)
