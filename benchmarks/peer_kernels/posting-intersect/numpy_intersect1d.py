"""numpy: `intersect1d` on decoded lists, shortest first. The same results; blocks are decoded whole."""

from __future__ import annotations

from functools import reduce
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Ids = NDArray[np.uint32]
    Numbers = NDArray[np.int64]

BLOCK = 128


def intersect(ids: Ids, starts: Numbers, queries: Numbers, out: Ids) -> Numbers:
    return _answer([ids[start:stop] for start, stop in pairwise(starts)], queries, out)


def intersect_blocks(
    blocks: NDArray[np.uint8],
    offsets: Numbers,
    first_ids: Ids,
    first_blocks: Numbers,
    lengths: Numbers,
    queries: Numbers,
    out: Ids,
) -> Numbers:
    lists = [
        _decode(blocks, offsets[first:stop], first_ids[first:stop], length)
        for (first, stop), length in zip(pairwise(first_blocks), lengths, strict=True)
    ]
    return _answer(lists, queries, out)


def _decode(blocks: NDArray[np.uint8], offsets: Numbers, first_ids: Ids, length: int) -> Ids:
    """Decode the ids of a list, all blocks of one width at once."""
    whole = length // BLOCK
    ids = np.empty(length, np.uint32)
    rows = ids[: whole * BLOCK].reshape(whole, BLOCK // 4, 4)
    widths = blocks[offsets[:whole] + 8]
    for width in np.unique(widths).tolist():
        chosen = np.flatnonzero(widths == width)
        packed = blocks[offsets[chosen, None] + np.arange(9, 9 + 16 * width)]
        words = np.zeros((width + 1, len(chosen), 4), np.uint64)
        words[:width] = packed.view("<u4").reshape(-1, width, 4).swapaxes(0, 1)
        for row in range(BLOCK // 4):
            word, shift = divmod(row * width, 32)
            pair = words[word] | words[word + 1] << np.uint64(32)
            rows[chosen, row] = pair >> np.uint64(shift) & np.uint64(2**width - 1)
    sums = rows.reshape(whole, BLOCK)
    sums[:, 0] = first_ids[:whole]
    np.cumsum(sums, axis=1, out=sums)
    if length % BLOCK:
        start = offsets[whole] + 4
        ids[whole * BLOCK :] = blocks[start : start + 4 * (length % BLOCK)].view("<u4")
    return ids


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
