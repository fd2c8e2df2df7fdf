"""pq-cosine by numpy without a residual: a table of inner products, M products of a matrix and a vector.

|q - x|**2 = 1 + x.x - 2 q.centroid - 2 q.r for a unit query; the sums over rows are made when it is built. The
distances are within the target's limits; which rows of a tie at the last place are returned is argpartition's
choice. Rows without a distance are not left out. Set OPENBLAS_NUM_THREADS=1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class PqCosineKernel:
    """See the target's kernels.py."""

    def __init__(
        self, codebook: Floats, codes: NDArray[np.uint8], offsets: NDArray[np.int64], centroids: Floats
    ) -> None:
        sub_vectors = len(codebook)
        parts = np.split(codes, offsets[1:-1] * sub_vectors)
        squares = []
        for part, centroid in zip(parts, centroids, strict=True):
            whole = codebook + centroid.reshape(sub_vectors, 1, -1)
            terms = np.square(whole.astype(np.float64)).sum(axis=2)
            squares.append(terms[np.arange(sub_vectors)[:, None], part.reshape(sub_vectors, -1)].sum(axis=0))
        self._row_squares = np.concatenate(squares).astype(np.float32)
        self._codes = np.concatenate([part.reshape(sub_vectors, -1) for part in parts], axis=1)
        self._codebook, self._centroids, self._sizes = codebook, centroids, np.diff(offsets)

    def top_k(self, query: Floats, k: int) -> tuple[NDArray[np.uint32], Floats]:
        unit = query / np.sqrt(query.dot(query))
        products = (self._codebook @ unit.reshape(len(self._codebook), -1, 1))[..., 0]
        products *= np.float32(-2)
        of_partitions = np.float32(1) - np.float32(2) * (self._centroids @ unit)
        distances = self._row_squares + np.repeat(of_partitions, self._sizes)
        for terms, column in zip(products, self._codes, strict=True):
            distances += terms.take(column)
        ids = np.argpartition(distances, k)[:k] if k < distances.size else np.arange(distances.size)
        ids = ids[np.argsort(distances[ids], kind="stable")]
        return ids.astype(np.uint32), distances[ids]
