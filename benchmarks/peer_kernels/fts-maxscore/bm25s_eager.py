"""fts-maxscore by bm25s: its numba scorer adds up the scores of single postings; then its top-k.

The scores of postings are computed beforehand and put where bm25s keeps them, with Lance's factor K1 + 1 and the
index's own weights: making the index from lists of tokens takes bm25s minutes here. Nothing is decoded in a call
and nothing is skipped; 8 bytes a posting beside the index, which no kernel may keep. Equal scores are returned in
another order than the kernel's, which the contract allows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bm25s
import numpy as np
from posting_scores import scored_postings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Ids = NDArray[np.uint32]


class InvertedIndex:
    """See `kernels.InvertedIndex`."""

    def __init__(self, *parts: Any) -> None:
        indptr, doc_ids, scores = scored_postings(*parts)
        size = parts[-2].size
        self._index = bm25s.BM25(method="lucene", k1=1.2, b=0.75)
        self._index.scores = {
            "data": scores,
            "indices": doc_ids.astype(np.int32),
            "indptr": indptr,
            "num_docs": size,
        }
        self._index.nonoccurrence_array = None
        self._index.activate_numba_scorer()

    def bm25_topk(self, terms: NDArray[np.int32], k: int) -> tuple[Ids, Floats]:
        """See `kernels.InvertedIndex.bm25_topk`."""
        scores = self._index.get_scores_from_ids(terms)
        values, ids = bm25s.selection.topk(scores, min(k, np.count_nonzero(scores)), backend="numpy")
        return ids.astype(np.uint32), values
