"""The oracle: the kernel's public names, plain and obvious, in float64. An agent never edits this file.

Put here what is right, and how far from it a kernel may be.
"""

import numpy as np
from numpy.typing import NDArray

ROUNDING = 2.0**-24
"""Largest relative error of one float32 operation."""


class WeightedSums:  # change: the name in kernels.py
    """Weighted sums of the rows of a matrix; see kernels.py."""

    def __init__(self, rows: NDArray[np.float32]) -> None:
        self._rows = rows.astype(np.float64)

    def sums(self, weights: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the sums and the largest error allowed in each, float64 (n,).

        A sum of n products in any order takes n roundings, so it is off by n * 2**-24 * sum(|terms|) at most
        (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 3.1); one more covers terms
        of higher order.
        """
        terms = self._rows * weights  # change: the terms that a kernel sums, and how many roundings it makes
        roundings = terms.shape[1] + 1
        return terms.sum(axis=1), roundings * ROUNDING * np.abs(terms).sum(axis=1)
