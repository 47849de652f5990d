"""Filters on item columns: kept up to date, and the same as going through all cells."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from llmrec.catalogue import Catalogue
from llmrec.interactions import IdTable
from llmrec.tables import ItemTable

CELLS = st.one_of(
    st.none(), st.sampled_from(["a", "b", "c"]), st.lists(st.sampled_from(["a", "b", "c"]), max_size=3)
)
UPDATES = st.lists(
    st.lists(st.tuples(st.integers(0, 9), CELLS), min_size=1, max_size=4, unique_by=lambda one: one[0])
)


def expected(cells, wanted, n_items):
    wanted = set(wanted) if isinstance(wanted, list) else {wanted}
    passed = [bool(wanted & set(cell if isinstance(cell, list) else [cell])) for cell in cells]
    return passed + [False] * (n_items - len(cells))


@given(UPDATES, st.one_of(st.none(), st.sampled_from(["a", "z"]), st.lists(st.sampled_from(["a", "b"]))))
def test_a_filter_is_what_going_through_all_cells_finds_after_any_updates(updates, wanted):
    catalogue, items = Catalogue({"kind": []}), IdTable([])
    for update in updates:
        for one, _ in update:
            items.add(one)
        catalogue.update(ItemTable([one for one, _ in update], {"kind": [cell for _, cell in update]}), items)
        items.add(f"without {len(items)}")
        found = catalogue.mask({"kind": wanted}, len(items)).tolist()
        assert found == expected(catalogue.columns["kind"], wanted, len(items))


def test_a_condition_that_is_a_function_sees_known_cells_alone():
    catalogue = Catalogue({"year": [1979, None, 2007]})
    assert catalogue.mask({"year": lambda year: year < 2000}, 4).tolist() == [True, False, False, False]


def test_conditions_on_several_columns_hold_together():
    catalogue = Catalogue({"kind": ["a", "a", "b"], "year": [1, 2, 2]})
    assert catalogue.mask({"kind": "a", "year": 2}, 3).tolist() == [False, True, False]
