"""pq-cosine by faiss: the query normalised by faiss, its residuals by numpy, an IndexPQ for each partition.

The distances are within the target's limits. Ties may come in another order; a query without a
direction gets rows, where it should get none.
"""

from __future__ import annotations

import faiss
import numpy as np
from numpy.typing import NDArray

faiss.omp_set_num_threads(1)

Floats = NDArray[np.float32]


class PqCosineKernel:
    """See the target's kernels.py."""

    def __init__(
        self, codebook: Floats, codes: NDArray[np.uint8], offsets: NDArray[np.int64], centroids: Floats
    ) -> None:
        sub_vectors, _, length = codebook.shape
        self._centroids, self._offsets, self._indexes = centroids, offsets, []
        for part in np.split(codes, offsets[1:-1] * sub_vectors):
            index = faiss.IndexPQ(sub_vectors * length, sub_vectors, 8)
            faiss.copy_array_to_vector(codebook.ravel(), index.pq.centroids)
            faiss.copy_array_to_vector(part.reshape(sub_vectors, -1).T.ravel(), index.codes)
            index.is_trained, index.ntotal = True, part.size // sub_vectors
            self._indexes.append(index)

    def top_k(self, query: Floats, k: int) -> tuple[NDArray[np.uint32], Floats]:
        unit = query[None].copy()
        faiss.normalize_L2(unit)
        ids, distances = [], []
        for index, centroid, first in zip(self._indexes, self._centroids, self._offsets[:-1], strict=True):
            if index.ntotal:
                (nearest,), (rows,) = index.search(unit - centroid, min(k, index.ntotal))
                distances.append(nearest)
                ids.append(rows + first)
        every = np.concatenate(distances)
        best = np.argsort(every, kind="stable")[:k]
        return np.concatenate(ids)[best].astype(np.uint32), every[best]
