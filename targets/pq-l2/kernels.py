"""Squared-L2 distances over product-quantised rows: table build, scan, top-k. The file that an agent edits.

Finds what Lance 1.0.0 finds for one query and one IVF partition of 8-bit PQ codes, `build_distance_table_l2` and
`compute_pq_distance` (rust/lance-index/src/vector/pq/distance.rs) and the heap of `FlatIndex::search`
(rust/lance-index/src/vector/flat/index.rs), in another way: it was found in the night that docs/nights/pq-l2.md
tells of, and was more than twice as fast there as the port of Lance's way, which is
benchmarks/ports/pq-l2/kernels.py. Distances are summed in another order than Lance's, so their last bits differ;
of rows at the same distance any may be returned, in any order.

Stays: `PqKernel(codebook, codes)`, `distance_table(query, out)` and `probe_top_k(table, k)`, with the dtypes,
shapes and order of results that their docstrings give.

CAN: keep any layout of the codebook and the codes that `__init__` derives; change the order of summation;
use fastmath, blocking, another selection, scratch memory; hand work from `distance_table` to the
`probe_top_k` of the same call.
CANNOT: keep anything that depends on a call's arguments for a later call; start threads or processes; use
float16; import anything but numba, numpy and the mathematics of the standard library.

Why it is fast:

- The table is built for many centroids at once. The codebook is stored as (M, sd, 256), so that the 256 centroids
  of a sub-space lie side by side, and four dimensions are added in one pass over them.
- Rows are compared by whole numbers, which a processor loads and adds faster than float32. The table is turned
  into steps, uint32, so small that no row's sum reaches 2**31. A sum is off by one step for each sub-space and by
  the rounding of the scale, and by no more. So the k-th smallest sum, with that much slack, is a limit: no row
  above it is among the k nearest. The few rows at or below it are summed again in float32, from the table itself,
  and these sums are the distances that are returned.
- The sums are seldom read and written. A plane holds the codes of four sub-spaces, one word for each row. Each
  pass over the rows adds four planes, all of them from one flat table; the first pass writes instead of adding.
- The k nearest are found without a heap. The rows form 256 groups, each of every 256th row. The k-th smallest of
  the groups' least sums is not below the k-th smallest of all sums. So only the groups whose least sum is at or
  below it, hardly more than k, are looked into. (For a k above 256, and for fewer than 256 rows, every row is
  summed in float32.)
- From 25 sub-spaces and 4,096 rows on, rows are given up early. The planes whose terms spread farthest are added
  first. From time to time a few promising rows are summed in full, and the k-th smallest of their sums is a bound:
  a row is too far if its sum so far, with the least that the planes to come can add, exceeds it. Once few rows are
  left they are written to a list, which gets shorter after every two planes. With fewer sub-spaces or rows, adding
  all of them is quicker.
- Indices are unsigned. For signed ones numba allows for negative values, which keeps LLVM from vectorising.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import int32, njit, uint32, uint64

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Ids = NDArray[np.uint32]
    Words = NDArray[np.uint32]  # codes, four to a word, or steps, or sums of steps
    Order = NDArray[np.int64]

GROUPS = 256  # of rows, whose least sums are compared; row i is in group i % GROUPS
MANY = 8  # from so many planes on, rows are given up early
PACE = 4  # planes per pass, and between two looks at how many rows are left


class PqKernel:
    """Top-k search in one partition of `n` rows.

    Parameters
    ----------
    codebook : float32, shape (M, 256, sd), C-contiguous
        The centroids of each of the M sub-spaces; sd dimensions each.
    codes : uint8, shape (M, n), C-contiguous
        Column m holds, for every row, its centroid in sub-space m.
    """

    def __init__(self, codebook: Floats, codes: NDArray[np.uint8]) -> None:
        self._by_dimension = np.ascontiguousarray(codebook.transpose(0, 2, 1))
        self._planes = _in_planes(codes)

    def distance_table(self, query: Floats, out: Floats) -> None:
        """Fill `out`, float32 (M, 256), with the squared distances of `query`, float32 (M * sd,)."""
        _build_table(self._by_dimension, query, out)

    def probe_top_k(self, table: Floats, k: int) -> tuple[Ids, Floats]:
        """Return the ids, uint32 (min(k, n),), of the k >= 1 nearest rows and their distances, float32.

        Ascending by distance; rows at the same distance are in no order. `table` is what `distance_table` wrote
        last.
        """
        return _search(self._planes, table, k)


@njit()
def _in_planes(codes: NDArray[np.uint8]) -> Words:
    """Return the codes as (planes, n), four sub-spaces to a plane; zeros fill up the last pair of planes."""
    sub_vectors, rows = codes.shape
    planes = np.zeros((-(-sub_vectors // 8) * 2, rows), np.uint32)
    for m in range(sub_vectors):
        column, plane, shift = codes[m], planes[m // 4], uint32(8 * (m % 4))
        for row in range(rows):
            plane[row] |= uint32(column[row]) << shift
    return planes


@njit(fastmath=True)
def _build_table(by_dimension: Floats, query: Floats, out: Floats) -> None:
    """Add four dimensions per pass over the centroids, then those that are left one by one."""
    sub_vectors, length, centroids = by_dimension.shape
    books, terms = by_dimension.ravel(), out.ravel()
    at, to, d = uint64(0), uint64(0), uint64(0)
    for _ in range(sub_vectors):
        for c in range(centroids):
            terms[to + uint64(c)] = 0
        for _ in range(length // 4):
            q0, q1, q2, q3 = query[d], query[d + uint64(1)], query[d + uint64(2)], query[d + uint64(3)]
            for c in range(centroids):
                here = at + uint64(c)
                d0, d1 = q0 - books[here], q1 - books[here + uint64(256)]
                d2, d3 = q2 - books[here + uint64(512)], q3 - books[here + uint64(768)]
                terms[to + uint64(c)] += (d0 * d0 + d1 * d1) + (d2 * d2 + d3 * d3)
            at += uint64(1024)
            d += uint64(4)
        for _ in range(length % 4):
            for c in range(centroids):
                difference = query[d] - books[at + uint64(c)]
                terms[to + uint64(c)] += difference * difference
            at += uint64(256)
            d += uint64(1)
        to += uint64(256)


@njit()
def _search(planes: Words, table: Floats, k: int) -> tuple[Ids, Floats]:
    count, rows = planes.shape
    codes, terms, sub_vectors = planes.ravel(), table.ravel(), len(table)
    steps = _in_steps(terms, sub_vectors, count)
    sums = np.empty(rows, np.uint32)
    if count >= MANY and rows >= 16 * GROUPS and k <= GROUPS:
        near = _scan_and_give_up(codes, count, steps, sums, sub_vectors, k)
    else:
        _scan(codes, count, steps, sums)
        near = _near(sums, sub_vectors, k)
    distances = np.empty(near.size, np.float32)
    for place in range(near.size):
        distances[place] = _distance(codes, near[place], rows, sub_vectors, terms)
    bits = distances.view(np.uint32)  # of numbers >= 0, which have the same order
    nearest = _ascending(bits)
    found = min(k, near.size)
    ids, found_bits = np.empty(found, np.uint32), np.empty(found, np.uint32)
    for place in range(found):
        ids[place], found_bits[place] = near[nearest[place]], bits[nearest[place]]
    return ids, found_bits.view(np.float32)


@njit()
def _ascending(values: Words) -> Order:
    """Return the places of the values in ascending order, by heap sort: argsort compiles for seconds."""
    order = np.arange(values.size)
    for root in range(values.size // 2 - 1, -1, -1):
        _sift_down(values, order, root, values.size)
    for end in range(values.size - 1, 0, -1):
        order[0], order[end] = order[end], order[0]
        _sift_down(values, order, np.int64(0), end)
    return order


@njit()
def _sift_down(values: Words, order: Order, root: int, end: int) -> None:
    """Let the place at `root` sink until no value below it in the heap, which ends before `end`, is larger."""
    place = order[root]
    while 2 * root + 1 < end:
        child = 2 * root + 1
        if child + 1 < end and values[order[child + 1]] > values[order[child]]:
            child += 1
        if values[order[child]] <= values[place]:
            break
        order[root] = order[child]
        root = child
    order[root] = place


@njit(fastmath=True)
def _in_steps(terms: Floats, sub_vectors: int, count: int) -> Words:
    """Return the table in whole steps, none of them rounded up, for as many sub-spaces as `count` planes have."""
    largest = _largest(terms)
    scale = np.float32(0)
    if largest > 0:
        scale = np.float32(min(2.0**31 / (1.001 * sub_vectors * largest), 2.0**120))
    steps = np.empty(1024 * count, np.uint32)
    for i in range(terms.size):
        steps[i] = np.int32(terms[i] * scale)
    steps[terms.size :] = 0
    return steps


@njit()
def _largest(terms: Floats) -> np.float32:
    """Return the largest of numbers >= 0. Their bits have the same order, and LLVM has vectors for those."""
    bits = terms.view(np.int32)
    most = int32(0)
    for i in range(bits.size):
        most = max(most, bits[i])
    largest = np.empty(1, np.int32)
    largest[0] = most
    return largest.view(np.float32)[0]


@njit()
def _with_slack(limit: int, sub_vectors: int) -> int:
    """Return the largest sum of a row that may be as near as one with the sum `limit`."""
    return uint64(limit) + uint64(sub_vectors + 1) + (uint64(limit) >> uint64(21))


@njit()
def _scan(codes: Words, count: int, steps: Words, sums: Words) -> None:
    order, done = np.arange(count), np.int64(0)
    while done < count:
        done = _add(codes, order, done, steps, sums)


@njit()
def _add(codes: Words, order: Order, done: int, steps: Words, sums: Words) -> int:
    """Add the next four planes, or the last two, the first by writing; return how many are then done."""
    if order.size - done < PACE:
        if done == 0:
            _set_two(codes, order[0], order[1], steps, sums)
        else:
            _add_two(codes, order[done], order[done + 1], steps, sums)
        return done + 2
    if done == 0:
        _set_four(codes, order[0], order[1], order[2], order[3], steps, sums)
    else:
        _add_four(codes, order[done], order[done + 1], order[done + 2], order[done + 3], steps, sums)
    return done + 4


@njit()
def _set_two(codes: Words, a: int, b: int, steps: Words, sums: Words) -> None:
    rows = uint64(sums.size)
    for row in range(sums.size):
        sums[row] = _pair(codes, a, b, rows, row, steps)


@njit()
def _add_two(codes: Words, a: int, b: int, steps: Words, sums: Words) -> None:
    rows = uint64(sums.size)
    for row in range(sums.size):
        sums[row] += _pair(codes, a, b, rows, row, steps)


@njit()
def _set_four(codes: Words, a: int, b: int, c: int, d: int, steps: Words, sums: Words) -> None:
    rows = uint64(sums.size)
    for row in range(sums.size):
        sums[row] = _pair(codes, a, b, rows, row, steps) + _pair(codes, c, d, rows, row, steps)


@njit()
def _add_four(codes: Words, a: int, b: int, c: int, d: int, steps: Words, sums: Words) -> None:
    rows = uint64(sums.size)
    for row in range(sums.size):
        sums[row] += _pair(codes, a, b, rows, row, steps) + _pair(codes, c, d, rows, row, steps)


@njit(inline="always")
def _pair(codes: Words, a: int, b: int, rows: int, row: int, steps: Words) -> int:
    """Return the steps of a row's codes in two planes."""
    return _plane(codes, a, rows, row, steps) + _plane(codes, b, rows, row, steps)


@njit(inline="always")
def _plane(codes: Words, plane: int, rows: int, row: int, table: NDArray[Any]) -> Any:
    """Return the sum of the four entries of a table, of steps or of terms, that a row's codes in a plane name."""
    word = uint64(codes[uint64(plane) * rows + uint64(row)])
    first = uint64(plane) * uint64(1024)
    return (
        table[first + (word & uint64(255))]
        + table[first + uint64(256) + (word >> uint64(8) & uint64(255))]
        + table[first + uint64(512) + (word >> uint64(16) & uint64(255))]
        + table[first + uint64(768) + (word >> uint64(24))]
    )


@njit()
def _distance(codes: Words, row: int, rows: int, sub_vectors: int, terms: Floats) -> np.float32:
    total = np.float32(0)
    for plane in range(sub_vectors // 4):
        total += _plane(codes, plane, uint64(rows), row, terms)
    for m in range(sub_vectors // 4 * 4, sub_vectors):
        word = uint64(codes[uint64(m // 4) * uint64(rows) + uint64(row)])
        total += terms[uint64(256 * m) + (word >> uint64(8 * (m % 4)) & uint64(255))]
    return total


@njit()
def _near(sums: Words, sub_vectors: int, k: int) -> Ids:
    """Return the rows that may be among the k nearest; `sums` are complete."""
    rows = sums.size
    if k > GROUPS or rows < GROUPS:
        return np.arange(rows, dtype=np.uint32)
    least = _least_of_groups(sums, np.int64(1))
    limit = _with_slack(_kth(least, k), sub_vectors)
    near, count = np.empty(rows, np.uint32), 0
    for group in range(GROUPS):
        if least[group] <= limit:
            for row in range(group, rows, GROUPS):
                if sums[row] <= limit:
                    near[count] = row
                    count += 1
    return near[:count]


@njit()
def _least_of_groups(sums: Words, stride: int) -> Words:
    """Return the least sum of each group, counting every `stride`-th of its rows."""
    least = sums[:GROUPS].copy()
    for first in range(stride * GROUPS, sums.size, stride * GROUPS):
        for group in range(min(GROUPS, sums.size - first)):
            least[group] = min(least[group], sums[uint64(first) + uint64(group)])
    return least


@njit()
def _kth(values: Words, k: int) -> int:
    """Return the k-th smallest of at least k values."""
    smallest = np.empty(k, np.uint32)
    for i in range(values.size):
        _insert(values[i], smallest, i)
    return smallest[k - 1]


@njit(inline="always")
def _insert(value: int, smallest: Words, count: int) -> None:
    """Sort a value in among the smallest of the `count` values before it."""
    size = smallest.size
    if count < size or value < smallest[size - 1]:
        at = min(count, size - 1)
        while at > 0 and smallest[at - 1] > value:
            smallest[at] = smallest[at - 1]
            at -= 1
        smallest[at] = value


@njit()
def _scan_and_give_up(codes: Words, count: int, steps: Words, sums: Words, sub_vectors: int, k: int) -> Ids:
    """Add planes for all rows until few rows are left, then for those; return what may be among the k nearest."""
    order, to_come = _order(steps, count)
    done, look = np.int64(0), PACE
    while done < count:
        done = _add(codes, order, done, steps, sums)
        left = count - done
        if done == look and left >= 2:
            look += PACE
            bound = _bound(codes, order, done, steps, sums, k, np.int64(4), max(k, 24))
            near = _near_in_sample(sums, _cut(bound, to_come[done], sub_vectors))
            sample = sums.size // 64 * 8
            if sample + left * near < left * sample:  # writing the list costs about as much as a plane
                bound = _bound(codes, order, done, steps, sums, k, np.int64(1), max(k, 64))
                return _finish(codes, order, to_come, done, steps, sums, sub_vectors, bound, k)
            if near > 0.99 * sample:
                look += PACE
    return _near(sums, sub_vectors, k)


@njit()
def _order(steps: Words, count: int) -> tuple[Order, Order]:
    """Return the planes, those first whose steps spread farthest above their least, and the least sums to come."""
    least, closeness = np.zeros(count, np.int64), np.full(count, 0xFFFFFFFF, np.uint32)
    for m in range(4 * count):
        smallest, total = _least_and_total(steps, uint64(256 * m), 256)
        least[m // 4] += smallest
        closeness[m // 4] -= uint32(total // 256 - smallest)
    order = _ascending(closeness)
    to_come = np.zeros(count + 1, np.int64)
    for i in range(count - 1, -1, -1):
        to_come[i] = to_come[i + 1] + least[order[i]]
    return order, to_come


@njit()
def _least_and_total(steps: Words, first: int, size: int) -> tuple[int, int]:
    smallest, total = uint32(0xFFFFFFFF), uint64(0)
    for c in range(size):
        smallest = min(smallest, steps[first + uint64(c)])
        total += uint64(steps[first + uint64(c)])
    return np.int64(smallest), np.int64(total)


@njit()
def _bound(
    codes: Words, order: Order, done: int, steps: Words, sums: Words, k: int, stride: int, tried: int
) -> int:
    """Return the k-th smallest complete sum of about `tried` rows whose sums so far are small."""
    least = _least_of_groups(sums, stride)
    limit = _kth(least, tried)
    best = np.empty(k, np.uint32)
    count = 0
    for group in range(GROUPS):
        if least[group] <= limit:
            row = uint64(group)
            while sums[row] != least[group]:
                row += uint64(stride * GROUPS)
            total = uint64(sums[row])
            for i in range(done, order.size):
                total += _plane(codes, order[i], uint64(sums.size), row, steps)
            _insert(uint32(total), best, count)
            count += 1
    return best[k - 1]


@njit()
def _cut(bound: int, to_come: int, sub_vectors: int) -> int:
    """Return the largest sum so far of a row that may be at or below the bound when the rest has come."""
    return uint32(max(np.int64(_with_slack(bound, sub_vectors)) - to_come, 0))


@njit()
def _near_in_sample(sums: Words, cut: int) -> int:
    """Return how many rows are at or below `cut`, of eight runs of rows that are an eighth of all."""
    near = np.int32(0)
    size = sums.size // 64
    for run in range(8):
        first = uint64(8 * size * run)
        for row in range(size):
            near += np.int32(1) if sums[first + uint64(row)] <= cut else np.int32(0)
    return near


@njit()
def _finish(
    codes: Words,
    order: Order,
    to_come: Order,
    done: int,
    steps: Words,
    sums: Words,
    sub_vectors: int,
    bound: int,
    k: int,
) -> Ids:
    """Add the planes to come for the rows that are left, giving up more rows after every two.

    The sums of the rows that are left move to the front of `sums`. Every row is written to the list, whose end
    moves on only with those that stay: the processor would guess a decision for each wrong too often.
    """
    rows = sums.size
    near = np.empty(rows, np.uint32)
    left = uint64(0)
    cut = _cut(bound, to_come[done], sub_vectors)
    for row in range(rows):
        total = sums[row]
        sums[left], near[left] = total, row
        left += uint64(total <= cut)
    for i in range(done, order.size, 2):
        cut = _cut(bound, to_come[i + 2], sub_vectors)
        a, b = order[i], order[i + 1]
        before, left = left, uint64(0)
        for place in range(before):
            row = near[uint64(place)]
            total = uint32(sums[uint64(place)] + _pair(codes, a, b, uint64(rows), row, steps))
            sums[left], near[left] = total, row
            left += uint64(total <= cut)
    limit, kept = _with_slack(_kth(sums[:left], k), sub_vectors), 0
    for place in range(left):
        near[kept] = near[uint64(place)]
        kept += 1 if sums[uint64(place)] <= limit else 0
    return near[:kept]
