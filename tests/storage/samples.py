"""Small components that the tests of model folders save, and equality that sees types."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from scipy import sparse

from llmrec.base import Component

HERE = "tests.storage.samples"


class Bag(Component):
    """Holds any value as a parameter, and any as state once it is filled."""

    def __init__(self, *, content=None, name="bag"):
        self.content = content
        self.name = name

    def fill(self, state):
        self.filled_ = state
        return self

    class Pocket(Component):
        """A class within a class."""


class Names:
    """Follows the Storable protocol, and is neither a component nor a dataclass."""

    def __init__(self, names):
        self.names = names

    def get_state(self):
        return {"names": self.names}

    @classmethod
    def from_state(cls, state):
        return cls(state["names"])


@dataclass
class Point:
    x: float
    label: str = ""
    derived: list = field(default_factory=list, init=False)


@dataclass(frozen=True)
class Pair:
    left: object
    right: object


class StateOf(Component):
    """Gives whatever it was told as its state."""

    def __init__(self, *, state=None):
        self.state = state

    def get_state(self):
        return self.state

    def get_params(self, deep=True):
        return {}


class Forgetful(Component):
    """Does not store its parameter."""

    def __init__(self, *, size=1):
        pass


class Strict(Component):
    """Takes back no state."""

    def __init__(self, *, content=None):
        self.content = content
        self.learned_ = 1

    def set_state(self, state):
        raise KeyError("a weight is gone")


def same(left, right):
    """Equality that tells 1 from True and from 1.0, sees dtypes, and takes NaN for NaN."""
    if type(left) is not type(right):
        return False
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return same(list(left.items()), list(right.items()))
    if isinstance(left, (set, frozenset)):
        return len(left) == len(right) and all(any(same(one, other) for other in right) for one in left)
    if isinstance(left, np.ndarray):
        return (
            left.dtype.newbyteorder("=") == right.dtype
            and left.shape == right.shape
            and same(left.reshape(-1).tolist(), right.reshape(-1).tolist())
        )
    if sparse.issparse(left):
        return left.shape == right.shape and all(
            same(getattr(left, part), getattr(right, part)) for part in ("data", "indices", "indptr")
        )
    if isinstance(left, (float, np.floating)):
        return (math.isnan(left) and math.isnan(right)) or (
            left == right and math.copysign(1, left) == math.copysign(1, right)
        )
    return bool(left == right)
