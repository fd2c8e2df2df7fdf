"""The oracle of pq-l2-lossy: every row's distance in float64, and the exact nearest rows.

Owns what is right, and how far a distance may be from it; how many of the nearest rows must be found, target.py
says. Plain numpy, one sub-space after the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

STEPS = 255
"""Of a table entry in a byte, from the least entry of the table to the largest."""
ROUNDING = 2.0**-20
"""Relative error that float32 arithmetic adds at most, whatever its order; see pq-l2's reference."""


class Found(NamedTuple):
    """The nearest rows, and all that a kernel's answer is compared with."""

    ids: NDArray[np.uint32]
    """Shape (min(k, n),), ascending by (distance, id)."""
    distances: NDArray[np.float32]
    """Theirs, rounded."""
    every_distance: NDArray[np.float64]
    """Shape (n,), of every row."""
    limit: NDArray[np.float64]
    """Shape (n,): a step of a byte for each sub-space, and what float32 may err."""


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
        self._codebook = codebook.astype(np.float64)
        self._row_norms = _sum_by_code(np.square(self._codebook).sum(axis=2), codes)

    def search(self, query: NDArray[np.float32], k: int) -> Found:
        """Search with distances in float64; `query` is float32 (D,)."""
        parts = query.astype(np.float64).reshape(len(self._codebook), 1, -1)
        table = np.square(parts - self._codebook).sum(axis=2)
        every = _sum_by_code(table, self._codes)
        steps = len(table) * (table.max() - table.min()) / STEPS
        limit = steps + ROUNDING * (np.square(parts).sum() + self._row_norms)
        ids = _nearest(every, k)
        return Found(ids.astype(np.uint32), every[ids].astype(np.float32), every, limit)


def _nearest(distances: NDArray[np.float64], k: int) -> NDArray[np.intp]:
    if k < distances.size:
        candidates = np.flatnonzero(distances <= np.partition(distances, k - 1)[k - 1])
    else:
        candidates = np.arange(distances.size)
    return candidates[np.argsort(distances[candidates], kind="stable")][:k]


def _sum_by_code(terms: NDArray[np.float64], codes: NDArray[np.uint8]) -> NDArray[np.float64]:
    total = np.zeros(codes.shape[1])
    for of_sub_space, column in zip(terms, codes, strict=True):
        total += of_sub_space.take(column)
    return total
