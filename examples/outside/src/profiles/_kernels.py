"""The kernel of the library: where nearly all of its time is spent."""

import numpy as np
from numba import njit

from .settings import SHORTEST


class DistanceProfile:
    """Euclidean distances of every stretch of a series from a query.

    `series`, float64 (n,), is kept; what is derived from it here is not timed.
    """

    def __init__(self, series):
        self._series = series

    def profile(self, query):
        """Return the distances, float64 (n - m + 1,), of the stretches as long as `query`, float64 (m,)."""
        if query.size < SHORTEST:
            raise ValueError(f"a query has {SHORTEST} values or more; got {query.size}")
        return _profile(self._series, query)


@njit()
def _profile(series, query):
    distances = np.empty(series.size - query.size + 1)
    for start in range(distances.size):
        total = 0.0
        for i in range(query.size):
            difference = series[start + i] - query[i]
            total += difference * difference
        distances[start] = np.sqrt(total)
    return distances
