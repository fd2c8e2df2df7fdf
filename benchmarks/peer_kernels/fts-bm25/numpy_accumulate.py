"""fts-bm25 by numpy: every posting of every term is scored into one array of all documents, then partitioned.

Nothing is skipped. Equal scores are returned in another order than the kernel's, which the contract allows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

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
        self._indptr, self._doc_ids, self._freqs = indptr, doc_ids, freqs.astype(np.float32)
        average_length = np.float32(doc_lengths.sum(dtype=np.int64)) / np.float32(max(doc_lengths.size, 1))
        self._norms = K1 * (ONE - B + B * doc_lengths.astype(np.float32) / average_length)
        counts = np.diff(indptr).astype(np.float32)
        idf = np.log((np.float32(doc_lengths.size) - counts + HALF) / (counts + HALF) + ONE)
        self._weights = idf * (K1 + ONE)

    def bm25_topk(self, terms: NDArray[np.int32], k: int) -> tuple[Ids, Floats]:
        """See `kernels.InvertedIndex.bm25_topk`."""
        scores = np.zeros(self._norms.size, np.float32)
        for term in terms:
            postings = slice(*self._indptr[term : term + 2])
            docs, freqs = self._doc_ids[postings], self._freqs[postings]
            scores[docs] += self._weights[term] * freqs / (freqs + self._norms[docs])
        candidates = np.flatnonzero(scores)
        if 0 < k < candidates.size:
            candidates = candidates[np.argpartition(scores[candidates], -k)[-k:]]
        ids = candidates[np.argsort(-scores[candidates])][:k]
        return ids.astype(np.uint32), scores[ids]
