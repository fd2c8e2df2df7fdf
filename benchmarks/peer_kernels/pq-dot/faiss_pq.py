"""pq-dot by faiss: one IndexPQ with inner products over the rows of all partitions, so one table.

faiss returns the inner product, largest first; 1 minus it is the target's distance, within the limits. Ties may
come in another order. Rows without a distance are not left out.
"""

from __future__ import annotations

import faiss
import numpy as np
from numpy.typing import NDArray

faiss.omp_set_num_threads(1)

Floats = NDArray[np.float32]


class PqDotKernel:
    """See the target's kernels.py."""

    def __init__(self, codebook: Floats, codes: NDArray[np.uint8], offsets: NDArray[np.int64]) -> None:
        sub_vectors, _, length = codebook.shape
        parts = np.split(codes, offsets[1:-1] * sub_vectors)
        by_row = np.concatenate([part.reshape(sub_vectors, -1).T for part in parts])
        self._index = faiss.IndexPQ(sub_vectors * length, sub_vectors, 8, faiss.METRIC_INNER_PRODUCT)
        faiss.copy_array_to_vector(codebook.ravel(), self._index.pq.centroids)
        faiss.copy_array_to_vector(by_row.ravel(), self._index.codes)
        self._index.is_trained, self._index.ntotal = True, len(by_row)

    def top_k(self, query: Floats, k: int) -> tuple[NDArray[np.uint32], Floats]:
        (products,), (ids,) = self._index.search(query[None], min(k, self._index.ntotal))
        return ids.astype(np.uint32), np.float32(1) - products
