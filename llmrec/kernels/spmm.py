"""Products of a sparse matrix with a dense one of few columns, some rows at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from llmrec.kernels.jit import intrinsic, kernel

__all__ = ["LANES", "multiply_rows", "warm"]

# Columns at a time: as many floats as a cache line and a register of AVX-512 hold.
LANES = 16

_CHAINS = 2
_INT = ir.IntType(64)
_VECTOR = ir.VectorType(ir.FloatType(), LANES)


@intrinsic
def _sum_of_rows(
    typing: Any, table: Any, columns: Any, weights: Any, start: Any, stop: Any, out: Any, row: Any
) -> Any:
    """Set ``out[row]`` to the sum of ``weights[e] * table[columns[e]]``, ``e`` from ``start`` to ``stop``.

    ``table`` and ``out`` have ``LANES`` columns of float32. In a loop the sum would be stored and loaded for
    each entry; here it stays in registers, in two sums that are added last.
    """
    signature = types.void(table, columns, weights, start, stop, out, row)

    def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        def pointer(place: int) -> Any:
            return context.make_array(signature.args[place])(context, builder, values[place]).data

        def integer(place: int) -> Any:
            return context.cast(builder, values[place], signature.args[place], types.int64)

        def lanes(base: Any, at: Any) -> Any:
            first = builder.gep(base, [builder.mul(at, _INT(LANES))])
            return builder.bitcast(first, _VECTOR.as_pointer())

        rows, where, weight = pointer(0), pointer(1), pointer(2)
        begin, end = integer(3), integer(4)
        sums = [cgutils.alloca_once(builder, _VECTOR) for _ in range(_CHAINS)]
        for one in sums:
            builder.store(ir.Constant(_VECTOR, [0.0] * LANES), one)

        def add(entry: Any, into: Any) -> None:
            column = builder.sext(builder.load(builder.gep(where, [entry])), _INT)
            factor = builder.load(builder.gep(weight, [entry]))
            spread = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), factor, ir.IntType(32)(0))
            mask = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
            spread = builder.shuffle_vector(spread, spread, mask)
            product = builder.fmul(spread, builder.load(lanes(rows, column), align=4), flags=("contract",))
            builder.store(builder.fadd(builder.load(into), product, flags=("contract",)), into)

        pairs = builder.sdiv(builder.sub(end, begin), _INT(_CHAINS))
        whole = builder.add(begin, builder.mul(pairs, _INT(_CHAINS)))
        with cgutils.for_range_slice(builder, begin, whole, _INT(_CHAINS)) as (entry, _):
            for chain, into in enumerate(sums):
                add(builder.add(entry, _INT(chain)), into)
        with cgutils.for_range_slice(builder, whole, end, _INT(1)) as (entry, _):
            add(entry, sums[0])
        total = builder.fadd(builder.load(sums[0]), builder.load(sums[1]))
        builder.store(total, lanes(pointer(5), integer(6)), align=4)
        return context.get_dummy_value()

    return signature, build


@kernel
def multiply_rows(
    indptr: Any, columns: Any, weights: Any, table: Any, out: Any, start: int, stop: int
) -> None:
    """Set rows ``start`` to ``stop`` of ``out`` to those of a CSR matrix times ``table``.

    ``table`` and ``out`` are C-contiguous float32 with ``LANES`` columns; ``indptr`` is int64
    and ``columns`` are int32.
    """
    for row in range(start, stop):
        _sum_of_rows(table, columns, weights, indptr[row], indptr[row + 1], out, row)


def warm() -> None:
    """Compile for the types that it is called with."""
    table, out = np.ones((1, LANES), dtype=np.float32), np.empty((1, LANES), dtype=np.float32)
    indptr = np.array([0, 1], dtype=np.int64)
    multiply_rows(indptr, np.zeros(1, np.int32), np.ones(1, np.float32), table, out, 0, 1)
