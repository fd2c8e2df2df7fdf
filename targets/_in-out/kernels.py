"""The kernel: the only file that an agent edits."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

Letters = NDArray[np.uint8]
Table = NDArray[np.int32]


class Distances:
    """Edit distances (Levenshtein) between the beginnings of a word and of a text.

    `__init__` is not timed: what it derives from `text`, uint8 (n,), may be kept.
    """

    def __init__(self, text: Letters) -> None:
        self._text = text

    def fill(self, word: Letters, table: Table) -> Table:
        """Fill `table`, int32 (m + 1, n + 1), and return it; `word` is uint8 (m,).

        `table[i, j]` is how many letters must be inserted, deleted or replaced to make `text[:j]` of `word[:i]`.
        """
        _fill(self._text, word, table)
        return table


@njit
def _fill(text: Letters, word: Letters, table: Table) -> None:
    for j in range(len(text) + 1):
        table[0, j] = j
    for i in range(1, len(word) + 1):
        table[i, 0] = i
        for j in range(1, len(text) + 1):
            replaced = table[i - 1, j - 1] + (word[i - 1] != text[j - 1])
            table[i, j] = min(replaced, table[i - 1, j] + 1, table[i, j - 1] + 1)
