"""pq-l2 by faiss: an IndexPQ over the same codebook and codes, which faiss keeps row by row.

The table and the distances are within the target's limits. faiss gives the table and the search apart: its search
makes the table once more, so that the table, a small part of the whole, is counted twice. Ties may come in another
order.
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

    def distance_table(self, query: Floats, out: Floats) -> None:
        self._query = query[None]
        self._index.pq.compute_distance_table(faiss.swig_ptr(query), faiss.swig_ptr(out))

    def probe_top_k(self, table: Floats, k: int) -> tuple[NDArray[np.uint32], Floats]:  # noqa: ARG002
        (distances,), (ids,) = self._index.search(self._query, min(k, self._index.ntotal))
        return ids.astype(np.uint32), distances
