"""Squared-L2 distances over product-quantised rows: table build, scan, top-k. The file that an agent edits.

A port of what Lance 1.0.0 runs for one query and one IVF partition of 8-bit PQ codes, bit for bit:
`build_distance_table_l2` and `compute_pq_distance` (rust/lance-index/src/vector/pq/distance.rs), `l2_scalar`
(rust/lance-linalg/src/distance/l2.rs) and the heap of `FlatIndex::search`
(rust/lance-index/src/vector/flat/index.rs).

Stays: `PqKernel(codebook, codes)`, `distance_table(query, out)` and `probe_top_k(table, k)`, with the dtypes,
shapes and order of results that their docstrings give.

CAN: keep any layout of the codebook and the codes that `__init__` derives; change the order of summation;
use fastmath, blocking, another selection, scratch memory; hand work from `distance_table` to the
`probe_top_k` of the same call.
CANNOT: keep anything that depends on a call's arguments for a later call; start threads or processes; use
float16; import anything but numba, numpy and the mathematics of the standard library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Ids = NDArray[np.uint32]

LANES = 16


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
        self._codebook = codebook
        self._codes = codes

    def distance_table(self, query: Floats, out: Floats) -> None:
        """Fill `out`, float32 (M, 256), with the squared distances of `query`, float32 (M * sd,)."""
        _build_table(self._codebook, query, out)

    def probe_top_k(self, table: Floats, k: int) -> tuple[Ids, Floats]:
        """Return the ids, uint32 (min(k, n),), of the k >= 1 nearest rows and their distances, float32.

        Ascending by (distance, id). `table` is what `distance_table` wrote last.
        """
        return _nearest(_scan(self._codes, table), k)


@njit()
def _build_table(codebook: Floats, query: Floats, out: Floats) -> None:
    """Sum the dimensions after the last whole block of 16 first, then the 16 lanes, in Lance's order."""
    sub_vectors, centroids, length = codebook.shape
    whole = length // LANES * LANES
    lanes = np.empty(LANES, np.float32)
    for m in range(sub_vectors):
        part = query[m * length : (m + 1) * length]
        for c in range(centroids):
            centroid = codebook[m, c]
            total = np.float32(0)
            for d in range(whole, length):
                difference = part[d] - centroid[d]
                total += difference * difference
            if whole:
                for lane in range(LANES):
                    difference = part[lane] - centroid[lane]
                    lanes[lane] = difference * difference
                for start in range(LANES, whole, LANES):
                    for lane in range(LANES):
                        difference = part[start + lane] - centroid[start + lane]
                        lanes[lane] += difference * difference
                of_lanes = np.float32(0)
                for lane in range(LANES):
                    of_lanes += lanes[lane]
                total += of_lanes
            out[m, c] = total


@njit()
def _scan(codes: NDArray[np.uint8], table: Floats) -> Floats:
    sub_vectors, n = codes.shape
    distances = np.zeros(n, np.float32)
    for m in range(sub_vectors):
        column = codes[m]
        terms = table[m]
        for i in range(n):
            distances[i] += terms[column[i]]
    return distances


@njit()
def _nearest(distances: Floats, k: int) -> tuple[Ids, Floats]:
    size = min(k, distances.size)
    heap = np.empty(size, np.float32)  # a max-heap: heap[0] is the farthest of the rows kept
    ids = np.empty(size, np.uint32)
    for i in range(distances.size):
        if i < size:
            heap[i], ids[i] = distances[i], i
            _rise(heap, ids, i)
        elif heap[0] > distances[i]:
            _remove_root(heap, ids)
            heap[size - 1], ids[size - 1] = distances[i], i
            _rise(heap, ids, size - 1)
    _sort(heap, ids)
    return ids, heap


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
