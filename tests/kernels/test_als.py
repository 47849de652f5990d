"""The kernels of alternating least squares beside NumPy: passes over rows, descent, fold-in."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest

from llmrec.kernels import als, fold_in, gradients, lanes
from llmrec.kernels.jit import kernel

# Four rows at a time, two, and one; some are left over.
WIDTHS = [16, 64, 96, 160]
COUNTS = [0, 1, 2, 3, 4, 5, 21]


@kernel
def errors(blocks, table, columns, weights, targets, step, start, stop, vector, out, panel, keep):
    return lanes.gather_errors(
        blocks, table, columns, weights, targets, step, start, stop, vector, out, panel, keep
    )


@kernel
def products(blocks, table, columns, weights, start, stop, vector, out):
    return lanes.gather_products(blocks, table, columns, weights, start, stop, vector, out)


@kernel
def dots(blocks, panel, weights, start, count, vector, out):
    return lanes.row_dots(blocks, panel, weights, start, count, vector, out)


@kernel
def combined(blocks, table, scales, count, out):
    return lanes.combined_rows(blocks, table, scales, count, out)


def world(width, seed=0, n=30):
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(40, width)).astype(np.float32)
    columns = rng.integers(0, 40, n).astype(np.int32)
    weights, targets = rng.uniform(0.5, 3, (2, n)).astype(np.float32)
    vector, out = rng.normal(size=(2, width)).astype(np.float32)
    return (0,) * (width // 16), table, columns, weights, targets, vector, out


def as_halves(table):
    halves = np.empty(table.shape, dtype=np.uint16)
    als.halved(table, halves)
    return halves


def widened(halves):
    return (halves.astype(np.uint32) << 16).view(np.float32)


def test_halves_are_the_nearest_with_eight_bits():
    table = np.array([[1.0, 1 + 2**-8, 1 + 3 * 2**-9, -3.14159, 0.0, 1e-20, -1e20]], dtype=np.float32)
    wide = widened(as_halves(table))
    assert wide[0, 0] == 1
    assert wide[0, 4] == 0
    np.testing.assert_allclose(wide, table, rtol=2**-8)
    assert abs(wide[0, 2] - table[0, 2]) < 2**-8 * 0.51


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("half", [False, True])
def test_errors_are_gathered_summed_and_kept(width, count, half):
    blocks, table, columns, weights, targets, vector, out = world(width)
    source = as_halves(table) if half else table
    rows = (widened(source) if half else table)[columns[3 : 3 + count]]
    error = targets[3 : 3 + count] - rows @ vector
    expected = out + (weights[3 : 3 + count] * error) @ rows
    panel = np.full((30, width), np.nan, dtype=np.float32)
    loss = errors(blocks, source, columns, weights, targets, 1, 3, 3 + count, vector, out, panel, True)
    np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(loss, np.sum(weights[3 : 3 + count] * error**2), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(panel[:count], rows)
    assert np.isnan(panel[count:]).all()


def test_one_target_for_all_and_no_panel():
    blocks, table, columns, weights, _, vector, out = world(32)
    ones, panel = np.ones(4, dtype=np.float32), np.full((30, 32), np.nan, dtype=np.float32)
    rows = table[columns]
    expected = out + (weights * (1 - rows @ vector)) @ rows
    errors(blocks, table, columns, weights, ones, 0, 0, 30, vector, out, panel, False)
    np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-4)
    assert np.isnan(panel).all()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("count", COUNTS)
def test_products_gathered_and_side_by_side_agree_with_numpy(width, count):
    blocks, table, columns, weights, _, vector, out = world(width, seed=1)
    rows = table[columns[5 : 5 + count]]
    expected = out + (weights[5 : 5 + count] * (rows @ vector)) @ rows
    again = out.copy()
    products(blocks, table, columns, weights, 5, 5 + count, vector, out)
    scales = np.empty(16, dtype=np.float32)
    gradients.add_products(blocks, np.ascontiguousarray(rows), weights[5:], count, vector, scales, again)
    np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(again, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("count", COUNTS)
def test_dots_of_rows_agree_with_numpy(width, count):
    blocks, table, _, weights, _, vector, _ = world(width, seed=3)
    found = np.full(count + 1, np.float32(7))
    dots(blocks, table, weights, 5, count, vector, found)
    expected = weights[5 : 5 + count] * (table[:count] @ vector)
    np.testing.assert_allclose(found[:count], expected, rtol=1e-4, atol=1e-4)
    assert found[count] == 7


@pytest.mark.parametrize("count", COUNTS)
def test_rows_are_combined(count):
    blocks, table, _, weights, _, _, out = world(64, seed=2)
    expected = out + weights[:count] @ table[:count]
    combined(blocks, table, weights, count, out)
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-5)


# -- descent ------------------------------------------------------------------------------------------------


def problem(width=32, n_rows=12, n_columns=50, seed=0, longest=30):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, longest, n_rows)
    lengths[2] = 0
    columns = [np.sort(rng.choice(n_columns, length, replace=False)) for length in lengths]
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    entries = np.concatenate(columns).astype(np.int32)
    weights = rng.uniform(0.5, 4, len(entries)).astype(np.float32)
    table = rng.normal(size=(n_columns, width)).astype(np.float32)
    values = rng.uniform(0.1, 20, width).astype(np.float32)
    ridge = rng.uniform(0.1, 2, n_rows).astype(np.float32)
    return indptr, entries, weights, table, values, ridge


def dense_solution(world, targets, centres):
    indptr, entries, weights, table, values, ridge = world
    solved = centres.astype(np.float64)
    loss = 0.0
    for row in range(len(ridge)):
        own = slice(indptr[row], indptr[row + 1])
        rows, w = table[entries[own]].astype(np.float64), weights[own].astype(np.float64)
        diagonal = np.diag(values.astype(np.float64) + ridge[row])
        right = rows.T @ (w * (targets[own] - rows @ centres[row]))
        moved = np.linalg.solve(rows.T @ (w[:, None] * rows) + diagonal, right)
        solved[row] += moved
        loss += w @ (targets[own] - rows @ solved[row]) ** 2 + moved @ diagonal @ moved
    return solved, loss


def descended(world, targets, centres, start, n_steps, enough=0.0, first_row=0, n_rows=None):
    indptr, entries, weights, table, values, ridge = world
    n_rows = len(ridge) if n_rows is None else n_rows
    solution = start[first_row : first_row + n_rows].copy()
    mass = np.array([weights[a:b].sum() for a, b in pairwise(indptr)], dtype=np.float32)
    moments = (table**2).mean(axis=0).astype(np.float32)
    loss = als.descend(
        (0,) * (table.shape[1] // 16),
        indptr,
        entries,
        weights,
        targets,
        1,
        table,
        values,
        moments,
        mass,
        ridge,
        centres[first_row : first_row + n_rows],
        first_row,
        solution,
        n_steps,
        np.float32(enough),
    )
    return solution, loss


def test_descent_ends_at_the_dense_solution_and_its_loss():
    world = problem()
    rng = np.random.default_rng(3)
    targets = rng.normal(size=len(world[1])).astype(np.float32)
    centres, start = rng.normal(size=(2, 12, 32)).astype(np.float32)
    solution, loss = descended(world, targets, centres, start, 80, 1e-13)
    expected, expected_loss = dense_solution(world, targets, centres)
    np.testing.assert_allclose(solution, expected, rtol=1e-4, atol=1e-4)
    assert loss == pytest.approx(expected_loss, rel=1e-4)


def test_each_step_lowers_the_loss_and_says_by_how_much():
    world = problem(seed=1)
    rng = np.random.default_rng(4)
    targets = rng.normal(size=len(world[1])).astype(np.float32)
    centres, start = np.zeros((12, 32), dtype=np.float32), rng.normal(size=(12, 32)).astype(np.float32)
    losses = [descended(world, targets, centres, start, n_steps)[1] for n_steps in range(6)]
    assert all(later < before for before, later in pairwise(losses))
    moved, said = descended(world, targets, centres, start, 3)
    seen = descended(world, targets, centres, moved, 0)[1]
    assert said == pytest.approx(seen, rel=1e-4)


def test_rows_may_be_taken_from_the_middle():
    world = problem(seed=2)
    targets = np.ones(len(world[1]), dtype=np.float32)
    start = np.random.default_rng(5).normal(size=(12, 32)).astype(np.float32)
    whole, _ = descended(world, targets, start, start, 3)
    middle, _ = descended(world, targets, start, start, 3, first_row=4, n_rows=5)
    np.testing.assert_array_equal(middle, whole[4:9])


def test_a_row_longer_than_the_panel_reads_its_vectors_again():
    world = problem(width=16, n_rows=3, n_columns=5000, longest=10)
    indptr, entries, weights, table, values, ridge = world
    n_long = als._PANEL + 7
    entries = np.concatenate([entries, np.arange(n_long, dtype=np.int32)])
    weights = np.concatenate([weights, np.ones(n_long, dtype=np.float32)])
    indptr = np.concatenate([indptr, [len(entries)]])
    world = indptr, entries, weights, table, values, np.append(ridge, np.float32(1))
    targets, zeros = np.ones(len(entries), dtype=np.float32), np.zeros((4, 16), dtype=np.float32)
    solution, _ = descended(world, targets, zeros, zeros, 60, 1e-12)
    np.testing.assert_allclose(solution, dense_solution(world, targets, zeros)[0], rtol=1e-3, atol=1e-4)


# -- fold-in ------------------------------------------------------------------------------------------------


def test_fold_in_refuses_columns_without_a_vector():
    kernels, table = fold_in.fold_in_of(1), np.ones((53, 16), dtype=np.float32)
    solution, values = np.empty((1, 16), dtype=np.float32), np.ones(1, dtype=np.float32)
    for column, expected in ((-1, -1), (0, 0), (2, 0), (3, -1)):
        how = np.array([column], dtype=np.int32), values, 0, table, 0, 1.0, 1.0, 1.0, 0
        assert kernels.row(solution, *how) == expected
        assert kernels.rows(np.array([0, 1]), solution, *how) == expected


def test_warm_compiles_for_the_default_width():
    als.warm()
    fold_in.warm()
    assert als.descend.signatures
    assert all(one.signatures for one in fold_in.fold_in_of(4))


def test_the_kernels_of_fold_in_are_found_on_disk_by_another_process(tmp_path):
    code = (
        "from llmrec.kernels import fold_in; fold_in.warm(16); "
        "print([sum(one.stats.cache_misses.values()) for one in fold_in.fold_in_of(1)])"
    )
    where = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    said = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=where)
        for _ in range(2)
    ]
    assert [one.stdout.strip() for one in said] == ["[1, 1]", "[0, 0]"]
