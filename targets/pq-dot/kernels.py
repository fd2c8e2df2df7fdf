"""Inner-product search over product-quantised rows: bytes by shuffles. The file that an agent edits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Codes = NDArray[np.uint8]
    Floats = NDArray[np.float32]
    Ids = NDArray[np.uint32]
    Sums = NDArray[np.uint16]

LARGEST = np.finfo(np.float32).max
CENTROIDS = 256
BLOCK = 256  # rows whose codes lie together
GROUPS = 256
LANES = 32
LARGEST_BYTE = 255
LARGEST_SUM = 65535


class PqDotKernel:
    def __init__(self, codebook: Floats, codes: Codes, offsets: NDArray[np.int64]) -> None:
        self._books = np.ascontiguousarray(codebook.transpose(0, 2, 1))
        self._largest = np.abs(self._books).max(axis=2).ravel()
        self._rows = int(offsets[-1])
        self._blocks = np.zeros((-(-self._rows // BLOCK), len(codebook), BLOCK), np.uint8)
        _lay_out(codes, offsets, self._blocks)

    def top_k(self, query: Floats, k: int) -> tuple[Ids, Floats]:
        return _search(self._books, self._largest, self._blocks, self._rows, query, k)


@njit()
def _lay_out(codes: Codes, offsets: NDArray[np.int64], blocks: NDArray[np.uint8]) -> None:
    sub_vectors = blocks.shape[1]
    for p in range(offsets.size - 1):
        first, end = offsets[p], offsets[p + 1]
        for m in range(sub_vectors):
            column = codes[first * sub_vectors + m * (end - first) :]
            row = first
            while row < end:
                block, lane = row // BLOCK, row % BLOCK
                count = min(BLOCK - lane, end - row)
                blocks[block, m, lane : lane + count] = column[row - first : row - first + count]
                row += count


@njit()
def _search(books: Floats, largest: Floats, blocks: Codes, rows: int, query: Floats, k: int) -> tuple[Ids, Floats]:
    sub_vectors, length = len(books), books.shape[1]
    table = np.empty((sub_vectors, CENTROIDS), np.float32)
    least, most = np.empty(sub_vectors, np.float32), np.empty(sub_vectors, np.float32)
    for m in range(sub_vectors):
        _products(books, m, query, length, table, least, most)
    sums = np.empty(len(blocks) * BLOCK, np.uint16)
    minima = np.empty(len(blocks) * LANES, np.uint16)
    limit = LARGEST_SUM
    reach = _reach(query, largest)
    if k < rows and reach < LARGEST / 4:
        limit = _scan(table, least, most, reach, blocks, rows, sums, minima, k)
    return _nearest(table, blocks, sums, minima, limit, rows, k)


@njit(fastmath={"reassoc", "contract"})
def _reach(query: Floats, largest: Floats) -> float:
    reach = 0.0
    for d in range(query.size):
        reach += np.float64(abs(query[d])) * np.float64(largest[d])
    return reach


@njit()
def _scan(table, least, most, reach, blocks, rows, sums, minima, k):
    sub_vectors = len(table)
    span = np.float32(0)
    for m in range(sub_vectors):
        span = max(span, most[m] - least[m])
    top = min(LARGEST_BYTE, LARGEST_SUM // sub_vectors)
    scale = np.float32(min(top / max(span, np.float32(1e-37)), 2.0**120))
    steps = np.empty((sub_vectors, CENTROIDS), np.uint8)
    for m in range(sub_vectors):
        of_m, products, above = steps[m], table[m], most[m]
        for c in range(CENTROIDS):
            of_m[c] = np.int32((above - products[c]) * scale)
    _sum(blocks, steps, sums, minima)
    whole = rows // BLOCK * LANES
    if whole < GROUPS or 2 * k > GROUPS:
        kth = _kth(sums[:rows], k)
    else:
        kth = _kth(_least_of_groups(minima[:whole]), k)
    slack = sub_vectors * (1 + 2.0**-13) + np.float64(scale) * (sub_vectors + 2) * 2.0**-22 * (1 + reach)
    return np.int64(min(kth + slack, np.float64(LARGEST_SUM)))


@njit()
def _sum(blocks, steps, sums, minima):
    sub_vectors = len(steps)
    if _has_shuffle():
        for block in range(len(blocks)):
            _sum_block(blocks, block, steps, sub_vectors, sums, minima)
    else:
        for block in range(len(blocks)):
            of_block = sums[block * BLOCK : (block + 1) * BLOCK]
            of_block[:] = 0
            for m in range(sub_vectors):
                codes, of_m = blocks[block, m], steps[m]
                for row in range(BLOCK):
                    of_block[row] += np.uint16(of_m[codes[row]])
            least = minima[block * LANES : (block + 1) * LANES]
            least[:] = of_block[:LANES]
            for row in range(LANES, BLOCK):
                least[row % LANES] = min(least[row % LANES], of_block[row])


@njit()
def _least_of_groups(sums):
    least = sums[:GROUPS].copy()
    for first in range(GROUPS, sums.size, GROUPS):
        group = sums[first : first + GROUPS]
        for i in range(group.size):
            least[i] = min(least[i], group[i])
    return least


@njit()
def _kth(values, k):
    """Return the k-th smallest by bisection."""
    low, high = np.uint16(0), np.uint16(LARGEST_SUM)
    while low < high:
        middle = np.uint16(low + (high - low) // 2)
        count = np.uint32(0)
        for i in range(values.size):
            count += np.uint32(values[i] <= middle)
        if count >= k:
            high = middle
        else:
            low = np.uint16(middle + 1)
    return np.int64(low)


@njit()
def _nearest(table, blocks, sums, minima, limit, rows, k):
    heap = np.empty(min(k, rows), np.float32)
    ids = np.empty(min(k, rows), np.uint32)
    kept = 0
    for block in range(len(blocks)):
        if _any_at_most(minima, block * LANES, limit):
            for start in range(block * BLOCK, min((block + 1) * BLOCK, rows), LANES):
                if _any_at_most(sums, start, limit):
                    for row in range(start, min(start + LANES, rows)):
                        if sums[row] <= limit:
                            distance = _distance(table, blocks, row)
                            if -LARGEST <= distance < LARGEST:
                                kept = _offer(row, distance, heap, ids, kept)
    for end in range(kept - 1, 0, -1):
        heap[0], heap[end] = heap[end], heap[0]
        ids[0], ids[end] = ids[end], ids[0]
        _sink(heap[:end], ids)
    return ids[:kept], heap[:kept]


@njit()
def _distance(table, blocks, row):
    block, lane = row // BLOCK, row % BLOCK
    total = np.float32(0)
    for m in range(len(table)):
        total += table[m, blocks[block, m, lane]]
    return np.float32(1) - total


@njit()
def _offer(row, distance, heap, ids, kept):
    if kept < heap.size:
        at = kept
        while at > 0 and heap[(at - 1) // 2] < distance:
            above = (at - 1) // 2
            heap[at], ids[at] = heap[above], ids[above]
            at = above
        heap[at], ids[at] = distance, row
        return kept + 1
    if distance < heap[0]:
        heap[0], ids[0] = distance, row
        _sink(heap, ids)
    return kept


@njit()
def _sink(heap, ids):
    """Let the root sink until nothing below it is larger."""
    distance, row = heap[0], ids[0]
    at, below = 0, 1
    while below < heap.size:
        if below + 1 < heap.size and heap[below + 1] > heap[below]:
            below += 1
        if heap[below] <= distance:
            break
        heap[at], ids[at] = heap[below], ids[below]
        at, below = below, 2 * below + 1
    heap[at], ids[at] = distance, row


BYTE, SHORT, WORD, LONG, FLOAT = ir.IntType(8), ir.IntType(16), ir.IntType(32), ir.IntType(64), ir.FloatType()
BYTES, SHORTS, FLOATS = ir.VectorType(BYTE, 64), ir.VectorType(SHORT, 32), ir.VectorType(FLOAT, 16)
ACCUMULATORS = 16
HALF = BLOCK // 2


def _has_vbmi(context: Any) -> bool:
    return "+avx512vbmi" in context.codegen().magic_tuple()[2].split(",")


@intrinsic
def _has_shuffle(typingctx: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return context.get_constant(types.boolean, _has_vbmi(context))

    return types.boolean(), codegen


def _data(context: Any, builder: Any, signature: Any, arguments: Any, position: int) -> Any:
    return context.make_array(signature.args[position])(context, builder, arguments[position]).data


def _vector_at(builder: Any, data: Any, index: Any, vector: Any) -> Any:
    return builder.bitcast(builder.gep(data, [index]), vector.as_pointer())


def _repeat(builder: Any, count: Any, carried: Any, body: Any) -> Any:
    """Emit a loop of at least one turn."""
    before, loop, after = builder.block, builder.append_basic_block(), builder.append_basic_block()
    builder.branch(loop)
    builder.position_at_end(loop)
    turn = builder.phi(LONG)
    values = [builder.phi(value.type) for value in carried]
    results = body(turn, values)
    following = builder.add(turn, LONG(1))
    for phi, first, later in zip([turn, *values], [LONG(0), *carried], [following, *results]):
        phi.add_incoming(first, before)
        phi.add_incoming(later, builder.block)
    builder.cbranch(builder.icmp_unsigned("<", following, count), loop, after)
    builder.position_at_end(after)
    return results


def _splat(builder: Any, value: Any, vector: Any) -> Any:
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), value, WORD(0))
    return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(WORD, vector.count), [0] * vector.count))


@intrinsic
def _products(typingctx: Any, books: Any, m: Any, query: Any, length: Any, table: Any, least: Any, most: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        books, query, table, least, most = (
            _data(context, builder, signature, arguments, position) for position in (0, 2, 4, 5, 6)
        )
        m, length = arguments[1], arguments[3]
        begin = builder.mul(m, length)

        def add(d: Any, sums: Any) -> Any:
            at = builder.add(begin, d)
            factor = _splat(builder, builder.load(builder.gep(query, [at])), FLOATS)
            first = builder.mul(at, LONG(CENTROIDS))
            results = []
            for i, total in enumerate(sums):
                place = _vector_at(builder, books, builder.add(first, LONG(16 * i)), FLOATS)
                product = builder.fmul(factor, builder.load(place, align=4), flags=("contract",))
                results.append(builder.fadd(total, product, flags=("contract",)))
            return results

        zero = ir.Constant(FLOATS, None)
        sums = _repeat(builder, length, [zero] * ACCUMULATORS, add)
        to = builder.mul(m, LONG(CENTROIDS))
        for i, total in enumerate(sums):
            builder.store(total, _vector_at(builder, table, builder.add(to, LONG(16 * i)), FLOATS), align=4)
        kind = ir.FunctionType(FLOAT, [FLOATS])
        smallest = builder.module.declare_intrinsic("llvm.vector.reduce.fmin.v16f32", (), kind)
        largest = builder.module.declare_intrinsic("llvm.vector.reduce.fmax.v16f32", (), kind)
        low, high = sums[0], sums[0]
        for total in sums[1:]:
            low = builder.select(builder.fcmp_ordered("<", total, low), total, low)
            high = builder.select(builder.fcmp_ordered(">", total, high), total, high)
        builder.store(builder.call(smallest, [low]), builder.gep(least, [m]))
        builder.store(builder.call(largest, [high]), builder.gep(most, [m]))
        return context.get_dummy_value()

    return types.void(books, types.intp, query, types.intp, table, least, most), codegen


@intrinsic
def _sum_block(typingctx: Any, blocks: Any, block: Any, steps: Any, sub_vectors: Any, sums: Any, minima: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if not _has_vbmi(context):
            return context.get_dummy_value()
        codes, steps, sums, minima = (_data(context, builder, signature, arguments, position) for position in (0, 2, 4, 5))
        block, sub_vectors = arguments[1], arguments[3]
        kind = ir.FunctionType(BYTES, [BYTES, BYTES, BYTES])
        shuffle = builder.module.declare_intrinsic("llvm.x86.avx512.vpermi2var.qi.512", (), kind)
        first = builder.mul(block, sub_vectors)
        zeros = ir.Constant(BYTES, None)

        def loaded(data: Any, index: Any, offset: int) -> Any:
            return builder.load(_vector_at(builder, data, builder.add(index, LONG(offset)), BYTES), align=1)

        def add(m: Any, totals: Any) -> Any:
            table_at = builder.mul(m, LONG(CENTROIDS))
            quarters = [loaded(steps, table_at, 64 * i) for i in range(4)]
            codes_at = builder.mul(builder.add(first, m), LONG(BLOCK))
            results = []
            for i in range(BLOCK // 64):
                code = loaded(codes, codes_at, 64 * i)
                low = builder.call(shuffle, [quarters[0], code, quarters[1]])
                high = builder.call(shuffle, [quarters[2], code, quarters[3]])
                found = builder.select(builder.icmp_signed("<", code, zeros), high, low)
                pairs = builder.bitcast(found, SHORTS)
                results.append(builder.add(totals[2 * i], pairs))
                results.append(builder.add(totals[2 * i + 1], builder.lshr(pairs, ir.Constant(SHORTS, [8] * 32))))
            return results

        totals = _repeat(builder, sub_vectors, [ir.Constant(SHORTS, None)] * (BLOCK // 32), add)
        to = builder.mul(block, LONG(BLOCK))
        least = None
        for i in range(BLOCK // 64):
            odd = totals[2 * i + 1]
            even = builder.sub(totals[2 * i], builder.shl(odd, ir.Constant(SHORTS, [8] * 32)))
            for half in range(2):
                order = [lane // 2 + 16 * half + 32 * (lane % 2) for lane in range(32)]
                woven = builder.shuffle_vector(even, odd, ir.Constant(ir.VectorType(WORD, 32), order))
                place = _vector_at(builder, sums, builder.add(to, LONG(64 * i + 32 * half)), SHORTS)
                builder.store(woven, place, align=2)
            for value in (even, odd):
                least = value if least is None else builder.select(builder.icmp_unsigned("<", value, least), value, least)
        builder.store(least, _vector_at(builder, minima, builder.mul(block, LONG(LANES)), SHORTS), align=2)
        return context.get_dummy_value()

    return types.void(blocks, types.intp, steps, types.intp, sums, minima), codegen


@intrinsic
def _any_at_most(typingctx: Any, sums: Any, start: Any, limit: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = SHORTS
        data = _data(context, builder, signature, arguments, 0)
        values = builder.load(_vector_at(builder, data, arguments[1], vector), align=2)
        limits = _splat(builder, builder.trunc(arguments[2], SHORT), vector)
        found = builder.bitcast(builder.icmp_unsigned("<=", values, limits), WORD)
        return builder.icmp_unsigned("!=", found, WORD(0))

    return types.boolean(sums, types.intp, types.intp), codegen
