"""pq-dot by numpy: one table of inner products, M products of a matrix and a vector, for all partitions.

The distances are within the target's limits; which rows of a tie at the last place are returned is argpartition's
choice. Rows without a distance are not left out. Set OPENBLAS_NUM_THREADS=1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class PqDotKernel:
    """See the target's kernels.py."""

    def __init__(self, codebook: Floats, codes: NDArray[np.uint8], offsets: NDArray[np.int64]) -> None:
        parts = np.split(codes, offsets[1:-1] * len(codebook))
        self._codes = np.concatenate([part.reshape(len(codebook), -1) for part in parts], axis=1)
        self._codebook = codebook

    def top_k(self, query: Floats, k: int) -> tuple[NDArray[np.uint32], Floats]:
        products = (self._codebook @ query.reshape(len(self._codebook), -1, 1))[..., 0]
        distances = np.ones(self._codes.shape[1], np.float32)
        for terms, column in zip(products, self._codes, strict=True):
            distances -= terms.take(column)
        ids = np.argpartition(distances, k)[:k] if k < distances.size else np.arange(distances.size)
        ids = ids[np.argsort(distances[ids], kind="stable")]
        return ids.astype(np.uint32), distances[ids]
