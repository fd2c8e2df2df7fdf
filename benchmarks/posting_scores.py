"""The score of every posting of an index, and the best of summed ones, for the peers of fts-maxscore.

These add scores up and know nothing of Lance's blocks.
"""

from __future__ import annotations

from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Ids = NDArray[np.uint32]

K1 = np.float32(1.2)
ONE = np.float32(1)
TARGET = Path(__file__).resolve().parent.parent / "targets" / "fts-maxscore"


def scored_postings(*parts: Any) -> tuple[NDArray[np.int64], Ids, Floats]:
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


def best(scores: Floats, k: int) -> tuple[Ids, Floats]:
    """Return the k documents with the highest scores above 0 at most, best first, and these."""
    candidates = np.flatnonzero(scores)
    if 0 < k < candidates.size:
        candidates = candidates[np.argpartition(scores[candidates], -k)[-k:]]
    ids = candidates[np.argsort(-scores[candidates])][:k]
    return ids.astype(np.uint32), scores[ids]
