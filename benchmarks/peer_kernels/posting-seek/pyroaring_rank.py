"""pyroaring (CRoaring): `rank` in a bitmap of each list, one Python call per step. The same results.

The constructor decodes every list and builds a bitmap of it; frequencies stay an array, 4 bytes per posting. A
kernel may not keep either.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from posting_blocks import decode
from pyroaring import BitMap

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
