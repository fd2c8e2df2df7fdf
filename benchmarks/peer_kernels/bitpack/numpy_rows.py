"""bitpack by numpy: all chunks of one width at once, row by row, with whole-array shifts.

Differs from the contract in nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Words = NDArray[np.unsignedinteger[Any]]

CHUNK = 1024
OCTET_PLACES = (0, 4, 2, 6, 1, 5, 3, 7)


class Bitpack:
    """See `kernels.Bitpack`."""

    def __init__(self, bits: int) -> None:
        self._bits = bits
        self._lanes = CHUNK // bits

    def unpack_chunks(
        self,
        words: Words,
        word_off: NDArray[np.int64],
        widths: NDArray[np.uint8],
        n: int,  # noqa: ARG002
        out: Words,
    ) -> None:
        """See `kernels.Bitpack.unpack_chunks`."""
        chunks = out.reshape(-1, CHUNK)
        for width in np.unique(widths).tolist():
            of_width = np.flatnonzero(widths == width)
            own = word_off[of_width, None] + np.arange(width * self._lanes)
            chunks[of_width] = self._values(words.take(own), width)

    def _values(self, packed: Words, width: int) -> Words:
        values = np.zeros((len(packed), CHUNK), packed.dtype)
        if width == 0:
            return values
        by_word = packed.reshape(-1, width, self._lanes)
        mask = packed.dtype.type(2**width - 1)
        for row in range(self._bits):
            word, shift = divmod(row * width, self._bits)
            start = OCTET_PLACES[row // 8] * 16 + row % 8 * 128
            to = values[:, start : start + self._lanes]
            np.right_shift(by_word[:, word], shift, out=to)
            if shift + width > self._bits:
                to |= by_word[:, word + 1] << (self._bits - shift)
            to &= mask
        return values
