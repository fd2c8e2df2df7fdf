"""RaBitQ search in one partition: table, scan of sign codes, bounds, extra codes. The file that an agent edits.

A port of what Lance 14.0.2 runs for one query and one IVF_RQ partition in its normal mode:
`build_dist_table_direct`, the scan, and `accumulate_raw_query_multi_bit_topk_dense_with_scratch` with its heap
(rust/lance-index/src/vector/bq/storage.rs), `quantize_dist_table_into` (dist_table_quant.rs), the bounds of 16
rows at a time (prune.rs) and the products with extra codes (ex_dot.rs). As Lance does, it looks up 16 entries of
the table at once by a vector shuffle where the processor has one, and one by one elsewhere.

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
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Floats = NDArray[np.float32]
    Ids = NDArray[np.uint32]
    Sums = NDArray[np.uint16] | NDArray[np.uint32]

BLOCK = 32
LANES = 16
PERMUTED = np.array([0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15])
"""Byte j of a segment has the nibbles of the rows PERMUTED[j] and 16 + PERMUTED[j] of its block."""


class RabitKernel:
    """Top-k search in one partition of `n` rows; D is a multiple of 8, e the extra bits of a value: 0, 4 or 8.

    Parameters
    ----------
    codes : uint8, shape (n, D / 8), C-contiguous
        The signs of the rows' rotated residuals: bit i of a row's byte c is 1 where dimension 8 c + i is not
        negative. The bytes do not lie row by row. First come the blocks of 32 rows. A block has, for each c, 16
        bytes of low nibbles, then 16 of high ones; byte j of the 16 holds the nibble of row PERMUTED[j] in its
        low half and that of row 16 + PERMUTED[j] in its high half. The n % 32 rows after the last block follow,
        first the byte c = 0 of all of them, then the next.
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
        dtype = np.uint16 if codes.shape[1] <= 128 else np.uint32  # 255 in each of 256 tables
        self._sums = np.empty((len(codes) // BLOCK, BLOCK), dtype)
        self._add_up = _add_up_by_shuffles if _has_shuffle() else _add_up_one_by_one

    def top_k(self, query: Floats, query_factor: float, k: int) -> tuple[Ids, Floats]:
        """Return the ids, uint32 (min(k, n),), of the k >= 1 nearest rows and their distances, float32.

        Ascending by (distance, id). `query`, float32 (D,), is rotated as the rows were; `query_factor` is its
        squared distance from the centroid. A distance is the estimate by all bits. A row may be left out only
        where its estimate or its lower bound is no less than the largest distance that is returned.
        """
        factor = np.float32(query_factor)
        table = _build_table(query)
        steps, least, most = _quantise(table)
        self._add_up(self._codes, steps, self._sums)
        products = _products(self._sums, self._codes, table, least, most, self._factors.shape[1])
        if self._extra_bits == 0:
            return _nearest(products, self._factors, _total(query), factor, k)
        return _nearest_by_all_bits(
            products,
            self._factors,
            self._ex_codes,
            self._ex_factors,
            self._extra_bits,
            query,
            _total(query),
            factor,
            k,
        )


@njit()
def _build_table(query: Floats) -> Floats:
    """Return the sums of all subsets of each four dimensions, (D / 4 * 16,): bit i stands for dimension i."""
    table = np.empty(4 * query.size, np.float32)
    for part in range(query.size // 4):
        sums, values = table[16 * part : 16 * part + 16], query[4 * part : 4 * part + 4]
        sums[0] = 0
        for dimension in range(3, -1, -1):
            bit = 1 << dimension
            for subset in range(bit, 16, 2 * bit):
                sums[subset] = sums[subset - bit] + values[dimension]
    return table


@njit()
def _quantise(table: Floats) -> tuple[Bytes, np.float32, np.float32]:
    """Return the table in 255 steps from its least entry to its largest, and these two."""
    least, most = table[0], table[0]
    for entry in table:
        least, most = min(least, entry), max(most, entry)
    steps = np.empty(table.size, np.uint8)
    steps[:] = 0
    if most > least:
        factor = np.float32(255) / (most - least)
        for i in range(table.size):
            steps[i] = uint8(np.rint((table[i] - least) * factor))
    return steps, least, most


@intrinsic  # type: ignore[untyped-decorator]  # numba is not typed
def _feature(typingctx: Any) -> Any:
    """Whether the processor that numba compiles for has the shuffle."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        features = context.codegen().magic_tuple()[2].split(",")
        return context.get_constant(types.boolean, "+ssse3" in features)

    return types.boolean(), codegen


@njit()
def _has_shuffle() -> bool:
    found: bool = _feature()
    return found


@intrinsic  # type: ignore[untyped-decorator]
def _add_steps(typingctx: Any, segment: Any, entries: Any, sums: Any) -> Any:
    """Add the entries that 16 bytes name, by `pshufb`: low nibbles to sums[:16], high ones to sums[16:]."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        wide = ir.VectorType(context.get_data_type(signature.args[2].dtype), LANES)
        narrow = ir.VectorType(ir.IntType(8), LANES)
        data = [
            context.make_array(kind)(context, builder, argument).data
            for kind, argument in zip(signature.args, arguments, strict=True)
        ]
        codes, table = (builder.load(builder.bitcast(at, narrow.as_pointer()), align=1) for at in data[:2])
        kind = ir.FunctionType(narrow, [narrow, narrow])
        shuffle = builder.module.declare_intrinsic("llvm.x86.ssse3.pshuf.b.128", (), kind)
        low = builder.and_(codes, ir.Constant(narrow, [15] * LANES))
        high = builder.lshr(codes, ir.Constant(narrow, [4] * LANES))
        for half, nibbles in enumerate((low, high)):
            place = builder.gep(data[2], [context.get_constant(types.intp, LANES * half)])
            at = builder.bitcast(place, wide.as_pointer())
            found = builder.zext(builder.call(shuffle, [table, nibbles]), wide)
            builder.store(builder.add(builder.load(at, align=1), found), at, align=1)
        return context.get_dummy_value()

    return types.void(segment, entries, sums), codegen


@njit()
def _add_up_by_shuffles(codes: Bytes, steps: Bytes, sums: Sums) -> None:
    """Add up the steps of whole blocks: those of byte j's low nibble in sums[block, j], of its high in 16 + j."""
    sums[:] = 0
    tables = steps.size // LANES
    for block in range(len(sums)):
        for part in range(tables):
            first = LANES * (block * tables + part)
            _add_steps(codes[first : first + LANES], steps[LANES * part : LANES * part + LANES], sums[block])


@njit()
def _add_up_one_by_one(codes: Bytes, steps: Bytes, sums: Sums) -> None:
    """The same for any processor."""
    sums[:] = 0
    tables = steps.size // LANES
    for block in range(len(sums)):
        for part in range(tables):
            first = LANES * (block * tables + part)
            entries = steps[LANES * part : LANES * part + LANES]
            for j in range(LANES):
                sums[block, j] += entries[codes[first + j] & 15]
                sums[block, LANES + j] += entries[codes[first + j] >> 4]


@njit()
def _products(sums: Sums, codes: Bytes, table: Floats, least: np.float32, most: np.float32, rows: int) -> Floats:
    """Return the products of all rows: from sums of steps in whole blocks, from the table itself after them."""
    products = np.empty(rows, np.float32)
    tables, whole = table.size // 16, len(sums) * BLOCK
    step, start = (most - least) / np.float32(255), np.float32(tables) * least
    for block in range(len(sums)):
        for j in range(LANES):
            first = block * BLOCK + PERMUTED[j]
            products[first] = np.float32(sums[block, j]) * step + start
            products[first + LANES] = np.float32(sums[block, LANES + j]) * step + start
    for row in range(whole, rows):
        product = np.float32(0)
        for column in range(tables // 2):
            byte = codes[whole * tables // 2 + column * (rows - whole) + row - whole]
            product += table[32 * column + (byte & 15)] + table[32 * column + 16 + (byte >> 4)]
        products[row] = product
    return products


@njit()
def _total(query: Floats) -> np.float32:
    total = np.float32(0)
    for value in query:
        total += value
    return total


@njit()
def _nearest(
    products: Floats, factors: Floats, total: np.float32, query_factor: np.float32, k: int
) -> tuple[Ids, Floats]:
    """Return the nearest rows by the estimate of one bit."""
    half = np.float32(0.5) * total
    heap, ids = _empty_heap(products.size, k)
    for row in range(products.size):
        distance = (products[row] - half) * factors[1, row] + factors[0, row] + query_factor
        _offer(heap, ids, row, row, distance)
    _sort(heap, ids)
    return ids, heap


@njit()
def _nearest_by_all_bits(
    products: Floats,
    factors: Floats,
    ex_codes: Bytes,
    ex_factors: Floats,
    extra_bits: int,
    query: Floats,
    total: np.float32,
    query_factor: np.float32,
    k: int,
) -> tuple[Ids, Floats]:
    """Return the nearest rows by all bits, of those whose lower bound is below the heap's farthest."""
    half, query_error = np.float32(0.5) * total, np.sqrt(query_factor)
    doubled = np.float32(1 << extra_bits)
    bias = doubled - np.float32(0.5)
    bounds, lanes = np.empty(LANES, np.float32), np.empty(LANES, np.float32)
    heap, ids = _empty_heap(products.size, k)
    kept = 0
    for first in range(0, products.size, LANES):
        size = min(LANES, products.size - first)
        survives = False
        for lane in range(size):
            row = first + lane
            estimate = (products[row] - half) * factors[1, row] + factors[0, row] + query_factor
            bounds[lane] = estimate - factors[2, row] * query_error
            survives |= bounds[lane] < heap[0]
        if not (survives or kept < heap.size):
            continue
        for lane in range(size):
            if kept < heap.size or bounds[lane] < heap[0]:
                row = first + lane
                extra = _extra_product(ex_codes[row], query, extra_bits, lanes)
                full = doubled * products[row] + extra - bias * total
                distance = full * ex_factors[1, row] + ex_factors[0, row] + query_factor
                _offer(heap, ids, kept, row, distance)
                kept += 1
    _sort(heap, ids)
    return ids, heap


@njit()
def _extra_product(codes: Bytes, query: Floats, extra_bits: int, lanes: Floats) -> np.float32:
    """Return the product of the query with a row's extra codes; `lanes` is scratch memory."""
    lanes[:] = 0
    whole = query.size // LANES * LANES
    for first in range(0, whole, LANES):
        values = query[first : first + LANES]
        if extra_bits == 4:
            group = codes[first // 2 : first // 2 + 8]
            for b in range(8):
                lanes[b] += values[b] * np.float32(group[b] & 15)
                lanes[8 + b] += values[8 + b] * np.float32(group[b] >> 4)
        else:
            group = codes[first : first + LANES]
            for b in range(LANES):
                lanes[b] += values[b] * np.float32(group[b])
    product = np.float32(0)
    for lane in lanes:
        product += lane
    for b in range(query.size - whole):  # 8 dimensions, or none
        code = codes[whole // 2 + b] & 15 if extra_bits == 4 else codes[whole + b]
        product += query[whole + b] * np.float32(code)
    return product


@njit()
def _empty_heap(rows: int, k: int) -> tuple[Floats, Ids]:
    """Return a max-heap, whose first is the farthest of the rows kept, and their ids; full of infinity."""
    size = min(k, rows)
    heap, ids = np.empty(size, np.float32), np.empty(size, np.uint32)
    heap[:] = np.inf
    return heap, ids


@njit()
def _offer(heap: Floats, ids: Ids, kept: int, row: int, distance: np.float32) -> None:
    """Keep the row if the heap has room after `kept` rows, or if it is nearer than the heap's farthest."""
    if kept < heap.size:
        at = kept
    elif distance < heap[0]:
        at = heap.size - 1
        _remove_root(heap, ids)
    else:
        return
    heap[at], ids[at] = distance, row
    _rise(heap, ids, at)


@njit()
def _rise(heap: Floats, ids: Ids, at: int) -> None:
    while at > 0 and heap[at] > heap[(at - 1) // 2]:
        above = (at - 1) // 2
        heap[at], heap[above] = heap[above], heap[at]
        ids[at], ids[above] = ids[above], ids[at]
        at = above


@njit()
def _remove_root(heap: Floats, ids: Ids) -> None:
    """Leave the last place free."""
    last = ids.size - 1
    heap[0], ids[0] = heap[last], ids[last]
    at, below = 0, 1
    while below < last:
        if below + 1 < last and heap[below] <= heap[below + 1]:
            below += 1
        if heap[below] <= heap[at]:
            return
        heap[at], heap[below] = heap[below], heap[at]
        ids[at], ids[below] = ids[below], ids[at]
        at, below = below, 2 * below + 1


@njit()
def _sort(distances: Floats, ids: Ids) -> None:
    for end in range(1, ids.size):
        at = end
        while at > 0 and (distances[at], ids[at]) < (distances[at - 1], ids[at - 1]):
            distances[at], distances[at - 1] = distances[at - 1], distances[at]
            ids[at], ids[at - 1] = ids[at - 1], ids[at]
            at -= 1
