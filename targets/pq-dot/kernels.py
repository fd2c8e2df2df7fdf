"""Inner-product search over product-quantised rows: table, scan, top-k. The file that an agent edits.

Finds what Lance 14.0.2 finds for one query and the IVF partitions that it probes, 8-bit PQ codes:
`build_distance_table_dot` and `compute_pq_distance` (rust/lance-index/src/vector/pq/distance.rs) and the heap that
a query has for all of its partitions (rust/lance-index/src/vector/flat/index.rs). Distances are summed in another
order than Lance's, so their last bits differ; of rows at the same distance any may be returned, in any order.
`benchmarks/ports/pq-dot/kernels.py` is a port of Lance's own way.

What makes it fast:

- One table. An inner product has no residual, so all partitions share it. The codebook is stored as (M, sd, 256):
  the 256 centroids of a sub-space lie side by side, and their products stay in registers until they are whole.
- Rows are compared by bytes. The table is turned into whole steps below the best product of each sub-space, one
  byte each, none of them rounded up. The 256 bytes of a sub-space are four registers, and two byte shuffles and a
  blend look 64 rows up at once. A row's steps are added in 16 bits.
- Only few rows are summed exactly. A sum of steps is off by less than one step for each sub-space. So the k-th
  smallest sum, with that much slack and what float32 may have lost, is a limit: no row above it is among the k
  nearest. The rows at or below it, hardly more than k, are summed in float32, from the table itself; these sums
  are the distances that are returned.
- There is no heap for all rows. Each block of 256 rows keeps 32 minima of its sums, and these form 256 groups. The
  k-th smallest of the groups' minima is not below the k-th smallest of all sums, and it is found by halving an
  interval. Only blocks with a minimum at or below the limit are looked into.

In Rust: `_mm512_permutex2var_epi8`, `_mm512_movepi8_mask` and `_mm512_mask_blend_epi8` (AVX-512VBMI and BW) for
the look-ups, or `vqtbl4q_u8` and `vqtbx4q_u8`, which look 16 rows up in 64 of the 256 bytes; and codes that are
stored in blocks of rows, each (M, rows of the block). Where there are no such shuffles, steps are looked up one
by one.

Stays: `PqDotKernel(codebook, codes, offsets)` and `top_k(query, k)`, with the dtypes, shapes and order of results
that their docstrings give.

CAN: keep any layout and any sums of the codebook and the codes that `__init__` derives; sum plain products, in any
order; use fastmath, intrinsics with a portable branch, blocking, another selection, scratch memory.
CANNOT: keep anything that depends on a call's arguments for a later call; start threads or processes; use
float16; import anything but numba, llvmlite.ir, numpy and the mathematics of the standard library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Codes = NDArray[np.uint8]
    Floats = NDArray[np.float32]
    Ids = NDArray[np.uint32]
    Sums = NDArray[np.uint16]

LARGEST = np.finfo(np.float32).max
LARGEST_STEP, LARGEST_SUM = 255, 65535
CENTROIDS = 256
BLOCK = 256
"""The rows whose codes lie together: (M, 256)."""
SHUFFLED = 64
"""The codes of a vector."""
MINIMA = 32
"""The minima that a block keeps of its sums."""
GROUPS = 256
"""Of minima, for the limit."""
ROUNDING = 2.0**-22
"""Four times what one operation on float32 may be off: for the products and for their sum, and as much again."""


class PqDotKernel:
    """Top-k search by inner product in `n` rows, which lie in P partitions.

    Parameters
    ----------
    codebook : float32, shape (M, 256, sd), C-contiguous
        The centroids of each of the M sub-spaces; sd dimensions each.
    codes : uint8, shape (M * n,)
        One partition after the other. The n_p rows of a partition are (M, n_p): column m holds, for every row,
        its centroid in sub-space m.
    offsets : int64, shape (P + 1,)
        The first row of each partition, and n. A partition may be empty.
    """

    def __init__(self, codebook: Floats, codes: Codes, offsets: NDArray[np.int64]) -> None:
        self._by_dimension = np.ascontiguousarray(codebook.transpose(0, 2, 1))
        self._largest = np.abs(self._by_dimension).max(axis=2).ravel()
        self._rows = int(offsets[-1])
        self._blocks = np.zeros((-(-self._rows // BLOCK), len(codebook), BLOCK), np.uint8)
        _lay_out(codes, offsets, self._blocks)

    def top_k(self, query: Floats, k: int) -> tuple[Ids, Floats]:
        """Return the ids, uint32 (r,), of the k >= 1 nearest rows and their distances, float32 (r,).

        Ascending by distance; rows at the same distance are in no order. `query` is float32 (M * sd,). A distance
        is 1 - <query, row>; an id is the row's number among all n. A row has no distance, and is never returned,
        where it would be NaN, below the least float32 or not below the largest: so r is k, or the number of rows
        that have one if that is less.
        """
        return _search(self._by_dimension, self._largest, self._blocks, self._rows, query, k)


@njit()
def _lay_out(codes: Codes, offsets: NDArray[np.int64], blocks: Codes) -> None:
    """Fill (blocks, M, rows of a block) with the codes of all partitions; what is left of the last block stays."""
    sub_vectors = blocks.shape[1]
    for p in range(offsets.size - 1):
        first, end = offsets[p], offsets[p + 1]
        block_of_codes = codes[first * sub_vectors : end * sub_vectors].reshape(sub_vectors, end - first)
        for m in range(sub_vectors):
            column, row = block_of_codes[m], first
            while row < end:
                beginning, place = column[row - first :], blocks[row // BLOCK, m, row % BLOCK :]
                count = min(place.size, beginning.size)
                for i in range(count):
                    place[i] = beginning[i]
                row += count


@njit()
def _search(
    by_dimension: Floats, largest: Floats, blocks: Codes, rows: int, query: Floats, k: int
) -> tuple[Ids, Floats]:
    """Sum every row in steps, find the limit, and then the nearest of the rows at or below it.

    Where all rows are to be returned, or a product may be too large for float32, every row is at or below it.
    """
    table, least, most = _build_table(by_dimension, query)
    sums = np.empty(len(blocks) * BLOCK, np.uint16)
    minima = np.empty(len(blocks) * MINIMA, np.uint16)
    limit = LARGEST_SUM
    reach = _reach(query, largest)
    if k < rows and reach < LARGEST / 4:
        steps, scale = _in_steps(table, least, most)
        _sum(blocks, steps, sums, minima)
        kth = _kth_sum(sums[:rows], minima[: rows // BLOCK * MINIMA], k)
        limit = _with_slack(kth, len(table), scale * (1 + reach))
    return _nearest(table, blocks, sums, minima, limit, rows, k)


@njit()
def _build_table(by_dimension: Floats, query: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the inner products, float32 (M, 256), and the least and the largest of each sub-space."""
    sub_vectors, length, centroids = by_dimension.shape
    table = np.empty((sub_vectors, centroids), np.float32)
    least, most = np.empty(sub_vectors, np.float32), np.empty(sub_vectors, np.float32)
    for m in range(sub_vectors):
        _multiply(by_dimension, m, query, length, table, least, most)
    return table, least, most


@njit(fastmath={"reassoc"})  # and without "nnan": it is NaN or infinite where the query is not finite
def _reach(query: Floats, largest: Floats) -> float:
    """Return what the sizes of a row's products add up to at most; `largest` is the codebook's, by dimension."""
    reach = 0.0
    for d in range(query.size):
        reach += np.float64(abs(query[d])) * np.float64(largest[d])
    return reach


@njit()
def _in_steps(table: Floats, least: Floats, most: Floats) -> tuple[Codes, float]:
    """Return how many whole steps each product is below the largest of its sub-space, and steps per unit."""
    sub_vectors = len(table)
    span = 0.0
    for m in range(sub_vectors):
        span = max(span, np.float64(most[m]) - np.float64(least[m]))
    top = min(LARGEST_STEP, LARGEST_SUM // sub_vectors)
    scale = np.float32(top / max(span, 2.0**-100))
    steps = np.empty((sub_vectors, CENTROIDS), np.uint8)
    for m in range(sub_vectors):
        steps_of_m, products, best = steps[m], table[m], most[m]
        for c in range(CENTROIDS):
            steps_of_m[c] = np.int32((best - products[c]) * scale)
    return steps, np.float64(scale)


@njit()
def _sum(blocks: Codes, steps: Codes, sums: Sums, minima: Sums) -> None:
    """Fill `sums` with the steps of each row, and `minima` with the least of every 8 sums of a block."""
    for block in range(len(blocks)):
        if _has_shuffle():
            _sum_by_shuffles(blocks, block, steps, len(steps), sums, minima)
        else:
            _sum_one_by_one(
                blocks[block],
                steps,
                sums[block * BLOCK : (block + 1) * BLOCK],
                minima[block * MINIMA : (block + 1) * MINIMA],
            )


@njit()
def _sum_one_by_one(codes: Codes, steps: Codes, sums: Sums, minima: Sums) -> None:
    """The portable branch, for the rows of one block."""
    sums[:] = 0
    for m in range(len(steps)):
        steps_of_m, column = steps[m], codes[m]
        for row in range(BLOCK):
            sums[row] += np.uint16(steps_of_m[column[row]])
    minima[:] = LARGEST_SUM
    for row in range(BLOCK):
        minima[row % MINIMA] = min(minima[row % MINIMA], sums[row])


@njit()
def _kth_sum(sums: Sums, minima: Sums, k: int) -> int:
    """Return a number that k sums do not exceed: about the k-th smallest. `minima` are those of whole blocks."""
    if minima.size < GROUPS or 2 * k > GROUPS:
        return _kth(sums, k)
    least = minima[:GROUPS].copy()
    for first in range(GROUPS, minima.size, GROUPS):
        group = minima[first : first + GROUPS]
        for i in range(group.size):
            least[i] = min(least[i], group[i])
    return _kth(least, k)


@njit()
def _kth(values: Sums, k: int) -> int:
    """Return the k-th smallest of at least k values, by halving the interval that it is in."""
    low, high = 0, LARGEST_SUM
    while low < high:
        middle = (low + high) // 2
        bound, count = np.uint16(middle), np.uint32(0)
        for i in range(values.size):
            count += np.uint32(values[i] <= bound)
        if count >= k:
            high = middle
        else:
            low = middle + 1
    return low


@njit()
def _with_slack(kth: int, sub_vectors: int, steps_of_all: float) -> int:
    """Return the largest sum of a row that may be as near as k rows that have the sum `kth` or less.

    Each of a row's steps is less than one below its product. Beyond that, 2**-13 for each is more than what
    their own computation may be off, and the last term more than what float32 may lose in products and distances.
    """
    slack = sub_vectors * (1 + 2.0**-13) + (sub_vectors + 2) * ROUNDING * steps_of_all
    return int(min(kth + slack, LARGEST_SUM))


@njit()
def _nearest(
    table: Floats, blocks: Codes, sums: Sums, minima: Sums, limit: int, rows: int, k: int
) -> tuple[Ids, Floats]:
    """Return the k nearest of the rows whose sums are at or below the limit, ascending by distance."""
    heap = np.empty(min(k, rows), np.float32)  # a max-heap: heap[0] is the farthest of the rows kept
    ids = np.empty(min(k, rows), np.uint32)
    kept = 0
    for block in range(len(blocks)):
        if not _any_at_most(minima, block * MINIMA, limit):
            continue
        for start in range(block * BLOCK, min((block + 1) * BLOCK, rows), MINIMA):
            if not _any_at_most(sums, start, limit):
                continue
            for row in range(start, min(start + MINIMA, rows)):
                if sums[row] <= limit:
                    distance = _distance(table, blocks[block], row % BLOCK)
                    if -LARGEST <= distance < LARGEST:
                        kept = _keep(row, distance, heap, ids, kept)
    _sort(heap[:kept], ids[:kept])
    return ids[:kept], heap[:kept]


@njit()
def _distance(table: Floats, codes: Codes, lane: int) -> np.float32:
    total = np.float32(0)
    for m in range(len(table)):
        total += table[m, codes[m, lane]]
    return np.float32(1) - total


@njit()
def _keep(row: int, distance: np.float32, heap: Floats, ids: Ids, kept: int) -> int:
    """Take a row into the heap, which holds `kept` rows, if it has room or the row is nearer than the farthest."""
    if kept < heap.size:
        at = kept
        while at > 0 and heap[(at - 1) // 2] < distance:
            heap[at], ids[at] = heap[(at - 1) // 2], ids[(at - 1) // 2]
            at = (at - 1) // 2
        heap[at], ids[at] = distance, row
        return kept + 1
    if distance < heap[0]:
        _sink(row, distance, heap, ids)
    return kept


@njit()
def _sink(row: int, distance: np.float32, heap: Floats, ids: Ids) -> None:
    """Put a row in the place of the farthest, and let it sink until none below it is farther."""
    at, below = 0, 1
    while below < heap.size:
        if below + 1 < heap.size and heap[below + 1] > heap[below]:
            below += 1
        if heap[below] <= distance:
            break
        heap[at], ids[at] = heap[below], ids[below]
        at, below = below, 2 * below + 1
    heap[at], ids[at] = distance, row


@njit()
def _sort(heap: Floats, ids: Ids) -> None:
    """Sort ascending by distance: take the farthest off again and again."""
    for end in range(ids.size - 1, 0, -1):
        row, distance = ids[end], heap[end]
        ids[end], heap[end] = ids[0], heap[0]
        _sink(row, distance, heap[:end], ids[:end])


BYTE, SHORT, WORD, LONG = (ir.IntType(bits) for bits in (8, 16, 32, 64))
BYTES = ir.VectorType(BYTE, SHUFFLED)
SHORTS = ir.VectorType(SHORT, MINIMA)
FLOATS = ir.VectorType(ir.FloatType(), 16)


def _has_vbmi(context: Any) -> bool:
    return "+avx512vbmi" in context.codegen().magic_tuple()[2].split(",")


@intrinsic  # type: ignore[untyped-decorator]  # numba is not typed
def _has_shuffle(typingctx: Any) -> Any:
    """Whether the processor that numba compiles for has the byte shuffles."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return context.get_constant(types.boolean, _has_vbmi(context))

    return types.boolean(), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _multiply(
    typingctx: Any, by_dimension: Any, m: Any, query: Any, length: Any, table: Any, least: Any, most: Any
) -> Any:
    """Fill table[m], least[m] and most[m]; a sub-vector has `length` dimensions, one or more."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        books, query, table, least, most = _data(context, builder, signature, arguments, (0, 2, 4, 5, 6))
        m, length = arguments[1], arguments[3]
        first = builder.mul(m, length)

        def add(turn: Any, totals: list[Any]) -> list[Any]:
            dimension = builder.add(first, turn)
            factor = _in_all_lanes(builder, builder.load(builder.gep(query, [dimension])), FLOATS)
            centroids = _vectors_at(builder, books, dimension, CENTROIDS, FLOATS)
            return [
                builder.fadd(total, builder.fmul(factor, coordinates, ("contract",)), ("contract",))
                for total, coordinates in zip(totals, centroids, strict=True)
            ]

        totals = _repeat(builder, length, [_zero(FLOATS)] * (CENTROIDS // FLOATS.count), add)
        _store_at(builder, totals, table, m, CENTROIDS)
        kind = ir.FunctionType(FLOATS.element, [FLOATS])
        smallest = builder.module.declare_intrinsic("llvm.vector.reduce.fmin.v16f32", (), kind)
        largest = builder.module.declare_intrinsic("llvm.vector.reduce.fmax.v16f32", (), kind)
        low = _extreme(builder, totals, lambda one, other: builder.fcmp_ordered("<", one, other))
        high = _extreme(builder, totals, lambda one, other: builder.fcmp_ordered(">", one, other))
        builder.store(builder.call(smallest, [low]), builder.gep(least, [m]))
        builder.store(builder.call(largest, [high]), builder.gep(most, [m]))
        return context.get_dummy_value()

    return types.void(by_dimension, types.intp, query, types.intp, table, least, most), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _sum_by_shuffles(
    typingctx: Any, blocks: Any, block: Any, steps: Any, sub_vectors: Any, sums: Any, minima: Any
) -> Any:
    """Fill the sums and the minima of a block. Nothing is compiled where there are no byte shuffles."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if not _has_vbmi(context):
            return context.get_dummy_value()
        blocks, steps, sums, minima = _data(context, builder, signature, arguments, (0, 2, 4, 5))
        block, sub_vectors = arguments[1], arguments[3]
        kind = ir.FunctionType(BYTES, [BYTES] * 3)
        shuffle = builder.module.declare_intrinsic("llvm.x86.avx512.vpermi2var.qi.512", (), kind)
        first = builder.mul(block, sub_vectors)
        byte = ir.Constant(SHORTS, [8] * SHORTS.count)

        def add(m: Any, totals: list[Any]) -> list[Any]:
            quarters = _vectors_at(builder, steps, m, CENTROIDS, BYTES)
            added = []
            for i, codes in enumerate(_vectors_at(builder, blocks, builder.add(first, m), BLOCK, BYTES)):
                low = builder.call(shuffle, [quarters[0], codes, quarters[1]])
                high = builder.call(shuffle, [quarters[2], codes, quarters[3]])
                found = builder.select(builder.icmp_signed("<", codes, _zero(BYTES)), high, low)
                pairs = builder.bitcast(found, SHORTS)
                added.append(builder.add(totals[2 * i], pairs))
                added.append(builder.add(totals[2 * i + 1], builder.lshr(pairs, byte)))
            return added

        totals = _repeat(builder, sub_vectors, [_zero(SHORTS)] * (BLOCK // SHORTS.count), add)
        by_lane, woven = [], []
        for of_pairs, odd in zip(totals[::2], totals[1::2], strict=True):
            even = builder.sub(of_pairs, builder.shl(odd, byte))
            by_lane += [even, odd]
            woven += _woven(builder, even, odd)
        _store_at(builder, woven, sums, block, BLOCK)
        least = _extreme(builder, by_lane, lambda one, other: builder.icmp_unsigned("<", one, other))
        _store_at(builder, [least], minima, block, MINIMA)
        return context.get_dummy_value()

    return types.void(blocks, types.intp, steps, types.intp, sums, minima), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _any_at_most(typingctx: Any, values: Any, start: Any, limit: Any) -> Any:
    """Whether one of values[start : start + 32] is at or below the limit."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (values,) = _data(context, builder, signature, arguments, (0,))
        place = builder.bitcast(builder.gep(values, [arguments[1]]), SHORTS.as_pointer())
        limits = _in_all_lanes(builder, builder.trunc(arguments[2], SHORT), SHORTS)
        found = builder.icmp_unsigned("<=", builder.load(place, align=2), limits)
        return builder.icmp_unsigned("!=", builder.bitcast(found, WORD), WORD(0))

    return types.boolean(values, types.intp, types.intp), codegen


def _data(context: Any, builder: Any, signature: Any, arguments: Any, positions: tuple[int, ...]) -> list[Any]:
    """Return where the arrays at these positions begin."""
    return [context.make_array(signature.args[i])(context, builder, arguments[i]).data for i in positions]


def _repeat(builder: Any, count: Any, begin: list[Any], body: Callable[[Any, list[Any]], list[Any]]) -> list[Any]:
    """Emit a loop of `count` turns, one or more, in which `body` makes new values of the turn and the values."""
    before, loop, after = builder.block, builder.append_basic_block(), builder.append_basic_block()
    builder.branch(loop)
    builder.position_at_end(loop)
    turn, *values = phis = [builder.phi(LONG), *(builder.phi(value.type) for value in begin)]
    results = [builder.add(turn, LONG(1)), *body(turn, values)]
    for phi, first, later in zip(phis, [LONG(0), *begin], results, strict=True):
        phi.add_incoming(first, before)
        phi.add_incoming(later, builder.block)
    builder.cbranch(builder.icmp_unsigned("<", results[0], count), loop, after)
    builder.position_at_end(after)
    return results[1:]


def _vectors_at(builder: Any, data: Any, line: Any, length: int, vector: Any) -> list[Any]:
    """Load a line of an array whose lines are so many elements long."""
    places = _places(builder, data, line, length, vector)
    return [builder.load(place, align=1) for place in places]


def _store_at(builder: Any, vectors: list[Any], data: Any, line: Any, length: int) -> None:
    """Store a line of an array whose lines are so many elements long."""
    for value, place in zip(vectors, _places(builder, data, line, length, vectors[0].type), strict=True):
        builder.store(value, place, align=1)


def _places(builder: Any, data: Any, line: Any, length: int, vector: Any) -> list[Any]:
    begin = builder.mul(line, LONG(length))
    return [
        builder.bitcast(builder.gep(data, [builder.add(begin, LONG(i))]), vector.as_pointer())
        for i in range(0, length, vector.count)
    ]


def _zero(vector: Any) -> Any:
    return ir.Constant(vector, None)


def _in_all_lanes(builder: Any, value: Any, vector: Any) -> Any:
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), value, WORD(0))
    return builder.shuffle_vector(one, one, _zero(ir.VectorType(WORD, vector.count)))


def _woven(builder: Any, even: Any, odd: Any) -> list[Any]:
    """Return even[0], odd[0], even[1], odd[1] and so on."""
    lanes = even.type.count
    order = [lane // 2 + lane % 2 * lanes for lane in range(2 * lanes)]
    return [
        builder.shuffle_vector(even, odd, ir.Constant(ir.VectorType(WORD, lanes), half))
        for half in (order[:lanes], order[lanes:])
    ]


def _extreme(builder: Any, values: list[Any], is_better: Callable[[Any, Any], Any]) -> Any:
    """Return the best of the values in each lane."""
    best = values[0]
    for value in values[1:]:
        best = builder.select(is_better(value, best), value, best)
    return best
