"""Posting lists decoded whole with numpy, for the peers of posting-seek and posting-intersect.

These search or intersect lists of numbers and know nothing of Lance's blocks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ids = NDArray[np.uint32]
    Bytes = NDArray[np.uint8]
    Numbers = NDArray[np.int64]

HEADS = {128: 4, 256: 0}
"""Bytes of the maximal score that a block of so many postings begins with."""


def decode_ids(blocks: Bytes, offsets: Numbers, length: int, block: int) -> Ids:
    """Return the ids of one list, uint32 (length,); `offsets` are those of its blocks, and their end."""
    whole, left = divmod(length, block)
    starts = offsets[: len(offsets) - 1] + HEADS[block]
    ids, _ = _ids_of_whole(blocks, starts[:whole], block)
    if left:
        ids = np.append(ids, np.cumsum(_decode_remainder(blocks, starts[whole], left), dtype=np.uint32))
    return ids.ravel()


def decode(blocks: Bytes, offsets: Numbers, length: int, block: int) -> tuple[Ids, Ids]:
    """Return the ids and the frequencies of one list, uint32 (length,) each; `offsets` as for `decode_ids`."""
    whole, left = divmod(length, block)
    starts = offsets[: len(offsets) - 1] + HEADS[block]
    ids, frequencies = _decode_whole(blocks, starts[:whole], block)
    if left:
        numbers = _decode_remainder(blocks, starts[whole], 2 * left)
        ids = np.append(ids, np.cumsum(numbers[:left], dtype=np.uint32))
        frequencies = np.append(frequencies, numbers[left:])
    return ids, frequencies


def _decode_whole(blocks: Bytes, starts: Numbers, block: int) -> tuple[Ids, Ids]:
    """Return the ids and the frequencies of whole blocks; their first ids are at `starts`."""
    ids, ends = _ids_of_whole(blocks, starts, block)
    widths = blocks[ends]
    if block == 128:
        frequencies, _ = _unpack(blocks, ends + 1, widths, block)
    else:
        patches = blocks[ends + 1]
        frequencies, ends = _unpack(blocks, ends + 2, widths, block)
        _patch(blocks, ends, patches, widths, frequencies)
    return ids.ravel(), frequencies.ravel()


def _ids_of_whole(blocks: Bytes, starts: Numbers, block: int) -> tuple[Ids, Numbers]:
    """Return the ids of whole blocks, uint32 (starts, block), and where their packed differences end."""
    ids, ends = _unpack(blocks, starts + 5, blocks[starts + 4], block)
    ids[:, 0] += blocks[starts[:, None] + np.arange(4)].view("<u4")[:, 0]
    np.cumsum(ids, axis=1, out=ids)
    return ids, ends


def _unpack(blocks: Bytes, starts: Numbers, widths: Bytes, count: int) -> tuple[Ids, Numbers]:
    """Return the `count` numbers of so many bits that begin at each start, uint32 (starts, count), and their ends.

    They are `width` words of 32 bits for each lane, in turn, a lane for 32 numbers. Of L lanes, number i is the
    i // L-th of lane i % L, which is a string of bits, the lowest first.
    """
    lanes = count // 32
    numbers = np.zeros((len(starts), 32, lanes), np.uint32)
    for width in np.unique(widths).tolist():
        of_width = np.flatnonzero(widths == width)
        packed = blocks[starts[of_width, None] + np.arange(4 * lanes * width)]
        words = np.zeros((len(packed), width + 1, lanes), np.uint64)
        words[:, :width] = packed.view("<u4").reshape(-1, width, lanes)
        for row in range(32):
            word, shift = divmod(row * width, 32)
            two_words = words[:, word] | words[:, min(word + 1, width)] << np.uint64(32)
            numbers[of_width, row] = two_words >> np.uint64(shift) & np.uint64(2**width - 1)
    return numbers.reshape(-1, count), starts + 4 * lanes * widths.astype(np.int64)


def _patch(blocks: Bytes, at: Numbers, counts: Bytes, widths: Bytes, rows: Ids) -> None:
    """Add the higher bits of the numbers that are wider than their row, each a place and a varint."""
    at = at.copy()
    for number in range(counts.max(initial=0)):
        having = np.flatnonzero(counts > number)
        places = blocks[at[having]]
        at[having] += 1
        shifts = widths[having].astype(np.uint32)
        while having.size:
            read = blocks[at[having]]
            at[having] += 1
            rows[having, places] |= (read & 127).astype(np.uint32) << shifts
            goes_on = read > 127
            having, places, shifts = having[goes_on], places[goes_on], shifts[goes_on] + np.uint32(7)


def _decode_remainder(blocks: Bytes, start: int, count: int) -> Ids:
    """Return `count` varints: seven bits a byte, lowest first, the last byte below 128."""
    read = blocks[start : start + 5 * count]
    ends = np.flatnonzero(read < 128)[:count] + 1
    starts = np.append(0, ends[:-1])
    read = read[: ends[-1]]
    shifts = 7 * (np.arange(len(read)) - np.repeat(starts, ends - starts))
    parts = (read & 127).astype(np.uint64) << shifts.astype(np.uint64)
    return np.add.reduceat(parts, starts).astype(np.uint32)
