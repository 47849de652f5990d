"""Every value that a model may hold comes back as it was, or is refused with the path to it."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import pathlib
import uuid
import zoneinfo
from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse

from llmrec.base import Component, ViewVectors
from llmrec.errors import ComponentError
from llmrec.interactions import Interactions
from llmrec.storage import inspect_model, load_model, save_model
from llmrec.vectors import JoinedVectors, grown

from .samples import HERE, Bag, Forgetful, Names, Pair, Point, StateOf, same


def round_trip(value, folder):
    """Save ``value`` as a parameter and as state; return it after a check that both came back alike."""
    save_model(Bag(content=value).fill(value), folder)
    loaded = load_model(folder, trust=[HERE])
    assert type(loaded) is Bag
    return loaded.content, loaded.filled_


TIMES = [
    dt.datetime(2024, 2, 29, 23, 59, 59, 999999),
    dt.datetime(2024, 1, 1, tzinfo=dt.timezone.utc),
    dt.datetime(2024, 1, 1, tzinfo=dt.timezone(-dt.timedelta(hours=3, seconds=7))),
    dt.datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")),
]
VALUES = {
    "none": None,
    "bools": [True, False],
    "int is not bool": [1, 0, True, 1.0],
    "huge ints": [2**63 - 1, -(2**63), 2**63, -(2**63) - 1, 10**5000],
    "floats": [0.1, -0.0, 1e300, 5e-324, float("nan"), float("inf"), -float("inf")],
    "texts": ["", "café", "推荐系统", "🎬", "a\x00b", 'quo"te', "\u2028"],
    "lone surrogates": ["\ud83d", "\ud83d\ude00", "😀"],
    "bytes": [b"", bytes(range(256))],
    "nested": [(1, [2, {"k": (3,)}]), [], (), {}],
    "sets": [set(), {1, 2}, frozenset({"b", "a"}), {1, "a", None}, frozenset({(1, 2), frozenset()})],
    "keys of any kind": {
        1: "int",
        "1": "str",
        False: "bool",
        2.5: "float",
        (1, "a"): "tuple",
        None: 0,
        b"b": 1,
    },
    "keys like tags": {"$array": 1, "$": 2},
    "one key like a tag": {"$dict": [[1], [2]]},
    "surrogate key": {"\ud800": 1},
    "order of keys": {"b": 1, "a": 2, "c": 3},
    "uuid": uuid.UUID("12345678123456781234567812345678"),
    "dates": [dt.date(1, 1, 1), dt.date(9999, 12, 31)],
    "times": TIMES,
    "timedeltas": [dt.timedelta(-1, 2, 3), dt.timedelta.max],
    "decimals": [decimal.Decimal("1.10"), decimal.Decimal("-0"), decimal.Decimal("Infinity")],
    "paths": [pathlib.Path("a/b"), pathlib.Path("/x y"), pathlib.Path()],
    "scalars": [np.float32(0.1), np.int8(-3), np.uint64(2**64 - 1), np.bool_(True), np.float16("nan")],
    "text scalars": [np.str_("ab"), np.bytes_(b"ab")],
    "time scalars": [np.datetime64("2024-01-01T00:00:01"), np.timedelta64(3, "D")],
    "no time": np.datetime64("2024-01-01", "ns"),
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES.keys())
def test_values_come_back(value, tmp_path):
    as_param, as_state = round_trip(value, tmp_path)
    assert same(as_param, value)
    assert same(as_state, value)


def test_time_zone_and_fold_come_back(tmp_path):
    loaded, _ = round_trip(TIMES, tmp_path)
    assert [value.fold for value in loaded] == [0, 0, 0, 1]
    assert [value.utcoffset() for value in loaded] == [value.utcoffset() for value in TIMES]
    assert loaded[3].tzinfo is TIMES[3].tzinfo


LONG_LISTS = {
    "ints": list(range(-50, 50)),
    "huge ints": [2**80 + number for number in range(50)],
    "floats": [0.1 * number for number in range(49)] + [float("nan")],
    "bools": [True, False] * 20,
    "texts": [f"商品-{number}" for number in range(50)] + ["", "\ud83d", "\ud83d\ude00"],
    "empty texts": [""] * 50,
    "bytes": [bytes([number]) * number for number in range(50)],
    "uuids": [uuid.UUID(int=number) for number in range(50)],
    "bools among ints": [True, 1] * 20,
    "tuples": [(number, str(number)) for number in range(50)],
    "kinds mixed": [1, "1", 1.0, None] * 20,
}


@pytest.mark.parametrize("value", LONG_LISTS.values(), ids=LONG_LISTS.keys())
@pytest.mark.parametrize(
    "container", [list, tuple, lambda ids: dict.fromkeys(ids, 0.5), lambda ids: {"ids": ids}]
)
def test_long_lists_come_back(value, container, tmp_path):
    loaded, _ = round_trip(container(value), tmp_path)
    assert same(loaded, container(value))


def test_a_long_list_of_ids_is_compact(tmp_path):
    ids = [f"item-{number}" for number in range(20_000)]
    save_model(Bag(content=ids), tmp_path)
    files = inspect_model(tmp_path)["files"]
    assert files["model.json"] < 2000
    assert inspect_model(tmp_path)["bytes"] < 2000 + sum(map(len, ids)) + 8 * len(ids) + 1000


DTYPES = [
    "?",
    "i1",
    "i2",
    "i4",
    "i8",
    "u1",
    "u2",
    "u4",
    "u8",
    "f2",
    "f4",
    "f8",
    "M8[s]",
    "m8[ns]",
    "O",
    "U3",
    "S2",
]


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (1,), (2, 3)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_arrays_come_back(dtype, shape, tmp_path):
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
    for loaded in round_trip(array, tmp_path):
        assert loaded.dtype == array.dtype
        assert same(loaded, array)
        assert loaded.flags.writeable
        assert loaded.flags.c_contiguous
        assert loaded.flags.aligned


ODD_ARRAYS = {
    "big endian": np.array([1, 256], dtype=">i4"),
    "big endian times": np.array(["2024-01-01"], dtype=">M8[D]"),
    "big endian texts": np.array(["ab"], dtype=">U2"),
    "transposed": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "Fortran order": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "every other": np.arange(10)[::2],
    "backwards": np.arange(10)[::-1],
    "broadcast": np.broadcast_to(np.float32(3), (2, 4)),
    "read only": np.frombuffer(b"\x01\x02", dtype=np.uint8),
    "objects": np.array([None, "a", 1, (1, 2), [3]], dtype=object),
    "nan": np.array([np.nan, np.inf, -0.0]),
    "many objects": np.array(["a", "b"] * 30, dtype=object).reshape(3, 20),
}


@pytest.mark.parametrize("array", ODD_ARRAYS.values(), ids=ODD_ARRAYS.keys())
def test_odd_arrays_come_back(array, tmp_path):
    loaded, _ = round_trip(array, tmp_path)
    assert same(array, loaded)
    assert loaded.flags.writeable
    assert loaded.flags.c_contiguous


def test_a_view_is_stored_without_the_buffer_behind_it(tmp_path):
    small = grown(np.ones((100, 8), dtype=np.float32), 101)
    assert small.base.shape[0] == 200
    save_model(Bag(content=small), tmp_path)
    assert inspect_model(tmp_path)["bytes"] < 101 * 8 * 4 + 1500
    assert load_model(tmp_path, trust=[HERE]).content.shape == (101, 8)


def test_a_memory_map_comes_back_as_an_array(tmp_path):
    mapped = np.memmap(tmp_path / "numbers", dtype=np.float32, mode="w+", shape=(3, 2))
    mapped[:] = 7
    loaded, _ = round_trip(mapped, tmp_path / "model")
    assert type(loaded) is np.ndarray
    assert loaded.tolist() == [[7, 7]] * 3


def test_saving_does_not_change_the_model(tmp_path):
    array = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    bag = Bag(content=array)
    save_model(bag, tmp_path)
    assert bag.content is array
    assert array.flags.f_contiguous


@pytest.mark.parametrize("layout", [sparse.csr_array, sparse.csc_array])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.bool_])
def test_sparse_arrays_come_back(layout, dtype, tmp_path):
    matrix = layout(np.array([[0, 1, 0], [2, 0, 3]]).astype(dtype))
    loaded, _ = round_trip(matrix, tmp_path)
    assert same(matrix, loaded)
    loaded.data[:] = 0


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (5, 0), (3, 4)])
def test_empty_sparse_arrays_come_back(shape, tmp_path):
    loaded, _ = round_trip(sparse.csr_array(shape, dtype=np.float32), tmp_path)
    assert loaded.shape == shape
    assert loaded.dtype == np.float32


def test_objects_come_back(tmp_path):
    value = {
        "component": Bag(content=Bag(name="inner").fill(np.ones(2))),
        "pocket": Bag.Pocket(),
        "storable": Names(["a", "b"]),
        "dataclass": Point(0.5, "p"),
        "frozen": Pair(Point(1.0), (Names([1]),)),
    }
    _, loaded = round_trip(value, tmp_path)
    assert loaded["component"].content.filled_.tolist() == [1, 1]
    assert loaded["component"].content.name == "inner"
    assert type(loaded["pocket"]) is Bag.Pocket
    assert loaded["storable"].names == ["a", "b"]
    assert loaded["dataclass"] == Point(0.5, "p")
    assert loaded["frozen"].left == Point(1.0)
    assert loaded["frozen"].right[0].names == [1]


def test_objects_of_the_library_come_back(tmp_path):
    joined = JoinedVectors(np.ones((2, 3), dtype=np.float32), sparse.csr_array(np.eye(2, dtype=np.float32)))
    view = ViewVectors("text", "text", joined, np.ones(2, dtype=np.float32))
    events = Interactions.from_table([("ann", "tea", 1.0, 5.0), ("bob", "jam", 2.0, 6.0)])
    loaded_view, loaded_events = round_trip([view, events], tmp_path)[0]
    assert loaded_view.name == "text"
    assert loaded_view.vectors.toarray().tolist() == joined.toarray().tolist()
    assert same(loaded_events.matrix, events.matrix)
    assert list(loaded_events.users.ids) == ["ann", "bob"]


@pytest.mark.parametrize(
    "numbers", [[0, 8, 16], [0, 8, None, "a", (1, 8)], [frozenset({1}), frozenset({0, 8})]]
)
def test_equal_sets_are_stored_equally(numbers, tmp_path):
    backwards = numbers[::-1]
    save_model(Bag(content=set(numbers)), tmp_path / "one")
    save_model(Bag(content=set(backwards)), tmp_path / "other")
    assert (tmp_path / "one/model.json").read_bytes() == (tmp_path / "other/model.json").read_bytes()


def test_an_unfitted_component_comes_back_unfitted(tmp_path):
    save_model(Bag(content=3), tmp_path)
    loaded = load_model(tmp_path, trust=[HERE])
    assert vars(loaded) == {"content": 3, "name": "bag"}


IDS = [
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.text(st.sampled_from(["\ud83d", "\ude00", "a"])),
    st.binary(),
    st.uuids(),
    st.dates(),
    st.datetimes(timezones=st.none() | st.sampled_from([value.tzinfo for value in TIMES[1:]])),
    st.timedeltas(),
    st.decimals(allow_nan=False),
]


@st.composite
def hashables(draw):
    """Draw ids, and tuples and frozensets of ids."""
    one = st.one_of(IDS)
    several = st.lists(one, max_size=3)
    return draw(one | several.map(tuple) | several.map(lambda ids: (frozenset(ids), len(ids))))


def containers(inner):
    return (
        st.lists(inner, max_size=4)
        | st.dictionaries(hashables(), inner, max_size=4)
        | st.dictionaries(st.text(alphabet="$ab"), inner, max_size=4)
        | st.sets(hashables(), max_size=3)
    )


values = st.recursive(hashables(), containers, max_leaves=15)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=values)
def test_any_value_comes_back(value, tmp_path):
    loaded, _ = round_trip(value, tmp_path)
    assert same(value, loaded)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    value=st.sampled_from([st.integers(), st.text(), st.floats(), st.binary(), st.uuids()]).flatmap(
        lambda elements: st.lists(elements, min_size=30, max_size=40)
    )
)
def test_any_long_list_of_one_kind_comes_back(value, tmp_path):
    loaded, _ = round_trip(value, tmp_path)
    assert same(value, loaded)


class Color(enum.Enum):
    RED = 1


class Number(int):
    pass


REFUSED = {
    "function": (len, "a function"),
    "lambda": (lambda text: text, "a function"),
    "method": ("a".upper, "a function"),
    "class": (dict, "the class dict"),
    "module": (np, "module"),
    "object": (object(), "builtins.object"),
    "generator": (np.random.default_rng(0), "store the seed"),
    "random state": (np.random.RandomState(0), "store the seed"),
    "complex": (1j, "complex"),
    "complex array": (np.ones(2, dtype=complex), "array of complex128"),
    "structured array": (np.zeros(2, dtype=[("a", "i4")]), "array of"),
    "masked array": (np.ma.masked_array([1, 2], mask=[True, False]), "a subclass of ndarray"),
    "coo": (sparse.coo_array(np.eye(2)), "csr_array"),
    "csr_matrix": (sparse.csr_matrix(np.eye(2)), "csr_array"),
    "enum": (Color.RED, "Color"),
    "int subclass": (Number(3), "a subclass of int"),
    "ordered dict": (OrderedDict(a=1), "a subclass of dict"),
    "bytearray": (bytearray(b"a"), "bytearray"),
    "longdouble": (np.longdouble(1), "longdouble"),
    "iterator": (iter([1]), "iterator"),
}


@pytest.mark.parametrize(("value", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_stored_is_refused_with_its_path(value, reason, tmp_path):
    folder = tmp_path / "model"
    with pytest.raises(ComponentError, match=reason) as caught:
        save_model(Bag(content=Bag().fill({"weights": [1, (value,)]})), folder)
    assert str(caught.value).startswith("Bag.content.filled_['weights'][1][0] ")
    assert not folder.exists()


def test_the_path_leads_through_attributes_keys_and_positions(tmp_path):
    with pytest.raises(ComponentError, match=r"^Bag\.content\[\(1, 'a'\)\]\[40\] is a function"):
        save_model(Bag(content={(1, "a"): [0] * 40 + [len]}), tmp_path)


def test_what_holds_itself_is_refused(tmp_path):
    endless = []
    endless.append(endless)
    with pytest.raises(ComponentError, match=r"Bag\.content\[0\].* holds itself"):
        save_model(Bag(content=endless), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_as_deep_as_can_be_saved_can_be_loaded(tmp_path):
    deep = []
    for _ in range(60):
        deep = [deep]
    loaded, _ = round_trip(deep, tmp_path)
    assert loaded == deep


def test_a_local_class_is_refused(tmp_path):
    class Local(Component):
        pass

    with pytest.raises(ComponentError, match=r"inside a function.*top of a module"):
        save_model(Local(), tmp_path)
    with pytest.raises(ComponentError, match=r"^Bag\.content cannot be stored: .*inside a function"):
        save_model(Bag(content=Local()), tmp_path)


def test_a_class_that_is_not_found_under_its_name_is_refused(tmp_path):
    impostor = type("Bag", (Component,), {"__module__": HERE})
    with pytest.raises(ComponentError, match=r"cannot be found as tests\.storage\.samples:Bag"):
        save_model(impostor(), tmp_path)


@pytest.mark.parametrize("state", [None, [1], {1: 2}], ids=str)
def test_a_state_that_is_no_dict_of_names_is_refused(state, tmp_path):
    with pytest.raises(ComponentError, match="get_state must return a dict"):
        save_model(StateOf(state=state), tmp_path)


def test_a_parameter_that_was_not_stored_is_refused(tmp_path):
    with pytest.raises(ComponentError, match=r"must store each of its arguments.*size"):
        save_model(Forgetful(), tmp_path)


@pytest.mark.parametrize("model", [None, 3, {"a": 1}, Bag, Names([])])
def test_only_components_are_models(model, tmp_path):
    with pytest.raises(ComponentError, match="model must be a component"):
        save_model(model, tmp_path)


def test_a_time_zone_that_has_no_name_is_refused(tmp_path):
    class Zone(dt.tzinfo):
        def utcoffset(self, when):
            return dt.timedelta(0)

    with pytest.raises(ComponentError, match="time zone"):
        save_model(Bag(content=dt.datetime(2024, 1, 1, tzinfo=Zone())), tmp_path)
