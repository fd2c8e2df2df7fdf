"""pq-prefilter by numpy: codes row by row, one `take` of the allowed rows, argpartition.

The table is made for those partitions only that have an allowed row. The distances are within the target's limits;
which rows of a tie at the last place are returned is argpartition's choice.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

LARGEST = np.finfo(np.float32).max


class PqPrefilterKernel:
    """See the target's kernels.py."""

    def __init__(
        self, codebook: Floats, codes: NDArray[np.uint8], offsets: NDArray[np.int64], centroids: Floats
    ) -> None:
        sub_vectors = len(codebook)
        parts = np.split(codes, offsets[1:-1] * sub_vectors)
        self._rows = np.ascontiguousarray(np.concatenate([part.reshape(sub_vectors, -1).T for part in parts]))
        self._by_dimension = np.ascontiguousarray(codebook.transpose(2, 0, 1))
        self._places = np.arange(sub_vectors) * 256
        self._offsets, self._centroids = offsets, centroids

    def top_k(
        self, query: Floats, allowed: NDArray[np.uint32], k: int
    ) -> tuple[NDArray[np.uint32], NDArray[np.float32]]:
        begins = np.searchsorted(allowed, self._offsets)
        distances = np.empty(allowed.size, np.float32)
        for centroid, start, stop in zip(self._centroids, begins[:-1], begins[1:], strict=True):
            if start < stop:
                places = self._rows[allowed[start:stop]] + self._places
                distances[start:stop] = self._table(query - centroid).take(places).sum(axis=1)
        near = np.flatnonzero(distances < LARGEST)
        if k < near.size:
            near = near[np.argpartition(distances[near], k)[:k]]
        near = near[np.argsort(distances[near], kind="stable")]
        return allowed[near], distances[near]

    def _table(self, residual: Floats) -> Floats:
        parts = residual.reshape(-1, len(self._by_dimension)).T
        table = np.zeros(self._by_dimension.shape[1:], np.float32)
        for centroids, coordinates in zip(self._by_dimension, parts, strict=True):
            table += np.square(coordinates[:, None] - centroids)
        return table.ravel()
