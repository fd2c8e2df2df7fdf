"""fts-bm25 by bm25s: its numba scorer adds up the scores of single postings, computed beforehand; then its top-k.

The scores of postings are put where bm25s keeps them, with Lance's factor K1 + 1 and Lance's idf: making the
index from lists of tokens takes bm25s minutes here. Nothing is skipped; 8 bytes a posting beside the index. Equal
scores are returned in another order than the kernel's, which the contract allows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import bm25s
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Ids = NDArray[np.uint32]

K1 = np.float32(1.2)
B = np.float32(0.75)
ONE = np.float32(1)
HALF = np.float32(0.5)


class InvertedIndex:
    """See `kernels.InvertedIndex`."""

    def __init__(self, indptr: NDArray[np.int64], doc_ids: Ids, freqs: Ids, doc_lengths: Ids) -> None:
        average_length = np.float32(doc_lengths.sum(dtype=np.int64)) / np.float32(max(doc_lengths.size, 1))
        norms = K1 * (ONE - B + B * doc_lengths.astype(np.float32) / average_length)
        counts = np.diff(indptr)
        n = counts.astype(np.float32)
        idf = np.log((np.float32(doc_lengths.size) - n + HALF) / (n + HALF) + ONE)
        counted = freqs.astype(np.float32)
        self._index = bm25s.BM25(method="lucene", k1=1.2, b=0.75)
        self._index.scores = {
            "data": np.repeat(idf * (K1 + ONE), counts) * counted / (counted + norms[doc_ids]),
            "indices": doc_ids.astype(np.int32),
            "indptr": indptr,
            "num_docs": doc_lengths.size,
        }
        self._index.nonoccurrence_array = None
        self._index.activate_numba_scorer()

    def bm25_topk(self, terms: NDArray[np.int32], k: int) -> tuple[Ids, Floats]:
        """See `kernels.InvertedIndex.bm25_topk`."""
        scores = self._index.get_scores_from_ids(terms)
        values, ids = bm25s.selection.topk(scores, min(k, np.count_nonzero(scores)), backend="numpy")
        return ids.astype(np.uint32), values
