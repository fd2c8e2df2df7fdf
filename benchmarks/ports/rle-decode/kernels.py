"""Run-length decoding: values and run lengths of mini-block chunks to a flat array. The file that an agent edits.

A port of what Lance 14.0.2 runs for every chunk of a run-length encoded page: the chunk is taken apart by its
header (`decode_miniblock_chunk`, rust/lance-encoding/src/encodings/logical/primitive.rs), and
`RleDecompressor::decode_generic` (rust/lance-encoding/src/encodings/physical/rle.rs) repeats one value after the
other by `Vec::resize`, with all checks in the same pass.

Stays: `Rle(bits, size_bits)` and `decode_chunks(page, starts, counts, out)`, with the dtypes and shapes that
their docstrings give.

CAN: write in words of any size, and beyond the end of a run as long as the next one is written later; take
several passes, sort runs by length, treat equal lengths alike; write anything for a chunk that is faulty.
CANNOT: keep anything that depends on a call's arguments for a later call; write outside `out`; start threads or
processes; import anything but numba, numpy and the mathematics of the standard library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Places = NDArray[np.int64]
    Words = NDArray[np.unsignedinteger[Any]]

FINE, EMPTY, UNDIVIDED, UNEQUAL, ZERO_RUN, TOO_FEW = range(6)
"""What a chunk may be; the order is that in which Lance looks for it."""

LEVELS_BYTES = 2
"""The header begins with the number of levels, which nobody needs here."""


class Rle:
    """Decoder of words of `bits` bits, 8, 16, 32 or 64, in chunks whose headers have sizes of 16 or 32 bits."""

    def __init__(self, bits: int, size_bits: int) -> None:
        self._size_bytes = size_bits // 8
        self._words = np.dtype(f"u{bits // 8}")

    def decode_chunks(self, page: Bytes, starts: Places, counts: Places, out: Words) -> Bytes:
        """Fill `out` with the values of c chunks, and say which chunks Lance refuses.

        Parameters
        ----------
        page : uint8, shape (m,)
            The chunks as they lie in the file. A chunk is a header: the number of levels in 2 bytes, the sizes in
            bytes of values and run lengths in `size_bits` each, lowest byte first; then the values, one of `bits`
            bits for each run, and the run lengths, a byte each. Each of the three is padded to a multiple of 8
            bytes, with anything.
        starts : int64, shape (c + 1,)
            Chunk j is `page[starts[j] : starts[j + 1]]`; multiples of 8, ascending.
        counts : int64, shape (c,)
            How many values chunk j has, 1 or more.
        out : words of `bits` bits, shape (the sum of counts,)
            To be filled, chunk after chunk.

        Returns
        -------
        uint8, shape (c,)
            FINE, or the first of these that holds for a chunk; its part of `out` may become anything.
            EMPTY: no values or no run lengths; UNDIVIDED: the size of the values is no multiple of a word's;
            UNEQUAL: not as many values as run lengths; ZERO_RUN: a run of no values, before there are too
            many; TOO_FEW: the runs are less than the count. Runs beyond the count are cut off there, and
            what follows is not looked at.
        """
        faults = np.empty(len(counts), np.uint8)
        _decode_chunks(page, page.view(self._words), self._size_bytes, starts, counts, out, faults)
        return faults


@njit()
def _decode_chunks(
    page: Bytes, words: Words, size_bytes: int, starts: Places, counts: Places, out: Words, faults: Bytes
) -> None:
    first = 0
    for chunk in range(len(counts)):
        start = starts[chunk]
        values_bytes = _size(page, start + LEVELS_BYTES, size_bytes)
        lengths_bytes = _size(page, start + LEVELS_BYTES + size_bytes, size_bytes)
        values_at = start + _padded(LEVELS_BYTES + 2 * size_bytes)
        lengths_at = values_at + _padded(values_bytes)
        if values_bytes == 0 or lengths_bytes == 0:
            faults[chunk] = EMPTY
        elif values_bytes % out.itemsize != 0:
            faults[chunk] = UNDIVIDED
        elif values_bytes // out.itemsize != lengths_bytes:
            faults[chunk] = UNEQUAL
        else:
            values = words[values_at // out.itemsize :][:lengths_bytes]
            lengths = page[lengths_at : lengths_at + lengths_bytes]
            faults[chunk] = _decode(values, lengths, out[first : first + counts[chunk]])
        first += counts[chunk]


@njit()
def _decode(values: Words, lengths: Bytes, out: Words) -> int:
    """Repeat each value (`decode_generic`), which is one call of `Vec::resize` for each run."""
    done = 0
    for run in range(len(lengths)):
        length = np.int64(lengths[run])
        if length == 0:
            return ZERO_RUN
        remaining = len(out) - done
        if length > remaining:
            out[done:] = values[run]
            return FINE
        out[done : done + length] = values[run]
        done += length
    return FINE if done == len(out) else TOO_FEW


@njit()
def _size(page: Bytes, at: int, size_bytes: int) -> int:
    size = 0
    for byte in range(size_bytes):
        size |= np.int64(page[at + byte]) << (8 * byte)
    return size


@njit()
def _padded(size: int) -> int:
    return (size + 7) // 8 * 8
