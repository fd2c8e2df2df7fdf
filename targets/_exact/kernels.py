"""The kernel: the only file that an agent edits."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

ONES = np.array([bin(byte).count("1") for byte in range(256)], np.uint8)
"""How many bits of each byte are set."""


class Codes:
    """Hamming distances of a query to rows of packed bits.

    `__init__` is not timed: what it derives from `rows`, uint8 (n, width), may be kept.
    """

    def __init__(self, rows: NDArray[np.uint8]) -> None:
        self._rows = rows

    def distances(self, query: NDArray[np.uint8]) -> NDArray[np.uint32]:
        """Return in how many bits each row differs from `query`, uint8 (width,), as uint32 (n,)."""
        return _distances(self._rows, query)


@njit
def _distances(rows: NDArray[np.uint8], query: NDArray[np.uint8]) -> NDArray[np.uint32]:
    found = np.empty(len(rows), np.uint32)
    for i in range(len(rows)):
        differing = 0
        for j in range(len(query)):
            differing += ONES[rows[i, j] ^ query[j]]
        found[i] = differing
    return found
