"""fts-bm25 by scipy: a sparse matrix holds the score of every posting; a query adds up the rows of its terms.

The scores of single postings are computed beforehand, 8 bytes a posting beside the index, as bm25s does; nothing
is skipped. Equal scores are returned in another order than the kernel's, which the contract allows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

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
        scores = np.repeat(idf * (K1 + ONE), counts) * counted / (counted + norms[doc_ids])
        self._scores = sparse.csr_array(
            (scores, doc_ids.astype(np.int32), indptr), (counts.size, doc_lengths.size)
        )

    def bm25_topk(self, terms: NDArray[np.int32], k: int) -> tuple[Ids, Floats]:
        """See `kernels.InvertedIndex.bm25_topk`."""
        scores = self._scores[terms].sum(axis=0)
        candidates = np.flatnonzero(scores)
        if 0 < k < candidates.size:
            candidates = candidates[np.argpartition(scores[candidates], -k)[-k:]]
        ids = candidates[np.argsort(-scores[candidates])][:k]
        return ids.astype(np.uint32), scores[ids]
