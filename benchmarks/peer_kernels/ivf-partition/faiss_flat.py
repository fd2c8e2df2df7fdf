"""ivf-partition by faiss: a flat index over the centroids, as faiss's own IVF indexes rank their lists.

The distances are the target's. A centroid with NaN is never found: where fewer than `nprobes` others are left,
the last ids are -1 (`nan_rows`).
"""

from __future__ import annotations

import faiss
import numpy as np
from numpy.typing import NDArray

faiss.omp_set_num_threads(1)

Floats = NDArray[np.float32]


class IvfModel:
    """See the target's kernels.py."""

    def __init__(self, centroids: Floats, metric: str) -> None:
        dim = centroids.shape[1]
        self._metric = metric
        self._index = faiss.IndexFlatIP(dim) if metric == "dot" else faiss.IndexFlatL2(dim)
        self._index.add(centroids)

    def find_partitions(self, query: Floats, nprobes: int) -> tuple[NDArray[np.uint32], Floats]:
        queries = query[None]
        if self._metric == "cosine":
            queries = queries.copy()
            faiss.normalize_L2(queries)
        found = min(nprobes, self._index.ntotal)
        if not found:
            return np.zeros(0, np.uint32), np.zeros(0, np.float32)
        (distances,), (ids,) = self._index.search(queries, found)
        return ids.astype(np.uint32), np.float32(1) - distances if self._metric == "dot" else distances
