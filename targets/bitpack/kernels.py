"""Unpacking of bit-packed integers, FastLanes chunks of 1024 values. The file that an agent edits.

Gives what Lance 1.0.0 gives for every chunk of a bit-packed column, `BitPacking::unchecked_unpack`
(rust/compression/bitpacking/src/lib.rs), in another way: it was found in the night that docs/nights/bitpack.md
tells of, and was three times as fast there as the port of Lance's way, which is
benchmarks/ports/bitpack/kernels.py.

Stays: `Bitpack(bits)` and `unpack_chunks(words, word_off, widths, n, out)`, with the dtypes and shapes that their
docstrings give.

CAN: generate functions and tables for the widths in `__init__`; go through chunks, rows and lanes in any order;
keep a word in a register; write beyond the n-th value of `out`.
CANNOT: keep anything that depends on a call's arguments for a later call; start threads or processes; read
words of no chunk; import anything but numba, numpy and the mathematics of the standard library.

Why it is fast:

- Many values in one step. A row is 1024 bits whatever the size of a value: 16 words of 64 bits. One shift moves
  all the values in such a word, and a mask that repeats for every value cuts off what came over from the
  neighbours. So one loop serves all sizes, and 8-bit values cost what 64-bit values cost.
- No decisions. Every row is joined from two packed words, that of its lowest bit and that of its highest. Where
  they are the same word, the mask takes nothing from the second. Where a row's words are, its shifts and its
  masks depend on the width alone: a table has them, made with the decoder.
- Memory is on its way before it is needed. Neither output nor packed words are in a near cache, and waiting for
  them is most of the time. The processor fetches ahead in every 4 KiB that it sees being read or written, but
  not beyond. So a page is unpacked at eight places in turn, two rows at each: while one is written, the others'
  memory arrives.
- No jumps in far memory. At every place, rows are taken in the order in which they are written. Their packed
  words lie in another order; so the chunk's are first copied, front to back, to a buffer that is near and
  aligned.
- No array slices: numba counts the references to every slice, which costs more than a row does.
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
    """Return what `_join` needs: a line for each row in the order of the output, for each width from 0 to `bits`.

    LOW and HIGH are where the row's two packed words begin in the chunk, RIGHT and LEFT by how much they are
    shifted, OF_LOW and OF_HIGH which bits are then taken from them.
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
        """Unpack one chunk at every place, then the next one at every place, and so on.

        The places lie `part` chunks apart. `one` is 1, which LLVM is not to know: if the loop over a row's words
        had a constant length, LLVM would unroll it before it looks for vectors; if it had any length, LLVM would
        add a second loop for what is left over from 16.
        """
        wide_out = out.view(np.uint64)
        near = np.empty(PLACES * bits * ROW, np.uint64)
        near_words = near.view(words.dtype)
        part = -(-widths.size // PLACES)
        for turn in range(part):
            places = -(-(widths.size - turn) // part)  # the last place may have fewer chunks
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
    """Copy `size` words, front to back."""
    for word in range(size):
        near[to + word] = words[start + word]


@njit(inline="always")
def _join(near: Wide, packed: int, rows: Wide, row: int, out: Wide, to: int, size: int) -> None:
    """Write to `out[to:]` one row of the chunk whose packed words begin at `near[packed]`."""
    low, high = packed + rows[row, LOW], packed + rows[row, HIGH]
    right, left = rows[row, RIGHT], rows[row, LEFT]
    of_low, of_high = rows[row, OF_LOW], rows[row, OF_HIGH]
    for word in range(size):
        out[to + word] = (near[low + word] >> right & of_low) | (near[high + word] << left & of_high)
