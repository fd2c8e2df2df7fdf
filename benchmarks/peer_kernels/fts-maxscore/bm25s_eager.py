"""fts-maxscore by bm25s: its numba scorer adds up the scores of single postings; then its top-k.

The scores of postings are computed beforehand and put where bm25s keeps them, with Lance's factor K1 + 1 and the
index's own weights: making the index from lists of tokens takes bm25s minutes here. Nothing is decoded in a call
and nothing is skipped; 8 bytes a posting beside the index, which no kernel may keep. Equal scores are returned in
another order than the kernel's, which the contract allows.
"""

from __future__ import annotations

from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bm25s
import numpy as np

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
