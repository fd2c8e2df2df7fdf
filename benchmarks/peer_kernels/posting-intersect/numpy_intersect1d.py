"""numpy: `intersect1d` on decoded lists, shortest first. The same results; blocks are decoded whole."""

from __future__ import annotations

from functools import reduce
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from posting_blocks import decode_ids

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
    ends = np.empty(len(queries), np.int64)
    found = 0
    for number, query in enumerate(queries):
        ordered = sorted((lists[i] for i in query), key=len)
        common = reduce(lambda one, other: np.intersect1d(one, other, assume_unique=True), ordered)
        out[found : found + len(common)] = common
        found += len(common)
        ends[number] = found
    return ends
