"""numpy: `searchsorted` on decoded lists, all steps of a trace at once. The same results.

The constructor decodes every list whole, ids and frequencies, 8 bytes per posting: what a kernel may not keep. So
this shows what the search alone costs, and not what it costs from compressed blocks.
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

BLOCK = 128
NEXT = 0
END = 2**32 - 1


class PostingLists:
    def __init__(self, blocks: Bytes, offsets: Numbers, first_blocks: Numbers, lengths: Numbers) -> None:
        self._lists = []
        for (first, stop), length in zip(pairwise(first_blocks), lengths, strict=True):
            ids, frequencies = _decode(blocks, offsets[first:stop], length)
            ends = np.append(ids, np.uint32(END)), np.append(frequencies, np.uint32(0))
            self._lists.append((ids, ids[::BLOCK].copy(), *ends))

    def run_traces(self, lists: Numbers, operations: Bytes, targets: Ids) -> tuple[Ids, Ids, Ids]:
        places, docs, frequencies = (np.empty(targets.shape, np.uint32) for _ in range(3))
        for trace, number in enumerate(lists):
            ids, first_ids, docs_and_end, counts_and_end = self._lists[number]
            is_next = operations[trace] == NEXT
            index = np.searchsorted(ids, np.where(is_next, targets[trace], 0))
            np.maximum.accumulate(index, out=index)
            block = np.searchsorted(first_ids, targets[trace], side="right") - 1
            stretch = np.cumsum(is_next) * (len(first_ids) + 1)
            block = np.where(is_next, index // BLOCK, np.maximum(block, 0)) + stretch
            block = np.maximum.accumulate(block) - stretch
            first = first_ids[np.minimum(block, len(first_ids) - 1)]
            places[trace] = np.where(is_next, index, block)
            docs[trace] = np.where(is_next, docs_and_end[index], first)
            frequencies[trace] = np.where(is_next, counts_and_end[index], 0)
        return places, docs, frequencies


def _decode(blocks: Bytes, offsets: Numbers, length: int) -> tuple[Ids, Ids]:
    """Decode a list, all packed numbers of one width at once."""
    whole = length // BLOCK
    differences, ends = _unpack(blocks, offsets[:whole] + 8)
    frequencies, _ = _unpack(blocks, ends)
    differences[:, 0] = blocks[offsets[:whole, None] + np.arange(4, 8)].view("<u4")[:, 0]
    ids = np.cumsum(differences, axis=1, dtype=np.uint32)
    remainder = np.zeros((2, 0), np.uint32)
    if length % BLOCK:
        start = offsets[whole] + 4
        remainder = blocks[start : start + 8 * (length % BLOCK)].view("<u4").reshape(2, -1)
    return np.append(ids, remainder[0]), np.append(frequencies, remainder[1])


def _unpack(blocks: Bytes, starts: Numbers) -> tuple[Ids, Numbers]:
    numbers = np.empty((len(starts), BLOCK // 4, 4), np.uint32)
    widths = blocks[starts].astype(np.int64)
    for width in np.unique(widths).tolist():
        chosen = np.flatnonzero(widths == width)
        packed = blocks[starts[chosen, None] + np.arange(1, 1 + 16 * width)]
        words = np.zeros((width + 1, len(chosen), 4), np.uint64)
        words[:width] = packed.view("<u4").reshape(-1, width, 4).swapaxes(0, 1)
        for row in range(BLOCK // 4):
            word, shift = divmod(row * width, 32)
            pair = words[word] | words[word + 1] << np.uint64(32)
            numbers[chosen, row] = pair >> np.uint64(shift) & np.uint64(2**width - 1)
    return numbers.reshape(-1, BLOCK), starts + 1 + 16 * widths
