"""pq-prefilter by faiss: an IndexIVFPQ over the same codes and centroids, searched with an IDSelectorBitmap.

faiss keeps codes row by row, tests the bitmap for every row of a partition, and adds up table entries for those
that pass. It has one table of inner products for all partitions, and one that is made beforehand for each of them.
The bitmap is made in each call. The distances are within the target's limits; ties may come in another order.
"""

from __future__ import annotations

import faiss
import numpy as np
from numpy.typing import NDArray

faiss.omp_set_num_threads(1)

Floats = NDArray[np.float32]


class PqPrefilterKernel:
    """See the target's kernels.py."""

    def __init__(
        self, codebook: Floats, codes: NDArray[np.uint8], offsets: NDArray[np.int64], centroids: Floats
    ) -> None:
        sub_vectors, _, length = codebook.shape
        dim = sub_vectors * length
        self._coarse = faiss.IndexFlatL2(dim)
        self._coarse.add(centroids)
        self._index = faiss.IndexIVFPQ(self._coarse, dim, len(centroids), sub_vectors, 8)
        faiss.copy_array_to_vector(codebook.ravel(), self._index.pq.centroids)
        for number, (first, end) in enumerate(zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)):
            block = codes[first * sub_vectors : end * sub_vectors].reshape(sub_vectors, -1)
            rows, by_row = np.arange(first, end), np.ascontiguousarray(block.T)
            lists = self._index.invlists
            lists.add_entries(number, len(rows), faiss.swig_ptr(rows), faiss.swig_ptr(by_row))
        self._index.is_trained, self._index.ntotal = True, int(offsets[-1])
        self._index.nprobe = len(centroids)
        self._index.precompute_table()

    def top_k(
        self, query: Floats, allowed: NDArray[np.uint32], k: int
    ) -> tuple[NDArray[np.uint32], NDArray[np.float32]]:
        is_allowed = np.zeros(self._index.ntotal, np.bool_)
        is_allowed[allowed] = True
        selector = faiss.IDSelectorBitmap(np.packbits(is_allowed, bitorder="little"))
        chosen = faiss.SearchParametersIVF(sel=selector, nprobe=self._index.nprobe)
        (distances,), (ids,) = self._index.search(query[None], k, params=chosen)
        found = ids >= 0
        return ids[found].astype(np.uint32), distances[found]
