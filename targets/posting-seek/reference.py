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
    Numbers = NDArray[np.int64]

BLOCK = 128
NEXT = 0
END = 2**32 - 1


class PostingLists:
    """Compressed posting lists; see `kernels.PostingLists`."""

    def __init__(
        self, blocks: NDArray[np.uint8], offsets: Numbers, first_blocks: Numbers, lengths: Numbers
    ) -> None:
        places = (offsets[start : stop + 1] for start, stop in pairwise(first_blocks))
        decoded = [_decode(blocks, of_list, n) for of_list, n in zip(places, lengths, strict=True)]
        self._lists = [
            (np.append(ids, np.uint32(END)), np.append(frequencies, np.uint32(0)), ids[::BLOCK].copy())
            for ids, frequencies in decoded
        ]

    def run_traces(self, lists: Numbers, operations: NDArray[np.uint8], targets: Ids) -> tuple[Ids, Ids, Ids]:
        """Return (places, docs, frequencies) of every step, uint32 (B, T) each."""
        traces = zip(lists, operations, targets, strict=True)
        answers = [_run(*self._lists[number], *trace) for number, *trace in traces]
        places, docs, frequencies = (np.array(parts, np.uint32) for parts in zip(*answers, strict=True))
        return places, docs, frequencies


def _run(
    ids: Ids, frequencies: Ids, first_ids: Ids, operations: NDArray[np.uint8], targets: Ids
) -> tuple[Numbers, Numbers, Numbers]:
    """Answer the steps of one trace; the list has an entry more, (END, 0)."""
    is_next = operations == NEXT
    found = np.searchsorted(ids[:-1], np.where(is_next, targets, 0))
    index = np.maximum.accumulate(found)  # the list never moves back
    reached = np.maximum(np.searchsorted(first_ids, targets, side="right") - 1, 0)
    # A step NEXT sets the block, those SHALLOW after it only move it on: the largest so far of each such stretch.
    stretch = np.cumsum(is_next) * (len(first_ids) + 1)
    block = np.maximum.accumulate(stretch + np.where(is_next, index // BLOCK, reached)) - stretch
    first = first_ids[np.minimum(block, len(first_ids) - 1)]
    docs = np.where(is_next, ids[index], first)
    return np.where(is_next, index, block), docs, np.where(is_next, frequencies[index], 0)


def _decode(blocks: NDArray[np.uint8], offsets: Numbers, length: int) -> tuple[Ids, Ids]:
    """Return the ids and frequencies of one list; `offsets` are those of its blocks, and their end."""
    ids, frequencies = np.empty(length, np.int64), np.empty(length, np.uint32)
    whole = length // BLOCK
    rows = ids[: whole * BLOCK].reshape(whole, BLOCK)
    rows[:], ends = _unpack(blocks, offsets[:whole] + 8)
    frequencies[: whole * BLOCK].reshape(whole, BLOCK)[:], ends = _unpack(blocks, ends)
    assert (ends == offsets[1 : whole + 1]).all(), "blocks are longer than what they hold"
    rows[:, 0] += blocks[offsets[:whole, None] + np.arange(4, 8)].view("<u4")[:, 0]
    np.cumsum(rows, axis=1, out=rows)
    if whole * BLOCK < length:
        remainder = blocks[offsets[whole] + 4 : offsets[whole + 1]].view("<u4").reshape(2, -1)
        ids[whole * BLOCK :], frequencies[whole * BLOCK :] = remainder
    return ids.astype(np.uint32), frequencies


def _unpack(blocks: NDArray[np.uint8], starts: Numbers) -> tuple[Ids, Numbers]:
    """Return the 128 numbers whose width stands at each start, uint32 (starts, 128), and where they end.

    They are `width` words of 32 bits for each of 4 lanes, in turn. Number i is the i // 4-th of lane i % 4, which
    is a string of bits, the lowest first.
    """
    numbers = np.empty((len(starts), BLOCK // 4, 4), np.uint32)
    widths = blocks[starts].astype(np.int64)
    for width in np.unique(widths).tolist():
        of_width = np.flatnonzero(widths == width)
        packed = blocks[starts[of_width, None] + 1 + np.arange(16 * width)]
        words = np.zeros((len(packed), width + 1, 4), np.uint64)
        words[:, :width] = packed.view("<u4").reshape(-1, width, 4)
        for row in range(BLOCK // 4):
            word, shift = divmod(row * width, 32)
            two_words = words[:, word] | words[:, word + 1] << np.uint64(32)
            numbers[of_width, row] = two_words >> np.uint64(shift) & np.uint64(2**width - 1)
    return numbers.reshape(-1, BLOCK), starts + 1 + 16 * widths
