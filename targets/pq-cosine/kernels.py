"""Cosine search over product-quantised rows: query to table, scan, top-k. The file that an agent edits.

What makes it fast: one table of bytes for all partitions. The square is expanded, so that a row's distance is a
constant of the row, which is made beforehand, a constant of query and partition, and twice a sum of inner
products that are the same in every partition. The 256 products of a sub-space, in whole steps below the largest,
are four registers, and two shuffles look them up for 64 rows; sums of 16 bits stay in registers over all
sub-spaces. They bound every distance from both sides. The least sum of each of 256 groups of rows says which
rows may be among the k nearest, and only these are summed in float32. Where the bytes tell too few rows apart,
the next seven bits of every product are looked up in the same way.

In Rust: `_mm512_permutex2var_epi8` (AVX-512 VBMI), `_mm512_add_epi16`, `_mm512_cmple_epu16_mask`; without these
the same steps one by one. Lance 14.0.2 subtracts each partition's centroid, makes a table of float32 for each,
and adds its entries row by row: `preprocess_query` (rust/lance/src/index/vector/ivf/v2.rs),
`build_distance_table_l2` and `compute_pq_distance` (rust/lance-index/src/vector/pq/distance.rs);
`benchmarks/ports/pq-cosine/kernels.py` is a port of that.

Stays: `PqCosineKernel(codebook, codes, offsets, centroids)` and `top_k(query, k)`, with the dtypes, shapes and
order of results that their docstrings give.

CAN: keep any layout and any sums of the codebook, the codes and the centroids that `__init__` derives; change
the order of summation; expand the square, and build one table for all partitions; use fastmath, blocking,
another selection, scratch memory.
CANNOT: keep anything that depends on a call's arguments for a later call; leave out a row without a proof;
start threads or processes; import anything but numba, llvmlite.ir, numpy and the mathematics of the standard
library.
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
    Offsets = NDArray[np.int64]
    Sums = NDArray[np.uint16]

CENTROIDS = 256
VECTOR_ROWS = 64
"""The rows whose codes are one vector, and whose sums are two."""
VECTORS = 4
BLOCK_ROWS = VECTORS * VECTOR_ROWS
"""The rows whose codes lie together, and the groups of rows whose least sum is kept."""
LARGEST_BYTE = 255.0
LARGEST_SUM = 65535
FINE = 128
"""The parts that a step has where bytes do not tell rows apart."""
MOST_FINE = LARGEST_SUM // FINE - 1
"""The most sub-spaces whose parts of steps can be summed in 16 bits."""
FEW = 32
"""Rows are looked at more finely where more than one in so many is left."""
FINITE = {"nnan", "ninf", "nsz"}
"""For fastmath: neither NaN nor infinity gets there, but every rounding stays."""
LARGEST = float(np.finfo(np.float32).max)
ROUNDING = 2.0**-22
"""More than the error of two float32 operations."""


class PqCosineKernel:
    """Top-k search by direction in `n` rows, which lie in P partitions.

    Parameters
    ----------
    codebook : float32, shape (M, 256, sd)
        The centroids of the M sub-spaces.
    codes : uint8, shape (M * n,)
        One partition after the other, each as (M, n_p): the rows' centroids in sub-space 0, then those in 1, and
        so on. A row's centroids together are its residual: the row, a unit vector, less the centroid of its
        partition.
    offsets : int64, shape (P + 1,)
        The first row of each partition, and n. Partitions may be empty.
    centroids : float32, shape (P, M * sd), C-contiguous
        The middle of each partition's unit vectors; shorter than 1.
    """

    def __init__(self, codebook: Floats, codes: Codes, offsets: Offsets, centroids: Floats) -> None:
        rows = int(offsets[-1])
        self._books = np.ascontiguousarray(codebook.transpose(0, 2, 1))
        self._largest = float(np.abs(codebook).max(initial=0))
        self._centroids = centroids
        self._offsets = offsets
        self._blocks = np.zeros((-(-rows // BLOCK_ROWS), len(codebook), BLOCK_ROWS), np.uint8)
        self._squares = np.zeros(rows, np.float32)
        _lay_out(codes, offsets, self._blocks)
        _fill_squares(self._books, self._blocks, offsets, centroids, self._squares)
        self._largest_square = float(self._squares.max(initial=0))
        self._search = _search_by_shuffles if _has_shuffle() else _search_by_look_ups

    def top_k(self, query: Floats, k: int) -> tuple[Ids, Floats]:
        """Return the ids, uint32 (r,), of the k >= 1 nearest rows and their distances, float32 (r,).

        Ascending by (distance, id). `query`, float32 (M * sd,), has any length. A distance is the squared
        distance of the unit vectors, 0 to 4 and twice 1 - cos, quantisation aside; an id is the row's number
        among all n. r is min(k, n), but 0 for a query without a direction: of zeros, or with NaN or infinity.
        """
        ids, distances = self._search(
            *(self._books, self._largest, self._blocks, self._squares, self._largest_square, self._offsets),
            *(self._centroids, query, k),
        )
        if ids.size < distances.size:  # those of all rows
            ids = np.argsort(distances, kind="stable")[:k].astype(np.uint32)
            distances = distances[ids]
        return ids, distances


@njit
def _lay_out(codes: Codes, offsets: Offsets, blocks: Codes) -> None:
    """Fill blocks of 256 rows, (blocks, M, 256), whatever their partitions."""
    sub_vectors = blocks.shape[1]
    for p in range(offsets.size - 1):
        first, end = offsets[p], offsets[p + 1]
        for m in range(sub_vectors):
            column = codes[first * sub_vectors + m * (end - first) :]
            row = first
            while row < end:
                block, within = row // BLOCK_ROWS, row % BLOCK_ROWS
                count = min(BLOCK_ROWS - within, end - row)
                blocks[block, m, within : within + count] = column[row - first : row - first + count]
                row += count


@njit
def _fill_squares(books: Floats, blocks: Codes, offsets: Offsets, centroids: Floats, squares: Floats) -> None:
    """Fill `squares` with the squared length of every row: its partition's centroid and its own centroids
    together."""
    sub_vectors, length, _ = books.shape
    terms = np.empty((sub_vectors, CENTROIDS), np.float32)
    for p in range(offsets.size - 1):
        if offsets[p] == offsets[p + 1]:
            continue
        terms[:] = 0
        for m in range(sub_vectors):
            for d in range(length):
                middle = centroids[p, m * length + d]
                for c in range(CENTROIDS):
                    value = middle + books[m, d, c]
                    terms[m, c] += value * value
        row = offsets[p]
        while row < offsets[p + 1]:
            block, within = row // BLOCK_ROWS, row % BLOCK_ROWS
            count = min(BLOCK_ROWS - within, offsets[p + 1] - row)
            of_rows = squares[row : row + count]
            for m in range(sub_vectors):
                codes, of_m = blocks[block, m, within : within + count], terms[m]
                for i in range(count):
                    of_rows[i] += of_m[codes[i]]
            row += count


def _search_with(make_sums: Any) -> Any:
    """Return the search whose sums of bytes are made by that function."""

    @njit
    def nearest(
        table: Floats,
        least: Floats,
        most: Floats,
        blocks: Codes,
        rows: int,
        constants: Floats,
        lost: float,
        k: int,
    ) -> tuple[Ids, Floats]:
        """No more than `lost` is lost of a distance by float32."""
        sub_vectors = len(table)
        ids, distances = np.empty(k, np.uint32), np.full(k, np.inf, np.float32)
        scale, first = _scale(least, most, constants[:rows])
        steps, starts = np.empty((2, sub_vectors, CENTROIDS), np.uint8), np.empty((2, constants.size), np.uint16)
        _round(table, most, constants, scale, first, steps, starts)
        sums, minima = np.empty(constants.size, np.uint16), np.full(BLOCK_ROWS, LARGEST_SUM, np.uint16)
        make_sums(blocks, steps[0], starts[0], rows // BLOCK_ROWS, sums, minima)
        doubt = sub_vectors + 2 + np.int64(2 * lost * np.float64(scale))
        left = _rows_up_to(sums, rows, min(_kth(minima, k) + doubt, LARGEST_SUM))
        totals = np.empty(left.size, np.int64)
        for place, row in enumerate(left):
            totals[place] = sums[row]
        per_distance = np.float64(scale)
        if left.size > rows // FEW and sub_vectors <= MOST_FINE:
            make_sums(blocks, steps[1], starts[1], rows // BLOCK_ROWS, sums, minima)
            for place, row in enumerate(left):
                totals[place] = totals[place] * FINE + sums[row]
            per_distance *= FINE
        base = np.float64(first) - lost
        for m in range(sub_vectors):
            base -= 2 * np.float64(most[m])
        cutoff = np.inf
        for place, row in enumerate(left):
            if not totals[place] > cutoff:  # NaN, where all rows are alike, leaves nothing out
                _offer(row, _distance(table, blocks, constants, np.int64(row)), ids, distances)
                cutoff = (np.float64(distances[-1]) - base) * per_distance + 1
        return ids, distances

    @njit
    def search(
        books: Floats,
        largest: float,
        blocks: Codes,
        squares: Floats,
        largest_square: float,
        offsets: Offsets,
        centroids: Floats,
        query: Floats,
        k: int,
    ) -> tuple[Ids, Floats]:
        """The k nearest rows, or no ids and the distances of all where bytes cannot tell which these are."""
        no_ids, no_distances = np.empty(0, np.uint32), np.empty(0, np.float32)
        length = _length(query)
        if not 0 < length <= LARGEST:
            return no_ids, no_distances
        unit = query / np.float32(length)
        table, least, most = _products(books, unit)
        constants = _constants(squares, offsets, centroids, unit, len(blocks) * BLOCK_ROWS)
        reach = _sum_of_sizes(unit) * largest + largest_square + 4
        if squares.size < BLOCK_ROWS or 2 * k > BLOCK_ROWS or not reach <= LARGEST / 1024:
            return no_ids, _all_distances(table, blocks, constants[: squares.size])
        lost = (len(books) + books.shape[1] + 8) * ROUNDING * reach
        return nearest(table, least, most, blocks, squares.size, constants, lost, k)

    return search


@njit
def _products(books: Floats, unit: Floats) -> tuple[Floats, Floats, Floats]:
    """The products of a unit query with all centroids, (M, 256), and the least and the largest of each
    sub-space."""
    table = np.empty((len(books), CENTROIDS), np.float32)
    least, most = np.empty(len(books), np.float32), np.empty(len(books), np.float32)
    for m in range(len(books)):
        _multiply(books, m, unit, table, least, most)
    return table, least, most


@njit
def _all_distances(table: Floats, blocks: Codes, constants: Floats) -> Floats:
    """The distances of all rows."""
    distances = np.empty(constants.size, np.float32)
    for row in range(constants.size):
        distances[row] = _distance(table, blocks, constants, row)
    return distances


@njit
def _length(query: Floats) -> float:
    """The length of a query; NaN or infinity where that is in it."""
    square = 0.0
    for value in query:
        square += np.float64(value) * np.float64(value)
    return np.sqrt(square)


@njit
def _sum_of_sizes(values: Floats) -> float:
    total = 0.0
    for value in values:
        total += np.float64(abs(value))
    return total


@njit(fastmath={"reassoc", "contract"})
def _constants(squares: Floats, offsets: Offsets, centroids: Floats, unit: Floats, size: int) -> Floats:
    """What a row's distance is but for its inner products: 1 + its square - 2 <unit, centroid>; 0 behind the
    last row."""
    constants = np.zeros(size, np.float32)
    for p in range(offsets.size - 1):
        product = np.float32(0)
        for d in range(unit.size):
            product += unit[d] * centroids[p, d]
        of_partition = np.float32(1) - np.float32(2) * product
        for row in range(offsets[p], offsets[p + 1]):
            constants[row] = of_partition + squares[row]
    return constants


@njit(fastmath=FINITE)
def _scale(least: Floats, most: Floats, constants: Floats) -> tuple[np.float32, np.float32]:
    """Return how many steps a distance of 1 is, so that bytes and sums are large enough, and the least
    constant."""
    span, spans = np.float32(0), np.float32(0)
    for m in range(least.size):
        span = max(span, most[m] - least[m])
        spans += most[m] - least[m]
    first, last = constants[0], constants[0]
    for constant in constants:
        first, last = min(first, constant), max(last, constant)
    two = np.float32(2)
    largest = two * spans + (last - first)
    if not largest > 1e-30:
        return np.float32(0), first
    by_bytes = np.float32(LARGEST_BYTE) / max(two * span, largest * np.float32(2.0**-12))
    by_sums = np.float32(LARGEST_SUM - least.size - 2) / largest
    return min(by_bytes, by_sums) * np.float32(1 - 2.0**-16), first


@njit(fastmath=FINITE)
def _round(
    table: Floats,
    most: Floats,
    constants: Floats,
    scale: np.float32,
    first: np.float32,
    steps: Codes,
    starts: Sums,
) -> None:
    """Fill `steps` with how far each product is below the largest, `starts` with how far a constant is above the
    first.

    Both in whole steps of a distance, steps[0] and starts[0], and in parts of the next one, rounded down.
    """
    scale *= np.float32(FINE)
    twice = np.float32(2) * scale
    for m in range(len(table)):
        for c in range(CENTROIDS):
            parts = np.int32((most[m] - table[m, c]) * twice)
            steps[0, m, c], steps[1, m, c] = np.uint8(parts >> 7), np.uint8(parts & (FINE - 1))
    for row in range(constants.size):
        parts = np.int32(max((constants[row] - first) * scale, np.float32(0)))
        starts[0, row], starts[1, row] = np.uint16(parts >> 7), np.uint16(parts & (FINE - 1))


@njit
def _sum_one_by_one(blocks: Codes, steps: Codes, starts: Sums, whole: int, sums: Sums, minima: Sums) -> None:
    """Fill `sums` with every row's sum of steps; lower `minima` to the least of rows of equal place in whole
    blocks."""
    sums[:] = starts
    for block in range(len(blocks)):
        of_block = sums[block * BLOCK_ROWS : (block + 1) * BLOCK_ROWS]
        for m in range(blocks.shape[1]):
            codes, of_m = blocks[block, m], steps[m]
            for row in range(BLOCK_ROWS):
                of_block[row] += np.uint16(of_m[codes[row]])
        if block < whole:
            for row in range(BLOCK_ROWS):
                minima[row] = min(minima[row], of_block[row])


@njit
def _sum_by_shuffles(blocks: Codes, steps: Codes, starts: Sums, whole: int, sums: Sums, minima: Sums) -> None:
    """Do the same by vectors."""
    for block in range(len(blocks)):
        _sum_block(blocks, block, steps, starts, sums)
        if block < whole:
            for within in range(0, BLOCK_ROWS, VECTOR_ROWS // 2):
                _lower(minima, within, sums, block * BLOCK_ROWS + within)


@njit
def _kth(minima: Sums, k: int) -> int:
    """The k-th smallest, found bit by bit."""
    found = 0
    for bit in range(15, -1, -1):
        limit = np.uint16(found + (1 << bit) - 1)
        count = 0
        for least in minima:
            count += least <= limit
        if count < k:
            found += 1 << bit
    return found


@njit
def _rows_up_to(sums: Sums, rows: int, limit: int) -> Ids:
    """The rows with a sum up to `limit`."""
    found = np.empty(rows, np.uint32)
    count = 0
    for start in range(0, sums.size, VECTOR_ROWS):
        mask = _at_most(sums, start, np.uint16(limit))
        while mask:
            row = start + _lowest_bit(mask)
            if row < rows:
                found[count] = row
                count += 1
            mask &= mask - np.uint64(1)
    return found[:count]


@njit
def _distance(table: Floats, blocks: Codes, constants: Floats, row: int) -> np.float32:
    block, within = row // BLOCK_ROWS, row % BLOCK_ROWS
    total = np.float32(0)
    for m in range(len(table)):
        total += table[m, blocks[block, m, within]]
    return constants[row] - np.float32(2) * total


@njit
def _offer(row: int, distance: np.float32, ids: Ids, distances: Floats) -> None:
    """Put a row among the nearest, ascending by (distance, id), if it is nearer than the last; ids come
    ascending."""
    at = distances.size - 1
    if not distance < distances[at]:
        return
    while at > 0 and distances[at - 1] > distance:
        distances[at], ids[at] = distances[at - 1], ids[at - 1]
        at -= 1
    distances[at], ids[at] = distance, row


FLOAT, PLACE = ir.FloatType(), ir.IntType(64)
FLOATS = ir.VectorType(FLOAT, 16)
BYTES = ir.VectorType(ir.IntType(8), VECTOR_ROWS)
WORDS = ir.VectorType(ir.IntType(16), VECTOR_ROWS // 2)
WORD_ORDER = ir.VectorType(ir.IntType(32), WORDS.count)


def _pointer(context: Any, builder: Any, kind: Any, array: Any, place: Any, vector: Any) -> Any:
    """Where in an array a vector begins, as a pointer to it."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [place]), vector.as_pointer())


def _repeated(builder: Any, value: Any, vector: Any) -> Any:
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.IntType(32)(0))
    return builder.shuffle_vector(
        one, one, ir.Constant(ir.VectorType(ir.IntType(32), vector.count), [0] * vector.count)
    )


def _summed(builder: Any, count: Any, firsts: list[Any], step: Callable[[Any, list[Any]], list[Any]]) -> list[Any]:
    """Build a loop of `count` turns, at least one, over sums that begin as `firsts`; return what they are after
    it.

    `step` gets the number of the turn and the sums, and returns the next ones.
    """
    before, loop = builder.block, builder.append_basic_block("loop")
    builder.branch(loop)
    builder.position_at_end(loop)
    turn, sums = builder.phi(PLACE), [builder.phi(first.type) for first in firsts]
    following = step(turn, sums)
    next_turn = builder.add(turn, PLACE(1))
    turn.add_incoming(PLACE(0), before)
    turn.add_incoming(next_turn, loop)
    for total, first, value in zip(sums, firsts, following, strict=True):
        total.add_incoming(first, before)
        total.add_incoming(value, loop)
    after = builder.append_basic_block("after")
    builder.cbranch(builder.icmp_signed("<", next_turn, count), loop, after)
    builder.position_at_end(after)
    return following


@intrinsic  # type: ignore[untyped-decorator]  # numba is not typed
def _multiply(typingctx: Any, books: Any, m: Any, unit: Any, table: Any, least: Any, most: Any) -> Any:
    """Fill table[m] with the products of a part of the query with all centroids, which stay in 16 vectors.

    And least[m] and most[m] with the smallest and the largest of them.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def pointer(array: int, place: Any, vector: Any) -> Any:
            return _pointer(context, builder, signature.args[array], arguments[array], place, vector)

        shape = context.make_array(signature.args[0])(context, builder, arguments[0]).shape
        length = builder.extract_value(shape, 1)
        first = builder.mul(arguments[1], length)

        def step(turn: Any, sums: list[Any]) -> list[Any]:
            dimension = builder.add(first, turn)
            factor = _repeated(builder, builder.load(pointer(2, dimension, FLOAT)), FLOATS)
            following = []
            for vector, total in enumerate(sums):
                place = builder.add(builder.mul(dimension, PLACE(CENTROIDS)), PLACE(vector * FLOATS.count))
                values = builder.load(pointer(0, place, FLOATS), align=4)
                product = builder.fmul(factor, values, flags=("contract",))
                following.append(builder.fadd(total, product, flags=("contract",)))
            return following

        zero = ir.Constant(FLOATS, [0.0] * FLOATS.count)
        products = _summed(builder, length, [zero] * (CENTROIDS // FLOATS.count), step)
        smallest, largest = products[0], products[0]
        for vector, values in enumerate(products):
            place = builder.add(builder.mul(arguments[1], PLACE(CENTROIDS)), PLACE(vector * FLOATS.count))
            builder.store(values, pointer(3, place, FLOATS), align=4)
            smallest = builder.select(builder.fcmp_ordered("<", values, smallest), values, smallest)
            largest = builder.select(builder.fcmp_ordered(">", values, largest), values, largest)
        kind = ir.FunctionType(FLOAT, [FLOATS])
        minimum = builder.module.declare_intrinsic("llvm.vector.reduce.fmin.v16f32", (), kind)
        maximum = builder.module.declare_intrinsic("llvm.vector.reduce.fmax.v16f32", (), kind)
        builder.store(builder.call(minimum, [smallest]), pointer(4, arguments[1], FLOAT))
        builder.store(builder.call(maximum, [largest]), pointer(5, arguments[1], FLOAT))
        return context.get_dummy_value()

    return types.void(books, m, unit, table, least, most), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _sum_block(typingctx: Any, blocks: Any, block: Any, steps: Any, starts: Any, sums: Any) -> Any:
    """Sum the steps of all rows of a block from where they start, the sums of 256 rows in eight vectors of 16
    bits.

    A sum of two neighbours, the second times 256, is kept with that of the second one alone, from which both
    follow."""
    order = {
        "even": range(0, 2 * WORDS.count, 2),
        "odd": range(1, 2 * WORDS.count, 2),
        "first": [row // 2 + row % 2 * WORDS.count for row in range(WORDS.count)],
        "last": [row // 2 + row % 2 * WORDS.count for row in range(WORDS.count, 2 * WORDS.count)],
    }

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def pointer(array: int, place: Any, vector: Any) -> Any:
            return _pointer(context, builder, signature.args[array], arguments[array], place, vector)

        def picked(one: Any, other: Any, which: str) -> Any:
            return builder.shuffle_vector(one, other, ir.Constant(WORD_ORDER, list(order[which])))

        eight = ir.Constant(WORDS, [8] * WORDS.count)
        shape = context.make_array(signature.args[0])(context, builder, arguments[0]).shape
        sub_vectors = builder.extract_value(shape, 1)
        row = builder.mul(arguments[1], PLACE(BLOCK_ROWS))
        firsts = []
        for vector in range(VECTORS):
            places = [builder.add(row, PLACE(vector * VECTOR_ROWS + half * WORDS.count)) for half in range(2)]
            halves = [builder.load(pointer(3, place, WORDS), align=2) for place in places]
            even, odd = picked(*halves, "even"), picked(*halves, "odd")
            firsts += [builder.add(even, builder.shl(odd, eight)), odd]

        def step(turn: Any, sums: list[Any]) -> list[Any]:
            entries = builder.mul(turn, PLACE(CENTROIDS))
            quarters = [
                builder.load(pointer(2, builder.add(entries, PLACE(BYTES.count * quarter)), BYTES), align=1)
                for quarter in range(CENTROIDS // BYTES.count)
            ]
            begin = builder.mul(builder.add(builder.mul(arguments[1], sub_vectors), turn), PLACE(BLOCK_ROWS))
            following = []
            for vector in range(VECTORS):
                place = builder.add(begin, PLACE(vector * VECTOR_ROWS))
                codes = builder.load(pointer(0, place, BYTES), align=1)
                found = builder.bitcast(_looked_up(builder, quarters, codes), WORDS)
                following.append(builder.add(sums[2 * vector], found))
                following.append(builder.add(sums[2 * vector + 1], builder.lshr(found, eight)))
            return following

        totals = _summed(builder, sub_vectors, firsts, step)
        for vector in range(VECTORS):
            both, odd = totals[2 * vector : 2 * vector + 2]
            even = builder.sub(both, builder.shl(odd, eight))
            for half, which in enumerate(("first", "last")):
                place = builder.add(row, PLACE(vector * VECTOR_ROWS + half * WORDS.count))
                builder.store(picked(even, odd, which), pointer(4, place, WORDS), align=2)
        return context.get_dummy_value()

    return types.void(blocks, block, steps, starts, sums), codegen


def _looked_up(builder: Any, quarters: list[Any], codes: Any) -> Any:
    """What 64 codes name in a table of 256 bytes: in its lower half, or where the highest bit is set in its
    upper."""
    kind = ir.FunctionType(BYTES, [BYTES, BYTES, BYTES])
    shuffle = builder.module.declare_intrinsic("llvm.x86.avx512.vpermi2var.qi.512", (), kind)
    low = builder.call(shuffle, [quarters[0], codes, quarters[1]])
    high = builder.call(shuffle, [quarters[2], codes, quarters[3]])
    return builder.select(builder.icmp_signed("<", codes, ir.Constant(BYTES, [0] * BYTES.count)), high, low)


@intrinsic  # type: ignore[untyped-decorator]
def _lower(typingctx: Any, minima: Any, group: Any, sums: Any, start: Any) -> Any:
    """minima[group : group + 32] = the smaller of them and of sums[start : start + 32]."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        least, found = (
            _pointer(context, builder, signature.args[at], arguments[at], arguments[at + 1], WORDS)
            for at in (0, 2)
        )
        one, other = builder.load(least, align=2), builder.load(found, align=2)
        builder.store(builder.select(builder.icmp_unsigned("<", one, other), one, other), least, align=2)
        return context.get_dummy_value()

    return types.void(minima, group, sums, start), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _at_most(typingctx: Any, sums: Any, start: Any, limit: Any) -> Any:
    """Which of sums[start : start + 64] are at most `limit`, a bit for each."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = ir.VectorType(ir.IntType(16), VECTOR_ROWS)
        place = _pointer(context, builder, signature.args[0], arguments[0], arguments[1], vector)
        limits = _repeated(builder, arguments[2], vector)
        return builder.bitcast(builder.icmp_unsigned("<=", builder.load(place, align=2), limits), PLACE)

    return types.uint64(sums, start, limit), codegen


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
        return context.get_constant(types.boolean, "+avx512vbmi" in features)

    return types.boolean(), codegen


@njit
def _has_shuffle() -> bool:
    found: bool = _feature()
    return found


_search_by_shuffles = _search_with(_sum_by_shuffles)
_search_by_look_ups = _search_with(_sum_one_by_one)
