"""Unpacking of bit-packed integers, FastLanes chunks of 1024 values. The file that an agent edits.

Lance 1.0.0 does the same in `BitPacking::unchecked_unpack` (rust/compression/bitpacking/src/lib.rs), called for
every chunk of a bit-packed column.

How it works, and why it is fast:

- A row is 1024 bits whatever the word size, so that every row is 16 words of 64 bits. One shift moves all the
  values in such a word; a mask with the same bits set in every value cuts off what came over from the neighbours.
  So one loop serves all word sizes, and 8-bit values cost what 64-bit values cost.
- Each row is joined from two words, that of its lowest bit and that of its highest. Where they are the same word,
  the mask takes nothing from the second. So no row needs a decision. What a row needs (where its words are, shifts,
  masks) depends on the width alone: a table has it, made when the decoder is built.
- Output and packed words are in no near cache, and waiting for them is most of the time. The processor fetches
  ahead in every 4 KiB that it sees being read or written, but not beyond. So a page is unpacked in eight places at
  once, two rows of each in turn: while one place is written, memory is on its way for the seven others.
- For that, rows are taken in the order of their places, not of their numbers, so that each place is written from
  front to back; and the packed words of the eight chunks are first copied, in the order in which they lie, to a
  near and aligned buffer. The jumps from row to row are among these.
- The loop over a row's words is 16 times as long as an argument says, which is 1. Were its length a constant, LLVM
  would unroll it before it looks for vectors; were it unknown, LLVM would see to what is left over from 16.
- No array is sliced for a row: numba counts references to every slice, which costs more than the row.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit, uint64

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Words = NDArray[np.unsignedinteger[Any]]
    Wide = NDArray[np.uint64]

CHUNK = 1024
ROW = 16
"""The 64-bit words of a row of values, and of one packed word of every lane."""
PLACES = 8
"""Places of a page that are unpacked in turn."""
PIECE = 2
"""The rows that are written in one place before the next has its turn."""
OCTETS = np.array([0, 4, 2, 6, 1, 5, 3, 7])
"""The octet of rows that lies at each multiple of 16 values: three bits, reversed."""
LOW, HIGH, RIGHT, LEFT, OF_LOW, OF_HIGH = range(6)
"""The columns of the table of rows."""


class Bitpack:
    """Decoder of words of `bits` bits: 8, 16, 32 or 64."""

    def __init__(self, bits: int) -> None:
        self._unpack = _decoder(bits)
        self._rows = _rows(bits)

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
        self._unpack(words, word_off, widths, out, self._rows, 1)


@cache
def _rows(bits: int) -> Wide:
    """Return what `_join` needs for each row, one line for each width and place of a row in a chunk.

    LOW and HIGH are where the two packed words begin, RIGHT and LEFT by how much they are shifted, and OF_LOW and
    OF_HIGH which bits are then taken from them.
    """
    octets = bits // 8
    place = np.arange(bits)
    row = OCTETS[place % octets] * octets // 8 * 8 + place // octets
    width = np.arange(bits + 1)[:, None]
    first = row * width
    last = np.maximum(first + width - 1, 0)
    shift = first % bits
    one_in_each = sum(1 << value for value in range(0, 64, bits))
    lowest = np.array([one_in_each * (2**low - 1) for low in range(bits + 1)], np.uint64)
    of_low = lowest[bits - shift]
    rows = np.empty((bits + 1, bits, 6), np.uint64)
    rows[..., LOW], rows[..., HIGH] = first // bits * ROW, last // bits * ROW
    rows[..., RIGHT], rows[..., LEFT] = shift, (bits - shift) % 64
    rows[..., OF_LOW], rows[..., OF_HIGH] = of_low & lowest[width], ~of_low & lowest[width]
    return rows.reshape(-1, 6)


@cache
def _decoder(bits: int) -> Callable[..., None]:
    """Return the function for words of `bits` bits; compiled once."""
    lanes = CHUNK // bits

    @njit()
    def unpack(
        words: Words,
        word_off: NDArray[np.int64],
        widths: NDArray[np.uint8],
        out: Words,
        rows: Wide,
        one: int,
    ) -> None:
        """Unpack a chunk of each place, then the next of each; `one` is 1, which LLVM is not to know."""
        wide_out = out.view(np.uint64)
        near = np.empty(PLACES * bits * ROW, np.uint64)
        near_words = near.view(words.dtype)
        part = -(-widths.size // PLACES)
        for turn in range(part):
            places = -(-(widths.size - turn) // part)
            for place in range(places):
                c = place * part + turn
                size = uint64(widths[c]) * uint64(lanes)
                _copy(words, uint64(word_off[c]), near_words, uint64(place * CHUNK), size)
            for piece in range(0, bits, PIECE):
                for place in range(places):
                    c = place * part + turn
                    to = uint64((c * bits + piece) * ROW)
                    if widths[c] == 0:
                        wide_out[to : to + PIECE * ROW] = 0
                        continue
                    packed = uint64(place * bits * ROW)
                    row = uint64(widths[c]) * uint64(bits) + uint64(piece)
                    for _ in range(PIECE):
                        _join(near, packed, rows, row, wide_out, to, uint64(one) * uint64(ROW))
                        to += uint64(ROW)
                        row += uint64(1)

    return unpack


@njit(inline="always")
def _copy(words: Words, start: int, near: Words, to: int, size: int) -> None:
    for word in range(size):
        near[to + word] = words[start + word]


@njit(inline="always")
def _join(near: Wide, packed: int, rows: Wide, row: int, out: Wide, to: int, size: int) -> None:
    """Write one row of the chunk whose packed words begin at `packed`."""
    low, high = packed + rows[row, LOW], packed + rows[row, HIGH]
    right, left = rows[row, RIGHT], rows[row, LEFT]
    of_low, of_high = rows[row, OF_LOW], rows[row, OF_HIGH]
    for word in range(size):
        out[to + word] = (near[low + word] >> right & of_low) | (near[high + word] << left & of_high)
