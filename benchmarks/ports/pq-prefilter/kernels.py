"""Nearest of the rows that a filter allows, over product-quantised partitions. The file that an agent edits.

A port of what Lance 14.0.2 runs for one query with a prefilter and the IVF partitions that it probes, squared L2
on 8-bit PQ codes, bit for bit on a processor with fused multiply-add: the residual of `preprocess_query`
(rust/lance/src/index/vector/ivf/v2.rs), `build_distance_table_l2` (rust/lance-index/src/vector/pq/distance.rs)
with the squared distance of rust/lance-linalg/src/distance/l2.rs, `PQDistCalculator::distance`
(rust/lance-index/src/vector/pq/storage.rs), which reads one code in each of M columns for every allowed row, and
`accumulate_filtered_topk_with_scratch` (rust/lance-index/src/vector/storage.rs), with the heap that a query has
for all of its partitions.

One layout is not Lance's. Lance adds up a table entry in the lanes of one register, from a codebook that holds
one centroid after the other; numba would do that four times as slowly. So the centroids of a sub-space lie side
by side here, dimension by dimension: the same sums in the same order, and about the time that Lance needs.

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

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Codes = NDArray[np.uint8]
    Floats = NDArray[np.float32]
    Ids = NDArray[np.uint32]

SHORT = 16  # sub-vectors of so many dimensions or fewer are summed in 8 lanes, longer ones in 16
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

    def __init__(self, codebook: Floats, codes: Codes, offsets: NDArray[np.int64], centroids: Floats) -> None:
        self._by_dimension = np.ascontiguousarray(codebook.transpose(0, 2, 1))
        self._codes = codes
        self._offsets = offsets
        self._centroids = centroids

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
        return _top_k(self._by_dimension, self._codes, self._offsets, self._centroids, query, allowed, k)


@njit()
def _top_k(
    by_dimension: Floats,
    codes: Codes,
    offsets: NDArray[np.int64],
    centroids: Floats,
    query: Floats,
    allowed: Ids,
    k: int,
) -> tuple[Ids, Floats]:
    """Search one partition after the other, with one heap for all of them."""
    sub_vectors = len(by_dimension)
    heap = np.empty(min(k, allowed.size), np.float32)  # a max-heap: heap[0] is the farthest of the rows kept
    ids = np.empty(min(k, allowed.size), np.uint32)
    kept = 0
    start = 0
    for p in range(offsets.size - 1):
        first, end = offsets[p], offsets[p + 1]
        table = _build_table(by_dimension, query - centroids[p])
        block = codes[first * sub_vectors : end * sub_vectors].reshape(sub_vectors, end - first)
        stop = start + np.searchsorted(allowed[start:], end)
        kept = _keep_nearest(block, table, first, allowed[start:stop], heap, ids, kept)
        start = stop
    _sort(heap[:kept], ids[:kept])
    return ids[:kept], heap[:kept]


@njit()
def _build_table(by_dimension: Floats, residual: Floats) -> Floats:
    """Return the squared distances in every sub-space, float32 (M, 256), summed in Lance's order.

    That is: in lanes over the whole blocks of dimensions, and apart from them, in sequence, over the rest.
    """
    sub_vectors, length, centroids = by_dimension.shape
    table = np.empty((sub_vectors, centroids), np.float32)
    lanes = np.empty((8 if length <= SHORT else 16, centroids), np.float32)
    whole = length // len(lanes) * len(lanes)
    for m in range(sub_vectors):
        part = residual[m * length : (m + 1) * length]
        _sum_rest(by_dimension[m, whole:], part[whole:], table[m])
        _sum_in_lanes(by_dimension[m, :whole], part[:whole], lanes)
        if len(lanes) == 8:
            _add_8_lanes(lanes, table[m])
        else:
            _add_16_lanes(lanes, table[m])
    return table


@njit()
def _sum_rest(dimensions: Floats, part: Floats, sums: Floats) -> None:
    sums[:] = 0
    for d in range(part.size):
        for c in range(sums.size):
            difference = part[d] - dimensions[d, c]
            sums[c] += difference * difference


@njit(fastmath={"contract"})  # a square and its addition are one operation, rounded once
def _sum_in_lanes(dimensions: Floats, part: Floats, lanes: Floats) -> None:
    lanes[:] = 0
    for d in range(part.size):
        lane = lanes[d % len(lanes)]
        for c in range(lane.size):
            difference = part[d] - dimensions[d, c]
            lane[c] += difference * difference


@njit()  # without "contract": every sum is rounded
def _add_8_lanes(lanes: Floats, sums: Floats) -> None:
    for c in range(sums.size):
        even = (lanes[0, c] + lanes[4, c]) + (lanes[2, c] + lanes[6, c])
        sums[c] += even + ((lanes[1, c] + lanes[5, c]) + (lanes[3, c] + lanes[7, c]))


@njit()
def _add_16_lanes(lanes: Floats, sums: Floats) -> None:
    for c in range(sums.size):
        of_lanes = np.float32(0)
        for lane in range(16):
            of_lanes += lanes[lane, c]
        sums[c] += of_lanes


@njit()
def _distance(block: Codes, table: Floats, row: int) -> np.float32:
    """Add one entry of the table for each sub-space; the codes of a row are as far apart as a column is long."""
    distance = np.float32(0)
    for m in range(len(table)):
        distance += table[m, block[m, row]]
    return distance


@njit()
def _keep_nearest(block: Codes, table: Floats, first: int, allowed: Ids, heap: Floats, ids: Ids, kept: int) -> int:
    """Take a partition's allowed rows into the heap, which holds `kept` rows; return how many it holds then."""
    for row in allowed:
        distance = _distance(block, table, row - first)
        if not -LARGEST <= distance < LARGEST:
            continue
        if kept < heap.size:
            heap[kept], ids[kept] = distance, row
            _rise(heap, ids, kept)
            kept += 1
        elif heap[0] > distance:
            _remove_root(heap, ids)
            heap[kept - 1], ids[kept - 1] = distance, row
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
