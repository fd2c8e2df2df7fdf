"""Ranking of IVF partitions: distances from queries to all centroids, top-k. The file that an agent edits.

A port of what Lance 14.0.2 runs for every query with an IVF index and for each of its deltas, with its order of
summation: `kmeans_find_partitions` (rust/lance-index/src/vector/kmeans.rs), the distances of
rust/lance-linalg/src/distance (l2.rs, dot.rs), `normalize` (rust/lance-linalg/src/kernels.rs), and arrow's
`sort_to_indices` with a limit: a selection of the prefix, then a sort of it. A batch of queries is ranked query by
query.

Stays: `IvfModel(centroids, metric)` and `find_partitions(queries, nprobes)`, with the dtypes, shapes and order of
results that their docstrings give.

CAN: keep any layout of the centroids, norms, or copies in another precision as a filter that `__init__`
derives; change the order of summation; use fastmath where NaN stays right, blocking, another selection, scratch
memory.
CANNOT: keep anything that depends on a call's arguments for a later call; leave out a partition without a
proof; start threads or processes; import anything but numba, numpy and the mathematics of the standard library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

SHORT = 16  # vectors of so many dimensions or fewer are summed in 8 lanes, longer ones in 16
SIGN = np.uint32(1 << 31)


class IvfModel:
    """The centroids of an IVF index with T tables of P partitions: one table, or one for each delta.

    Parameters
    ----------
    centroids : float32, shape (T, P, D), C-contiguous
        NaN may occur in a row, always of one sign within it; infinity does not occur.
    metric : "l2", "dot" or "cosine"
        Squared L2; 1 - dot product; squared L2 of the normalised query. The centroids are used as they are.
    """

    def __init__(self, centroids: Floats, metric: str) -> None:
        self._centroids = centroids
        self._distances = _dot if metric == "dot" else _l2
        self._normalises = metric == "cosine"

    def find_partitions(self, queries: Floats, nprobes: int) -> tuple[NDArray[np.uint32], Floats]:
        """Return the ids, uint32 (T, Q, min(nprobes, P)), of the nearest partitions, and their distances, float32.

        `queries` are float32 (Q, D), `nprobes` is at least 1. Of each table and query ascending by distance in
        IEEE's total order (negative NaN first, positive NaN last), then by id.
        """
        tables, partitions, _ = self._centroids.shape
        shape = tables, len(queries), min(nprobes, partitions)
        ids, distances = np.empty(shape, np.uint32), np.empty(shape, np.float32)
        for q, query in enumerate(queries):
            point = _normalised(query) if self._normalises else query
            for t, table in enumerate(self._centroids):
                ids[t, q], distances[t, q] = _nearest(self._distances(table, point), nprobes)
        return ids, distances


@njit()
def _normalised(query: Floats) -> Floats:
    total = np.float32(0)
    for value in query:
        total += value * value
    return query / np.sqrt(total)


@njit()
def _l2(centroids: Floats, query: Floats) -> Floats:
    """Sum the dimensions after the last whole block first, then the lanes, in Lance's order."""
    dim = query.size
    lanes = 8 if dim <= SHORT else 16
    distances = np.zeros(len(centroids), np.float32)
    for p in range(len(centroids)):
        for d in range(dim // lanes * lanes, dim):
            difference = query[d] - centroids[p, d]
            distances[p] += difference * difference
    if lanes == 8:
        _add_l2_in_8_lanes(centroids, query, distances)
    else:
        _add_l2_in_16_lanes(centroids, query, distances)
    return distances


@njit(fastmath={"contract"})  # a square and its addition are one operation, rounded once
def _add_l2_in_8_lanes(centroids: Floats, query: Floats, distances: Floats) -> None:
    lanes = np.empty(8, np.float32)
    for p in range(len(centroids)):
        lanes[:] = 0
        for start in range(0, query.size // 8 * 8, 8):
            for lane in range(8):
                difference = query[start + lane] - centroids[p, start + lane]
                lanes[lane] += difference * difference
        distances[p] += _sum_of_8(lanes)


@njit()
def _add_l2_in_16_lanes(centroids: Floats, query: Floats, distances: Floats) -> None:
    lanes = np.empty(16, np.float32)
    for p in range(len(centroids)):
        lanes[:] = 0
        for start in range(0, query.size // 16 * 16, 16):
            for lane in range(16):
                difference = query[start + lane] - centroids[p, start + lane]
                lanes[lane] += difference * difference
        distances[p] += _sum_of_16(lanes)


@njit()
def _dot(centroids: Floats, query: Floats) -> Floats:
    """1 - dot product, summed as in `_l2`."""
    dim = query.size
    lanes = 8 if dim <= SHORT else 16
    products = np.zeros(len(centroids), np.float32)
    for p in range(len(centroids)):
        for d in range(dim // lanes * lanes, dim):
            products[p] += query[d] * centroids[p, d]
    if lanes == 8:
        _add_dot_in_8_lanes(centroids, query, products)
    else:
        _add_dot_in_16_lanes(centroids, query, products)
    return np.float32(1) - products


@njit(fastmath={"contract"})  # a product and its addition are one operation, rounded once
def _add_dot_in_8_lanes(centroids: Floats, query: Floats, products: Floats) -> None:
    lanes = np.empty(8, np.float32)
    for p in range(len(centroids)):
        lanes[:] = 0
        for start in range(0, query.size // 8 * 8, 8):
            for lane in range(8):
                lanes[lane] += query[start + lane] * centroids[p, start + lane]
        products[p] += _sum_of_8(lanes)


@njit()
def _add_dot_in_16_lanes(centroids: Floats, query: Floats, products: Floats) -> None:
    lanes = np.empty(16, np.float32)
    for p in range(len(centroids)):
        lanes[:] = 0
        for start in range(0, query.size // 16 * 16, 16):
            for lane in range(16):
                lanes[lane] += query[start + lane] * centroids[p, start + lane]
        products[p] += _sum_of_16(lanes)


@njit()  # without "contract": every sum is rounded
def _sum_of_8(lanes: Floats) -> np.float32:
    even = (lanes[0] + lanes[4]) + (lanes[2] + lanes[6])
    return even + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]))


@njit()
def _sum_of_16(lanes: Floats) -> np.float32:
    total = np.float32(0)
    for lane in lanes:
        total += lane
    return total


def _nearest(distances: Floats, nprobes: int) -> tuple[NDArray[np.uint32], Floats]:
    """Select, then sort, pairs of (distance, id) packed into 64 bits whose order is that of the pairs."""
    bits = distances.view(np.uint32)
    ordered = np.where(bits & SIGN, ~bits, bits | SIGN).astype(np.uint64)
    pairs = ordered << np.uint64(32) | np.arange(bits.size, dtype=np.uint64)
    if nprobes < pairs.size:
        pairs = np.partition(pairs, nprobes - 1)[:nprobes]
    ids = np.sort(pairs).astype(np.uint32)
    return ids, distances[ids]
