"""The oracle of ivf-partition: every distance in float64, and the error that float32 may make.

Owns what is right and how far a float32 kernel may be from it; the comparison itself is in target.py.

With u = 2**-24, d the distance and n dimensions, a sum of float32 terms is off by (roundings) u S at most, where S
is the sum of the terms' sizes: d for squared L2, 1 + sum |q c| for dot. Any order takes n roundings at most
(Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 4.2); 4 sqrt(n) hold with near
certainty where n is large (Higham and Mary, A New Approach to Probabilistic Rounding Error Analysis, 2019), and
refuse float16, which n would not. S is the distance itself: q.q - 2 q.c + c.c is accepted only where it does
not cancel, because Lance multiplies the smallest distance to decide how many partitions it probes.

Normalisation moves the query by e = (roundings / 2 + 3) u of its length, 1, and so d by 2 sqrt(d) e + e**2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Doubles = NDArray[np.float64]

ROUNDING = 2.0**-24
"""Largest relative error of one float32 operation."""

TINY = 2.0**-126
"""Smallest normal float32: what one term may lose when products underflow."""


class IvfModel:
    """The centroids of an IVF index with T tables of P partitions; see `kernels.IvfModel`."""

    def __init__(self, centroids: NDArray[np.float32], metric: str) -> None:
        self._tables = [Table(table, metric) for table in centroids]
        self._partitions = centroids.shape[1]

    def find_partitions(
        self, queries: NDArray[np.float32], nprobes: int
    ) -> tuple[NDArray[np.uint32], NDArray[np.float32], Doubles, Doubles]:
        """Rank the partitions of every table for every query.

        Returns
        -------
        ids : uint32, shape (T, Q, min(nprobes, P))
            The nearest partitions, ascending by (distance in IEEE's total order, id).
        distances : float32, shape (T, Q, min(nprobes, P))
            Their distances, rounded.
        all_distances, limits : float64, shape (T, Q, P)
            Every partition's distance and the largest error allowed in it. A row with NaN is at its NaN.
        """
        shape = len(self._tables), len(queries)
        found = min(nprobes, self._partitions)
        ids, distances = np.empty((*shape, found), np.uint32), np.empty((*shape, found), np.float32)
        every, limits = np.empty((2, *shape, self._partitions))
        for t, q in np.ndindex(shape):
            at = t, q
            ids[at], distances[at], every[at], limits[at] = self._tables[t].ranked(queries[q], nprobes)
        return ids, distances, every, limits


class Table:
    """The centroids of one table."""

    def __init__(self, centroids: NDArray[np.float32], metric: str) -> None:
        self._centroids = centroids.astype(np.float64)
        self._metric = metric
        not_numbers = np.isnan(centroids)
        self._nan_rows = np.flatnonzero(not_numbers.any(axis=1))
        self._nans = centroids[self._nan_rows, not_numbers[self._nan_rows].argmax(axis=1)]

    def ranked(
        self, query: NDArray[np.float32], nprobes: int
    ) -> tuple[NDArray[np.uint32], NDArray[np.float32], Doubles, Doubles]:
        """The same for one query."""
        every, limit = self._distances(query.astype(np.float64))
        every[self._nan_rows] = self._nans
        limit[self._nan_rows] = 0
        negative_nan = np.isnan(every) & np.signbit(every)
        ids = np.lexsort((every, ~negative_nan))[:nprobes]
        return ids.astype(np.uint32), every[ids].astype(np.float32), every, limit

    def _distances(self, query: Doubles) -> tuple[Doubles, Doubles]:
        dim = query.size
        roundings = min(dim, 4 * dim**0.5) + 4
        if self._metric == "dot":
            every = 1 - self._centroids @ query
            scale = 1 + np.abs(self._centroids) @ np.abs(query)
            return every, roundings * ROUNDING * scale + dim * TINY
        if self._metric == "cosine":
            query = query / np.sqrt(np.square(query).sum())
        differences = self._centroids - query
        every = np.einsum("pd,pd->p", differences, differences)
        limit = roundings * ROUNDING * every + dim * TINY
        if self._metric == "cosine":
            moved = (roundings / 2 + 3) * ROUNDING
            limit += 2 * np.sqrt(every) * moved + moved**2
        return every, limit
