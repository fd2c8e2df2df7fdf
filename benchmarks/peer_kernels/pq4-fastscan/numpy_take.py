"""pq4-fastscan by numpy: one `take` of 256 sums of pairs for each byte, argpartition. Exact, without a filter.

Which rows of a tie at the last place are returned is argpartition's choice.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pq4_table import LARGEST, sums_of_pairs

Floats = NDArray[np.float32]


class Pq4Kernel:
    """See the target's kernels.py."""

    def __init__(self, codebook: Floats, codes: NDArray[np.uint8]) -> None:
        self._by_dimension = np.ascontiguousarray(codebook.transpose(2, 0, 1))
        self._codes = codes

    def top_k(self, query: Floats, k: int) -> tuple[NDArray[np.uint32], Floats]:
        distances = np.zeros(self._codes.shape[1], np.float32)
        for sums, column in zip(sums_of_pairs(self._by_dimension, query), self._codes, strict=True):
            distances += sums.take(column)
        ids = np.argpartition(distances, k)[:k] if k < distances.size else np.arange(distances.size)
        ids = ids[distances[ids] < LARGEST]
        ids = ids[np.argsort(distances[ids], kind="stable")]
        return ids.astype(np.uint32), distances[ids]
