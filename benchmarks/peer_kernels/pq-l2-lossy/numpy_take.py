"""pq-l2-lossy by numpy: broadcast differences for the table, one `take` for each sub-space, argpartition.

Its answer is exact.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class PqKernel:
    """See the target's kernels.py."""

    def __init__(self, codebook: Floats, codes: NDArray[np.uint8]) -> None:
        self._by_dimension = np.ascontiguousarray(codebook.transpose(2, 0, 1))
        self._codes = codes

    def search(self, query: Floats, k: int) -> tuple[NDArray[np.uint32], Floats]:
        parts = query.reshape(-1, len(self._by_dimension)).T
        table = np.zeros(self._by_dimension.shape[1:], np.float32)
        for centroids, coordinates in zip(self._by_dimension, parts, strict=True):
            table += np.square(coordinates[:, None] - centroids)
        distances = np.zeros(self._codes.shape[1], np.float32)
        for terms, column in zip(table, self._codes, strict=True):
            distances += terms.take(column)
        ids = np.argpartition(distances, k)[:k] if k < distances.size else np.arange(distances.size)
        ids = ids[np.argsort(distances[ids], kind="stable")]
        return ids.astype(np.uint32), distances[ids]
