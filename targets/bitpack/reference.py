"""The oracle of bitpack: where each of a chunk's 1024 values has its bits, and a gather of those words.

Owns what is right. Plain numpy: for each width, one table for all chunks of that width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Words = NDArray[np.unsignedinteger[Any]]

CHUNK = 1024
OCTETS = np.array([0, 4, 2, 6, 1, 5, 3, 7])
"""The octet of rows that lies at each multiple of 16 lanes: three bits, reversed."""


class Bitpack:
    """Decoder of words of `bits` bits; see `kernels.Bitpack`."""

    def __init__(self, bits: int) -> None:
        self._bits = bits
        self._lanes = CHUNK // bits
        index = np.arange(CHUNK)
        step, place = index // 128, index % 128
        self._lane = place % self._lanes
        self._row = 8 * OCTETS[place // self._lanes * self._lanes // 16] + step

    def unpack_chunks(
        self,
        words: Words,
        word_off: NDArray[np.int64],
        widths: NDArray[np.uint8],
        n: int,  # noqa: ARG002
        out: Words,
    ) -> None:
        """Fill `out`, the padding of the last chunk too."""
        chunks = out.reshape(-1, CHUNK)
        for width in np.unique(widths).tolist():
            of_width = np.flatnonzero(widths == width)
            own = word_off[of_width, None] + np.arange(width * self._lanes)
            chunks[of_width] = self._values(words.take(own), width)

    def _values(self, packed: Words, width: int) -> Words:
        """Return the values, (chunks, 1024), of `packed`, (chunks, 1024 * width / bits).

        A lane's words, `lanes` apart, are one string of bits, lowest first; row r has the bits from r * width.
        """
        if width == 0:
            return np.zeros((len(packed), CHUNK), packed.dtype)
        word, shift = np.divmod(self._row * width, self._bits)
        place = word * self._lanes + self._lane
        values = packed.take(place, axis=1)
        values >>= shift.astype(packed.dtype)
        split = shift + width > self._bits
        upper = packed.take(place[split] + self._lanes, axis=1)
        values[:, split] |= upper << (self._bits - shift[split]).astype(packed.dtype)
        values &= packed.dtype.type(2**width - 1)
        return values
