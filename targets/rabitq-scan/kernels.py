"""RaBitQ search in one partition: table, scan of sign codes, bounds, extra codes. The file that an agent edits.

What makes it fast: one shuffle of 64 bytes looks up four tables for 16 rows, as the codes lie, and the sums of a
block of 32 rows stay in registers over all tables. Bounds are made for whole vectors of rows, and a comparison
of 64 of them leaves out nearly all. Which k rows are estimated by all bits first, the estimates by signs say;
the farthest of these k is a limit that hardly any other row passes.

In Rust: `_mm512_shuffle_epi8` and `_mm512_add_epi16` (AVX-512BW), as rust/lance-linalg/src/simd/dist_table.rs
has them for 4-bit codes, with sums of 16 bits that are widened after the last table; `_mm512_cmplt_ps_mask` for
the bounds. `benchmarks/ports/rabitq-scan/kernels.py` is a port of what Lance 14.0.2 runs for one query and one
IVF_RQ partition in its normal mode: `build_dist_table_direct`, the scan, and
`accumulate_raw_query_multi_bit_topk_dense_with_scratch` (rust/lance-index/src/vector/bq/storage.rs),
`quantize_dist_table_into` (dist_table_quant.rs), the bounds of 16 rows at a time (prune.rs) and the products
with extra codes (ex_dot.rs).

Stays: `RabitKernel(codes, factors, ex_codes, ex_factors)` and `top_k(query, query_factor, k)`, with the dtypes,
shapes and order of results that their docstrings give.

CAN: keep any layout of the codes and the factors that `__init__` derives; change the order of summation; leave
rows out by any rule that the docstring of `top_k` allows; use fastmath, blocking, intrinsics, scratch memory.
CANNOT: keep anything that depends on a call's arguments for a later call; start threads or processes; round the
table to other steps; import anything but numba, numpy, llvmlite.ir and the mathematics of the standard library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from llvmlite import ir
from numba import njit, types, uint8
from numba.extending import intrinsic

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Floats = NDArray[np.float32]
    Ids = NDArray[np.uint32]
    Sums = NDArray[np.uint32]

BLOCK = 32
LANES = 16
ENTRIES = 16
AT_ONCE = 4
"""The tables that are looked up by one shuffle."""
WIDENED = 64
"""After so many shuffles, sums of 16 bits are added to those of 32: 64 times 255, in 4 lanes, is 65,280."""
GROUP = 64
"""The rows whose bounds are compared at once."""
SUBSETS = ((np.arange(ENTRIES) >> np.arange(4)[:, None]) & 1).astype(np.float32)
"""Which of four dimensions are in a subset, (4, 16)."""
FINITE = {"nnan", "ninf", "nsz"}
"""For fastmath: neither NaN nor infinity occurs, but every rounding stays."""


class RabitKernel:
    """Top-k search in one partition of `n` rows; D is a multiple of 8, e the extra bits of a value: 0, 4 or 8.

    Parameters
    ----------
    codes : uint8, shape (n, D / 8), C-contiguous
        The signs of the rows' rotated residuals: bit i of a row's byte c is 1 where dimension 8 c + i is not
        negative. The bytes do not lie row by row. First come the blocks of 32 rows. A block has, for each c, 16
        bytes of low nibbles, then 16 of high ones; byte j of the 16 holds the nibble of row j / 2 in its low
        half, where j is even, or that of row 8 + (j - 1) / 2, where it is odd, and the nibble of the row 16
        further in its high half. The n % 32 rows after the last block follow, first the byte c = 0 of all of
        them, then the next.
    factors : float32, shape (3, n)
        What is added to a row's sum, what scales it, and how far the estimate may be off.
    ex_codes : uint8, shape (n, D e / 8), D rounded up to a multiple of 64
        The other bits of each value. With e = 4, byte 8 j + b holds the dimension 16 j + b below 16 j + 8 + b.
    ex_factors : float32, shape (2, n), or (2, 0) with e = 0
        What is added and what scales, for the estimate by all bits.
    """

    def __init__(self, codes: Bytes, factors: Floats, ex_codes: Bytes, ex_factors: Floats) -> None:
        self._codes = codes.reshape(-1)
        self._factors = factors
        self._ex_codes = ex_codes
        self._ex_factors = ex_factors
        self._extra_bits = ex_codes.shape[1] // (-(-codes.shape[1] // 8) * 8)
        self._add_up = _add_up_by_shuffles if _has_shuffle() else _add_up_one_by_one

    def top_k(self, query: Floats, query_factor: float, k: int) -> tuple[Ids, Floats]:
        """Return the ids, uint32 (min(k, n),), of the k >= 1 nearest rows and their distances, float32.

        Ascending by (distance, id). `query`, float32 (D,), is rotated as the rows were; `query_factor` is its
        squared distance from the centroid. A distance is the estimate by all bits. A row may be left out only
        where its estimate or its lower bound is no less than the largest distance that is returned.
        """
        rows = self._factors.shape[1]
        factor = np.float32(query_factor)
        table = _build_table(query)
        steps, least, most = _quantise(table)
        sums = np.empty(rows // BLOCK * BLOCK, np.uint32)
        self._add_up(self._codes, steps, sums)
        products = _products(sums, self._codes, table, least, most, rows)
        estimates = np.full(-(-rows // GROUP) * GROUP, np.inf, np.float32)
        total = query.sum()
        _estimate(products, self._factors, total, factor, estimates)
        ids, distances = np.empty(min(k, rows), np.uint32), np.empty(min(k, rows), np.float32)
        _nearest(estimates, ids, distances)
        if self._extra_bits:
            query_parts = _in_order_of(self._extra_bits, query, self._ex_codes.shape[1])
            _refine(
                *(products, estimates, self._factors, self._ex_codes, self._ex_factors, self._extra_bits),
                *(query_parts, total, factor, ids, distances),
            )
        return ids, distances


@njit
def _build_table(query: Floats) -> Floats:
    """Return the sums of all subsets of each four dimensions, (D / 4 * 16,): bit i stands for dimension i."""
    table = np.empty(query.size // 4 * ENTRIES, np.float32)
    for part in range(query.size // 4):
        for subset in range(ENTRIES):
            value = np.float32(0)
            for dimension in range(3, -1, -1):
                value += query[4 * part + dimension] * SUBSETS[dimension, subset]
            table[ENTRIES * part + subset] = value
    return table


@njit(fastmath=FINITE)
def _quantise(table: Floats) -> tuple[Bytes, np.float32, np.float32]:
    """Return the table in 255 steps from its least entry to its largest, and these two."""
    least, most = table[0], table[0]
    for entry in table:
        least, most = min(least, entry), max(most, entry)
    steps = np.zeros(table.size, np.uint8)
    if most > least:
        factor = np.float32(255) / (most - least)
        for i in range(table.size):
            steps[i] = uint8(np.rint((table[i] - least) * factor))
    return steps, least, most


@njit
def _add_up_by_shuffles(codes: Bytes, steps: Bytes, sums: Sums) -> None:
    """Fill `sums` with the sums of steps of the rows of whole blocks."""
    tables = steps.size // ENTRIES
    shuffles = tables // AT_ONCE
    sums[:] = 0
    for block in range(sums.size // BLOCK):
        for first in range(0, shuffles, WIDENED):
            entries = first * AT_ONCE * ENTRIES
            count = min(WIDENED, shuffles - first)
            _add_up_part(codes, block * steps.size + entries, steps, entries, count, sums, block * BLOCK)
    _add_up_tables(codes, steps, shuffles * AT_ONCE, sums)


@njit
def _add_up_one_by_one(codes: Bytes, steps: Bytes, sums: Sums) -> None:
    """Do the same on any processor."""
    sums[:] = 0
    _add_up_tables(codes, steps, 0, sums)


@njit
def _add_up_tables(codes: Bytes, steps: Bytes, begin: int, sums: Sums) -> None:
    """Add the steps of the tables from `begin` on to `sums`."""
    tables = steps.size // ENTRIES
    for block in range(sums.size // BLOCK):
        for part in range(begin, tables):
            first = LANES * (block * tables + part)
            for j in range(LANES):
                row, code = BLOCK * block + j // 2 + j % 2 * 8, codes[first + j]
                sums[row] += np.uint32(steps[ENTRIES * part + (code & 15)])
                sums[row + LANES] += np.uint32(steps[ENTRIES * part + (code >> 4)])


@njit
def _products(sums: Sums, codes: Bytes, table: Floats, least: np.float32, most: np.float32, rows: int) -> Floats:
    """Return the products of all rows: from sums of steps in whole blocks, from the table itself after them."""
    products = np.empty(rows, np.float32)
    tables = table.size // ENTRIES
    step, start = (most - least) / np.float32(255), np.float32(tables) * least
    for row in range(sums.size):
        products[row] = np.float32(sums[row]) * step + start
    for row in range(sums.size, rows):
        product = np.float32(0)
        for column in range(tables // 2):
            byte = codes[sums.size * tables // 2 + column * (rows - sums.size) + row - sums.size]
            product += table[32 * column + (byte & 15)] + table[32 * column + 16 + (byte >> 4)]
        products[row] = product
    return products


@njit
def _estimate(
    products: Floats, factors: Floats, total: np.float32, query_factor: np.float32, estimates: Floats
) -> None:
    """Fill `estimates` with the distances by signs; what is behind the last row stays infinite."""
    half = np.float32(0.5) * total
    for row in range(products.size):
        estimates[row] = (products[row] - half) * factors[1, row] + factors[0, row] + query_factor


@njit
def _nearest(estimates: Floats, ids: Ids, distances: Floats) -> None:
    """Fill `ids` and `distances` with the least estimates."""
    distances[:] = np.inf
    last = distances.size - 1
    for start in range(0, estimates.size, GROUP):
        mask = _less(estimates, start, distances[last])
        while mask:
            row = start + _lowest_bit(mask)
            _insert(row, estimates[row], ids, distances)
            mask &= mask - np.uint64(1)


@njit
def _refine(
    products: Floats,
    estimates: Floats,
    factors: Floats,
    ex_codes: Bytes,
    ex_factors: Floats,
    extra_bits: int,
    query_parts: Floats,
    total: np.float32,
    query_factor: np.float32,
    ids: Ids,
    distances: Floats,
) -> None:
    """Make the rows in `ids`, nearest by signs, the nearest by all bits.

    First the k that are there; then every row whose lower bound is less than the farthest of these.
    """
    query_error, doubled = np.sqrt(query_factor), np.float32(1 << extra_bits)
    bias = (doubled - np.float32(0.5)) * total
    first = ids.copy()
    bounds = estimates
    for row in range(products.size):
        bounds[row] -= factors[2, row] * query_error
    distances[:] = np.inf
    for row in first:
        bounds[row] = np.inf
        full = doubled * products[row] + _extra_product(ex_codes, np.int64(row), extra_bits, query_parts) - bias
        _insert(row, full * ex_factors[1, row] + ex_factors[0, row] + query_factor, ids, distances)
    last = distances.size - 1
    for start in range(0, bounds.size, GROUP):
        mask = _less(bounds, start, distances[last])
        while mask:
            row = start + _lowest_bit(mask)
            if bounds[row] < distances[last]:
                full = (
                    doubled * products[row]
                    + _extra_product(ex_codes, np.int64(row), extra_bits, query_parts)
                    - bias
                )
                _insert(row, full * ex_factors[1, row] + ex_factors[0, row] + query_factor, ids, distances)
            mask &= mask - np.uint64(1)


@njit
def _in_order_of(extra_bits: int, query: Floats, size: int) -> Floats:
    """Return the query as extra codes lie, (2, size): what meets the low halves of bytes, and the high ones.

    With 8 bits, what meets whole bytes. What is behind the last dimension is 0.
    """
    parts = np.zeros((2, size), np.float32)
    for dimension in range(query.size):
        if extra_bits == 4:
            within = dimension % LANES
            parts[within // 8, dimension // LANES * 8 + within % 8] = query[dimension]
        else:
            parts[0, dimension] = query[dimension]
    return parts


@njit
def _extra_product(ex_codes: Bytes, row: int, extra_bits: int, query_parts: Floats) -> np.float32:
    """Return the product of the query with a row's extra codes."""
    if extra_bits == 4:
        return _product_of_nibbles(ex_codes, row, query_parts)
    return _product_of_bytes(ex_codes, row, query_parts)


@njit
def _insert(row: int, distance: np.float32, ids: Ids, distances: Floats) -> None:
    """Put a row among the nearest, ascending by (distance, id), if it is nearer than the last of them."""
    at = distances.size - 1
    if not (distance < distances[at]):
        return
    while at > 0 and (distances[at - 1] > distance or (distances[at - 1] == distance and ids[at - 1] > row)):
        distances[at], ids[at] = distances[at - 1], ids[at - 1]
        at -= 1
    distances[at], ids[at] = distance, row


BYTES = ir.VectorType(ir.IntType(8), AT_ONCE * ENTRIES)
WORDS = ir.VectorType(ir.IntType(16), AT_ONCE * ENTRIES // 2)
ROWS = ir.VectorType(ir.IntType(32), ENTRIES // 2)
"""The sums of eight rows."""
EXTRA_BYTES = ir.VectorType(ir.IntType(8), 32)
EXTRA_VALUES = ir.VectorType(ir.FloatType(), EXTRA_BYTES.count)
"""Extra codes of a row that are multiplied at once; they are filled up to a multiple of 32 bytes."""
PLACE = ir.IntType(64)


def _pointer(context: Any, builder: Any, kind: Any, array: Any, place: Any, vector: Any) -> Any:
    """Where in an array a vector begins, as a pointer to it."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [place]), vector.as_pointer())


def _summed(builder: Any, count: Any, kinds: list[Any], step: Callable[[Any, list[Any]], list[Any]]) -> list[Any]:
    """Build a loop of `count` turns, at least one, over sums that begin with 0; return what they are after it.

    `step` gets the number of the turn and the sums, and returns the next ones.
    """
    before, loop = builder.block, builder.append_basic_block("loop")
    builder.branch(loop)
    builder.position_at_end(loop)
    turn, sums = builder.phi(PLACE), [builder.phi(kind) for kind in kinds]
    following = step(turn, sums)
    next_turn = builder.add(turn, PLACE(1))
    turn.add_incoming(PLACE(0), before)
    turn.add_incoming(next_turn, loop)
    for total, value in zip(sums, following, strict=True):
        total.add_incoming(ir.Constant(total.type, [0] * total.type.count), before)
        total.add_incoming(value, loop)
    after = builder.append_basic_block("after")
    builder.cbranch(builder.icmp_signed("<", next_turn, count), loop, after)
    builder.position_at_end(after)
    return following


@intrinsic  # type: ignore[untyped-decorator]  # numba is not typed
def _add_up_part(
    typingctx: Any, codes: Any, at: Any, steps: Any, entries: Any, count: Any, sums: Any, row: Any
) -> Any:
    """Add to sums[row : row + 32] what `count` shuffles look up: codes from `at` on, steps from `entries` on.

    There are four sums in registers: for low and for high nibbles, of even bytes together with 256 times the odd
    ones, and of the odd ones alone.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def pointer(array: int, place: Any, vector: Any) -> Any:
            return _pointer(context, builder, signature.args[array], arguments[array], place, vector)

        def step(turn: Any, running: list[Any]) -> list[Any]:
            offset = builder.mul(turn, PLACE(BYTES.count))
            looked_at, table = (
                builder.load(pointer(array, builder.add(arguments[array + 1], offset), BYTES), align=1)
                for array in (0, 2)
            )
            following = []
            for half, nibbles in enumerate(_nibbles(builder, looked_at, BYTES)):
                found = builder.bitcast(_looked_up(builder, table, nibbles), WORDS)
                following.append(builder.add(running[2 * half], found))
                following.append(builder.add(running[2 * half + 1], builder.lshr(found, _eights())))
            return following

        totals = _summed(builder, arguments[4], [WORDS] * 4, step)
        for half in range(2):
            both, odd = totals[2 * half : 2 * half + 2]
            even = builder.sub(both, builder.shl(odd, _eights()))
            for part, value in enumerate((even, odd)):
                place = builder.add(arguments[6], PLACE((2 * half + part) * ROWS.count))
                target = pointer(5, place, ROWS)
                added = builder.zext(_sum_of_tables(builder, value), ROWS)
                builder.store(builder.add(builder.load(target, align=4), added), target, align=4)
        return context.get_dummy_value()

    return types.void(codes, at, steps, entries, count, sums, row), codegen


def _eights() -> ir.Constant:
    return ir.Constant(WORDS, [8] * WORDS.count)


def _nibbles(builder: Any, codes: Any, kind: Any) -> tuple[Any, Any]:
    """The low and the high four bits of every byte."""
    low = builder.and_(codes, ir.Constant(kind, [ENTRIES - 1] * kind.count))
    return low, builder.lshr(codes, ir.Constant(kind, [4] * kind.count))


def _looked_up(builder: Any, tables: Any, codes: Any) -> Any:
    kind = ir.FunctionType(BYTES, [BYTES, BYTES])
    shuffle = builder.module.declare_intrinsic("llvm.x86.avx512.pshuf.b.512", (), kind)
    return builder.call(shuffle, [tables, codes])


def _sum_of_tables(builder: Any, sums: Any) -> Any:
    """Add up the four tables' sums of eight rows."""
    parts = []
    for table in range(AT_ONCE):
        lanes = list(range(table * ROWS.count, (table + 1) * ROWS.count))
        parts.append(builder.shuffle_vector(sums, sums, ir.Constant(ROWS, lanes)))
    return builder.add(builder.add(parts[0], parts[1]), builder.add(parts[2], parts[3]))


def _product_of(split: Callable[[Any, Any], tuple[Any, ...]]) -> Any:
    """Return the product of a row's extra codes with the query's parts, one for each that `split` makes of a
    byte."""

    @intrinsic  # type: ignore[untyped-decorator]
    def product(typingctx: Any, ex_codes: Any, row: Any, query_parts: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            shape = context.make_array(signature.args[0])(context, builder, arguments[0]).shape
            size = builder.extract_value(shape, 1)
            first = builder.mul(arguments[1], size)

            def pointer(array: int, place: Any, vector: Any) -> Any:
                return _pointer(context, builder, signature.args[array], arguments[array], place, vector)

            def step(turn: Any, sums: list[Any]) -> list[Any]:
                offset = builder.mul(turn, PLACE(EXTRA_BYTES.count))
                codes = builder.load(pointer(0, builder.add(first, offset), EXTRA_BYTES), align=1)
                following = []
                for part, values in enumerate(split(builder, codes)):
                    place = builder.add(builder.mul(size, PLACE(part)), offset)
                    query = builder.load(pointer(2, place, EXTRA_VALUES), align=4)
                    products = builder.fmul(builder.uitofp(values, EXTRA_VALUES), query, flags=("contract",))
                    following.append(builder.fadd(sums[part], products, flags=("contract",)))
                return following

            turns = builder.udiv(size, PLACE(EXTRA_BYTES.count))
            parts = len(split(builder, ir.Constant(EXTRA_BYTES, ir.Undefined)))
            totals = _summed(builder, turns, [EXTRA_VALUES] * parts, step)
            kind = ir.FunctionType(ir.FloatType(), [ir.FloatType(), EXTRA_VALUES])
            reduce = builder.module.declare_intrinsic("llvm.vector.reduce.fadd.v32f32", (), kind)
            total = ir.FloatType()(0.0)
            for value in totals:
                total = builder.call(reduce, [total, value], fastmath=("reassoc",))
            return total

        return types.float32(ex_codes, row, query_parts), codegen

    return product


_product_of_nibbles = _product_of(lambda builder, codes: _nibbles(builder, codes, EXTRA_BYTES))
_product_of_bytes = _product_of(lambda _, codes: (codes,))


@intrinsic  # type: ignore[untyped-decorator]
def _less(typingctx: Any, values: Any, start: Any, limit: Any) -> Any:
    """Which of values[start : start + 64] are less than the limit, a bit for each."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = ir.VectorType(ir.FloatType(), GROUP)
        found = builder.load(
            _pointer(context, builder, signature.args[0], arguments[0], arguments[1], vector), align=4
        )
        limits = builder.insert_element(ir.Constant(vector, ir.Undefined), arguments[2], PLACE(0))
        order = ir.Constant(ir.VectorType(ir.IntType(32), GROUP), [0] * GROUP)
        limits = builder.shuffle_vector(limits, limits, order)
        return builder.bitcast(builder.fcmp_ordered("<", found, limits), PLACE)

    return types.uint64(values, start, limit), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _lowest_bit(typingctx: Any, mask: Any) -> Any:
    """The place of the lowest bit of a mask that is not 0."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.IntType(1)(1))

    return types.int64(types.uint64), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _feature(typingctx: Any) -> Any:
    """Whether the processor that numba compiles for has the shuffle."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        features = context.codegen().magic_tuple()[2].split(",")
        return context.get_constant(types.boolean, "+avx512bw" in features)

    return types.boolean(), codegen


@njit
def _has_shuffle() -> bool:
    found: bool = _feature()
    return found
