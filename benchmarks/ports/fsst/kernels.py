"""FSST decompression: codes of one byte, each for 1 to 8 bytes, back to strings. The file that an agent edits.

A port of what Lance 1.0.0 runs for a batch of compressed strings: `decompress_bulk` after `FsstDecoder::init`
(rust/compression/fsst/src/fsst.rs). It looks at four codes at a time, and where none is an escape it stores
four words of 8 bytes, each over the end of the one before.

Stays: `prepare(table)` and `decode(decoder, codes, offsets, out, out_offsets)`, with the dtypes and shapes that
their docstrings give.

CAN: derive any tables from the symbol table; decode several codes, or several places, at once; decode all
strings as one run, since no code crosses from one to the next; write into the slack after the output's total.
CANNOT: keep anything that depends on a call's arguments for a later call; start threads or processes; import
anything but numba, numpy and the mathematics of the standard library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]

ESCAPE = 255
COMPRESSED = 1 << 24
HIGH_BITS = np.uint32(0x80808080)
LOW_BITS = np.uint32(0x7F7F7F7F)


class Decoder(NamedTuple):
    """A symbol table: `symbols` uint64 (256,), first byte lowest; `lengths` uint8 (256,); and the switch."""

    symbols: NDArray[np.uint64]
    lengths: Bytes
    compressed: bool


def prepare(table: Bytes) -> Decoder:
    """Return what `decode` needs of a symbol table. Not timed.

    `table` is uint8 (2312,) as Lance stores it: a little-endian word of 64 bits with the number of symbols n,
    0 to 255, in bits 0 to 7 and the switch in bit 24; n symbols of 8 bytes; n lengths, 1 to 8. All else means
    nothing, in particular the bytes of a symbol past its length. Switch 0: the strings are stored as they are.
    """
    header = int(table[:8].view(np.uint64)[0])
    count = header & 255
    symbols, lengths = np.zeros(256, np.uint64), np.zeros(256, np.uint8)
    symbols[:count] = table[8 : 8 + 8 * count].view(np.uint64)
    lengths[:count] = table[8 + 8 * count : 8 + 9 * count]
    return Decoder(symbols, lengths, bool(header & COMPRESSED))


def decode(decoder: Decoder, codes: Bytes, offsets: NDArray[Any], out: Bytes, out_offsets: NDArray[Any]) -> int:
    """Decompress every string, one after the other, and return the number of bytes written.

    Parameters
    ----------
    decoder : object
        What `prepare` returned.
    codes : uint8, shape (m,), C-contiguous
        Code c below n stands for its symbol, 255 says that the next byte is meant literally. No string ends
        between the two. At least 8 bytes follow the last string; they mean nothing, as do those before the first.
    offsets : int32 or int64, shape (n + 1,)
        String i is `codes[offsets[i] : offsets[i + 1]]`. The first offset need not be 0.
    out : uint8, shape (total + 8,)
        To be filled up to the total; what is in the last 8 bytes is not looked at.
    out_offsets : shape (n + 1,), dtype of `offsets`
        To be filled: 0, then the end of each string in `out`.
    """
    if not decoder.compressed:
        return _copy(codes, offsets, out, out_offsets)
    # Words that overlap: store number i writes the bytes i to i + 7.
    words = np.ndarray(out.size - 7, np.uint64, out, strides=(1,))
    quads = np.ndarray(codes.size - 3, np.uint32, codes, strides=(1,))
    return _decompress(decoder.symbols, decoder.lengths, codes, quads, offsets, out, words, out_offsets)


def _copy(codes: Bytes, offsets: NDArray[Any], out: Bytes, out_offsets: NDArray[Any]) -> int:
    total = int(offsets[-1]) - int(offsets[0])
    out[:total] = codes[offsets[0] : offsets[-1]]
    np.subtract(offsets, offsets[0], out_offsets)
    return total


@njit()
def _decompress(
    symbols: NDArray[np.uint64],
    lengths: Bytes,
    codes: Bytes,
    quads: NDArray[np.uint32],
    offsets: NDArray[Any],
    out: Bytes,
    words: NDArray[np.uint64],
    out_offsets: NDArray[Any],
) -> int:
    at = 0
    out_offsets[0] = 0
    for string in range(offsets.size - 1):
        i, end = offsets[string], offsets[string + 1]
        while i < end:
            if i + 4 <= end and not _has_escape(quads[i]):
                for j in range(i, i + 4):
                    words[at] = symbols[codes[j]]
                    at += lengths[codes[j]]
                i += 4
            elif codes[i] != ESCAPE:
                words[at] = symbols[codes[i]]
                at += lengths[codes[i]]
                i += 1
            else:
                out[at] = codes[i + 1]
                at += 1
                i += 2
        out_offsets[string + 1] = at
    return at


@njit()
def _has_escape(quad: np.uint32) -> bool:
    """Look at four codes at once: does a byte have its high bit and all of its low bits?"""
    high = quad & HIGH_BITS
    low = (~quad & LOW_BITS) + LOW_BITS
    return np.uint32(high & (low ^ HIGH_BITS)) != 0
