"""Differences up to rounding, and changes byte for byte."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import sparse

from llmrec.interactions import Histories, IdTable
from llmrec.rankers import DotRanker
from llmrec.testing.comparison import difference, first_change, frozen
from llmrec.testing.samples import tiny_interactions
from llmrec.vectors import JoinedVectors

MATRICES = arrays.arrays(
    np.float32, st.tuples(st.integers(1, 4), st.integers(1, 4)), elements=st.floats(-9, 9, width=32)
)


@given(MATRICES)
def test_a_matrix_equals_itself_in_any_form(matrix):
    sparse_form = sparse.csr_array(matrix)
    joined = JoinedVectors(matrix[:, :1], sparse.csr_array(matrix[:, 1:]))
    for other in (matrix.copy(), sparse_form, joined):
        assert difference(matrix, other, 0) is None


@given(MATRICES, st.data())
def test_one_changed_entry_is_found_where_it_is(matrix, data):
    row = data.draw(st.integers(0, matrix.shape[0] - 1))
    column = data.draw(st.integers(0, matrix.shape[1] - 1))
    changed = matrix.copy()
    changed[row, column] += 1
    assert f"[{row}, {column}] is" in difference(matrix, changed, 1e-3)
    assert first_change(frozen(matrix), frozen(changed)) is not None
    assert difference(matrix, changed, 2) is None


@pytest.mark.parametrize(
    ("left", "right", "said"),
    [
        (np.zeros(2), np.zeros(3), "shape (2,) and (3,)"),
        ({"a": 1}, {"b": 1}, "entries ['a'] and ['b']"),
        ([1, [2, 3]], [1, [2, 4]], "[1][1] is 3 and 4"),
        (np.array([1, 2]), np.array([1, 3]), "[1] is 2 and 3"),
        (np.array([np.nan]), np.array([0.0]), "[0] is nan and 0.0"),
        (np.array([-np.inf]), np.array([np.inf]), "[0] is -inf and inf"),
        ("word", "ward", "it is 'word' and 'ward'"),
        ([1], (1, 2), "it is [1] and (1, 2)"),
    ],
)
def test_differences_are_said(left, right, said):
    assert said in difference(left, right, 1e-5)


def test_equal_nan_and_infinity_do_not_differ():
    odd = np.array([np.nan, np.inf, -np.inf, 1.0])
    assert difference(odd, odd + 1e-9, 1e-5) is None


CHANGES = [
    ({"a": [1, 2]}, lambda one: one["a"].append(3)),
    ({"a": {1, 2}}, lambda one: one["a"].add(3)),
    (np.zeros((2, 2), np.float32), lambda one: one.__setitem__((0, 1), -0.0)),
    (np.array(["a", None], dtype=object), lambda one: one.__setitem__(1, "b")),
    (sparse.csr_array(np.eye(3)), lambda one: one.data.__setitem__(0, 2)),
    (Histories.of([[1, 2]], 4), lambda one: one.columns.__setitem__(0, 3)),
    (tiny_interactions(), lambda one: one.users.add("new")),
    (tiny_interactions(), lambda one: one.events.weights.__setitem__(0, 2)),
    (IdTable(["a"]), lambda one: one.add("b")),
    (DotRanker().index(np.eye(2)), lambda one: one.items_.__setitem__((0, 0), 2)),
    (DotRanker(), lambda one: one.set_params(block_size=3)),
]


@pytest.mark.parametrize(("value", "change"), CHANGES, ids=lambda one: type(one).__name__)
def test_a_change_of_any_kind_is_seen(value, change):
    mine = copy.deepcopy(value)
    before = frozen(mine)
    assert first_change(before, frozen(mine)) is None
    change(mine)
    assert first_change(before, frozen(mine)) is not None


def test_what_holds_itself_can_be_frozen():
    circle = []
    circle.append(circle)
    assert first_change(frozen(circle), frozen(circle)) is None
