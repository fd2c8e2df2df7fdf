"""Ranking of IVF partitions: distances from a query to all centroids, top-k. The file that an agent edits.

A port of what Lance 1.0.0 runs for every query with an IVF index, with its order of summation:
`kmeans_find_partitions` (rust/lance-index/src/vector/kmeans.rs), `l2_scalar` and `dot_scalar`
(rust/lance-linalg/src/distance/l2.rs, dot.rs), `normalize` (rust/lance-linalg/src/kernels.rs), and arrow's
`sort_to_indices` with a limit: a selection of the prefix, then a sort of it.

Stays: `IvfModel(centroids, metric)` and `find_partitions(query, nprobes)`, with the dtypes, shapes and order of
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

LANES = 16
SIGN = np.uint32(1 << 31)


class IvfModel:
    """The centroids of an IVF index with P partitions.

    Parameters
    ----------
    centroids : float32, shape (P, D), C-contiguous
        NaN may occur in a row, always of one sign within it; infinity does not occur.
    metric : "l2", "dot" or "cosine"
        Squared L2; 1 - dot product; squared L2 of the normalised query. The centroids are used as they are.
    """

    def __init__(self, centroids: Floats, metric: str) -> None:
        self._centroids = centroids
        self._distances = _dot if metric == "dot" else _l2
        self._normalises = metric == "cosine"

    def find_partitions(self, query: Floats, nprobes: int) -> tuple[NDArray[np.uint32], Floats]:
        """Return the ids, uint32 (min(nprobes, P),), of the nearest partitions and their distances, float32.

        `query` is float32 (D,), `nprobes` at least 1. Ascending by distance in IEEE's total order (negative
        NaN first, positive NaN last), then by id.
        """
        if self._normalises:
            query = _normalised(query)
        return _nearest(self._distances(self._centroids, query), nprobes)


@njit()
def _normalised(query: Floats) -> Floats:
    total = np.float32(0)
    for value in query:
        total += value * value
    return query / np.sqrt(total)


@njit()
def _l2(centroids: Floats, query: Floats) -> Floats:
    """Sum the dimensions after the last whole block of 16 first, then the 16 lanes, in Lance's order."""
    partitions, dim = centroids.shape
    whole = dim // LANES * LANES
    lanes = np.empty(LANES, np.float32)
    distances = np.empty(partitions, np.float32)
    for p in range(partitions):
        centroid = centroids[p]
        rest = np.float32(0)
        for d in range(whole, dim):
            difference = query[d] - centroid[d]
            rest += difference * difference
        lanes[:] = 0
        for start in range(0, whole, LANES):
            for lane in range(LANES):
                difference = query[start + lane] - centroid[start + lane]
                lanes[lane] += difference * difference
        distances[p] = rest + _sum(lanes)
    return distances


@njit()
def _dot(centroids: Floats, query: Floats) -> Floats:
    """1 - dot product, summed as in `_l2`."""
    partitions, dim = centroids.shape
    whole = dim // LANES * LANES
    lanes = np.empty(LANES, np.float32)
    distances = np.empty(partitions, np.float32)
    for p in range(partitions):
        centroid = centroids[p]
        rest = np.float32(0)
        for d in range(whole, dim):
            rest += query[d] * centroid[d]
        lanes[:] = 0
        for start in range(0, whole, LANES):
            for lane in range(LANES):
                lanes[lane] += query[start + lane] * centroid[start + lane]
        distances[p] = np.float32(1) - (rest + _sum(lanes))
    return distances


@njit()
def _sum(lanes: Floats) -> np.float32:
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
