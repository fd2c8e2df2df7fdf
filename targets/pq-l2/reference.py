"""The oracle of pq-l2: the same search in float64, and the error that float32 may make.

Owns what is right and how far a float32 kernel may be from it; the comparison itself is in target.py. Plain
numpy, one sub-space after the other.

The limits come from the terms that are summed (Higham, Accuracy and Stability of Numerical Algorithms, 2nd
ed., section 4.2). With u = 2**-24 and S = sum(q**2 + c**2), float32 arithmetic in any order is within
(2 sd + 4) u S of a table entry and within (2 M + 2 sd + 2) u S of a distance, to first order in u, whether
it sums (q - c)**2 or q**2 - 2 q c + c**2; so the limits 4 (sd + 1) u S and 4 (M + sd) u S accept every honest
kernel. S takes the sizes of q and c, not of their difference: the expanded form cancels when q is near c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROUNDING = 2.0**-24
"""Largest relative error of one float32 operation."""

SAFETY = 4
"""Twice the first-order bound for a table entry, and a little more for a distance: see the module's text."""

TINY = 2.0**-126
"""Smallest normal float32: what one term may lose when products underflow."""


class Found(NamedTuple):
    """The nearest rows, and all that a kernel's table and distances are compared with."""

    ids: NDArray[np.uint32]
    """Shape (min(k, n),), ascending by (distance, id)."""
    distances: NDArray[np.float32]
    """Theirs, rounded."""
    table: NDArray[np.float64]
    """Shape (M, 256)."""
    table_limit: NDArray[np.float64]
    """The largest error allowed in each entry of the table."""
    all_distances: NDArray[np.float64]
    """Shape (n,), of every row."""
    distance_limit: NDArray[np.float64]
    """The largest error allowed in each of them."""


class PqKernel:
    """Top-k search in one partition of `n` rows; see `kernels.PqKernel`.

    Parameters
    ----------
    codebook : float32, shape (M, 256, sd)
        The centroids of each of the M sub-spaces.
    codes : uint8, shape (M, n)
        Column m holds, for every row, its centroid in sub-space m.
    """

    def __init__(self, codebook: NDArray[np.float32], codes: NDArray[np.uint8]) -> None:
        self._codes = codes
        self._length = codebook.shape[2]
        self._by_dimension = np.ascontiguousarray(codebook.transpose(2, 0, 1), dtype=np.float64)
        self._centroid_norms = np.square(self._by_dimension).sum(axis=0)
        self._row_norms = _sum_by_code(self._centroid_norms, codes)

    def distance_table(self, query: NDArray[np.float32], out: NDArray[np.float32]) -> None:
        """Fill `out`, float32 (M, 256), and keep the same table in float64 with its error limit."""
        parts = query.astype(np.float64).reshape(-1, self._length)
        table = np.zeros(self._centroid_norms.shape)
        for centroids, coordinates in zip(self._by_dimension, parts.T, strict=True):
            table += np.square(coordinates[:, None] - centroids)
        norms = np.square(parts).sum(axis=1)
        self._table = table
        self._table_limit = _limit(self._length + 1, norms[:, None] + self._centroid_norms)
        self._query_norm = norms.sum()
        out[...] = table

    def probe_top_k(self, table: NDArray[np.float32], k: int) -> Found:
        """Search with the float64 table behind `table`; ValueError unless `distance_table` wrote it last."""
        if not np.array_equal(table, self._table.astype(np.float32), equal_nan=True):
            raise ValueError("the table is not the one that distance_table wrote last")
        every = _sum_by_code(self._table, self._codes)
        limit = _limit(len(table) + self._length, self._query_norm + self._row_norms)
        ids = _nearest(every, k)
        nearest = every[ids].astype(np.float32)
        return Found(ids.astype(np.uint32), nearest, self._table, self._table_limit, every, limit)


def _sum_by_code(terms: NDArray[np.float64], codes: NDArray[np.uint8]) -> NDArray[np.float64]:
    total = np.zeros(codes.shape[1])
    for of_sub_space, column in zip(terms, codes, strict=True):
        total += of_sub_space.take(column)
    return total


def _limit(n_terms: int, scale: NDArray[np.float64]) -> NDArray[np.float64]:
    limit: NDArray[np.float64] = n_terms * (SAFETY * ROUNDING * scale + TINY)
    return limit


def _nearest(distances: NDArray[np.float64], k: int) -> NDArray[np.intp]:
    if k < distances.size:
        candidates = np.flatnonzero(distances <= np.partition(distances, k - 1)[k - 1])
    else:
        candidates = np.arange(distances.size)
    return candidates[np.argsort(distances[candidates], kind="stable")][:k]
