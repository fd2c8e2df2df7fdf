"""Nearest of the rows that a filter allows, over product-quantised partitions. The file that an agent edits.

What makes it fast: the nearest partition is searched first, and most of the others are then left out without
their rows being looked at. The line from the first centroid to another one says how far all of its rows are at
least, from two distances and two numbers made beforehand; if that is too little, the least entries of a table
say it. Few rows need no table: their squared differences are added up in vectors out of a padded codebook, and a
row is given up where a part of its sum is too far. Where many rows are allowed, all are scanned: the entries of
a sub-space, in whole steps above the least of them, are four registers of bytes, and two shuffles look them up
for 64 rows. Sums of steps bound every distance from both sides, and only rows that may be among the k nearest
are summed in float32, from codes that lie row by row, in four sums.

In Rust: `_mm512_permutex2var_epi8` (AVX-512 VBMI), `_mm512_add_epi16`, `_mm512_cmple_epu16_mask`, and without
these the same steps one by one; `_mm512_fmadd_ps` with 16 sums in registers for a table, and for a row without
one `_mm256_fmadd_ps` or `_mm512_fmadd_ps` with four. A port would make the numbers of a pair of partitions when
an index is built, since any two of all its partitions may be probed together, or leave these out. Lance 14.0.2
makes a table for every partition that it probes, also where no row is allowed, and reads the M codes of a row a
column apart: `preprocess_query` (rust/lance/src/index/vector/ivf/v2.rs), `build_distance_table_l2`
(rust/lance-index/src/vector/pq/distance.rs), `PQDistCalculator::distance` (vector/pq/storage.rs there) and
`accumulate_filtered_topk_with_scratch` (vector/storage.rs); `benchmarks/ports/pq-prefilter/kernels.py` is a port
of that, bit for bit. Here distances are summed in another order than Lance's, so their last bits differ.

Stays: `PqPrefilterKernel(codebook, codes, offsets, centroids)` and `top_k(query, allowed, k)`, with the dtypes,
shapes and order of results that their docstrings give.

CAN: keep any layout and any sums of the codebook, the codes and the centroids that `__init__` derives; choose for
each partition, by the rows that are allowed there, between a gather, a scan of all rows, and sums without a
table; change the order of summation; expand the square, and build one table for all partitions; use fastmath,
blocking, another selection, scratch memory.
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
    Doubles = NDArray[np.float64]
    Floats = NDArray[np.float32]
    Ids = NDArray[np.uint32]
    Numbers = NDArray[np.int64]
    Sums = NDArray[np.uint16]

CENTROIDS = 256
FEW = 250
"""Allowed rows of a partition for which a table takes longer than the squares of their differences."""
SPARSE = 16
"""Of so many rows at least one is allowed where all are scanned."""
TURNED = 64
"""Rows whose codes are laid out together."""
TOGETHER = 4
"""Sub-spaces whose squares have sums of their own; M is padded to a multiple."""
CHUNK = 16
"""Sub-spaces after which a row may be given up."""
MOST_PAIRED = 8
"""Partitions up to which building has the time to look at every pair."""
LANES = 4
"""Directions in which rows are looked at together."""
VECTOR_ROWS = 64
"""The rows whose codes are one vector, and whose sums are two."""
VECTORS = 4
BLOCK_ROWS = VECTORS * VECTOR_ROWS
"""The rows that are summed together, and the groups of rows whose least sum is kept."""
LARGEST_BYTE = 255.0
LARGEST_SUM = 65535
FINITE = {"nnan", "ninf", "nsz"}
"""For fastmath: neither NaN nor infinity gets there, but every rounding stays."""
ROUNDING = 2.0**-22
"""More than the error of two float32 operations."""
ANY_ORDER = {"contract", "reassoc", "nsz"}
"""For fastmath: sums in any order, but NaN and infinity stay what they are."""
LARGEST = np.finfo(np.float32).max


class PqPrefilterKernel:
    """Top-k search among some of `n` rows, which lie in P partitions.

    Parameters
    ----------
    codebook : float32, shape (M, 256, sd), C-contiguous
        The centroids of each of the M sub-spaces; sd dimensions each.
    codes : uint8, shape (M * n,)
        One partition after the other. The n_p rows of a partition are (M, n_p): column m holds, for every row,
        its centroid in sub-space m. A row's centroids together are its residual: the row less the centroid of its
        partition.
    offsets : int64, shape (P + 1,)
        The first row of each partition, and n. A partition may be empty.
    centroids : float32, shape (P, M * sd), C-contiguous
        The middle of each partition.
    """

    def __init__(self, codebook: Floats, codes: Codes, offsets: Numbers, centroids: Floats) -> None:
        sub_vectors, _, length = codebook.shape
        padded = -(-sub_vectors // TOGETHER) * TOGETHER
        width = 8 if length <= 8 else -(-length // 16) * 16
        self._books = np.zeros((padded, CENTROIDS, width), np.float32)
        self._books[:sub_vectors, :, :length] = codebook
        self._by_dimension = np.ascontiguousarray(codebook.transpose(0, 2, 1))
        self._rows = np.zeros((int(offsets[-1]), padded), np.uint8)
        _turn(codes, offsets, sub_vectors, self._rows)
        self._codes = codes
        self._offsets = offsets
        self._centroids = np.zeros((len(centroids), padded, width), np.float32)
        self._centroids[:, :sub_vectors, :length] = centroids.reshape(-1, sub_vectors, length)
        self._reaches = np.full((2, len(centroids), len(centroids)), -np.inf)
        if len(centroids) <= MOST_PAIRED:
            _fill_reaches(self._by_dimension, self._rows, offsets, centroids, self._reaches)
        self._search = _search_by_shuffles if _has_shuffle() else _search_by_look_ups

    def top_k(self, query: Floats, allowed: Ids, k: int) -> tuple[Ids, Floats]:
        """Search for `query`, float32 (M * sd,), among the rows `allowed`, uint32 (a,), ascending.

        A row's number counts from the first of all n, so that the rows of partition p are
        `offsets[p] <= row < offsets[p + 1]`.

        Returns
        -------
        ids : uint32, shape (r,)
            The k >= 1 nearest of the allowed rows, ascending by (distance, id).
        distances : float32, shape (r,)
            Their squared distances. A row whose distance is NaN, or the largest float32 and more, is never found:
            r is k, or the number of the allowed rows that have a distance, if that is less.
        """
        books, by_dimension, rows, codes = self._books, self._by_dimension, self._rows, self._codes
        found: tuple[Ids, Floats] = self._search(
            *(books, by_dimension, rows, codes, self._offsets, self._centroids, self._reaches),
            *(query, allowed, k),
        )
        return found


@njit()
def _turn(codes: Codes, offsets: Numbers, sub_vectors: int, rows: Codes) -> None:
    """Write the codes of each row side by side, to `rows`, (n, M and more)."""
    places, step = rows.reshape(-1), np.uint64(rows.shape[1])
    for p in range(offsets.size - 1):
        first, count = offsets[p] * sub_vectors, offsets[p + 1] - offsets[p]
        for start in range(0, count, TURNED):
            for m in range(sub_vectors):
                column = first + m * count
                at = np.uint64(offsets[p] + start) * step + np.uint64(m)
                for code in codes[column + start : column + min(start + TURNED, count)]:
                    places[at] = code
                    at += step


@njit()
def _fill_reaches(
    by_dimension: Floats, rows: Codes, offsets: Numbers, centroids: Floats, reaches: Doubles
) -> None:
    """Find how near the rows of partition b come to another centroid a, along the line from a to b.

    A query whose squared distance from centroid b is greater by h than that from centroid a is at least
    reaches[0, a, b] + h * reaches[1, a, b] away from every row of b. The first is minus infinity where nothing
    is known.
    """
    table, least = np.zeros((rows.shape[1], CENTROIDS, LANES), np.float32), np.empty(LANES, np.float32)
    farthest = _farthest(by_dimension) * (rows.shape[1] + by_dimension.shape[1] + 8) * ROUNDING
    for b in range(len(centroids)):
        for start in range(0, len(centroids), LANES):
            count = min(LANES, len(centroids) - start)
            for lane in range(count):
                _project(by_dimension, centroids[start + lane], centroids[b], table[:, :, lane])
            least[:] = LARGEST
            if offsets[b + 1] > offsets[b]:
                _least_sums(table, rows, offsets[b], offsets[b + 1], least)
            for lane in range(count):
                apart = _apart(centroids[start + lane], centroids[b])
                if 0 < apart <= LARGEST:
                    reaches[0, start + lane, b] = apart / 2 + least[lane] - farthest
                    reaches[1, start + lane, b] = 1 / (2 * apart)


@njit()
def _farthest(by_dimension: Floats) -> float:
    """The length of the longest residual."""
    total = 0.0
    for m in range(len(by_dimension)):
        largest = 0.0
        for c in range(CENTROIDS):
            square = 0.0
            for d in range(by_dimension.shape[1]):
                square += np.float64(by_dimension[m, d, c]) ** 2
            largest = max(largest, square)
        total += largest
    return float(np.sqrt(total))


@njit()
def _apart(one: Floats, other: Floats) -> float:
    """The distance of two centroids."""
    total = 0.0
    for d in range(one.size):
        total += (np.float64(other[d]) - np.float64(one[d])) ** 2
    return float(np.sqrt(total))


@njit()
def _project(by_dimension: Floats, one: Floats, other: Floats, projections: Floats) -> None:
    """Fill (M, 256) projections of the codebook on the direction from one centroid to the other."""
    _, length, _ = by_dimension.shape
    apart, line = _apart(one, other), np.empty(CENTROIDS, np.float32)
    for m in range(len(by_dimension)):
        line[:] = 0
        for d in range(length):
            step = np.float64(other[m * length + d]) - np.float64(one[m * length + d])
            factor, values = np.float32(step / apart if apart > 0 else 0.0), by_dimension[m, d]
            for c in range(CENTROIDS):
                line[c] += factor * values[c]
        projections[m] = line


def _search_with(make_sums: Any) -> Any:
    """Return the search whose sums of bytes are made by that function."""

    @njit()
    def scan(
        table: Floats, least: Floats, most: Floats, codes: Codes, first: int, own: Ids, limit: np.float32, k: int
    ) -> Ids:
        """The allowed rows of a partition whose sums of bytes leave it open whether they are among the k nearest.

        Its own codes are `codes`, and `first` is its first row; a row above the limit is left out.
        """
        sub_vectors = len(least)
        count = codes.size // sub_vectors
        begin = min(np.int64(own[0]) - first, count - BLOCK_ROWS)
        end = max(np.int64(own[-1]) - first + 1, begin + BLOCK_ROWS)
        base, spans = np.float64(np.sum(least)), np.float64(np.sum(most - least))
        scale = LARGEST_BYTE / max(np.float64(np.max(most - least)), spans * 2.0**-8, 1e-30)
        scale = min(scale, (LARGEST_SUM - sub_vectors) / max(spans, 1e-30)) * (1 - 2.0**-16)
        steps, sums = np.empty((sub_vectors, CENTROIDS), np.uint8), np.empty(end - begin + VECTOR_ROWS, np.uint16)
        _round(table, least, np.float32(scale), steps)
        make_sums(codes, count, steps, begin, end, sums)
        sums = _picked(sums, own, np.int64(own[0]) - first - begin, first + begin)
        lost = (base + spans) * ROUNDING * (sub_vectors + 16)
        nearest = np.float64(_kth(_minima(sums, own.size), k)) + sub_vectors + 2 + 2 * lost * scale
        largest = min(nearest, (np.float64(limit) - base + lost) * scale + 1, np.float64(LARGEST_SUM))
        return _up_to(sums, own, np.uint16(largest)) if largest >= 0 else own[:0]

    @njit()
    def search(
        books: Floats,
        by_dimension: Floats,
        rows: Codes,
        codes: Codes,
        offsets: Numbers,
        centroids: Floats,
        reaches: Doubles,
        query: Floats,
        allowed: Ids,
        k: int,
    ) -> tuple[Ids, Floats]:
        """Search one partition after the other, the nearest first, with one heap for all of them."""
        heap = np.empty(min(k, allowed.size), np.float32)  # a max-heap: heap[0] is the farthest of the rows kept
        ids = np.empty(min(k, allowed.size), np.uint32)
        sub_vectors, length, _ = by_dimension.shape
        table, distances = np.empty((len(books), CENTROIDS), np.float32), np.empty(allowed.size, np.float32)
        table[sub_vectors:] = 0
        least, most = np.empty(sub_vectors, np.float32), np.empty(sub_vectors, np.float32)
        residual, wide = np.empty_like(centroids[0]), np.zeros_like(centroids[0])
        wide[:sub_vectors, :length] = query.reshape(sub_vectors, length)
        surely = np.float32(1 - (sub_vectors + length + 8) * ROUNDING)
        starts, order, middles = _nearest_first(offsets, centroids, wide, allowed)
        kept = 0
        for place, p in enumerate(order):
            own = allowed[starts[p] : starts[p + 1]]
            limit = heap[0] if kept == heap.size else np.float32(np.inf)
            if _is_beyond(reaches[:, order[0], p], middles[0], middles[place], query.size, limit):
                continue
            _subtract(wide.reshape(-1), centroids[p].reshape(-1), residual.reshape(-1))
            if own.size <= FEW:
                _add_differences(books, rows, residual, own, limit, distances)
                kept = _keep_nearest(own, distances, heap, ids, kept)
                continue
            if not _tabulate(by_dimension, residual, limit / surely, table, least, most):
                continue
            first, end = offsets[p], offsets[p + 1]
            sparse = np.int64(own[-1]) - np.int64(own[0]) >= SPARSE * own.size
            if not sparse and end - first >= BLOCK_ROWS and np.sum(most) <= LARGEST / 1024:
                of_partition = codes[first * sub_vectors : end * sub_vectors]
                own = scan(table, least, most, of_partition, first, own, limit, ids.size)
            _add_entries(table, rows, own, distances)
            kept = _keep_nearest(own, distances, heap, ids, kept)
        _sort(heap[:kept], ids[:kept])
        return ids[:kept], heap[:kept]

    return search


@njit()
def _nearest_first(
    offsets: Numbers, centroids: Floats, query: Floats, allowed: Ids
) -> tuple[Numbers, Numbers, Floats]:
    """Where the allowed rows of each partition begin, the partitions that have any, the nearest first, how far."""
    starts, order = np.zeros(offsets.size, np.int64), np.empty(offsets.size, np.int64)
    distances = np.empty(offsets.size, np.float32)
    count = 0
    for p in range(offsets.size - 1):
        starts[p + 1] = starts[p] + np.searchsorted(allowed[starts[p] :], offsets[p + 1])
        if starts[p + 1] > starts[p]:
            distance = _squared(query.reshape(-1), centroids[p].reshape(-1))
            at = count
            while at > 0 and distances[at - 1] > distance:
                distances[at], order[at] = distances[at - 1], order[at - 1]
                at -= 1
            distances[at], order[at] = distance, p
            count += 1
    return starts, order[:count], distances


@njit()
def _is_beyond(reach: Doubles, nearest: np.float32, middle: np.float32, dim: int, limit: np.float32) -> bool:
    """Whether all rows of a partition are beyond the limit, by their places along the line of two centroids."""
    if not middle <= LARGEST:
        return False
    lost = (np.float64(nearest) + np.float64(middle)) * ((dim + 8) * ROUNDING)
    least = reach[0] + (np.float64(middle) - np.float64(nearest) - lost) * reach[1]
    return least > 0 and least * least * (1 - ROUNDING) > limit


@njit(fastmath=ANY_ORDER)
def _squared(query: Floats, centroid: Floats) -> np.float32:
    """The squared distance of a query from a centroid."""
    total = np.float32(0)
    for d in range(query.size):
        difference = query[d] - centroid[d]
        total += difference * difference
    return total


@njit()
def _subtract(query: Floats, centroid: Floats, residual: Floats) -> None:
    """Fill `residual` with a query less a centroid."""
    for d in range(query.size):
        residual[d] = query[d] - centroid[d]


@njit()
def _add_differences(
    books: Floats, codes: Codes, residual: Floats, rows: Ids, limit: np.float32, distances: Floats
) -> None:
    """Fill `distances` with those of the rows, without a table; with a part of one that is not below the limit."""
    sub_vectors, _, width = books.shape
    for i in range(rows.size):
        row, distance = np.int64(rows[i]), np.float32(0)
        for m in range(0, sub_vectors, CHUNK):
            count = min(CHUNK, sub_vectors - m)
            if width == 8:
                distance += _add_differences_of_8(books, codes, row, residual, m, count, 0)
            else:
                for part in range(0, width, 16):
                    distance += _add_differences_of_16(books, codes, row, residual, m, count, part)
            if distance >= limit:
                break
        distances[i] = distance


@njit()  # with sums in any order LLVM gathers entries, which takes longer than one after the other
def _add_entries(table: Floats, codes: Codes, rows: Ids, distances: Floats) -> None:
    """Fill `distances` with those of the rows, one entry of the table for each sub-space."""
    entry, code = table.reshape(-1), codes.reshape(-1)
    for i in range(rows.size):
        at, entries = np.uint64(rows[i]) * np.uint64(codes.shape[1]), np.uint64(0)
        one = two = three = four = np.float32(0)
        for _ in range(np.uint64(len(table)) // np.uint64(TOGETHER)):
            one += entry[entries + np.uint64(code[at])]
            two += entry[entries + np.uint64(CENTROIDS) + np.uint64(code[at + np.uint64(1)])]
            three += entry[entries + np.uint64(2 * CENTROIDS) + np.uint64(code[at + np.uint64(2)])]
            four += entry[entries + np.uint64(3 * CENTROIDS) + np.uint64(code[at + np.uint64(3)])]
            entries += np.uint64(TOGETHER * CENTROIDS)
            at += np.uint64(TOGETHER)
        distances[i] = (one + two) + (three + four)


@njit()
def _tabulate(
    by_dimension: Floats, residual: Floats, limit: np.float32, table: Floats, least: Floats, most: Floats
) -> bool:
    """Fill a partition's table and return True, or False as soon as the least entries alone exceed the limit."""
    total = np.float32(0)
    for m in range(least.size):
        _add_squares(by_dimension, m, residual, table, least, most)
        total += least[m]
        if total > limit:
            return False
    return True


@njit(fastmath=FINITE)
def _round(table: Floats, least: Floats, scale: np.float32, steps: Codes) -> None:
    """Fill `steps` with how far each entry is above the least of its sub-space, rounded down."""
    for m in range(least.size):
        for c in range(CENTROIDS):
            steps[m, c] = np.uint8(np.int32((table[m, c] - least[m]) * scale))


@njit()
def _sum_one_by_one(codes: Codes, count: int, steps: Codes, begin: int, end: int, sums: Sums) -> None:
    """Fill `sums` with the sums of steps of the rows from `begin` to `end`."""
    sums[:] = 0
    for m in range(len(steps)):
        of_m, column = steps[m], codes[m * count + begin : m * count + end]
        for row in range(column.size):
            sums[row] += np.uint16(of_m[column[row]])


@njit()
def _sum_by_shuffles(codes: Codes, count: int, steps: Codes, begin: int, end: int, sums: Sums) -> None:
    """Do the same by vectors; the last block overlaps the one before."""
    for row in range(begin, end - BLOCK_ROWS, BLOCK_ROWS):
        _sum_block(codes, count, row, steps, sums, row - begin)
    _sum_block(codes, count, end - BLOCK_ROWS, steps, sums, end - BLOCK_ROWS - begin)


@njit()
def _picked(sums: Sums, own: Ids, begin: int, first: int) -> Sums:
    """The sums of the allowed rows, with room behind them; row `first` has the first of `sums`."""
    if np.int64(own[-1]) - np.int64(own[0]) == own.size - 1:
        return sums[begin:]
    picked = np.empty(own.size + VECTOR_ROWS, np.uint16)
    for place in range(own.size):
        picked[place] = sums[np.uint64(own[place]) - np.uint64(first)]
    return picked


@njit()
def _minima(sums: Sums, count: int) -> Sums:
    """The least of the sums of equal place in blocks."""
    minima = np.full(BLOCK_ROWS, LARGEST_SUM, np.uint16)
    for start in range(0, count, BLOCK_ROWS):
        block = sums[start : min(start + BLOCK_ROWS, count)]
        for row in range(block.size):
            minima[row] = min(minima[row], block[row])
    return minima


@njit()
def _kth(minima: Sums, k: int) -> int:
    """The k-th smallest, found bit by bit; the largest sum, if there are fewer."""
    found = 0
    for bit in range(15, -1, -1):
        limit, count = np.uint16(found + (1 << bit) - 1), 0
        for start in range(0, BLOCK_ROWS, VECTOR_ROWS):
            count += _count_bits(_at_most(minima, start, limit))
        if count < k:
            found += 1 << bit
    return found


@njit()
def _up_to(sums: Sums, own: Ids, limit: np.uint16) -> Ids:
    """Those of the allowed rows whose sums are at most the limit; there is room behind the sums."""
    found, count = np.empty(own.size, np.uint32), 0
    for start in range(0, own.size, VECTOR_ROWS):
        mask = _at_most(sums, start, limit)
        while mask:
            place = start + _lowest_bit(mask)
            if place < own.size:
                found[count] = own[place]
                count += 1
            mask &= mask - np.uint64(1)
    return found[:count]


@njit()
def _keep_nearest(rows: Ids, distances: Floats, heap: Floats, ids: Ids, kept: int) -> int:
    """Take rows into the heap, which holds `kept` rows; return how many it holds then."""
    for i in range(rows.size):
        distance = distances[i]
        if not -LARGEST <= distance < LARGEST:
            continue
        if kept < heap.size:
            heap[kept], ids[kept] = distance, rows[i]
            _rise(heap, ids, kept)
            kept += 1
        elif heap[0] > distance:
            _remove_root(heap, ids)
            heap[kept - 1], ids[kept - 1] = distance, rows[i]
            _rise(heap, ids, kept - 1)
    return kept


@njit()
def _rise(heap: Floats, ids: Ids, at: int) -> None:
    while at > 0 and heap[at] > heap[(at - 1) // 2]:
        above = (at - 1) // 2
        heap[at], heap[above] = heap[above], heap[at]
        ids[at], ids[above] = ids[above], ids[at]
        at = above


@njit()
def _remove_root(heap: Floats, ids: Ids) -> None:
    """Leave the last place free, by the steps of Rust's BinaryHeap: they decide which of equals goes."""
    last = ids.size - 1
    heap[0], ids[0] = heap[last], ids[last]
    at, below = 0, 1
    while below < last:
        if below + 1 < last and heap[below] <= heap[below + 1]:
            below += 1
        heap[at], heap[below] = heap[below], heap[at]
        ids[at], ids[below] = ids[below], ids[at]
        at, below = below, 2 * below + 1
    _rise(heap, ids, at)


@njit()
def _sort(distances: Floats, ids: Ids) -> None:
    for end in range(1, ids.size):
        at = end
        while at > 0 and (distances[at], ids[at]) < (distances[at - 1], ids[at - 1]):
            distances[at], distances[at - 1] = distances[at - 1], distances[at]
            ids[at], ids[at - 1] = ids[at - 1], ids[at]
            at -= 1


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
    """Build a loop of `count` turns, at least one, over sums that begin as `firsts`; return what they become.

    `step` gets the number of the turn and the sums, and returns the next ones.
    """
    before, loop = builder.block, builder.append_basic_block("loop")
    builder.branch(loop)
    builder.position_at_end(loop)
    turn, sums = builder.phi(PLACE), [builder.phi(first.type) for first in firsts]
    following = step(turn, sums)
    next_turn, end = builder.add(turn, PLACE(1)), builder.block
    turn.add_incoming(PLACE(0), before)
    turn.add_incoming(next_turn, end)
    for total, first, value in zip(sums, firsts, following, strict=True):
        total.add_incoming(first, before)
        total.add_incoming(value, end)
    after = builder.append_basic_block("after")
    builder.cbranch(builder.icmp_signed("<", next_turn, count), loop, after)
    builder.position_at_end(after)
    return following


@intrinsic  # type: ignore[untyped-decorator]  # numba is not typed
def _add_squares(typingctx: Any, books: Any, m: Any, query: Any, table: Any, least: Any, most: Any) -> Any:
    """Fill table[m] with the squared distances of a part of the query from all centroids, in 16 vectors.

    And least[m] and most[m] with the smallest and the largest of them.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def pointer(array: int, place: Any, vector: Any) -> Any:
            return _pointer(context, builder, signature.args[array], arguments[array], place, vector)

        shape = context.make_array(signature.args[0])(context, builder, arguments[0]).shape
        length = builder.extract_value(shape, 1)
        of_query = context.make_array(signature.args[2])(context, builder, arguments[2]).shape
        width = builder.extract_value(of_query, 1)

        def step(turn: Any, sums: list[Any]) -> list[Any]:
            part = builder.add(builder.mul(arguments[1], width), turn)
            value = _repeated(builder, builder.load(pointer(2, part, FLOAT)), FLOATS)
            dimension = builder.add(builder.mul(arguments[1], length), turn)
            following = []
            for vector, total in enumerate(sums):
                place = builder.add(builder.mul(dimension, PLACE(CENTROIDS)), PLACE(vector * FLOATS.count))
                difference = builder.fsub(value, builder.load(pointer(0, place, FLOATS), align=4))
                square = builder.fmul(difference, difference, flags=("contract",))
                following.append(builder.fadd(total, square, flags=("contract",)))
            return following

        zero = ir.Constant(FLOATS, [0.0] * FLOATS.count)
        squares = _summed(builder, length, [zero] * (CENTROIDS // FLOATS.count), step)
        smallest, largest = squares[0], squares[0]
        for vector, values in enumerate(squares):
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

    return types.void(books, m, query, table, least, most), codegen


def _differences_with(lanes: int) -> Any:
    """Return the function that adds up a row's squares so many dimensions at a time."""
    vector = ir.VectorType(FLOAT, lanes)

    @intrinsic  # type: ignore[untyped-decorator]
    def add(
        typingctx: Any, books: Any, rows: Any, row: Any, residual: Any, first: Any, count: Any, part: Any
    ) -> Any:
        """The squares of `count` sub-spaces from `first` on, of the dimensions from `part` on."""

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            def pointer(array: int, place: Any, kind: Any) -> Any:
                return _pointer(context, builder, signature.args[array], arguments[array], place, kind)

            def extent(array: int, axis: int) -> Any:
                shape = context.make_array(signature.args[array])(context, builder, arguments[array]).shape
                return builder.extract_value(shape, axis)

            width, begin = extent(0, 2), builder.mul(arguments[2], extent(1, 1))

            def step(turn: Any, sums: list[Any]) -> list[Any]:
                following = []
                for within, total in enumerate(sums):
                    m = builder.add(builder.add(arguments[4], builder.mul(turn, PLACE(TOGETHER))), PLACE(within))
                    code = builder.load(pointer(1, builder.add(begin, m), ir.IntType(8)))
                    centroid = builder.add(builder.mul(m, PLACE(CENTROIDS)), builder.zext(code, PLACE))
                    book = builder.add(builder.mul(centroid, width), arguments[6])
                    place = builder.add(builder.mul(m, width), arguments[6])
                    values = builder.load(pointer(3, place, vector), align=4)
                    difference = builder.fsub(values, builder.load(pointer(0, book, vector), align=4))
                    square = builder.fmul(difference, difference, flags=("contract",))
                    following.append(builder.fadd(total, square, flags=("contract",)))
                return following

            zero = ir.Constant(vector, [0.0] * lanes)
            turns = builder.udiv(arguments[5], PLACE(TOGETHER))
            one, two, three, four = _summed(builder, turns, [zero] * TOGETHER, step)
            total = builder.fadd(builder.fadd(one, two), builder.fadd(three, four))
            kind = ir.FunctionType(FLOAT, [FLOAT, vector])
            if lanes == 8:
                reduce = builder.module.declare_intrinsic("llvm.vector.reduce.fadd.v8f32", (), kind)
            else:
                reduce = builder.module.declare_intrinsic("llvm.vector.reduce.fadd.v16f32", (), kind)
            return builder.call(reduce, [ir.Constant(FLOAT, 0.0), total], fastmath=("reassoc",))

        return types.float32(books, rows, types.int64, residual, types.int64, types.int64, types.int64), codegen

    return add


_add_differences_of_8, _add_differences_of_16 = _differences_with(8), _differences_with(16)


@intrinsic  # type: ignore[untyped-decorator]
def _sum_block(typingctx: Any, codes: Any, count: Any, row: Any, steps: Any, sums: Any, at: Any) -> Any:
    """Sum the steps of 256 rows from `row` on, of the `count` of a partition, into sums[at : at + 256].

    A sum of two neighbours, the second times 256, is kept with that of the second one alone, from which both
    follow.
    """
    order = {
        "first": [row // 2 + row % 2 * WORDS.count for row in range(WORDS.count)],
        "last": [row // 2 + row % 2 * WORDS.count for row in range(WORDS.count, 2 * WORDS.count)],
    }

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def pointer(array: int, place: Any, vector: Any) -> Any:
            return _pointer(context, builder, signature.args[array], arguments[array], place, vector)

        def picked(one: Any, other: Any, which: str) -> Any:
            return builder.shuffle_vector(one, other, ir.Constant(WORD_ORDER, list(order[which])))

        eight = ir.Constant(WORDS, [8] * WORDS.count)
        shape = context.make_array(signature.args[3])(context, builder, arguments[3]).shape
        zeros = [ir.Constant(WORDS, [0] * WORDS.count)] * (2 * VECTORS)

        def step(turn: Any, sums: list[Any]) -> list[Any]:
            entries = builder.mul(turn, PLACE(CENTROIDS))
            quarters = [
                builder.load(pointer(3, builder.add(entries, PLACE(BYTES.count * quarter)), BYTES), align=1)
                for quarter in range(CENTROIDS // BYTES.count)
            ]
            begin = builder.add(builder.mul(turn, arguments[1]), arguments[2])
            following = []
            for vector in range(VECTORS):
                place = builder.add(begin, PLACE(vector * VECTOR_ROWS))
                codes = builder.load(pointer(0, place, BYTES), align=1)
                found = builder.bitcast(_looked_up(builder, quarters, codes), WORDS)
                following.append(builder.add(sums[2 * vector], found))
                following.append(builder.add(sums[2 * vector + 1], builder.lshr(found, eight)))
            return following

        totals = _summed(builder, builder.extract_value(shape, 0), zeros, step)
        for vector in range(VECTORS):
            both, odd = totals[2 * vector : 2 * vector + 2]
            even = builder.sub(both, builder.shl(odd, eight))
            for half, which in enumerate(("first", "last")):
                place = builder.add(arguments[5], PLACE(vector * VECTOR_ROWS + half * WORDS.count))
                builder.store(picked(even, odd, which), pointer(4, place, WORDS), align=2)
        return context.get_dummy_value()

    return types.void(codes, types.int64, types.int64, steps, sums, types.int64), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _least_sums(typingctx: Any, table: Any, rows: Any, first: Any, end: Any, least: Any) -> Any:
    """Lower `least` to the sums of entries, vectors of a few, of the rows from `first` to `end`, at least one."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def pointer(array: int, place: Any, kind: Any) -> Any:
            return _pointer(context, builder, signature.args[array], arguments[array], place, kind)

        vector = ir.VectorType(FLOAT, LANES)
        shape = context.make_array(signature.args[1])(context, builder, arguments[1]).shape
        sub_vectors = builder.extract_value(shape, 1)

        def lower(turn: Any, minima: list[Any]) -> list[Any]:
            begin = builder.mul(builder.add(arguments[2], turn), sub_vectors)

            def step(m: Any, sums: list[Any]) -> list[Any]:
                code = builder.load(pointer(1, builder.add(begin, m), ir.IntType(8)))
                entry = builder.add(builder.mul(m, PLACE(CENTROIDS)), builder.zext(code, PLACE))
                place = builder.mul(entry, PLACE(LANES))
                return [builder.fadd(sums[0], builder.load(pointer(0, place, vector), align=4))]

            (total,) = _summed(builder, sub_vectors, [ir.Constant(vector, [0.0] * LANES)], step)
            return [builder.select(builder.fcmp_ordered("<", total, minima[0]), total, minima[0])]

        firsts = [builder.load(pointer(4, PLACE(0), vector), align=4)]
        (lowest,) = _summed(builder, builder.sub(arguments[3], arguments[2]), firsts, lower)
        builder.store(lowest, pointer(4, PLACE(0), vector), align=4)
        return context.get_dummy_value()

    return types.void(table, rows, types.int64, types.int64, least), codegen


def _looked_up(builder: Any, quarters: list[Any], codes: Any) -> Any:
    """What 64 codes name in a table of 256 bytes: in its lower half, or where the highest bit is set in its
    upper."""
    kind = ir.FunctionType(BYTES, [BYTES, BYTES, BYTES])
    shuffle = builder.module.declare_intrinsic("llvm.x86.avx512.vpermi2var.qi.512", (), kind)
    low = builder.call(shuffle, [quarters[0], codes, quarters[1]])
    high = builder.call(shuffle, [quarters[2], codes, quarters[3]])
    return builder.select(builder.icmp_signed("<", codes, ir.Constant(BYTES, [0] * BYTES.count)), high, low)


@intrinsic  # type: ignore[untyped-decorator]
def _at_most(typingctx: Any, sums: Any, start: Any, limit: Any) -> Any:
    """Which of sums[start : start + 64] are at most `limit`, a bit for each."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = ir.VectorType(ir.IntType(16), VECTOR_ROWS)
        place = _pointer(context, builder, signature.args[0], arguments[0], arguments[1], vector)
        limits = _repeated(builder, arguments[2], vector)
        return builder.bitcast(builder.icmp_unsigned("<=", builder.load(place, align=2), limits), PLACE)

    return types.uint64(sums, types.int64, types.uint16), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _lowest_bit(typingctx: Any, mask: Any) -> Any:
    """The place of the lowest bit of a mask that is not 0."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.IntType(1)(1))

    return types.int64(types.uint64), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _count_bits(typingctx: Any, mask: Any) -> Any:
    """How many bits of a mask are set."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

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
