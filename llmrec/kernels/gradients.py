"""Conjugate gradients with a diagonal preconditioner, but for the product with the matrix."""

from __future__ import annotations

from typing import Any

import numpy as np

from llmrec.kernels.jit import kernel

__all__ = ["advance", "begin"]


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
