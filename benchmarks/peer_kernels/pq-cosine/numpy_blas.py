"""pq-cosine by numpy without a residual: a table of inner products, M products of a matrix and a vector.

|q - x|**2 = 1 + x.x - 2 q.centroid - 2 q.r for a unit query; the sums over rows are made when it is built. The
distances are within the target's limits; which rows of a tie at the last place are returned is argpartition's
choice. Set OPENBLAS_NUM_THREADS=1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class PqCosineKernel:
    """See the target's kernels.py."""

    def __init__(self, codebook: Floats, codes: NDArray[np.uint8], centroid: Floats) -> None:
        whole = codebook + centroid.reshape(len(codebook), 1, -1)
        squares = np.square(whole.astype(np.float64)).sum(axis=2)
        rows = (of_sub_space[column] for of_sub_space, column in zip(squares, codes, strict=True))
        self._row_squares = sum(rows, np.zeros(codes.shape[1])).astype(np.float32)
        self._codebook, self._codes, self._centroid = codebook, codes, centroid

    def top_k(self, query: Floats, k: int) -> tuple[NDArray[np.uint32], Floats]:
        unit = query / np.sqrt(query.dot(query))
        products = (self._codebook @ unit.reshape(len(self._codebook), -1, 1))[..., 0]
        products *= np.float32(-2)
        distances = self._row_squares + (np.float32(1) - np.float32(2) * unit.dot(self._centroid))
        for terms, column in zip(products, self._codes, strict=True):
            distances += terms.take(column)
        ids = np.argpartition(distances, k)[:k] if k < distances.size else np.arange(distances.size)
        ids = ids[np.argsort(distances[ids], kind="stable")]
        return ids.astype(np.uint32), distances[ids]
