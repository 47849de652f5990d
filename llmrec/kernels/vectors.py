"""Sixteen lanes at a time, in LLVM's own terms: products of bytes, and which of 64 numbers are large.

Products of bytes are written for AVX-512 VNNI, whose one instruction multiplies and adds 64 bytes, and for
AVX2, which multiplies 16 numbers of sixteen bits; those of half bytes for AVX2, which multiplies 32 at a time
where one factor is small. Code that asks for instructions that are missing cannot be compiled at all, so
:func:`has_byte_products` and :func:`has_nibble_products` are asked first.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any

from llvmlite import binding, ir
from numba import types
from numba.core import config
from numba.extending import intrinsic

__all__ = [
    "GROUP",
    "OCTETS",
    "byte_products",
    "byte_products_of_two",
    "first_bit",
    "has_byte_products",
    "has_nibble_products",
    "has_vnni",
    "nibble_products",
    "nibble_products_of_four",
    "prefetch",
    "reached",
]

GROUP = 64
"""Rows that are scored together: four registers of sixteen lanes."""

_LANES = 16
_REGISTERS = GROUP // _LANES
_AHEAD = 8192
_INT, _LONG, _FLOAT = ir.IntType(32), ir.IntType(64), ir.FloatType()
_INTS, _FLOATS = ir.VectorType(_INT, _LANES), ir.VectorType(_FLOAT, _LANES)
# The registers of AVX2, of which eight hold what a group sums up.
_BYTES, _HALVES = ir.VectorType(ir.IntType(8), 32), ir.VectorType(ir.IntType(16), 16)
_EIGHT_INTS = ir.VectorType(_INT, 8)
_NARROW = 8
OCTETS = 4
"""So many times eight columns of half bytes are summed in sixteen bits: 32 * 15 * 127 / 2 is below 32,768."""

# In 32 bits, the products of so many columns of one byte and of sixteen bits add up.
_WIDEST_SUM = 1024


@lru_cache(maxsize=1)
def has_vnni() -> bool:
    """Whether the processor that kernels are compiled for multiplies bytes in one instruction."""
    return _has("avx512f", "avx512bw", "avx512vl", "avx512vnni")


def has_byte_products(n_columns: int = 0) -> bool:
    """Whether :func:`byte_products` can be compiled, and takes vectors of that width."""
    return has_vnni() or (n_columns <= _WIDEST_SUM and _has("avx2"))


def has_nibble_products() -> bool:
    """Whether :func:`nibble_products` can be compiled, and is the fastest that the processor has.

    With VNNI, products of whole bytes take no longer.
    """
    return not has_vnni() and _has("avx2")


@lru_cache(maxsize=8)
def _has(*needed: str) -> bool:
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
    running = [builder.phi(start.type) for start in sums]
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
    totals = _totals_of_bytes if has_vnni() else _totals_of_halves
    whole = totals(builder, codes, words, n_quads, starts, n_queries)
    scale = [_load(builder, scales, place * 64, _FLOATS) for place in range(_REGISTERS)]
    for query in range(n_queries):
        unit, slack, threshold = (_load(builder, factors, query * 12 + 4 * one, _FLOAT) for one in range(3))
        unit, slack = _splat(builder, unit, _FLOATS), _splat(builder, slack, _FLOATS)
        most = []
        for place in range(_REGISTERS):
            score = builder.fmul(builder.fmul(whole[query * _REGISTERS + place], unit), scale[place])
            _store(builder, score, out, (query * GROUP + place * _LANES) * 4)
            most.append(builder.fadd(score, builder.fmul(slack, scale[place])))
        _store(builder, _mask_of(builder, most, threshold), masks, query * 8)


def _totals_of_bytes(
    builder: Any, codes: Any, words: Any, n_quads: Any, starts: Any, n_queries: int
) -> list[Any]:
    """Return the sums of the products, four registers a query, by AVX-512 VNNI."""
    kind = ir.FunctionType(_INTS, [_INTS, _INTS, _INTS])
    multiply = _function(builder, "llvm.x86.avx512.vpdpbusd.512", kind)

    def step(counter: Any, running: list[Any]) -> list[Any]:
        here = builder.add(codes, builder.mul(counter, ir.Constant(_LONG, GROUP * 4)))
        word = builder.add(words, builder.mul(counter, ir.Constant(_LONG, n_queries * 8)))
        _prefetch(builder, here)
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
    sums = [builder.sitofp(one, _FLOATS) for one in _loop(builder, n_quads, begin, step)]
    planes = [sums[start : start + _REGISTERS] for start in range(0, len(sums), _REGISTERS)]
    times = _splat(builder, ir.Constant(_FLOAT, 128.0), _FLOATS)
    return [
        builder.fadd(builder.fmul(high, times), low)
        for highs, lows in zip(planes[::2], planes[1::2], strict=True)
        for high, low in zip(highs, lows, strict=True)
    ]


def _totals_of_halves(
    builder: Any, codes: Any, words: Any, n_quads: Any, starts: Any, n_queries: int
) -> list[Any]:
    """Return the same by AVX2, from products of sixteen bits: four rows a register, two sums a row.

    As 16 registers do not hold the sums of all rows, some rows are gone through at a time.
    """
    halves, sums = ir.VectorType(ir.IntType(16), _LANES), ir.VectorType(_INT, 8)
    multiply = _function(builder, "llvm.x86.avx2.pmadd.wd", ir.FunctionType(sums, [halves, halves]))
    n_blocks = 8 // n_queries
    bytes_ = ir.VectorType(ir.IntType(8), _LANES)

    def step(first: int, counter: Any, running: list[Any]) -> list[Any]:
        here = builder.add(codes, builder.mul(counter, ir.Constant(_LONG, GROUP * 4)))
        word = builder.add(words, builder.mul(counter, ir.Constant(_LONG, n_queries * 8)))
        if not first:
            _prefetch(builder, here)
        rows = [
            builder.zext(_load(builder, here, 16 * (first + place), bytes_), halves)
            for place in range(n_blocks)
        ]
        asked = [_four_halves(builder, word, query * 8) for query in range(n_queries)]
        products = [builder.call(multiply, [row, one]) for one in asked for row in rows]
        return [builder.add(total, product) for total, product in zip(running, products, strict=True)]

    nothing = ir.Constant(sums, [0] * 8)
    blocks: list[list[Any]] = [[] for _ in range(n_queries)]
    for first in range(0, _LANES, n_blocks):
        done = _loop(builder, n_quads, [nothing] * (n_blocks * n_queries), partial(step, first))
        for query, own in enumerate(blocks):
            own += done[query * n_blocks : (query + 1) * n_blocks]
    found = []
    for query, own in enumerate(blocks):
        high, low = (_load(builder, starts, query * 8 + 4 * plane, _INT) for plane in range(2))
        start = _splat(builder, builder.add(builder.shl(high, ir.Constant(_INT, 7)), low), _INTS)
        for place in range(0, _LANES, 4):
            total = builder.add(_pair_sums(builder, own[place : place + 4]), start)
            found.append(builder.sitofp(total, _FLOATS))
    return found


def _emit_nibbles(builder: Any, arguments: Any, n_queries: int) -> None:
    """Write the code of :func:`nibble_products` for some queries.

    The sums of sixteen bits are as many as fit the registers, so that several queries go through some of the
    rows at a time.
    """
    codes, words, n_steps, factors, scales, errors, out, masks = arguments
    n_registers = _NARROW // n_queries
    sums: list[list[Any]] = [[] for _ in range(n_queries)]
    for first in range(0, _NARROW, n_registers):
        nothing = [ir.Constant(_EIGHT_INTS, [0] * 8)] * _NARROW
        step = partial(_nibble_step, builder, codes, words, first, n_queries)
        done = _loop(builder, n_steps, nothing, step)
        for query, own in enumerate(sums):
            own += done[query * n_registers : (query + 1) * n_registers]
    for query, own in enumerate(sums):
        start, unit, spread, slip, threshold = (
            _load(builder, factors, query * 20 + 4 * one, _FLOAT) for one in range(5)
        )
        start, unit, spread, slip = (_splat(builder, one, _FLOATS) for one in (start, unit, spread, slip))
        most = []
        for place in range(_REGISTERS):
            whole = builder.sitofp(_joined(builder, *own[2 * place : 2 * place + 2]), _FLOATS)
            scale, error = (_load(builder, one, place * 64, _FLOATS) for one in (scales, errors))
            score = builder.fmul(builder.fmul(builder.fadd(whole, start), unit), scale)
            _store(builder, score, out, (query * GROUP + place * _LANES) * 4)
            room = builder.fadd(builder.fmul(spread, error), builder.fmul(slip, scale))
            most.append(builder.fadd(score, room))
        _store(builder, _mask_of(builder, most, threshold), masks, query * 8)


def _nibble_step(
    builder: Any, codes: Any, words: Any, first: int, n_queries: int, counter: Any, running: list[Any]
) -> list[Any]:
    """Add the products of 32 columns to the sums; in sixteen bits, those of no more would fit."""
    multiply = _function(builder, "llvm.x86.avx2.pmadd.ub.sw", ir.FunctionType(_HALVES, [_BYTES, _BYTES]))
    widen = _function(builder, "llvm.x86.avx2.pmadd.wd", ir.FunctionType(_EIGHT_INTS, [_HALVES, _HALVES]))
    low = ir.Constant(_BYTES, [15] * 32)
    n_registers = _NARROW // n_queries
    totals: list[Any] = [None] * _NARROW
    for octet in range(OCTETS):
        step = builder.add(builder.mul(counter, ir.Constant(_LONG, OCTETS)), ir.Constant(_LONG, octet))
        here = builder.add(codes, builder.mul(step, ir.Constant(_LONG, GROUP * 4)))
        word = builder.add(words, builder.mul(step, ir.Constant(_LONG, n_queries * 8)))
        if not first:
            _prefetch(builder, here)
        planes = []
        for register in range(first, first + n_registers):
            both = _load(builder, here, register * 32, _HALVES)
            upper = builder.lshr(both, ir.Constant(_HALVES, [4] * 16))
            planes.append([builder.and_(builder.bitcast(one, _BYTES), low) for one in (both, upper)])
        for query in range(n_queries):
            asked = [_splat_word(builder, _load(builder, word, query * 8 + 4 * one, _INT)) for one in (0, 1)]
            for register, pair in enumerate(planes):
                place = query * n_registers + register
                for plane, one in zip(pair, asked, strict=True):
                    product = builder.call(multiply, [plane, one])
                    before = totals[place]
                    totals[place] = product if before is None else builder.add(before, product)
    ones = ir.Constant(_HALVES, [1] * 16)
    return [
        builder.add(total, builder.call(widen, [own, ones]))
        for total, own in zip(running, totals, strict=True)
    ]


def _splat_word(builder: Any, value: Any) -> Any:
    """Return the four bytes of a number eight times over."""
    start = builder.insert_element(ir.Constant(_EIGHT_INTS, ir.Undefined), value, ir.Constant(_INT, 0))
    return builder.bitcast(builder.shuffle_vector(start, start, ir.Constant(_EIGHT_INTS, [0] * 8)), _BYTES)


def _joined(builder: Any, front: Any, back: Any) -> Any:
    return builder.shuffle_vector(front, back, ir.Constant(_INTS, list(range(_LANES))))


def _prefetch(builder: Any, address: Any) -> None:
    """Ask for the bytes that a later round reads: the processor looks ahead less far."""
    for line in range(0, GROUP * 4, 64):
        _ask(builder, builder.add(address, ir.Constant(_LONG, _AHEAD + line)))


def _ask(builder: Any, address: Any) -> None:
    byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
    ask = _function(builder, "llvm.prefetch.p0", kind)
    builder.call(ask, [builder.inttoptr(address, byte), number(0), number(3), number(1)])


def _four_halves(builder: Any, address: Any, offset: int) -> Any:
    """Return four numbers of sixteen bits, given as upper and lower bytes, four times over."""
    long_halves = ir.VectorType(ir.IntType(16), 8)
    planes = builder.sext(_load(builder, address, offset, ir.VectorType(ir.IntType(8), 8)), long_halves)
    shifted = builder.shl(planes, ir.Constant(long_halves, [7] * 8))
    four = ir.VectorType(_INT, _LANES)
    highs = builder.shuffle_vector(shifted, shifted, ir.Constant(four, [0, 1, 2, 3] * 4))
    return builder.add(highs, builder.shuffle_vector(planes, planes, ir.Constant(four, [4, 5, 6, 7] * 4)))


def _pair_sums(builder: Any, blocks: list[Any]) -> Any:
    """Add each two neighbours of four registers of eight, in order."""
    wide = ir.VectorType(_INT, _LANES)
    in_order = ir.Constant(wide, list(range(_LANES)))
    front, back = (builder.shuffle_vector(*blocks[place : place + 2], in_order) for place in (0, 2))
    even, odd = (
        builder.shuffle_vector(front, back, ir.Constant(wide, list(range(first, 2 * _LANES, 2))))
        for first in (0, 1)
    )
    return builder.add(even, odd)


def _function(builder: Any, name: str, kind: Any) -> Any:
    return builder.module.globals.get(name) or ir.Function(builder.module, kind, name)


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


@intrinsic  # type: ignore[untyped-decorator]
def nibble_products(
    typing: Any,
    codes: Any,
    words: Any,
    n_steps: Any,
    factors: Any,
    scales: Any,
    errors: Any,
    out: Any,
    masks: Any,
) -> Any:
    """Score one group of rows of half bytes for one query; all arguments but ``n_steps`` are addresses.

    Codes are bytes, ``[octet][row][4]``: byte ``b`` of octet ``o`` holds column ``8 o + b`` in its lower half
    and column ``8 o + 4 + b`` in its upper. The query's words are signed bytes, ``[octet][2][4]``; there are
    four octets a step. ``factors`` are the float32 start of the sums, unit, spread, slip and threshold. It
    writes the 64 scores ``scale * unit * (start + sum)``, and one bit for each row whose
    ``score + spread * error + slip * scale`` reaches the threshold.
    """
    return _nibble_signature(), _nibbles_of(1)


@intrinsic  # type: ignore[untyped-decorator]
def nibble_products_of_four(
    typing: Any,
    codes: Any,
    words: Any,
    n_steps: Any,
    factors: Any,
    scales: Any,
    errors: Any,
    out: Any,
    masks: Any,
) -> Any:
    """Do the same for four queries, whose words and factors lie side by side; codes are unpacked once."""
    return _nibble_signature(), _nibbles_of(4)


def _nibble_signature() -> Any:
    return types.void(*[types.uintp, types.uintp, types.intp, *[types.uintp] * 5])


def _nibbles_of(n_queries: int) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _emit_nibbles(builder, arguments, n_queries)
        return context.get_dummy_value()

    return codegen


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
def prefetch(typing: Any, address: Any) -> Any:
    """Ask for the 64 bytes around an address, to be read later."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _ask(builder, arguments[0])
        return context.get_dummy_value()

    return types.void(types.uintp), codegen


@intrinsic  # type: ignore[untyped-decorator]
def first_bit(typing: Any, mask: Any) -> Any:
    """Return the place of the lowest bit that is set; ``mask`` is not 0."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.intp(types.uint64), codegen
