"""The oracle: the kernel's public names, plain and obvious. An agent never edits this file."""

import numpy as np
from numpy.typing import NDArray


class Table:
    """The values of codes; see kernels.py."""

    def __init__(self, values: NDArray[np.uint8]) -> None:
        self._values = values

    def look_up(self, codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the value of every code, uint8 (n,): exactly this, so target.py has no `check`."""
        return self._values[codes]
