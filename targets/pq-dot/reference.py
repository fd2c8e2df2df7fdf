"""The oracle of pq-dot: the same search in float64, and the error that float32 may make.

Owns what is right and how far a float32 kernel may be from it; the comparison itself is in target.py. Plain
numpy, one sub-space after the other, one table for all partitions.

The limit of a row's distance is roundings * u * S, with u = 2**-24 and S = M + |query| |row|: Lance adds 1 in
every sub-space and takes M - 1 off at the end, and the sizes of the products add up to |query| |row| at most
(Cauchy and Schwarz). A distance may be near 0 where S is large, so nothing relative to the distance is right.
Additions are counted as a random walk, as rounding errors behave (Higham and Mary, A New Approach to
Probabilistic Rounding Error Analysis, 2019): 2 sqrt(M + sd), and 4 more for what is done once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Doubles = NDArray[np.float64]

ROUNDING = 2.0**-24
"""Largest relative error of one float32 operation."""

LARGEST = np.finfo(np.float32).max


class PqDotKernel:
    """Top-k search by inner product in `n` rows, which lie in P partitions; see `kernels.PqDotKernel`.

    Parameters
    ----------
    codebook : float32, shape (M, 256, sd)
        The centroids of each of the M sub-spaces.
    codes : uint8, shape (M * n,)
        One partition after the other, each (M, n_p).
    offsets : int64, shape (P + 1,)
        The first row of each partition, and n.
    """

    def __init__(
        self, codebook: NDArray[np.float32], codes: NDArray[np.uint8], offsets: NDArray[np.int64]
    ) -> None:
        sub_vectors, _, length = codebook.shape
        blocks = (block.reshape(sub_vectors, -1) for block in np.split(codes, offsets[1:-1] * sub_vectors))
        self._codes = np.concatenate(tuple(blocks), axis=1)
        self._by_dimension = np.ascontiguousarray(codebook.transpose(2, 0, 1), dtype=np.float64)
        squares = np.square(self._by_dimension).sum(axis=0)
        self._lengths = np.sqrt(_sum_by_code(squares, self._codes))
        self._roundings = 4 + 2 * (sub_vectors + length) ** 0.5

    def top_k(
        self, query: NDArray[np.float32], k: int
    ) -> tuple[NDArray[np.uint32], NDArray[np.float32], Doubles, Doubles]:
        """Search for `query`, float32 (M * sd,).

        Returns
        -------
        ids : uint32, shape (r,)
            The nearest rows, ascending by (distance, id): k, or all that have a distance if they are fewer.
        distances : float32, shape (r,)
            Their distances, rounded.
        every, limit : float64, shape (n,)
            Every row's distance, NaN where it has none, and the largest error allowed in it.
        """
        parts = query.astype(np.float64).reshape(-1, len(self._by_dimension))
        products = np.zeros(self._by_dimension.shape[1:])
        with np.errstate(invalid="ignore"):  # queries with NaN or infinity
            for centroids, coordinates in zip(self._by_dimension, parts.T, strict=True):
                products += coordinates[:, None] * centroids
            every = 1 - _sum_by_code(products, self._codes)
            terms = len(parts) + np.sqrt(np.square(parts).sum()) * self._lengths
        has_distance = (every >= -LARGEST) & (every < LARGEST)
        every[~has_distance] = np.nan
        limit = np.where(has_distance, self._roundings * ROUNDING * terms, 0)
        ids = _nearest(every, k)
        return ids.astype(np.uint32), every[ids].astype(np.float32), every, limit


def _sum_by_code(terms: Doubles, codes: NDArray[np.uint8]) -> Doubles:
    total = np.zeros(codes.shape[1])
    for of_sub_space, column in zip(terms, codes, strict=True):
        total += of_sub_space.take(column)
    return total


def _nearest(distances: Doubles, k: int) -> NDArray[np.intp]:
    candidates = np.flatnonzero(~np.isnan(distances))
    if k < candidates.size:
        candidates = np.flatnonzero(distances <= np.partition(distances, k - 1)[k - 1])
    return candidates[np.argsort(distances[candidates], kind="stable")][:k]
