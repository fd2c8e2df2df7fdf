"""ivf-partition by scipy: `cdist` in float64 for squared L2, BLAS's `sgemm` for dot.

The distances are rounded from float64. Negative NaN ranks last, as every NaN does in numpy.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import sgemm
from scipy.spatial.distance import cdist

Floats = NDArray[np.float32]


class IvfModel:
    """See the target's kernels.py."""

    def __init__(self, centroids: Floats, metric: str) -> None:
        rows = centroids.reshape(-1, centroids.shape[2])
        self._tables = len(centroids)
        self._metric = metric
        self._by_column = np.asfortranarray(rows.T) if metric == "dot" else None
        self._rows = None if metric == "dot" else rows.astype(np.float64)

    def find_partitions(self, queries: Floats, nprobes: int) -> tuple[NDArray[np.uint32], Floats]:
        if self._metric == "dot":
            distances = np.float32(1) - sgemm(1.0, queries, self._by_column)
        else:
            points = queries.astype(np.float64)
            if self._metric == "cosine":
                points /= np.linalg.norm(points, axis=1, keepdims=True)
            distances = cdist(points, self._rows, "sqeuclidean").astype(np.float32)
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
