"""pq-l2-lossy by faiss: an IndexPQ over the same codebook and codes, which faiss keeps row by row.

Its answer is exact. What faiss has for approximate ones needs codes of other kinds: of 4 bits (fast scan), or
numbered so that near centroids have similar bits (polysemous codes).
"""

from __future__ import annotations

import faiss
import numpy as np
from numpy.typing import NDArray

faiss.omp_set_num_threads(1)

Floats = NDArray[np.float32]


class PqKernel:
    """See the target's kernels.py."""

    def __init__(self, codebook: Floats, codes: NDArray[np.uint8]) -> None:
        sub_vectors, _, length = codebook.shape
        self._index = faiss.IndexPQ(sub_vectors * length, sub_vectors, 8)
        faiss.copy_array_to_vector(codebook.ravel(), self._index.pq.centroids)
        faiss.copy_array_to_vector(codes.T.ravel(), self._index.codes)
        self._index.is_trained, self._index.ntotal = True, codes.shape[1]

    def search(self, query: Floats, k: int) -> tuple[NDArray[np.uint32], Floats]:
        (distances,), (ids,) = self._index.search(query[None], min(k, self._index.ntotal))
        return ids.astype(np.uint32), distances
