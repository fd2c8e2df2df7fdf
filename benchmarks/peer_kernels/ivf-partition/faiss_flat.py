"""ivf-partition by faiss: a flat index over each table of centroids, as faiss's own IVF indexes rank their lists.

The distances are the target's. A centroid with NaN is never found: where fewer than `nprobes` others are left,
the last ids are -1 (`nan_rows`). A batch of queries is one search.
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
        dim = centroids.shape[2]
        self._metric = metric
        self._tables = [faiss.IndexFlatIP(dim) if metric == "dot" else faiss.IndexFlatL2(dim) for _ in centroids]
        for table, own in zip(self._tables, centroids, strict=True):
            table.add(own)

    def find_partitions(self, queries: Floats, nprobes: int) -> tuple[NDArray[np.uint32], Floats]:
        if self._metric == "cosine":
            queries = queries.copy()
            faiss.normalize_L2(queries)
        found = min(nprobes, self._tables[0].ntotal)
        shape = len(self._tables), len(queries), found
        if not found:
            return np.zeros(shape, np.uint32), np.zeros(shape, np.float32)
        answers = [table.search(queries, found) for table in self._tables]
        distances = np.array([distances for distances, _ in answers])
        ids = np.array([ids for _, ids in answers]).astype(np.uint32)
        return ids, np.float32(1) - distances if self._metric == "dot" else distances
