"""The oracle: the kernel's public names, plain and obvious. An agent never edits this file."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

ROUNDING = 2.0**-53
"""Largest relative error of one float64 operation."""


class Profile:
    """Squared distances of a query to every window of a series; see kernels.py."""

    def __init__(self, series: NDArray[np.float64]) -> None:
        self._series = series

    def distances(self, query: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the squared distances and the largest error allowed in each, float64 (n - m + 1,).

        A kernel may sum (s - q)**2, or s**2 - 2 s q + q**2. Either way, the sizes of one value's terms add up to
        (|s| + |q|)**2 at most, and no term is rounded more than m + 3 times (Higham, Accuracy and Stability of
        Numerical Algorithms, 2nd ed., section 3.1). Twice as much is allowed: this oracle rounds as a kernel does.
        """
        windows = sliding_window_view(self._series, len(query))
        sizes = np.square(np.abs(windows) + np.abs(query)).sum(axis=1)
        return np.square(windows - query).sum(axis=1), 2 * (len(query) + 3) * ROUNDING * sizes
