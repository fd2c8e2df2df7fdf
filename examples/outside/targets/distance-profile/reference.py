"""The oracle: the kernel's public names, plain and obvious, in long double. An agent never edits this file."""

import numpy as np
from numpy.typing import NDArray

ROUNDING = 2.0**-53
"""Largest relative error of one float64 operation."""


class DistanceProfile:
    """Euclidean distances of every stretch of a series from a query; see src/profiles/_kernels.py."""

    def __init__(self, series: NDArray[np.float64]) -> None:
        self._series = series

    def profile(self, query: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the distances and the largest error allowed in each, float64 (n - m + 1,).

        A square of a difference has three roundings, their sum in any order m more, each of a number that is at
        most the sum; the expanded form, q.q - 2 q.s + s.s, has its roundings of q.q + s.s. The root of a sum that
        is off by e is off by sqrt(e) at most, and by e over the root where that is less.
        """
        stretches = np.lib.stride_tricks.sliding_window_view(self._series, query.size).astype(np.longdouble)
        squares = ((stretches - query) ** 2).sum(axis=1)
        sizes = (stretches**2).sum(axis=1) + (query.astype(np.longdouble) ** 2).sum()
        errors = 4 * (query.size + 4) * ROUNDING * sizes
        distances = np.sqrt(squares)
        limits = np.minimum(np.sqrt(errors), errors / np.maximum(distances, np.finfo(np.float64).tiny))
        return distances.astype(np.float64), limits.astype(np.float64) + 4 * ROUNDING * distances.astype(
            np.float64
        )
