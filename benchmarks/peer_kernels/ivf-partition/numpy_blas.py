"""ivf-partition by numpy: one matrix-vector product, then argpartition and a sort of what it selects.

Squared L2 is q.q - 2 q.c + c.c with stored c.c. It cancels where the query is near a centroid: the distance of
such a partition is outside the target's limit (`query_is_centroid`, `large_dynamic_range`). Negative NaN ranks
last, as every NaN does in numpy. BLAS threads are the caller's business (OPENBLAS_NUM_THREADS=1).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class IvfModel:
    """See the target's kernels.py."""

    def __init__(self, centroids: Floats, metric: str) -> None:
        self._centroids = centroids
        self._metric = metric
        self._norms = np.square(centroids).sum(axis=1)

    def find_partitions(self, query: Floats, nprobes: int) -> tuple[NDArray[np.uint32], Floats]:
        if self._metric == "cosine":
            query = query / np.sqrt(query @ query)
        products = self._centroids @ query
        if self._metric == "dot":
            return nearest(np.float32(1) - products, nprobes)
        return nearest(query @ query + self._norms - np.float32(2) * products, nprobes)


def nearest(distances: Floats, nprobes: int) -> tuple[NDArray[np.uint32], Floats]:
    """Return the ids and the distances of the smallest, ascending by distance."""
    if nprobes < distances.size:
        selected = np.argpartition(distances, nprobes)[:nprobes]
    else:
        selected = np.arange(distances.size)
    ids = selected[np.argsort(distances[selected])]
    return ids.astype(np.uint32), distances[ids]
