"""The oracle of posting-intersect: lists are decoded whole with numpy and intersected as sets.

Owns what is right. Nothing is rounded, so a result is right or wrong.
"""

from __future__ import annotations

from functools import reduce
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ids = NDArray[np.uint32]
    Bytes = NDArray[np.uint8]
    Numbers = NDArray[np.int64]

HEADS = {128: 4, 256: 0}
"""Bytes of the maximal score that a block of so many postings begins with."""


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
    """Fill `out` with the ids that every list of a query has, query by query, and return where each ends."""
    places = (offsets[start : stop + 1] for start, stop in pairwise(first_blocks))
    lists = [decode(blocks, of_list, n, block) for of_list, n in zip(places, lengths.tolist(), strict=True)]
    common = [reduce(_common, sorted((lists[i] for i in query), key=len)) for query in queries]
    ends = np.cumsum([len(ids) for ids in common])
    out[: ends[-1]] = np.concatenate(common)
    return ends


def _common(few: Ids, many: Ids) -> Ids:
    """Return the ids of `few` that `many` has."""
    places = np.searchsorted(many, few)
    inside = places < len(many)
    return few[inside][many[places[inside]] == few[inside]]


def decode(blocks: Bytes, offsets: Numbers, length: int, block: int) -> Ids:
    """Return the ids of one list, uint32 (length,); `offsets` are those of its blocks, and their end."""
    whole, left = divmod(length, block)
    starts = offsets[: len(offsets) - 1] + HEADS[block]
    rows = _unpack(blocks, starts[:whole] + 5, blocks[starts[:whole] + 4], block)
    rows[:, 0] += blocks[starts[:whole, None] + np.arange(4)].view("<u4")[:, 0]
    ids = np.cumsum(rows, axis=1, dtype=np.uint32).ravel()
    if left:
        ids = np.append(ids, np.cumsum(_decode_remainder(blocks, starts[whole], left), dtype=np.uint32))
    return ids


def _unpack(blocks: Bytes, starts: Numbers, widths: Bytes, count: int) -> Ids:
    """Return the `count` numbers of so many bits that begin at each start, uint32 (starts, count).

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
    return numbers.reshape(-1, count)


def _decode_remainder(blocks: Bytes, start: int, count: int) -> Ids:
    """Return `count` varints: seven bits a byte, lowest first, the last byte below 128."""
    read = blocks[start : start + 5 * count]
    ends = np.flatnonzero(read < 128)[:count] + 1
    starts = np.append(0, ends[:-1])
    read = read[: ends[-1]]
    shifts = 7 * (np.arange(len(read)) - np.repeat(starts, ends - starts))
    parts = (read & 127).astype(np.uint64) << shifts.astype(np.uint64)
    return np.add.reduceat(parts, starts).astype(np.uint32)
