"""The oracle: the kernel's public names, plain and obvious. An agent never edits this file."""

import numpy as np
from numpy.typing import NDArray


class Distances:
    """Edit distances between the beginnings of a word and of a text; see kernels.py."""

    def __init__(self, text: NDArray[np.uint8]) -> None:
        self._text = text

    def fill(self, word: NDArray[np.uint8], table: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return the table that a kernel must fill, a new one: the call's own is the kernel's alone.

        A row follows from the one above it: a letter is replaced or kept, or deleted from the word. Then letters
        of the text are inserted, which costs one for each column further to the right.
        """
        columns = np.arange(len(self._text) + 1, dtype=np.int32)
        right = np.empty_like(table)
        right[0] = columns
        for i, letter in enumerate(word):
            best = right[i] + 1
            best[1:] = np.minimum(best[1:], right[i, :-1] + (self._text != letter))
            right[i + 1] = np.minimum.accumulate(best - columns) + columns
        return right
