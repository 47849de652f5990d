"""Sixteen lanes at a time, in LLVM's own terms: products of bytes, and which of 64 numbers are large.

Products need a processor with AVX-512 VNNI, whose one instruction multiplies and adds 64 bytes; code that
asks for it where it is missing cannot be compiled at all, so :func:`has_byte_products` is asked first.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from llvmlite import binding, ir
from numba import types
from numba.core import config
from numba.extending import intrinsic

__all__ = ["GROUP", "byte_products", "byte_products_of_two", "first_bit", "has_byte_products", "reached"]

GROUP = 64
"""Rows that are scored together: four registers of sixteen lanes."""

_LANES = 16
_REGISTERS = GROUP // _LANES
_INT, _LONG, _FLOAT = ir.IntType(32), ir.IntType(64), ir.FloatType()
_INTS, _FLOATS = ir.VectorType(_INT, _LANES), ir.VectorType(_FLOAT, _LANES)


@lru_cache(maxsize=1)
def has_byte_products() -> bool:
    """Whether the processor that kernels are compiled for multiplies bytes (AVX-512 VNNI)."""
    needed = ("avx512f", "avx512bw", "avx512vl", "avx512vnni")
    if config.CPU_NAME is None and config.CPU_FEATURES is None:
        features: Any = binding.get_host_cpu_features()
        return all(features.get(one, False) for one in needed)
    named = (config.CPU_FEATURES or "").split(",")
    return all(f"+{one}" in named for one in needed)


def _splat(builder: Any, value: Any, kind: Any) -> Any:
    start = builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.Constant(_INT, 0))
    mask = ir.Constant(ir.VectorType(_INT, _LANES), [0] * _LANES)
    return builder.shuffle_vector(start, ir.Constant(kind, ir.Undefined), mask)


def _load(builder: Any, address: Any, offset: int, kind: Any) -> Any:
    place = builder.add(address, ir.Constant(_LONG, offset))
    loaded = builder.load(builder.inttoptr(place, kind.as_pointer()))
    loaded.align = 1
    return loaded


def _store(builder: Any, value: Any, address: Any, offset: int) -> None:
    place = builder.add(address, ir.Constant(_LONG, offset))
    builder.store(value, builder.inttoptr(place, value.type.as_pointer())).align = 1


def _mask_of(builder: Any, registers: list[Any], threshold: Any) -> Any:
    """Return 64 bits: which numbers are at least the threshold; none that is nan."""
    limit = _splat(builder, threshold, _FLOATS)
    mask: Any = ir.Constant(_LONG, 0)
    for place, register in enumerate(registers):
        hits = builder.bitcast(builder.fcmp_ordered(">=", register, limit), ir.IntType(_LANES))
        shifted = builder.shl(builder.zext(hits, _LONG), ir.Constant(_LONG, place * _LANES))
        mask = builder.or_(mask, shifted)
    return mask


def _loop(builder: Any, n_quads: Any, sums: list[Any], step: Any) -> list[Any]:
    """Run ``step(counter, sums)`` ``n_quads`` times, at least once; return the sums at the end."""
    entry, body = builder.block, builder.append_basic_block("quads")
    after = builder.append_basic_block("after")
    builder.branch(body)
    builder.position_at_end(body)
    counter = builder.phi(_LONG)
    counter.add_incoming(ir.Constant(_LONG, 0), entry)
    running = [builder.phi(_INTS) for _ in sums]
    for phi, start in zip(running, sums, strict=True):
        phi.add_incoming(start, entry)
    new: list[Any] = step(counter, running)
    following = builder.add(counter, ir.Constant(_LONG, 1))
    counter.add_incoming(following, builder.block)
    for phi, value in zip(running, new, strict=True):
        phi.add_incoming(value, builder.block)
    builder.cbranch(builder.icmp_signed("<", following, n_quads), body, after)
    builder.position_at_end(after)
    return new


def _emit_products(builder: Any, arguments: Any, n_queries: int) -> None:
    codes, words, n_quads, starts, factors, scales, out, masks = arguments
    kind = ir.FunctionType(_INTS, [_INTS, _INTS, _INTS])
    name = "llvm.x86.avx512.vpdpbusd.512"
    multiply = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)

    def step(counter: Any, running: list[Any]) -> list[Any]:
        here = builder.add(codes, builder.mul(counter, ir.Constant(_LONG, GROUP * 4)))
        word = builder.add(words, builder.mul(counter, ir.Constant(_LONG, n_queries * 8)))
        rows = [_load(builder, here, place * 64, _INTS) for place in range(_REGISTERS)]
        new = []
        for plane in range(2 * n_queries):
            asked = _splat(builder, _load(builder, word, plane * 4, _INT), _INTS)
            for place, row in enumerate(rows):
                new.append(builder.call(multiply, [running[plane * _REGISTERS + place], row, asked]))
        return new

    begin = []
    for plane in range(2 * n_queries):
        begin += [_splat(builder, _load(builder, starts, plane * 4, _INT), _INTS)] * _REGISTERS
    sums = _loop(builder, n_quads, begin, step)
    scale = [_load(builder, scales, place * 64, _FLOATS) for place in range(_REGISTERS)]
    for query in range(n_queries):
        unit, slack, threshold = (_load(builder, factors, query * 12 + 4 * one, _FLOAT) for one in range(3))
        unit, slack = _splat(builder, unit, _FLOATS), _splat(builder, slack, _FLOATS)
        most = []
        for place in range(_REGISTERS):
            high, low = (
                builder.sitofp(sums[(2 * query + plane) * _REGISTERS + place], _FLOATS) for plane in range(2)
            )
            whole = builder.fadd(
                builder.fmul(high, _splat(builder, ir.Constant(_FLOAT, 128.0), _FLOATS)), low
            )
            score = builder.fmul(builder.fmul(whole, unit), scale[place])
            _store(builder, score, out, (query * GROUP + place * _LANES) * 4)
            most.append(builder.fadd(score, builder.fmul(slack, scale[place])))
        _store(builder, _mask_of(builder, most, threshold), masks, query * 8)


@intrinsic  # type: ignore[untyped-decorator]
def byte_products(
    typing: Any,
    codes: Any,
    words: Any,
    n_quads: Any,
    starts: Any,
    factors: Any,
    scales: Any,
    out: Any,
    masks: Any,
) -> Any:
    """Score one group of rows for one query; all arguments but ``n_quads`` are addresses.

    Codes are unsigned bytes, ``[quad][row][4]``; the query's words are ``[quad][plane][4]`` signed bytes, the
    number in a column being ``128 * plane 0 + plane 1``. ``starts`` are the two int32 that the sums begin at,
    ``factors`` are the float32 unit, slack and threshold. It writes the 64 scores, and one bit for each row
    whose ``score + slack * scale`` reaches the threshold.
    """
    return types.void(*[types.uintp, types.uintp, types.intp, *[types.uintp] * 5]), _products_of(1)


@intrinsic  # type: ignore[untyped-decorator]
def byte_products_of_two(
    typing: Any,
    codes: Any,
    words: Any,
    n_quads: Any,
    starts: Any,
    factors: Any,
    scales: Any,
    out: Any,
    masks: Any,
) -> Any:
    """Do the same for two queries, whose words, starts and factors lie side by side; codes are read once."""
    return types.void(*[types.uintp, types.uintp, types.intp, *[types.uintp] * 5]), _products_of(2)


def _products_of(n_queries: int) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _emit_products(builder, arguments, n_queries)
        return context.get_dummy_value()

    return codegen


@intrinsic  # type: ignore[untyped-decorator]
def reached(typing: Any, scores: Any, scales: Any, slack: Any, threshold: Any) -> Any:
    """Return one bit for each of 64 rows whose ``score + slack * scale`` reaches the threshold.

    ``scores`` and ``scales`` are addresses of float32. It runs on any processor.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        scores, scales, slack, threshold = arguments
        factor = _splat(builder, slack, _FLOATS)
        most = []
        for place in range(_REGISTERS):
            score, scale = (_load(builder, one, place * 64, _FLOATS) for one in (scores, scales))
            most.append(builder.fadd(score, builder.fmul(factor, scale)))
        return _mask_of(builder, most, threshold)

    return types.uint64(types.uintp, types.uintp, types.float32, types.float32), codegen


@intrinsic  # type: ignore[untyped-decorator]
def first_bit(typing: Any, mask: Any) -> Any:
    """Return the place of the lowest bit that is set; ``mask`` is not 0."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.intp(types.uint64), codegen
