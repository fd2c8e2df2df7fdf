"""The kernel: the only file that an agent edits."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Profile:
    """Squared distances of a query to every window of a series.

    `__init__` is not timed: what it derives from `series`, float64 (n,), may be kept.
    """

    def __init__(self, series: Floats) -> None:
        self._series = series

    def distances(self, query: Floats) -> Floats:
        """Return the squared distance of each window, float64 (n - m + 1,); `query` is float64 (m,)."""
        return _distances(self._series, query)


@njit
def _distances(series: Floats, query: Floats) -> Floats:
    found = np.empty(len(series) - len(query) + 1)
    for start in range(len(found)):
        total = 0.0
        for i in range(len(query)):
            difference = series[start + i] - query[i]
            total += difference * difference
        found[start] = total
    return found
