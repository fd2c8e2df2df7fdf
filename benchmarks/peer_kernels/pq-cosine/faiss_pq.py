"""pq-cosine by faiss: the query normalised by faiss, its residual by numpy, an IndexPQ over the same codes.

The distances are within the target's limits. Ties may come in another order; a query of zeros, which faiss does
not normalise, gets numbers instead of NaN.
"""

from __future__ import annotations

import faiss
import numpy as np
from numpy.typing import NDArray

faiss.omp_set_num_threads(1)

Floats = NDArray[np.float32]


class PqCosineKernel:
    """See the target's kernels.py."""

    def __init__(self, codebook: Floats, codes: NDArray[np.uint8], centroid: Floats) -> None:
        sub_vectors, _, length = codebook.shape
        self._centroid = centroid
        self._index = faiss.IndexPQ(sub_vectors * length, sub_vectors, 8)
        faiss.copy_array_to_vector(codebook.ravel(), self._index.pq.centroids)
        faiss.copy_array_to_vector(codes.T.ravel(), self._index.codes)
        self._index.is_trained, self._index.ntotal = True, codes.shape[1]

    def top_k(self, query: Floats, k: int) -> tuple[NDArray[np.uint32], Floats]:
        unit = query[None].copy()
        faiss.normalize_L2(unit)
        (distances,), (ids,) = self._index.search(unit - self._centroid, min(k, self._index.ntotal))
        return ids.astype(np.uint32), distances
