r"""Passes over many short vectors that keep them in registers: ``y · v`` and ``out += s y`` in one read.

Alternating least squares spends its time in :math:`\sum_j w_j (y_j \cdot v) y_j`. Written as loops, each
``y`` is read twice and ``out`` is stored for each; here up to four vectors at a time stay in registers
between their inner product and their share of the sum. The code is built for a width in blocks of 16 floats,
which the length of a tuple says: ``(0,) * 4`` for vectors of 64.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from llmrec.kernels.jit import intrinsic

__all__ = ["LANES", "combined_rows", "gather_errors", "gather_products", "row_dots"]

LANES = 16
_AHEAD = 16
_FLAGS = ("contract", "reassoc", "nsz")
_FLOAT = ir.FloatType()
_VECTOR = ir.VectorType(_FLOAT, LANES)
_INT = ir.IntType(64)


@intrinsic
def gather_errors(
    typing: Any,
    blocks: Any,
    table: Any,
    columns: Any,
    weights: Any,
    targets: Any,
    target_step: Any,
    start: Any,
    stop: Any,
    vector: Any,
    out: Any,
    panel: Any,
    keep: Any,
) -> Any:
    """Add ``w (t - y · vector) y`` over entries to ``out``; return the sum of ``w (t - y · vector)²``.

    The entries are those from ``start`` up to ``stop``. ``y`` are rows of ``table``: float32, or the upper
    halves of it as uint16. They are also written to ``panel`` if ``keep``. With ``target_step`` 0 all targets
    are ``targets[0]``.
    """
    signature = types.float32(
        blocks, table, columns, weights, targets, target_step, start, stop, vector, out, panel, keep
    )

    def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        make = _Pass(context, builder, signature, values, table=1, columns=2, weights=3, vector=8, out=9)
        make.targets, make.target_step = make.pointer(4), make.integer(5)
        make.panel, make.keep = make.pointer(10), builder.trunc(values[11], ir.IntType(1))
        return make.run(make.integer(6), make.integer(7))

    return signature, build


@intrinsic
def gather_products(
    typing: Any,
    blocks: Any,
    table: Any,
    columns: Any,
    weights: Any,
    start: Any,
    stop: Any,
    vector: Any,
    out: Any,
) -> Any:
    """Add ``w (y · vector) y`` to ``out`` over the entries from ``start`` up to ``stop``."""
    signature = types.float32(blocks, table, columns, weights, start, stop, vector, out)

    def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        make = _Pass(context, builder, signature, values, table=1, columns=2, weights=3, vector=6, out=7)
        return make.run(make.integer(4), make.integer(5))

    return signature, build


@intrinsic
def combined_rows(typing: Any, blocks: Any, table: Any, scales: Any, count: Any, out: Any) -> Any:
    """Add ``Σ scales[i] table[i]`` to ``out``, over the first ``count`` rows."""
    signature = types.float32(blocks, table, scales, count, out)

    def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        make = _Combination(
            context, builder, signature, values, table=1, columns=None, weights=2, vector=4, out=4
        )
        return make.run(_INT(0), make.integer(3))

    return signature, build


@intrinsic
def row_dots(
    typing: Any, blocks: Any, panel: Any, weights: Any, start: Any, count: Any, vector: Any, out: Any
) -> Any:
    """Set ``out`` to ``w (y · vector)`` of each of the first rows of ``panel``, weighed from ``start`` on."""
    signature = types.float32(blocks, panel, weights, start, count, vector, out)

    def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        make = _Dots(context, builder, signature, values, table=1, columns=None, weights=2, vector=5, out=6)
        make.weights = builder.gep(make.weights, [make.integer(3)])
        return make.run(_INT(0), make.integer(4))

    return signature, build


class _Pass:
    """Writes the code of one pass."""

    def __init__(
        self,
        context: Any,
        builder: Any,
        signature: Any,
        values: Any,
        *,
        table: int,
        columns: int | None,
        weights: int,
        vector: int,
        out: int,
    ):
        self.context, self.builder, self.signature, self.values = context, builder, signature, values
        self.n_blocks = len(signature.args[0])
        self.is_half = signature.args[table].dtype == types.uint16
        self.table = self.pointer(table)
        self.columns = None if columns is None else self.pointer(columns)
        self.weights, self.vector, self.out = self.pointer(weights), self.pointer(vector), self.pointer(out)
        self.targets: Any = None
        self.target_step: Any = None
        self.panel: Any = None
        self.keep: Any = None

    def pointer(self, place: int) -> Any:
        array = self.context.make_array(self.signature.args[place])
        return array(self.context, self.builder, self.values[place]).data

    def integer(self, place: int) -> Any:
        return self.context.cast(self.builder, self.values[place], self.signature.args[place], types.int64)

    def run(self, start: Any, stop: Any) -> Any:
        builder = self.builder
        self.vectors = [self.load(self.vector, block) for block in range(self.n_blocks)]
        self.sums = [cgutils.alloca_once(builder, _VECTOR) for _ in range(self.n_blocks)]
        for block, total in enumerate(self.sums):
            builder.store(self.load(self.out, block), total)
        self.loss = cgutils.alloca_once_value(builder, _FLOAT(0))
        position = cgutils.alloca_once_value(builder, start)
        self.last = builder.sub(stop, _INT(1))
        # As many at a time as the 32 registers of AVX-512 hold beside the sums; others spill a little.
        n_rows = 4 if self.n_blocks <= 4 else 2 if self.n_blocks <= 8 else 1
        for step in dict.fromkeys((n_rows, 1)):
            self.loop(position, stop, step)
        for block, total in enumerate(self.sums):
            self.keep_vector(builder.load(total), self.out, block)
        return builder.load(self.loss)

    def loop(self, position: Any, stop: Any, n_rows: int) -> None:
        """Take ``n_rows`` entries at a time as long as there are so many."""
        builder = self.builder
        test, body, end = (builder.append_basic_block(name) for name in ("test", "body", "end"))
        builder.branch(test)
        builder.position_at_end(test)
        now = builder.load(position)
        beyond = builder.add(now, _INT(n_rows))
        builder.cbranch(builder.icmp_signed("<=", beyond, stop), body, end)
        builder.position_at_end(body)
        self.entries(now, n_rows)
        builder.store(beyond, position)
        builder.branch(test)
        builder.position_at_end(end)

    def entries(self, first: Any, n_rows: int) -> None:
        builder = self.builder
        places = [builder.add(first, _INT(step)) for step in range(n_rows)]
        rows = [self.row(place) for place in places]
        for scale, row in zip(self.scales(places, rows), rows, strict=True):
            spread = self.spread(scale)
            for total, part in zip(self.sums, row, strict=True):
                product = builder.fmul(spread, part, flags=_FLAGS)
                builder.store(builder.fadd(builder.load(total), product, flags=_FLAGS), total)
        if self.keep is not None:
            with builder.if_then(self.keep):
                for place, row in zip(places, rows, strict=True):
                    offset = builder.sub(place, self.integer(6))
                    pointer = builder.gep(self.panel, [builder.mul(offset, _INT(LANES * self.n_blocks))])
                    for block, part in enumerate(row):
                        self.keep_vector(part, pointer, block)

    def scales(self, places: list[Any], rows: list[list[Any]]) -> list[Any]:
        """Return what each entry's vector is multiplied by."""
        dots = self.dots([self.dot(row) for row in rows])
        return [self.scale(place, dot) for place, dot in zip(places, dots, strict=True)]

    def scale(self, place: Any, dot: Any) -> Any:
        """Return the multiplier, and count the entry's loss if there are targets."""
        builder = self.builder
        weight = builder.load(builder.gep(self.weights, [place]))
        if self.targets is None:
            return builder.fmul(weight, dot, flags=_FLAGS)
        target = builder.load(builder.gep(self.targets, [builder.mul(place, self.target_step)]))
        error = builder.fsub(target, dot, flags=_FLAGS)
        scale = builder.fmul(weight, error, flags=_FLAGS)
        lost = builder.fadd(builder.load(self.loss), builder.fmul(scale, error, flags=_FLAGS), flags=_FLAGS)
        builder.store(lost, self.loss)
        return scale

    def row(self, place: Any) -> list[Any]:
        builder = self.builder
        if self.columns is None:
            number = place
        else:
            self.prefetch(place)
            number = builder.sext(builder.load(builder.gep(self.columns, [place])), _INT)
        pointer = builder.gep(self.table, [builder.mul(number, _INT(LANES * self.n_blocks))])
        return [self.load(pointer, block, half=self.is_half) for block in range(self.n_blocks)]

    def prefetch(self, place: Any) -> None:
        """Ask for a row that comes later: processors do not foresee where the entries point."""
        builder = self.builder
        later = builder.add(place, _INT(_AHEAD))
        later = builder.select(builder.icmp_signed("<", later, self.last), later, self.last)
        number = builder.sext(builder.load(builder.gep(self.columns, [later])), _INT)
        pointer = builder.gep(self.table, [builder.mul(number, _INT(LANES * self.n_blocks))])
        byte = builder.bitcast(pointer, ir.IntType(8).as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [ir.IntType(8).as_pointer(), *[ir.IntType(32)] * 3])
        prefetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        size = LANES * self.n_blocks * (2 if self.is_half else 4)
        for offset in range(0, size, 64):
            builder.call(
                prefetch,
                [builder.gep(byte, [_INT(offset)]), ir.IntType(32)(0), ir.IntType(32)(3), ir.IntType(32)(1)],
            )

    def dot(self, row: list[Any]) -> Any:
        builder = self.builder
        total = builder.fmul(row[0], self.vectors[0], flags=_FLAGS)
        for part, other in zip(row[1:], self.vectors[1:], strict=True):
            total = builder.fadd(total, builder.fmul(part, other, flags=_FLAGS), flags=_FLAGS)
        return total

    def dots(self, vectors: list[Any]) -> list[Any]:
        """Return the sum over the lanes of each of 1, 2 or 4 vectors; together they take fewer steps."""
        width = LANES
        joined = vectors
        while len(joined) > 1:
            width //= 2
            pairs = list(zip(joined[::2], joined[1::2], strict=True))
            joined = [self.joined(one, other, width) for one, other in pairs]
        total = self.folded(joined[0], width)
        return [self.lane(total, group * width) for group in range(len(vectors))]

    def joined(self, one: Any, other: Any, width: int) -> Any:
        """Fold groups of ``2 * width`` lanes to ``width`` in each of two vectors; set both into one."""
        groups = range(0, LANES, 2 * width)
        low = [start + lane for start in groups for lane in range(width)]
        low += [LANES + lane for lane in low]
        high = [lane + width for lane in low]
        return self.builder.fadd(
            self.shuffled(one, other, low), self.shuffled(one, other, high), flags=_FLAGS
        )

    def folded(self, vector: Any, width: int) -> Any:
        """Sum over each group of ``width`` lanes; all of a group then hold its sum."""
        while width > 1:
            width //= 2
            swapped = self.shuffled(vector, vector, [lane ^ width for lane in range(LANES)])
            vector = self.builder.fadd(vector, swapped, flags=_FLAGS)
        return vector

    def shuffled(self, one: Any, other: Any, lanes: list[int]) -> Any:
        mask = ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), lanes)
        return self.builder.shuffle_vector(one, other, mask)

    def lane(self, vector: Any, number: int) -> Any:
        return self.builder.extract_element(vector, ir.IntType(32)(number))

    def spread(self, value: Any) -> Any:
        single = self.builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), value, ir.IntType(32)(0))
        return self.shuffled(single, single, [0] * LANES)

    def load(self, pointer: Any, block: int, half: bool = False) -> Any:
        """Load 16 floats; of halves the lower bits are zero."""
        builder = self.builder
        kind = ir.VectorType(ir.IntType(16), LANES) if half else _VECTOR
        at = builder.gep(pointer, [_INT(block * LANES)])
        value = builder.load(builder.bitcast(at, kind.as_pointer()), align=2 if half else 4)
        if not half:
            return value
        wide = ir.VectorType(ir.IntType(32), LANES)
        shifted = builder.shl(builder.zext(value, wide), ir.Constant(wide, [16] * LANES))
        return builder.bitcast(shifted, _VECTOR)

    def keep_vector(self, value: Any, pointer: Any, block: int) -> None:
        at = self.builder.gep(pointer, [_INT(block * LANES)])
        self.builder.store(value, self.builder.bitcast(at, _VECTOR.as_pointer()), align=4)


class _Combination(_Pass):
    """Writes the code of a pass whose multipliers are known."""

    def scales(self, places: list[Any], rows: list[list[Any]]) -> list[Any]:
        return [self.builder.load(self.builder.gep(self.weights, [place])) for place in places]


class _Dots(_Pass):
    """Writes the code of a pass that keeps the inner products, and sums up nothing."""

    def run(self, start: Any, stop: Any) -> Any:
        self.vectors = [self.load(self.vector, block) for block in range(self.n_blocks)]
        position = cgutils.alloca_once_value(self.builder, start)
        for step in (4, 2, 1):
            self.loop(position, stop, step)
        return _FLOAT(0)

    def entries(self, first: Any, n_rows: int) -> None:
        places = [self.builder.add(first, _INT(step)) for step in range(n_rows)]
        scales = self.scales(places, [self.row(place) for place in places])
        for place, scale in zip(places, scales, strict=True):
            self.builder.store(scale, self.builder.gep(self.out, [place]))
