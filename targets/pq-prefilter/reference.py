"""The oracle of pq-prefilter: the same search in float64, and the error that float32 may make.

Owns what is right and how far a float32 kernel may be from it; the comparison itself is in target.py. Plain
numpy, one partition and one sub-space after the other. It computes the distance of every row, and then forgets
those that are not allowed.

The limit of a row's distance d is roundings * u * S, with u = 2**-24. S = d + |query|**2 + |centroid|**2 +
|residual|**2 has the terms of the square and those of its expansion, which a kernel may sum instead. Additions
are counted as a random walk, as rounding errors behave (Higham and Mary, A New Approach to Probabilistic Rounding
Error Analysis, 2019): 2 sqrt(M + sd) for the table and the sum over sub-spaces; and 4 more for what is done once:
residual, difference, square, constant of a row. The bound that assumes nothing would let float16 pass in places.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Doubles = NDArray[np.float64]

ROUNDING = 2.0**-24
"""Largest relative error of one float32 operation."""
LARGEST = float(np.finfo(np.float32).max)


class PqPrefilterKernel:
    """Top-k search among some of `n` rows, which lie in P partitions; see `kernels.PqPrefilterKernel`.

    Parameters
    ----------
    codebook : float32, shape (M, 256, sd)
        The centroids of each of the M sub-spaces.
    codes : uint8, shape (M * n,)
        One partition after the other, each (M, n_p).
    offsets : int64, shape (P + 1,)
        The first row of each partition, and n.
    centroids : float32, shape (P, M * sd)
        What the rows' residuals were taken from.
    """

    def __init__(
        self,
        codebook: NDArray[np.float32],
        codes: NDArray[np.uint8],
        offsets: NDArray[np.int64],
        centroids: NDArray[np.float32],
    ) -> None:
        sub_vectors, _, length = codebook.shape
        self._blocks = [block.reshape(sub_vectors, -1) for block in np.split(codes, offsets[1:-1] * sub_vectors)]
        self._by_dimension = np.ascontiguousarray(codebook.transpose(2, 0, 1), dtype=np.float64)
        self._centroids = centroids.astype(np.float64)
        squares = np.square(self._by_dimension).sum(axis=0)
        self._terms = np.concatenate([_sum_by_code(squares, block) for block in self._blocks])
        self._terms += np.repeat(np.square(self._centroids).sum(axis=1), np.diff(offsets))
        self._roundings = 4 + 2 * (sub_vectors + length) ** 0.5

    def top_k(
        self, query: NDArray[np.float32], allowed: NDArray[np.uint32], k: int
    ) -> tuple[NDArray[np.uint32], NDArray[np.float32], Doubles, Doubles]:
        """Search for `query`, float32 (M * sd,), among the rows `allowed`, uint32 (a,).

        Returns
        -------
        ids : uint32, shape (r,)
            The nearest rows, ascending by (distance, id): k, or all that are allowed and have a distance.
        distances : float32, shape (r,)
            Their distances, rounded.
        every, limit : float64, shape (n,)
            The distance of every row, NaN for one that must not be found, and the largest error allowed in it.
        """
        point = query.astype(np.float64)
        with np.errstate(invalid="ignore"):  # infinity less infinity
            tables = [self._table(point - centroid) for centroid in self._centroids]
        distances = np.concatenate([_sum_by_code(*pair) for pair in zip(tables, self._blocks, strict=True)])
        every = np.full(distances.size, np.nan)
        every[allowed] = distances[allowed]
        every[~(every < LARGEST)] = np.nan
        terms = self._terms + np.square(point).sum() + every
        limit = np.where(np.isnan(every), 0, self._roundings * ROUNDING * terms)
        ids = np.argsort(every, kind="stable")[: min(k, np.count_nonzero(~np.isnan(every)))]
        return ids.astype(np.uint32), every[ids].astype(np.float32), every, limit

    def _table(self, residual: Doubles) -> Doubles:
        parts = residual.reshape(-1, len(self._by_dimension))
        table = np.zeros(self._by_dimension.shape[1:])
        for centroids, coordinates in zip(self._by_dimension, parts.T, strict=True):
            table += np.square(coordinates[:, None] - centroids)
        return table


def _sum_by_code(terms: Doubles, codes: NDArray[np.uint8]) -> Doubles:
    total = np.zeros(codes.shape[1])
    for of_sub_space, column in zip(terms, codes, strict=True):
        total += of_sub_space.take(column)
    return total
