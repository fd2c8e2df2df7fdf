"""Inner-product search over product-quantised rows: tables, scans, top-k. The file that an agent edits.

A port of what Lance 1.0.0 runs for one query and the IVF partitions that it probes, 8-bit PQ codes, bit for bit:
`build_distance_table_dot` and `compute_pq_distance` (rust/lance-index/src/vector/pq/distance.rs), `dot_scalar`
(rust/lance-linalg/src/distance/dot.rs), the offset of `distance_all` (rust/lance-index/src/vector/pq/storage.rs)
and the heap of `FlatIndex::search` (rust/lance-index/src/vector/flat/index.rs). As there, each partition gets a
table of its own, though all of them are equal: an inner product has no residual.

Stays: `PqDotKernel(codebook, codes, offsets)` and `top_k(query, k)`, with the dtypes, shapes and order of results
that their docstrings give.

CAN: build the table once; keep any layout and any sums of the codebook and the codes that `__init__` derives;
sum plain products, in any order; use one heap for all partitions, fastmath, blocking, scratch memory.
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

LANES = 16


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
        self._codebook = codebook
        self._codes = codes
        self._offsets = offsets

    def top_k(self, query: Floats, k: int) -> tuple[Ids, Floats]:
        """Return the ids, uint32 (min(k, n),), of the k >= 1 nearest rows and their distances, float32.

        Ascending by (distance, id). `query` is float32 (M * sd,). A distance is 1 - <query, row>; an id is the
        row's number among all n.
        """
        return _top_k(self._codebook, self._codes, self._offsets, query, k)


@njit()
def _top_k(
    codebook: Floats, codes: Codes, offsets: NDArray[np.int64], query: Floats, k: int
) -> tuple[Ids, Floats]:
    """Search every partition by itself and put the results together."""
    sub_vectors = len(codebook)
    candidates = np.minimum(np.diff(offsets), k).sum()
    ids = np.empty(candidates, np.uint32)
    distances = np.empty(candidates, np.float32)
    found = 0
    for p in range(offsets.size - 1):
        first, end = offsets[p], offsets[p + 1]
        table = _build_table(codebook, query)
        block = codes[first * sub_vectors : end * sub_vectors].reshape(sub_vectors, end - first)
        nearest, their_distances = _nearest(_scan(block, table), k)
        stop = found + nearest.size
        ids[found:stop] = nearest + np.uint32(first)
        distances[found:stop] = their_distances
        found = stop
    order = np.argsort(distances, kind="mergesort")[:k]
    return ids[order], distances[order]


@njit()
def _build_table(codebook: Floats, query: Floats) -> Floats:
    """Return 1 - <query, centroid> of every sub-space, float32 (M, 256).

    In Lance's order: the dimensions after the last whole block of 16 first, then the 16 lanes.
    """
    sub_vectors, centroids, length = codebook.shape
    whole = length // LANES * LANES
    lanes = np.empty(LANES, np.float32)
    table = np.empty((sub_vectors, centroids), np.float32)
    for m in range(sub_vectors):
        part = query[m * length : (m + 1) * length]
        for c in range(centroids):
            centroid = codebook[m, c]
            total = np.float32(0)
            for d in range(whole, length):
                total += part[d] * centroid[d]
            if whole:
                for lane in range(LANES):
                    lanes[lane] = part[lane] * centroid[lane]
                for start in range(LANES, whole, LANES):
                    for lane in range(LANES):
                        lanes[lane] += part[start + lane] * centroid[start + lane]
                of_lanes = np.float32(0)
                for lane in range(LANES):
                    of_lanes += lanes[lane]
                total += of_lanes
            table[m, c] = np.float32(1) - total
    return table


@njit()
def _scan(codes: Codes, table: Floats) -> Floats:
    """Return the distances of a partition's rows: each table entry brought a 1, and one is to remain."""
    sub_vectors, n = codes.shape
    distances = np.zeros(n, np.float32)
    for m in range(sub_vectors):
        column = codes[m]
        terms = table[m]
        for i in range(n):
            distances[i] += terms[column[i]]
    distances -= np.float32(sub_vectors - 1)
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
