"""The oracle of fts-bm25: every document's score in float64, and the error that float32 may make.

Owns what is right and how far a float32 kernel may be from it; the comparison itself is in target.py. Plain numpy,
one posting list after the other, nothing left out.

The weight of a term, `idf`, is an exception: its argument is computed in float32, step by step as Lance does,
because near 1 the rounding of the argument is a part of the logarithm that can be seen. From there on a summand
is rounded 11 times (document length and average, B, K1, norm, sum, frequency, quotient, logarithm, products) and
then once for each of at most t additions. All summands are positive, so a score's relative error is at most
(t + 11) u to first order, u = 2**-24, whatever the order (Higham, Accuracy and Stability of Numerical Algorithms,
2nd ed., section 4.2); the limit is 4 (t + 6) u.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ids = NDArray[np.uint32]

K1 = 1.2
B = 0.75
ROUNDING = 2.0**-24
"""Largest relative error of one float32 operation."""


class InvertedIndex:
    """One partition of N documents; see `kernels.InvertedIndex` for the arguments."""

    def __init__(self, indptr: NDArray[np.int64], doc_ids: Ids, freqs: Ids, doc_lengths: Ids) -> None:
        self._indptr, self._doc_ids, self._freqs = indptr, doc_ids, freqs
        average_length = doc_lengths.sum(dtype=np.int64) / max(doc_lengths.size, 1)
        self._norms = K1 * (1 - B + B * doc_lengths / average_length) if average_length else np.zeros(0)

    def bm25_topk(self, terms: NDArray[np.int32], k: int) -> tuple[Ids, NDArray[np.float32], Ids, Floats, Floats]:
        """Score every document that has any of `terms`, which are different.

        Returns
        -------
        ids : uint32, shape (k',)
            The best documents, descending by score, then ascending by id; k' is k or the number that match.
        scores : float32, shape (k',)
            Their scores, rounded.
        matches : uint32, shape (m,)
            Every document that has any of the terms, ascending.
        exact, limit : float64, shape (m,)
            Their scores, and the largest error allowed in each.
        """
        every = np.zeros(self._norms.size)
        for term in terms:
            part = slice(*self._indptr[term : term + 2])
            docs, freqs = self._doc_ids[part], self._freqs[part].astype(np.float64)
            weights = (K1 + 1) * freqs / (freqs + self._norms[docs])
            every[docs] += idf(docs.size, every.size) * weights
        matches = np.flatnonzero(every > 0).astype(np.uint32)
        exact = every[matches]
        best = _largest(exact, k)
        limit = 4 * (len(terms) + 6) * ROUNDING * exact
        return matches[best], exact[best].astype(np.float32), matches, exact, limit


def idf(documents: int, of: int) -> np.float64:
    """Return the weight of a term that is in some documents of all; only the logarithm is in float64."""
    n, half = np.float32(documents), np.float32(0.5)
    return np.log(np.float64((np.float32(of) - n + half) / (n + half) + np.float32(1)))


def _largest(scores: Floats, k: int) -> NDArray[np.intp]:
    candidates = np.arange(scores.size)
    if 0 < k < scores.size:
        candidates = np.flatnonzero(scores >= np.partition(scores, -k)[-k])
    return candidates[np.argsort(-scores[candidates], kind="stable")][:k]
