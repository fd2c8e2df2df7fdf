"""The oracle of posting-intersect: lists are decoded whole with numpy and intersected as sets.

Owns what is right. Nothing is rounded, so a result is right or wrong.
"""

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
    """Fill `out` with the ids that every list of a query has, query by query, and return where each ends."""
    return _answer([ids[start:stop] for start, stop in pairwise(starts)], queries, out)


def intersect_blocks(
    blocks: NDArray[np.uint8],
    offsets: Numbers,
    first_ids: Ids,  # noqa: ARG001
    first_blocks: Numbers,
    lengths: Numbers,
    queries: Numbers,
    out: Ids,
) -> Numbers:
    """Decode every list, then do as `intersect` does."""
    places = (offsets[start : stop + 1] for start, stop in pairwise(first_blocks))
    lists = [_decode(blocks, of_list, length) for of_list, length in zip(places, lengths, strict=True)]
    return _answer(lists, queries, out)


def _answer(lists: Sequence[Ids], queries: Numbers, out: Ids) -> Numbers:
    common = [reduce(_common, sorted((lists[i] for i in query), key=len)) for query in queries]
    ends = np.cumsum([len(ids) for ids in common])
    out[: ends[-1]] = np.concatenate(common)
    return ends


def _common(few: Ids, many: Ids) -> Ids:
    """Return the ids of `few` that `many` has."""
    places = np.searchsorted(many, few)
    inside = places < len(many)
    return few[inside][many[places[inside]] == few[inside]]


def _decode(blocks: NDArray[np.uint8], offsets: Numbers, length: int) -> Ids:
    """Return the ids of one list, uint32 (length,); `offsets` are those of its blocks, and their end."""
    ids = np.empty(length, np.int64)
    whole = length // BLOCK
    rows = ids[: whole * BLOCK].reshape(whole, BLOCK)
    starts = offsets[:whole]
    widths = blocks[starts + 8]
    rows[:, 0] = _bytes(blocks, starts + 4, 4).view("<u4")[:, 0]
    for width in np.unique(widths):
        of_width = widths == width
        packed = _bytes(blocks, starts[of_width] + 9, 16 * int(width))
        rows[of_width, 1:] = _unpack(packed, int(width))[:, 1:]
    np.cumsum(rows, axis=1, out=rows)
    if whole * BLOCK < length:
        remainder = blocks[offsets[whole] + 4 :][: 4 * (length % BLOCK)]
        ids[whole * BLOCK :] = remainder.view("<u4")
    return ids.astype(np.uint32)


def _bytes(blocks: NDArray[np.uint8], places: Numbers, count: int) -> NDArray[np.uint8]:
    """Return `count` bytes from each place, uint8 (places, count)."""
    return blocks[places[:, None] + np.arange(count)]


def _unpack(packed: NDArray[np.uint8], width: int) -> Ids:
    """Return the 128 numbers of each row of bytes, uint32 (rows, 128).

    A row is `width` words of 32 bits for each of 4 lanes, in turn. Number i is the i // 4-th of lane i % 4, which
    is a string of bits, the lowest first.
    """
    words = np.zeros((len(packed), width + 1, 4), np.uint64)
    words[:, :width] = packed.view("<u4").reshape(-1, width, 4)
    numbers = np.empty((len(packed), BLOCK // 4, 4), np.uint32)
    for row in range(BLOCK // 4):
        word, shift = divmod(row * width, 32)
        two_words = words[:, word] | words[:, word + 1] << np.uint64(32)
        numbers[:, row] = two_words >> np.uint64(shift) & np.uint64(2**width - 1)
    return numbers.reshape(-1, BLOCK)
