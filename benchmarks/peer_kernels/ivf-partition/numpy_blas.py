"""ivf-partition by numpy: one matrix product, then argpartition and a sort of what it selects.

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
        self._rows = centroids.reshape(-1, centroids.shape[2])
        self._tables = len(centroids)
        self._metric = metric
        self._norms = np.square(self._rows).sum(axis=1)

    def find_partitions(self, queries: Floats, nprobes: int) -> tuple[NDArray[np.uint32], Floats]:
        if self._metric == "cosine":
            queries = queries / np.sqrt(np.square(queries).sum(axis=1, keepdims=True))
        distances = queries @ self._rows.T
        if self._metric == "dot":
            distances = np.float32(1) - distances
        else:
            distances = np.square(queries).sum(axis=1, keepdims=True) + self._norms - np.float32(2) * distances
        return nearest(distances.reshape(len(queries), self._tables, -1).swapaxes(0, 1), nprobes)


def nearest(distances: Floats, nprobes: int) -> tuple[NDArray[np.uint32], Floats]:
    """Return the ids and the distances of the smallest along the last axis, ascending by distance."""
    if nprobes < distances.shape[-1]:
        selected = np.argpartition(distances, nprobes, axis=-1)[..., :nprobes]
    else:
        selected = np.broadcast_to(np.arange(distances.shape[-1]), distances.shape)
    found = np.take_along_axis(distances, selected, -1)
    order = np.argsort(found, axis=-1)
    ids = np.take_along_axis(selected, order, -1)
    return ids.astype(np.uint32), np.take_along_axis(found, order, -1)
