"""ivf-partition by scipy: `cdist` in float64 for squared L2, BLAS's `sgemv` for dot.

The distances are rounded from float64. Negative NaN ranks last, as every NaN does in numpy.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import sgemv
from scipy.spatial.distance import cdist

Floats = NDArray[np.float32]


class IvfModel:
    """See the target's kernels.py."""

    def __init__(self, centroids: Floats, metric: str) -> None:
        self._metric = metric
        self._by_column = np.asfortranarray(centroids) if metric == "dot" else None
        self._centroids = None if metric == "dot" else centroids.astype(np.float64)

    def find_partitions(self, query: Floats, nprobes: int) -> tuple[NDArray[np.uint32], Floats]:
        if self._metric == "dot":
            return nearest(np.float32(1) - sgemv(1.0, self._by_column, query), nprobes)
        point = query.astype(np.float64)
        if self._metric == "cosine":
            point /= np.linalg.norm(point)
        return nearest(cdist(point[None], self._centroids, "sqeuclidean")[0].astype(np.float32), nprobes)


def nearest(distances: Floats, nprobes: int) -> tuple[NDArray[np.uint32], Floats]:
    """Return the ids and the distances of the smallest, ascending by distance."""
    if nprobes < distances.size:
        selected = np.argpartition(distances, nprobes)[:nprobes]
    else:
        selected = np.arange(distances.size)
    ids = selected[np.argsort(distances[selected])]
    return ids.astype(np.uint32), distances[ids]
