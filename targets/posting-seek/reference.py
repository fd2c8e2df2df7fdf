"""The oracle of posting-seek: lists are decoded whole, steps are answered by binary search in all of a list.

Owns what is right. Nothing is rounded, so a result is right or wrong.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ids = NDArray[np.uint32]
    Bytes = NDArray[np.uint8]
    Numbers = NDArray[np.int64]

NEXT, SHALLOW, FREQ = 0, 1, 2
END = 2**32 - 1

HEADS = {128: 4, 256: 0}
"""Bytes of the maximal score that a block of so many postings begins with."""


class PostingLists:
    """Compressed posting lists; see `kernels.PostingLists`."""

    def __init__(
        self, blocks: Bytes, offsets: Numbers, first_blocks: Numbers, lengths: Numbers, block: int
    ) -> None:
        places = (offsets[start : stop + 1] for start, stop in pairwise(first_blocks))
        decoded = [decode(blocks, of_list, n, block) for of_list, n in zip(places, lengths.tolist(), strict=True)]
        self._lists = [
            (np.append(ids, np.uint32(END)), np.append(frequencies, np.uint32(0)), ids[::block].copy())
            for ids, frequencies in decoded
        ]
        self._block = block

    def run_traces(self, lists: Numbers, operations: Bytes, targets: Ids) -> tuple[Ids, Ids]:
        """Return (places, values) of every step, uint32 (B, T) each."""
        traces = zip(lists, operations, targets, strict=True)
        answers = [_run(*self._lists[number], self._block, *trace) for number, *trace in traces]
        places, values = (np.array(parts, np.uint32) for parts in zip(*answers, strict=True))
        return places, values


def _run(
    ids: Ids, frequencies: Ids, first_ids: Ids, size: int, operations: Bytes, targets: Ids
) -> tuple[Numbers, Numbers]:
    """Answer the steps of one trace; the list has an entry more, (END, 0)."""
    is_next, is_shallow = operations == NEXT, operations == SHALLOW
    found = np.searchsorted(ids[:-1], np.where(is_next, targets, 0))
    index = np.maximum.accumulate(found)  # the list never moves back
    reached = np.maximum(np.searchsorted(first_ids, targets, side="right") - 1, 0)
    # A step NEXT sets the block, those SHALLOW after it only move it on: the largest so far of each such stretch.
    stretch = np.cumsum(is_next) * (len(first_ids) + 1)
    block = np.maximum.accumulate(stretch + np.where(is_shallow, reached, index // size)) - stretch
    first = first_ids[np.minimum(block, len(first_ids) - 1)]
    values = np.select([is_next, is_shallow], [ids[index], first], frequencies[index])
    return np.where(is_shallow, block, index), values


def decode(blocks: Bytes, offsets: Numbers, length: int, block: int) -> tuple[Ids, Ids]:
    """Return the ids and frequencies of one list; `offsets` are those of its blocks, and their end."""
    whole, left = divmod(length, block)
    starts = offsets[: len(offsets) - 1] + HEADS[block]
    ids, frequencies, ends = _decode_whole(blocks, starts[:whole], block)
    if left:
        numbers, end = _decode_remainder(blocks, starts[whole], 2 * left)
        ids = np.append(ids, np.cumsum(numbers[:left], dtype=np.uint32))
        frequencies = np.append(frequencies, numbers[left:])
        ends = np.append(ends, end)
    assert (ends == offsets[1:]).all(), "blocks are longer than what they hold"
    return ids, frequencies


def _decode_whole(blocks: Bytes, starts: Numbers, block: int) -> tuple[Ids, Ids, Numbers]:
    """Return the ids and the frequencies of whole blocks, and where these end; their first ids are at `starts`."""
    ids, ends = _unpack(blocks, starts + 5, blocks[starts + 4], block)
    ids[:, 0] += blocks[starts[:, None] + np.arange(4)].view("<u4")[:, 0]
    np.cumsum(ids, axis=1, out=ids)
    widths = blocks[ends]
    if block == 128:
        frequencies, ends = _unpack(blocks, ends + 1, widths, block)
    else:
        patches = blocks[ends + 1]
        frequencies, ends = _unpack(blocks, ends + 2, widths, block)
        ends = _patch(blocks, ends, patches, widths, frequencies)
    return ids.ravel(), frequencies.ravel(), ends


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


def _patch(blocks: Bytes, at: Numbers, counts: Bytes, widths: Bytes, rows: Ids) -> Numbers:
    """Add the higher bits of the numbers that are wider than their row; return where the patches end.

    A patch is a place and a varint; the first of each row begins at `at`.
    """
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
    return at


def _decode_remainder(blocks: Bytes, start: int, count: int) -> tuple[Ids, int]:
    """Return `count` varints, and where they end: seven bits a byte, lowest first, the last byte below 128."""
    read = blocks[start : start + 5 * count]
    ends = np.flatnonzero(read < 128)[:count] + 1
    starts = np.append(0, ends[:-1])
    read = read[: ends[-1]]
    shifts = 7 * (np.arange(len(read)) - np.repeat(starts, ends - starts))
    parts = (read & 127).astype(np.uint64) << shifts.astype(np.uint64)
    return np.add.reduceat(parts, starts).astype(np.uint32), start + len(read)
