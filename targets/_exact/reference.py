"""The oracle: the kernel's public names, plain and obvious. An agent never edits this file."""

import numpy as np
from numpy.typing import NDArray


class Codes:
    """Hamming distances of a query to rows of packed bits; see kernels.py."""

    def __init__(self, rows: NDArray[np.uint8]) -> None:
        self._rows = rows

    def distances(self, query: NDArray[np.uint8]) -> NDArray[np.uint32]:
        """Return in how many bits each row differs, uint32 (n,): exactly this, so target.py has no `check`."""
        return np.unpackbits(self._rows ^ query, axis=1).sum(axis=1, dtype=np.uint32)
