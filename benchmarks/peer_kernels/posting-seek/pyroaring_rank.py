"""pyroaring (CRoaring): `rank` in a bitmap of each list, one Python call per step. The same results.

The constructor decodes every list and builds a bitmap of it; frequencies stay an array, 4 bytes per posting. A
kernel may not keep either.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from pyroaring import BitMap

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ids = NDArray[np.uint32]
    Bytes = NDArray[np.uint8]
    Numbers = NDArray[np.int64]

NEXT, SHALLOW, FREQ = 0, 1, 2
END = 2**32 - 1
HEADS = {128: 4, 256: 0}


class PostingLists:
    def __init__(
        self, blocks: Bytes, offsets: Numbers, first_blocks: Numbers, lengths: Numbers, block: int
    ) -> None:
        self._block = block
        self._lists = []
        for (first, stop), length in zip(pairwise(first_blocks), lengths, strict=True):
            ids, frequencies = _decode(blocks, offsets[first : stop + 1], int(length), block)
            ends = np.append(ids, np.uint32(END)), np.append(frequencies, np.uint32(0))
            self._lists.append((BitMap(ids), ids[::block].tolist(), *ends))

    def run_traces(self, lists: Numbers, operations: Bytes, targets: Ids) -> tuple[Ids, Ids]:
        places, values = np.empty(targets.shape, np.uint32), np.empty(targets.shape, np.uint32)
        for trace, number in enumerate(lists):
            bitmap, first_ids, docs_and_end, counts_and_end = self._lists[number]
            index = block = 0
            found = []
            for operation, target in zip(operations[trace].tolist(), targets[trace].tolist(), strict=True):
                if operation == NEXT:
                    if target:
                        index = max(index, bitmap.rank(target - 1))
                    block = index // self._block
                elif operation == SHALLOW:
                    block = max(block, bisect_right(first_ids, target) - 1)
                found.append(block if operation == SHALLOW else index)
            places[trace] = found
            is_shallow = operations[trace] == SHALLOW
            index_or_end = np.where(is_shallow, 0, places[trace])
            first = np.asarray(first_ids, np.uint32)[np.where(is_shallow, places[trace], 0)]
            docs_or_first = np.where(is_shallow, first, docs_and_end[index_or_end])
            values[trace] = np.where(operations[trace] == FREQ, counts_and_end[index_or_end], docs_or_first)
        return places, values


def _decode(blocks: Bytes, offsets: Numbers, length: int, block: int) -> tuple[Ids, Ids]:
    """Return the ids and frequencies of one list, all packed numbers of one width at once."""
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
    ids, ends = _unpack(blocks, starts + 5, blocks[starts + 4], block)
    ids[:, 0] += blocks[starts[:, None] + np.arange(4)].view("<u4")[:, 0]
    np.cumsum(ids, axis=1, out=ids)
    widths = blocks[ends]
    if block == 128:
        frequencies, _ = _unpack(blocks, ends + 1, widths, block)
    else:
        patches = blocks[ends + 1]
        frequencies, ends = _unpack(blocks, ends + 2, widths, block)
        _patch(blocks, ends, patches, widths, frequencies)
    return ids.ravel(), frequencies.ravel()


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
