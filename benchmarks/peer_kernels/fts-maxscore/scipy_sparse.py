"""fts-maxscore by scipy: a sparse matrix holds the score of every posting; a query adds up the rows of its terms.

The scores of single postings are computed beforehand, 8 bytes a posting beside the index, which no kernel may
keep; nothing is decoded in a call and nothing is skipped. Equal scores are returned in another order than the
kernel's, which the contract allows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from posting_scores import best, scored_postings
from scipy import sparse

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Ids = NDArray[np.uint32]


class InvertedIndex:
    """See `kernels.InvertedIndex`."""

    def __init__(self, *parts: Any) -> None:
        indptr, doc_ids, scores = scored_postings(*parts)
        size = parts[-2].size
        shape = indptr.size - 1, size
        self._scores = sparse.csr_array((scores, doc_ids.astype(np.int32), indptr), shape)

    def bm25_topk(self, terms: NDArray[np.int32], k: int) -> tuple[Ids, Floats]:
        """See `kernels.InvertedIndex.bm25_topk`."""
        scores = self._scores[terms].sum(axis=0)
        return best(scores, k)
