"""numpy: `searchsorted` on decoded lists, all steps of a trace at once. The same results.

The constructor decodes every list whole, ids and frequencies, 8 bytes per posting: what a kernel may not keep. So
this shows what the search alone costs, and not what it costs from compressed blocks.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from posting_blocks import decode

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ids = NDArray[np.uint32]
    Bytes = NDArray[np.uint8]
    Numbers = NDArray[np.int64]

NEXT, SHALLOW, FREQ = 0, 1, 2
END = 2**32 - 1


class PostingLists:
    def __init__(
        self, blocks: Bytes, offsets: Numbers, first_blocks: Numbers, lengths: Numbers, block: int
    ) -> None:
        self._block = block
        self._lists = []
        for (first, stop), length in zip(pairwise(first_blocks), lengths, strict=True):
            ids, frequencies = decode(blocks, offsets[first : stop + 1], int(length), block)
            ends = np.append(ids, np.uint32(END)), np.append(frequencies, np.uint32(0))
            self._lists.append((ids, ids[::block].copy(), *ends))

    def run_traces(self, lists: Numbers, operations: Bytes, targets: Ids) -> tuple[Ids, Ids]:
        places, values = np.empty(targets.shape, np.uint32), np.empty(targets.shape, np.uint32)
        for trace, number in enumerate(lists):
            ids, first_ids, docs_and_end, counts_and_end = self._lists[number]
            is_next, is_shallow = operations[trace] == NEXT, operations[trace] == SHALLOW
            index = np.searchsorted(ids, np.where(is_next, targets[trace], 0))
            np.maximum.accumulate(index, out=index)
            reached = np.maximum(np.searchsorted(first_ids, targets[trace], side="right") - 1, 0)
            stretch = np.cumsum(is_next) * (len(first_ids) + 1)
            block = np.maximum.accumulate(stretch + np.where(is_shallow, reached, index // self._block)) - stretch
            first = first_ids[np.minimum(block, len(first_ids) - 1)]
            places[trace] = np.where(is_shallow, block, index)
            docs_or_first = np.where(is_next, docs_and_end[index], first)
            values[trace] = np.where(operations[trace] == FREQ, counts_and_end[index], docs_or_first)
        return places, values
