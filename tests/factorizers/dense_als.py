"""Alternating least squares the slow way: one dense linear system a row."""

from __future__ import annotations

import numpy as np


def implicit_rows(weights, vectors, *, regularization, unobserved_weight, exponent=1.0):
    """Solve each row of ``weights`` against fixed ``vectors``; rows without events stay zero."""
    vectors = vectors.astype(np.float64)
    solved = np.zeros((len(weights), vectors.shape[1]))
    for row in np.flatnonzero(weights.any(axis=1)):
        own = weights[row]
        mass = own.sum() + unobserved_weight * len(vectors)
        system = unobserved_weight * vectors.T @ vectors
        system += vectors.T @ (own[:, None] * vectors)
        system += regularization * mass**exponent * np.eye(vectors.shape[1])
        solved[row] = np.linalg.solve(system, vectors.T @ own)
    return solved


def explicit_rows(residuals, is_rated, vectors, *, regularization, exponent=1.0):
    """Solve each row for what biases leave of its ratings; rows without ratings stay zero."""
    vectors = vectors.astype(np.float64)
    solved = np.zeros((len(residuals), vectors.shape[1]))
    for row, rated in enumerate(is_rated):
        if rated.any():
            own = vectors[rated]
            system = own.T @ own + regularization * rated.sum() ** exponent * np.eye(own.shape[1])
            solved[row] = np.linalg.solve(system, own.T @ residuals[row, rated])
    return solved


def implicit_loss(weights, users, items, *, regularization, unobserved_weight, exponent=1.0):
    """Return the objective as it is written down."""
    scores = users.astype(np.float64) @ items.T.astype(np.float64)
    loss = np.sum(weights * (1 - scores) ** 2) + unobserved_weight * np.sum(scores**2)
    for vectors, rows, n_others in ((users, weights, len(items)), (items, weights.T, len(users))):
        mass = rows.sum(axis=1) + unobserved_weight * n_others
        loss += regularization * mass**exponent @ np.sum(vectors.astype(np.float64) ** 2, axis=1)
    return loss
