"""pq-l2 by numpy: broadcast differences for the table, one `take` for each sub-space, argpartition.

The table and the distances are within the target's limits; which rows of a tie at the last place are returned is
argpartition's choice.
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

    def distance_table(self, query: Floats, out: Floats) -> None:
        parts = query.reshape(-1, len(self._by_dimension)).T
        out[:] = 0
        for centroids, coordinates in zip(self._by_dimension, parts, strict=True):
            out += np.square(coordinates[:, None] - centroids)

    def probe_top_k(self, table: Floats, k: int) -> tuple[NDArray[np.uint32], Floats]:
        distances = np.zeros(self._codes.shape[1], np.float32)
        for terms, column in zip(table, self._codes, strict=True):
            distances += terms.take(column)
        ids = np.argpartition(distances, k)[:k] if k < distances.size else np.arange(distances.size)
        ids = ids[np.argsort(distances[ids], kind="stable")]
        return ids.astype(np.uint32), distances[ids]
