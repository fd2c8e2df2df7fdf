"""pyroaring (CRoaring): `BitMap & BitMap`, the bitmaps built in the call. The same results.

Who keeps bitmaps instead of lists builds them once; here that is part of the time, as the lists are new to every
call. Blocks are decoded whole, with numpy.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from posting_blocks import decode_ids
from pyroaring import BitMap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Ids = NDArray[np.uint32]
    Bytes = NDArray[np.uint8]
    Numbers = NDArray[np.int64]


def intersect(
    blocks: Bytes,
    offsets: Numbers,
    first_ids: Ids,  # noqa: ARG001
    first_blocks: Numbers,
    lengths: Numbers,
    block: int,
    queries: Numbers,
    out: Ids,
) -> Numbers:
    lists = [
        decode_ids(blocks, offsets[first : stop + 1], length, block)
        for (first, stop), length in zip(pairwise(first_blocks), lengths.tolist(), strict=True)
    ]
    return _answer(lists, queries, out)


def _answer(lists: Sequence[Ids], queries: Numbers, out: Ids) -> Numbers:
    bitmaps = [BitMap(ids) for ids in lists]
    ends = np.empty(len(queries), np.int64)
    found = 0
    for number, query in enumerate(queries):
        common = BitMap.intersection(*(bitmaps[i] for i in query))
        out[found : found + len(common)] = np.frombuffer(common.to_array(), np.uint32)
        found += len(common)
        ends[number] = found
    return ends
