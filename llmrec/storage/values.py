"""Values to and from JSON: what JSON lacks becomes a tagged object, arrays and long lists become tensors."""

from __future__ import annotations

import base64
import datetime
import decimal
import json
import math
import pathlib
import uuid
import zoneinfo
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, cast

import numpy as np
from scipy import sparse

from llmrec.base import Component
from llmrec.errors import ComponentError, ModelFileError, nearest
from llmrec.storage.classes import class_name
from llmrec.storage.tensors import is_tensor_dtype

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Storable", "ValueDecoder", "ValueEncoder", "class_names_in"]

_MAX_DEPTH = 64
_SHOWN_STEPS = 12
_PACKED_FROM = 32  # a shorter list stays readable in the JSON
_INT64 = range(-(2**63), 2**63)

Tree = Any
"""What ``json.dumps`` takes: None, bool, int, float, str, lists and dicts of these."""


class Storable(Protocol):
    """An object that is no component, but can be part of one's saved state.

    A class of yours follows it by having both methods; it need not subclass this one. Dataclasses need
    neither: they are saved by their fields.
    """

    def get_state(self) -> dict[str, Any]:
        """Return what :meth:`from_state` needs, out of values that a model folder can hold."""

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Build the object from what :meth:`get_state` gave."""


class ValueEncoder:
    """Turn values into a JSON tree and tensors; nothing is written, so an error leaves the disk as it was.

    Attributes
    ----------
    tensors : dict of str to ndarray
        The arrays that the tree refers to. They are the caller's own, not copies.
    """

    def __init__(self, root: str):
        self.tensors: dict[str, np.ndarray[Any, Any]] = {}
        # Where we are in the model: ".name" an attribute, (key,) a dict's value, a number a list's value.
        self._path: list[str | tuple[Any] | int] = [root]

    def encode(self, value: Any) -> Tree:
        """Return the tree of one value.

        Raises
        ------
        ComponentError
            If the value, or one inside it, cannot be stored; the message has the path to it.
        """
        encode = _ENCODERS.get(type(value))
        if encode is not None:
            return encode(self, value)
        if isinstance(value, Component):
            return self._component(value)
        if isinstance(value, np.generic):
            return self._scalar(value)
        return self._object(value)

    def _object(self, value: Any) -> Tree:
        if isinstance(value, type):
            return self._refuse(value)
        if callable(getattr(value, "get_state", None)) and callable(getattr(value, "from_state", None)):
            return {"$object": {"class": self._class_name(value), "state": self._state(value)}}
        if is_dataclass(value):
            kept = {field.name: getattr(value, field.name) for field in fields(value) if field.init}
            return {"$dataclass": {"class": self._class_name(value), "fields": self._attributes(kept)}}
        return self._refuse(value)

    # ---------------------------------------------------------------- where we are, and what cannot be stored

    def _child(self, step: str | tuple[Any] | int, value: Any) -> Tree:
        if len(self._path) > _MAX_DEPTH:
            self._fail(f"is nested deeper than {_MAX_DEPTH} levels, or holds itself; flatten it")
        self._path.append(step)
        encoded = self.encode(value)
        self._path.pop()
        return encoded

    def _fail(self, reason: str) -> NoReturn:
        steps = [_step_text(step) for step in self._path]
        if len(steps) > _SHOWN_STEPS:
            steps[_SHOWN_STEPS - 1 :] = [" ... "]
        raise ComponentError(f"{''.join(steps).rstrip()} {reason}.")

    def _refuse(self, value: Any) -> NoReturn:
        self._fail(f"is {_what(value)}; {_advice(value)}")

    # ---------------------------------------------------------------- objects

    def _class_name(self, value: Any) -> str:
        try:
            return class_name(type(value))
        except ComponentError as error:
            self._fail(f"cannot be stored: {error}")

    def _component(self, component: Component) -> Tree:
        name = self._class_name(component)
        try:
            params = component.get_params(deep=False)
        except (AttributeError, RuntimeError) as error:
            self._fail(
                f"cannot be stored: __init__ must store each of its arguments under its own name ({error})"
            )
        encoded = {name: self._child(f".{name}", value) for name, value in params.items()}
        return {"$component": {"class": name, "params": encoded, "state": self._state(component)}}

    def _state(self, value: Any) -> Tree:
        state = value.get_state()
        if type(state) is not dict or not all(isinstance(name, str) for name in state):
            self._fail(
                f"cannot be stored: its get_state must return a dict with text keys, got {_what(state)}"
            )
        return self._attributes(state)

    def _attributes(self, values: dict[str, Any]) -> Tree:
        return self._mapping(values, [f".{name}" for name in values])

    # ---------------------------------------------------------------- containers

    def _dict(self, values: dict[Any, Any]) -> Tree:
        return self._mapping(values, [(key,) for key in values])

    def _mapping(self, values: dict[Any, Any], steps: Iterable[str | tuple[Any]]) -> Tree:
        if len(values) < _PACKED_FROM and all(_is_plain_key(key) for key in values):
            return {key: self._child(step, values[key]) for key, step in zip(values, steps, strict=True)}
        listed = list(values.values())
        packed = self._packed(listed)
        if packed is None:
            packed = [self._child(step, value) for step, value in zip(steps, listed, strict=True)]
        return {"$dict": [self._list(list(values)), packed]}

    def _list(self, values: list[Any]) -> Tree:
        packed = self._packed(values)
        if packed is not None:
            return packed
        return [self._child(position, value) for position, value in enumerate(values)]

    def _set(self, values: set[Any] | frozenset[Any]) -> Tree:
        # In an order that does not change from run to run: equal models give equal files.
        if len(set(map(type, values))) == 1 and isinstance(next(iter(values)), tuple(_PACKERS)):
            return self._list(sorted(values))
        encoded = [self._child(position, value) for position, value in enumerate(values)]
        return sorted(encoded, key=json.dumps)

    def _packed(self, values: list[Any]) -> Tree | None:
        """Return a long list of one simple type as a tensor, or None where that is not what it is."""
        if len(values) < _PACKED_FROM:
            return None
        kinds = set(map(type, values))
        pack = _PACKERS.get(kinds.pop()) if len(kinds) == 1 else None
        return pack(self, values) if pack is not None else None

    def _pack_ints(self, values: list[int]) -> Tree | None:
        try:
            return {"$ints": self._tensor(np.array(values, dtype=np.int64))}
        except OverflowError:
            return None

    def _pack_texts(self, values: list[str]) -> Tree:
        return {"$texts": self._pieces([text.encode("utf-8", "surrogatepass") for text in values])}

    def _pieces(self, pieces: list[bytes]) -> Tree:
        lengths = np.fromiter(map(len, pieces), dtype=np.int64, count=len(pieces))
        return [self._tensor(np.frombuffer(b"".join(pieces), dtype=np.uint8)), self._tensor(lengths)]

    def _pack_uuids(self, values: list[uuid.UUID]) -> Tree:
        joined = b"".join(value.bytes for value in values)
        return {"$uuids": self._tensor(np.frombuffer(joined, dtype=np.uint8).reshape(-1, 16))}

    # ---------------------------------------------------------------- arrays

    def _tensor(self, array: np.ndarray[Any, Any]) -> str:
        if not is_tensor_dtype(array.dtype):
            self._fail(f"is an array of {array.dtype}; {_STORABLE}")
        attributes = [step for step in self._path if isinstance(step, str) and step[1:].isidentifier()]
        name = f"{''.join(attributes).lstrip('.')}#{len(self.tensors)}"
        self.tensors[name] = array
        return name

    def _array(self, array: np.ndarray[Any, Any]) -> Tree:
        if array.dtype.kind in "mM":
            return {"$times": [_native(array.dtype).str, self._tensor(_as_counts(array))]}
        if array.dtype.kind in "OUS":
            elements = self._list(array.reshape(-1).tolist())
            return {"$objects": [_native(array.dtype).str, list(array.shape), elements]}
        return {"$array": self._tensor(array)}

    def _sparse(self, matrix: Any) -> Tree:
        parts = [self._tensor(part) for part in (matrix.data, matrix.indices, matrix.indptr)]
        return {f"${matrix.format}": [list(matrix.shape), *parts]}

    def _scalar(self, scalar: np.generic) -> Tree:
        if scalar.dtype.kind in "mM":
            return {"$scalar": [scalar.dtype.str, self.encode(int(scalar.view(np.int64)))]}
        if not is_tensor_dtype(scalar.dtype) and not isinstance(scalar, (np.str_, np.bytes_)):
            self._refuse(scalar)
        return {"$scalar": [scalar.dtype.str, self.encode(scalar.item())]}

    # ---------------------------------------------------------------- single values

    def _float(self, value: float) -> Tree:
        return value if math.isfinite(value) else {"$float": repr(value)}

    def _datetime(self, value: datetime.datetime) -> Tree:
        zone = value.tzinfo
        if zone is None:
            encoded: Tree = None
        elif type(zone) is datetime.timezone:
            encoded = _timedelta_parts(zone.utcoffset(None))
        elif type(zone) is zoneinfo.ZoneInfo and zone.key is not None:
            encoded = zone.key
        else:
            self._fail(f"has the time zone {zone!r}; use datetime.timezone or zoneinfo.ZoneInfo with a key")
        return {"$datetime": [value.replace(tzinfo=None, fold=0).isoformat(), value.fold, encoded]}


class ValueDecoder:
    """Turn a tree back into values.

    Parameters
    ----------
    tensor : callable
        Gives a new array by its name.
    classes : mapping of str to type
        The classes that the tree names, already trusted and imported.
    written_by : str
        The version that wrote the tree, for messages.
    """

    def __init__(
        self, tensor: Callable[[str], np.ndarray[Any, Any]], classes: Mapping[str, type], written_by: str
    ):
        self.tensor = tensor
        self.classes = classes
        self.written_by = written_by

    def decode(self, tree: Tree) -> Any:
        """Return the value of a tree."""
        if isinstance(tree, list):
            return [self.decode(element) for element in tree]
        if not isinstance(tree, dict):
            return tree
        tag = next(iter(tree), "")
        if tag.startswith("$"):
            (payload,) = tree.values()
            return _DECODERS[tag](self, payload)
        return {key: self.decode(value) for key, value in tree.items()}

    def dict_of(self, payload: list[Tree]) -> dict[Any, Any]:
        """Return a dict from its keys and its values."""
        keys, values = map(self.decode, payload)
        return dict(zip(keys, values, strict=True))

    def component(self, payload: dict[str, Tree]) -> Component:
        """Return a component: built from its parameters, then given its state."""
        cls = self._class(payload["class"], issubclass_of=Component)
        params = {name: self.decode(value) for name, value in payload["params"].items()}
        allowed = cls._get_param_names()
        unknown = [name for name in params if name not in allowed]
        if unknown:
            raise ModelFileError(
                f"{payload['class']} takes no parameter {', '.join(map(repr, unknown))}, which llmrec "
                f"{self.written_by} saved; it takes {', '.join(map(repr, allowed)) or 'none'}."
                f"{nearest(unknown[0], allowed)} Load the folder with the version that wrote it."
            )
        component: Component = self._built(payload["class"], lambda: cls(**params))
        state = self.decode(payload["state"])
        self._built(payload["class"], lambda: component.set_state(state))
        return component

    def storable(self, payload: dict[str, Tree]) -> Any:
        """Return an object that its class builds with ``from_state``."""
        cls = self._class(payload["class"])
        if not callable(getattr(cls, "get_state", None)) or not callable(getattr(cls, "from_state", None)):
            raise ModelFileError(f"{payload['class']} has no from_state to build it with.")
        state = self.decode(payload["state"])
        return self._built(payload["class"], lambda: cls.from_state(state))

    def dataclass(self, payload: dict[str, Tree]) -> Any:
        """Return a dataclass built from its fields."""
        cls = self._class(payload["class"])
        if not is_dataclass(cls):
            raise ModelFileError(
                f"{payload['class']} is no dataclass, but the model folder holds one by that name."
            )
        values = self.decode(payload["fields"])
        return self._built(payload["class"], lambda: cast(Any, cls)(**values))

    def _class(self, name: str, issubclass_of: type = object) -> Any:
        cls = self.classes[name]
        if not issubclass(cls, issubclass_of):
            raise ModelFileError(f"{name} is no {issubclass_of.__name__}; a model folder cannot hold it.")
        return cls

    def _built(self, name: str, build: Callable[[], Any]) -> Any:
        try:
            return build()
        except (TypeError, ValueError, LookupError, AttributeError) as error:
            raise ModelFileError(
                f"{name} cannot take back what llmrec {self.written_by} saved: {error}. "
                "Load the folder with the version that wrote it."
            ) from error

    def texts(self, payload: list[str]) -> list[str]:
        """Return a long list of texts."""
        return [piece.decode("utf-8", "surrogatepass") for piece in self.pieces(payload)]

    def pieces(self, payload: list[str]) -> list[bytes]:
        """Return a long list of bytes."""
        content, lengths = map(self.tensor, payload)
        ends = np.cumsum(lengths).tolist()
        joined = content.tobytes()
        return [joined[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]

    def uuids(self, name: str) -> list[uuid.UUID]:
        """Return a long list of UUIDs."""
        joined = self.tensor(name).tobytes()
        return [uuid.UUID(bytes=joined[start : start + 16]) for start in range(0, len(joined), 16)]

    def times(self, payload: list[str]) -> np.ndarray[Any, Any]:
        """Return an array of ``datetime64`` or ``timedelta64``."""
        counts: Any = self.tensor(payload[1])
        return counts.view(_dtype(payload[0], "mM"))  # type: ignore[no-any-return]

    def objects(self, payload: list[Any]) -> np.ndarray[Any, Any]:
        """Return an array of texts, bytes or objects."""
        dtype, shape, elements = payload[0], payload[1], self.decode(payload[2])
        array: np.ndarray[Any, Any] = np.empty(len(elements), dtype=_dtype(dtype, "OUS"))
        for position, element in enumerate(elements):
            array[position] = element
        return array.reshape(shape)  # type: ignore[no-any-return]

    def scalar(self, payload: list[Any]) -> Any:
        """Return a NumPy scalar."""
        dtype, value = _dtype(payload[0], "biufUSmM"), self.decode(payload[1])
        if dtype.kind in "mM":
            return np.int64(value).view(dtype)
        return dtype.type(value)

    def sparse(self, layout: Any, payload: list[Any]) -> Any:
        """Return a sparse array, after a check that no index points outside it."""
        shape, *parts = payload
        matrix = layout(tuple(map(self.tensor, parts)), shape=tuple(shape))
        matrix.check_format(full_check=True)
        return matrix

    def datetime(self, payload: list[Any]) -> datetime.datetime:
        """Return a point in time, with its zone."""
        text, fold, zone = payload
        tzinfo: datetime.tzinfo | None = None
        if isinstance(zone, str):
            tzinfo = zoneinfo.ZoneInfo(zone)
        elif zone is not None:
            tzinfo = datetime.timezone(datetime.timedelta(*zone))
        return datetime.datetime.fromisoformat(text).replace(fold=fold, tzinfo=tzinfo)


def class_names_in(tree: Tree) -> set[str]:
    """Return the names of all classes that a tree would have built."""
    names = set()
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            for tag in ("$component", "$object", "$dataclass"):
                if tag in node:
                    names.add(str(node[tag]["class"]))
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)
    return names


def _step_text(step: str | tuple[Any] | int) -> str:
    if isinstance(step, str):
        return step
    return f"[{_short(step[0])}]" if isinstance(step, tuple) else f"[{step}]"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


_STORABLE = (
    "a model folder stores numbers, texts, bytes, ids, dates, lists, tuples, sets, dicts, arrays of numbers, "
    "csr_array, dataclasses and components"
)


def _what(value: Any) -> str:
    if callable(value) and hasattr(value, "__qualname__"):
        return f"the class {value.__qualname__}" if isinstance(value, type) else "a function"
    kinds = [kind.__name__ for kind in type(value).__mro__[1:] if kind in _ENCODERS]
    subclass = f", a subclass of {kinds[0]}" if kinds else ""
    return f"a {type(value).__module__}.{type(value).__qualname__}{subclass}"


def _advice(value: Any) -> str:
    module = type(value).__module__.partition(".")[0]
    if isinstance(value, (np.random.RandomState, np.random.Generator)):
        return "store the seed, a whole number, in its place"
    if sparse.issparse(value):
        return "convert it with scipy.sparse.csr_array"
    if isinstance(value, np.ndarray):
        return "convert it with numpy.array"
    if module in {"pandas", "polars", "torch"}:
        return "convert it to a NumPy array or to plain Python values"
    if callable(value):
        return f"{_STORABLE}; make it a component, or leave it out of params and state"
    return _STORABLE


def _is_plain_key(key: Any) -> bool:
    return type(key) is str and not key.startswith("$") and not _has_surrogates(key)


def _has_surrogates(text: str) -> bool:
    # JSON would join two lone halves into one character.
    return not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text)


def _encode_text(_: ValueEncoder, text: str) -> Tree:
    return {"$text": text.encode("utf-8", "surrogatepass").hex()} if _has_surrogates(text) else text


def _timedelta_parts(value: datetime.timedelta) -> list[int]:
    return [value.days, value.seconds, value.microseconds]


def _native(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return dtype.newbyteorder("=")  # type: ignore[no-any-return]


def _as_counts(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return array.astype(_native(array.dtype), order="C").view(np.int64)


def _dtype(text: str, kinds: str) -> np.dtype[Any]:
    dtype: np.dtype[Any] = np.dtype(text)
    if dtype.kind not in kinds:
        raise ValueError(f"no {dtype} is expected here")
    return dtype


_ENCODERS: dict[type, Callable[[ValueEncoder, Any], Tree]] = {
    type(None): lambda encoder, value: value,
    bool: lambda encoder, value: value,
    int: lambda encoder, value: value if value in _INT64 else {"$int": hex(value)},
    float: ValueEncoder._float,
    str: _encode_text,
    bytes: lambda encoder, value: {"$bytes": base64.b64encode(value).decode("ascii")},
    list: ValueEncoder._list,
    tuple: lambda encoder, value: {"$tuple": encoder._list(list(value))},
    set: lambda encoder, value: {"$set": encoder._set(value)},
    frozenset: lambda encoder, value: {"$frozenset": encoder._set(value)},
    dict: ValueEncoder._dict,
    np.ndarray: ValueEncoder._array,
    np.memmap: ValueEncoder._array,
    sparse.csr_array: ValueEncoder._sparse,
    sparse.csc_array: ValueEncoder._sparse,
    uuid.UUID: lambda encoder, value: {"$uuid": value.hex},
    datetime.datetime: ValueEncoder._datetime,
    datetime.date: lambda encoder, value: {"$date": value.isoformat()},
    datetime.timedelta: lambda encoder, value: {"$timedelta": _timedelta_parts(value)},
    decimal.Decimal: lambda encoder, value: {"$decimal": str(value)},
    type(pathlib.Path()): lambda encoder, value: {"$path": _encode_text(encoder, str(value))},
}

_PACKERS: dict[type, Callable[[ValueEncoder, list[Any]], Tree | None]] = {
    bool: lambda encoder, values: {"$bools": encoder._tensor(np.array(values, dtype=np.bool_))},
    int: ValueEncoder._pack_ints,
    float: lambda encoder, values: {"$floats": encoder._tensor(np.array(values, dtype=np.float64))},
    str: ValueEncoder._pack_texts,
    bytes: lambda encoder, values: {"$pieces": encoder._pieces(values)},
    uuid.UUID: ValueEncoder._pack_uuids,
}


def _numbers(decoder: ValueDecoder, name: str) -> list[Any]:
    return decoder.tensor(name).tolist()  # type: ignore[no-any-return]


_DECODERS: dict[str, Callable[[ValueDecoder, Any], Any]] = {
    "$int": lambda decoder, payload: int(payload, 16),
    "$float": lambda decoder, payload: float(payload),
    "$text": lambda decoder, payload: bytes.fromhex(payload).decode("utf-8", "surrogatepass"),
    "$bytes": lambda decoder, payload: base64.b64decode(payload, validate=True),
    "$tuple": lambda decoder, payload: tuple(decoder.decode(payload)),
    "$set": lambda decoder, payload: set(decoder.decode(payload)),
    "$frozenset": lambda decoder, payload: frozenset(decoder.decode(payload)),
    "$dict": ValueDecoder.dict_of,
    "$ints": _numbers,
    "$floats": _numbers,
    "$bools": _numbers,
    "$texts": ValueDecoder.texts,
    "$pieces": ValueDecoder.pieces,
    "$uuids": ValueDecoder.uuids,
    "$array": lambda decoder, payload: decoder.tensor(payload),
    "$times": ValueDecoder.times,
    "$objects": ValueDecoder.objects,
    "$scalar": ValueDecoder.scalar,
    "$csr": lambda decoder, payload: decoder.sparse(sparse.csr_array, payload),
    "$csc": lambda decoder, payload: decoder.sparse(sparse.csc_array, payload),
    "$uuid": lambda decoder, payload: uuid.UUID(hex=payload),
    "$datetime": ValueDecoder.datetime,
    "$date": lambda decoder, payload: datetime.date.fromisoformat(payload),
    "$timedelta": lambda decoder, payload: datetime.timedelta(*payload),
    "$decimal": lambda decoder, payload: decimal.Decimal(payload),
    "$path": lambda decoder, payload: pathlib.Path(decoder.decode(payload)),
    "$component": ValueDecoder.component,
    "$object": ValueDecoder.storable,
    "$dataclass": ValueDecoder.dataclass,
}
