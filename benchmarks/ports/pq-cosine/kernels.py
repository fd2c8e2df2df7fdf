"""Cosine search over product-quantised rows: query to table, scan, top-k. The file that an agent edits.

A port of what Lance 14.0.2 runs for one query and the IVF partitions that it probes, 8-bit PQ codes, bit for bit
on a processor with fused multiply-add: `normalize` (rust/lance-linalg/src/kernels.rs), the residual of
`preprocess_query` (rust/lance/src/index/vector/ivf/v2.rs), `build_distance_table_l2` and `compute_pq_distance`
(rust/lance-index/src/vector/pq/distance.rs), the squared distance (rust/lance-linalg/src/distance/l2.rs) and the
heap that a query has for all of its partitions (rust/lance-index/src/vector/flat/index.rs).

Stays: `PqCosineKernel(codebook, codes, offsets, centroids)` and `top_k(query, k)`, with the dtypes, shapes and
order of results that their docstrings give.

CAN: keep any layout and any sums of the codebook, the codes and the centroids that `__init__` derives; change the
order of summation; expand the square, and build one table for all partitions; use fastmath, blocking, another
selection, scratch memory.
CANNOT: keep anything that depends on a call's arguments for a later call; start threads or processes; use
float16; import anything but numba, numpy and the mathematics of the standard library.
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


class PqCosineKernel:
    """Top-k search by direction in `n` rows, which lie in P partitions.

    Parameters
    ----------
    codebook : float32, shape (M, 256, sd), C-contiguous
        The centroids of each of the M sub-spaces; sd dimensions each.
    codes : uint8, shape (M * n,)
        One partition after the other. The n_p rows of a partition are (M, n_p): column m holds, for every row,
        its centroid in sub-space m. A row's centroids together are its residual: the row, a unit vector, less the
        centroid of its partition.
    offsets : int64, shape (P + 1,)
        The first row of each partition, and n. A partition may be empty.
    centroids : float32, shape (P, M * sd), C-contiguous
        The middle of each partition's unit vectors; shorter than 1.
    """

    def __init__(self, codebook: Floats, codes: Codes, offsets: NDArray[np.int64], centroids: Floats) -> None:
        self._codebook = codebook
        self._codes = codes
        self._offsets = offsets
        self._centroids = centroids

    def top_k(self, query: Floats, k: int) -> tuple[Ids, Floats]:
        """Return the ids, uint32 (r,), of the k >= 1 nearest rows and their distances, float32 (r,).

        Ascending by (distance, id). `query`, float32 (M * sd,), has any length. A distance is the squared
        distance of the unit vectors, 0 to 4 and twice 1 - cos, quantisation aside; an id is the row's number
        among all n. r is min(k, n), but 0 for a query without a direction: of zeros, or with NaN or infinity.
        """
        return _top_k(self._codebook, self._codes, self._offsets, self._centroids, query, k)


@njit()
def _top_k(
    codebook: Floats, codes: Codes, offsets: NDArray[np.int64], centroids: Floats, query: Floats, k: int
) -> tuple[Ids, Floats]:
    """Search one partition after the other, with one heap for all of them."""
    sub_vectors, n = len(codebook), offsets[-1]
    heap = np.empty(min(k, n), np.float32)  # a max-heap: heap[0] is the farthest of the rows kept
    ids = np.empty(min(k, n), np.uint32)
    kept = 0
    unit = _unit(query)
    for p in range(offsets.size - 1):
        first, end = offsets[p], offsets[p + 1]
        table = _build_table(codebook, unit - centroids[p])
        block = codes[first * sub_vectors : end * sub_vectors].reshape(sub_vectors, end - first)
        kept = _keep_nearest(_scan(block, table), first, heap, ids, kept)
    _sort(heap[:kept], ids[:kept])
    return ids[:kept], heap[:kept]


@njit()
def _unit(vector: Floats) -> Floats:
    squares = np.float32(0)
    for x in vector:
        squares += x * x
    return vector / np.sqrt(squares)


@njit()
def _build_table(codebook: Floats, residual: Floats) -> Floats:
    """Return the squared distances in every sub-space, float32 (M, 256), summed in Lance's order.

    That is: in lanes over the whole blocks of dimensions, and apart from them, in sequence, over the rest.
    """
    length = codebook.shape[2]
    if length <= SHORT:
        table = _sum_rest(codebook, residual, length // 8 * 8)
        _add_8_lanes(codebook, residual, table)
    else:
        table = _sum_rest(codebook, residual, length // 16 * 16)
        _add_16_lanes(codebook, residual, table)
    return table


@njit()
def _sum_rest(codebook: Floats, residual: Floats, whole: int) -> Floats:
    """Return the squared distances over the dimensions from `whole` on, float32 (M, 256)."""
    sub_vectors, centroids, length = codebook.shape
    table = np.zeros((sub_vectors, centroids), np.float32)
    for m in range(sub_vectors):
        part = residual[m * length : (m + 1) * length]
        for c in range(centroids):
            centroid = codebook[m, c]
            for d in range(whole, length):
                difference = part[d] - centroid[d]
                table[m, c] += difference * difference
    return table


@njit(fastmath={"contract"})  # a square and its addition are one operation, rounded once
def _add_8_lanes(codebook: Floats, residual: Floats, table: Floats) -> None:
    sub_vectors, centroids, length = codebook.shape
    lanes = np.empty(8, np.float32)
    for m in range(sub_vectors):
        part = residual[m * length : (m + 1) * length]
        for c in range(centroids):
            centroid = codebook[m, c]
            lanes[:] = 0
            for start in range(0, length // 8 * 8, 8):
                for lane in range(8):
                    difference = part[start + lane] - centroid[start + lane]
                    lanes[lane] += difference * difference
            table[m, c] += _sum_of_8(lanes)


@njit()  # without "contract": every sum is rounded
def _sum_of_8(lanes: Floats) -> np.float32:
    even = (lanes[0] + lanes[4]) + (lanes[2] + lanes[6])
    return even + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]))


@njit()
def _add_16_lanes(codebook: Floats, residual: Floats, table: Floats) -> None:
    sub_vectors, centroids, length = codebook.shape
    lanes = np.empty(16, np.float32)
    for m in range(sub_vectors):
        part = residual[m * length : (m + 1) * length]
        for c in range(centroids):
            centroid = codebook[m, c]
            lanes[:] = 0
            for start in range(0, length // 16 * 16, 16):
                for lane in range(16):
                    difference = part[start + lane] - centroid[start + lane]
                    lanes[lane] += difference * difference
            of_lanes = np.float32(0)
            for lane in range(16):
                of_lanes += lanes[lane]
            table[m, c] += of_lanes


@njit()
def _scan(codes: Codes, table: Floats) -> Floats:
    sub_vectors, n = codes.shape
    distances = np.zeros(n, np.float32)
    for m in range(sub_vectors):
        column = codes[m]
        terms = table[m]
        for i in range(n):
            distances[i] += terms[column[i]]
    return distances


@njit()
def _keep_nearest(distances: Floats, first: int, heap: Floats, ids: Ids, kept: int) -> int:
    """Take the rows from `first` on into the heap, which holds `kept` rows, and return how many it holds then."""
    for i in range(distances.size):
        distance = distances[i]
        if not -LARGEST <= distance < LARGEST:
            continue
        if kept < heap.size:
            heap[kept], ids[kept] = distance, first + i
            _rise(heap, ids, kept)
            kept += 1
        elif heap[0] > distance:
            _remove_root(heap, ids)
            heap[kept - 1], ids[kept - 1] = distance, first + i
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
