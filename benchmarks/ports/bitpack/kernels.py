"""Unpacking of bit-packed integers, FastLanes chunks of 1024 values. The file that an agent edits.

A port of what Lance 1.0.0 runs for every chunk of a bit-packed column: `BitPacking::unchecked_unpack`
(rust/compression/bitpacking/src/lib.rs), called by `InlineBitpacking::unchunk`
(rust/lance-encoding/src/encodings/physical/bitpacking.rs). Lance generates an unrolled function for each word
size and width; here the width is a variable.

Stays: `Bitpack(bits)` and `unpack_chunks(words, word_off, widths, n, out)`, with the dtypes and shapes that their
docstrings give.

CAN: generate functions and tables for the widths in `__init__`; go through chunks, rows and lanes in any order;
keep a word in a register; write beyond the n-th value of `out`.
CANNOT: keep anything that depends on a call's arguments for a later call; start threads or processes; read
words of no chunk; import anything but numba, numpy and the mathematics of the standard library.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Words = NDArray[np.unsignedinteger[Any]]

CHUNK = 1024


class Bitpack:
    """Decoder of words of `bits` bits: 8, 16, 32 or 64."""

    def __init__(self, bits: int) -> None:
        self._unpack = _decoder(bits)

    def unpack_chunks(
        self,
        words: Words,
        word_off: NDArray[np.int64],
        widths: NDArray[np.uint8],
        n: int,  # noqa: ARG002
        out: Words,
    ) -> None:
        """Fill `out[:n]` with the values of c chunks.

        Parameters
        ----------
        words : unsigned words of `bits` bits
            The chunks of a page as it lies in the file: other words stand before, between and after them.
        word_off : int64, shape (c,)
            Where the 1024 * width / bits words of each chunk begin; ascending.
        widths : uint8, shape (c,)
            The bits of each chunk's values: 0 to `bits`, both included.
        n : int
            How many values there are: 1024 * (c - 1) < n <= 1024 * c, or 0 without chunks.
        out : as `words`, shape (1024 * c,)
            `out[n:]` is padding and may become anything.
        """
        self._unpack(words, word_off, widths, out)


@cache
def _decoder(bits: int) -> Callable[..., None]:
    """Return the function for words of `bits` bits; compiled once."""
    word = np.dtype(f"u{bits // 8}").type
    lanes = CHUNK // bits

    @njit()
    def unpack(words: Words, word_off: NDArray[np.int64], widths: NDArray[np.uint8], out: Words) -> None:
        """Word k of lane l is word k * lanes + l; a lane's words are one string of bits, cut into rows."""
        for c in range(widths.size):
            width = int(widths[c])
            if width == 0:
                out[c * CHUNK : (c + 1) * CHUNK] = 0
                continue
            mask = word(-1) >> word(bits - width)
            for row in range(bits):
                low = word_off[c] + row * width // bits * lanes
                shift = row * width % bits
                to = c * CHUNK + _place(row)
                for lane in range(lanes):
                    value = words[low + lane] >> word(shift)
                    if shift + width > bits:
                        value |= words[low + lanes + lane] << word(bits - shift)
                    out[to + lane] = value & mask

    return unpack


@njit()
def _place(row: int) -> int:
    """Return where a row's first lane goes in the chunk: octets of rows in bit-reversed order, 16 apart."""
    octet = row // 8
    reversed_octet = (octet & 1) * 4 + (octet & 2) + octet // 4
    return reversed_octet * 16 + row % 8 * 128
