"""pq4-fastscan by faiss: IndexPQFastScan, whose byte shuffles rank rows by rounded sums; numpy scores the first.

faiss gives no exact distances and proves nothing. So it is asked for 10 times as many rows as are wanted, and
these are scored in Lance's order; a case in which one of the nearest is not among them is answered otherwise.
"""

from __future__ import annotations

import faiss
import numpy as np
from numpy.typing import NDArray
from pq4_table import LARGEST, sums_of_pairs

faiss.omp_set_num_threads(1)

Floats = NDArray[np.float32]
MORE = 10


class Pq4Kernel:
    """See the target's kernels.py."""

    def __init__(self, codebook: Floats, codes: NDArray[np.uint8]) -> None:
        sub_vectors, _, length = codebook.shape
        self._by_dimension = np.ascontiguousarray(codebook.transpose(2, 0, 1))
        self._rows = np.ascontiguousarray(codes.T)
        plain = faiss.IndexPQ(sub_vectors * length, sub_vectors, 4)
        faiss.copy_array_to_vector(codebook.ravel(), plain.pq.centroids)
        faiss.copy_array_to_vector(self._rows.ravel(), plain.codes)
        plain.is_trained, plain.ntotal = True, len(self._rows)
        self._index = faiss.IndexPQFastScan(plain)

    def top_k(self, query: Floats, k: int) -> tuple[NDArray[np.uint32], Floats]:
        _, (ids,) = self._index.search(query[None], min(MORE * k, len(self._rows)))
        ids = ids[ids >= 0]
        terms = np.take_along_axis(sums_of_pairs(self._by_dimension, query), self._rows[ids].T, axis=1)
        distances = np.add.accumulate(terms)[-1]
        nearest = np.argsort(distances, kind="stable")[:k]
        nearest = nearest[distances[nearest] < LARGEST]
        return ids[nearest].astype(np.uint32), distances[nearest]
