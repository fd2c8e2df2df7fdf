"""fts-maxscore by numpy: the scores of all postings of every term are added up in one array of all documents.

The scores of single postings are computed beforehand, 8 bytes a posting beside the index, which no kernel may
keep; nothing is decoded in a call and nothing is skipped. Equal scores are returned in another order than the
kernel's, which the contract allows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from posting_scores import best, scored_postings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Ids = NDArray[np.uint32]


class InvertedIndex:
    """See `kernels.InvertedIndex`."""

    def __init__(self, *parts: Any) -> None:
        indptr, doc_ids, scores = scored_postings(*parts)
        size = parts[-2].size
        self._indptr, self._doc_ids, self._scores, self._size = indptr, doc_ids, scores, size

    def bm25_topk(self, terms: NDArray[np.int32], k: int) -> tuple[Ids, Floats]:
        """See `kernels.InvertedIndex.bm25_topk`."""
        scores = np.zeros(self._size, np.float32)
        for term in terms:
            postings = slice(*self._indptr[term : term + 2])
            scores[self._doc_ids[postings]] += self._scores[postings]
        return best(scores, k)
