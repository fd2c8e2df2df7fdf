"""Intersection of posting lists, ascending lists of doc ids in Lance's blocks. The file that an agent edits.

A port of what Lance 14.0.2 runs for an AND query of 1 to 3 words without a score threshold:
`Wand::and_bulk_search` with its `merge_window_docs_2` and `_3`, `find_next_geq` and `block_idx_for_doc`
(rust/lance-index/src/scalar/inverted/wand.rs), and the decoding of ids (encoding.rs); and for one of more words
in blocks of 256 `intersect` (wand_intersection.rs).

Stays: `intersect`, with the dtypes, shapes and order of results that its docstring gives.

CAN: decode less, later, or several blocks at once; search in any way; treat lists by their lengths; build bitmaps
or tables of a call's lists; keep scratch memory.
CANNOT: keep anything that depends on a call's arguments for a later call; start threads or processes; import
anything but numba, numpy and the mathematics of the standard library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ids = NDArray[np.uint32]
    Bytes = NDArray[np.uint8]
    Numbers = NDArray[np.int64]

SMALL, LARGE = 128, 256
"""Postings of a block, by format."""

END = 2**32
"""Greater than every doc id."""

STEPS, GROUP = 8, 32
"""Blocks that a search steps over one by one, and those that it then passes at once."""

LANES, TILE = 8, 4
"""Ids that are compared with one at once, and ids that are compared with as many others."""


def intersect(
    blocks: Bytes,
    offsets: Numbers,
    first_ids: Ids,
    first_blocks: Numbers,
    lengths: Numbers,
    block: int,
    queries: Numbers,
    out: Ids,
) -> Numbers:
    """Fill `out` with the ids that every list of a query has, ascending, query by query.

    Parameters
    ----------
    blocks, offsets : uint8 (bytes,), int64 (B + 1,)
        B blocks of `block` postings; block b is blocks[offsets[b]:offsets[b + 1]]. All numbers are little
        endian. W, X and P being bytes, a block has

        - whole, of 128: maximal score, float32; first doc id, uint32; W; 16 W bytes of differences; X; 16 X
          bytes of frequencies
        - whole, of 256: first doc id, uint32; W; 32 W bytes of differences; X; P; 32 X bytes of the lowest X
          bits of the frequencies; P patches, each a place, one byte, and the frequency's higher bits, a varint
        - shorter, the last of its list: maximal score, if blocks are of 128; first doc id and differences, and
          then frequencies, all varints

        The k-th difference is from id k - 1 to id k; in whole blocks that of the first is 0. Of packed numbers
        i, i + L, i + 2 L ... fill lane i % L from the lowest bit, L being 4 in blocks of 128 and 8 in those of
        256; a lane has W words of 32 bits, word k of lane l is the (L k + l)-th. A varint has seven bits a byte,
        the lowest first, and the eighth bit set in all bytes but the last.
    first_ids : uint32, shape (B,)
        The first doc id of each block.
    first_blocks, lengths : int64, shapes (L + 1,) and (L,)
        List i has the blocks first_blocks[i] to first_blocks[i + 1] - 1 and `lengths[i]` postings, maybe none;
        only the last block of a list may be shorter.
    block : int
        128 or 256.
    queries : int64, shape (Q, K)
        The K >= 1 lists of each query, by number, in any order.
    out : uint32
        Room for the shortest list of each query, all together.

    Returns
    -------
    ends : int64, shape (Q,)
        Where the ids of each query end in `out`; the next query's begin there. What follows the last is free.
    """
    shift = block.bit_length() - 1
    return _intersect(blocks, offsets, first_ids, first_blocks, lengths, shift, queries, out)


@njit()
def _intersect(
    blocks: Bytes,
    offsets: Numbers,
    first_ids: Ids,
    first_blocks: Numbers,
    lengths: Numbers,
    shift: int,
    queries: Numbers,
    out: Ids,
) -> Numbers:
    ends = np.empty(len(queries), np.int64)
    found = np.int64(0)  # a plain 0 would be a type of its own, and all that follows compiled for it too
    for q in range(len(queries)):
        query = _shortest_first(lengths, queries[q])
        if lengths[query[0]] > 0:
            found = _search(blocks, offsets, first_ids, first_blocks, lengths, shift, query, out, found)
        ends[q] = found
    return ends


@njit()
def _shortest_first(lengths: Numbers, query: Numbers) -> Numbers:
    order = query.copy()
    for end in range(1, len(order)):
        number, place = order[end], end
        while place > 0 and lengths[number] < lengths[order[place - 1]]:
            order[place] = order[place - 1]
            place -= 1
        order[place] = number
    return order


@njit()
def _search(
    blocks: Bytes,
    offsets: Numbers,
    first_ids: Ids,
    first_blocks: Numbers,
    lengths: Numbers,
    shift: int,
    query: Numbers,
    out: Ids,
    found: int,
) -> int:
    """Go through windows in which each list has one block; they end where the nearest next block begins."""
    width, size = len(query), 1 << shift
    at, decoded = np.empty(width, np.int64), np.empty(width, np.int64)
    docs = np.empty((width, size), np.uint32)
    lows, highs = np.empty(width, np.int64), np.empty(width, np.int64)
    scratch = np.empty((2, size), np.uint32)
    for i in range(width):
        at[i], decoded[i] = first_blocks[query[i]], -1
    start = np.int64(0)
    while start < END:
        stop = END
        for i in range(width):
            last = first_blocks[query[i] + 1]
            at[i] = _block_of(first_ids, at[i], last, start)
            if at[i] + 1 < last:
                stop = min(stop, max(np.int64(first_ids[at[i] + 1]), start + 1))
        filled = 0
        while filled < width:
            number, block = query[filled], at[filled]
            count = min(size, lengths[number] - ((block - first_blocks[number]) << shift))
            ids = docs[filled]
            if decoded[filled] != block:
                _decode_ids(blocks, offsets[block], count, shift, ids)
                decoded[filled] = block
            lows[filled] = _first_from(ids, 0, count, start)
            highs[filled] = _first_from(ids, lows[filled], count, stop)
            if lows[filled] == highs[filled]:
                break
            filled += 1
        if filled == width:
            found = _merge(docs, lows, highs, scratch, out, found)
        elif lows[filled] == count and block + 1 == first_blocks[number + 1]:
            return found
        start = stop
    return found


@njit()
def _merge(docs: NDArray[np.uint32], lows: Numbers, highs: Numbers, scratch: Ids, out: Ids, found: int) -> int:
    """Write what the lists have in common in a window, ids `lows` to `highs` of each; return where it ends."""
    if len(docs) == 1:
        count = highs[0] - lows[0]
        out[found : found + count] = docs[0, lows[0] : highs[0]]
        return found + count
    if len(docs) == 2:
        return _merge_two(docs[0], docs[1], lows, highs, out, found)
    if len(docs) == 3:
        return _merge_three(docs[0], docs[1], docs[2], lows, highs, out, found)
    common = docs[0, lows[0] : highs[0]]
    for i in range(1, len(docs)):
        into = scratch[i & 1]
        common = into[: _intersect_tiles(common, docs[i, lows[i] : highs[i]], into)]
    out[found : found + len(common)] = common
    return found + len(common)


@njit()
def _merge_two(first: Ids, second: Ids, lows: Numbers, highs: Numbers, out: Ids, found: int) -> int:
    a, b = lows[0], lows[1]
    while a < highs[0]:
        doc = first[a]
        b = _next_from(second, b, highs[1], doc)
        if b >= highs[1]:
            break
        if second[b] > doc:
            a = _next_from(first, a + 1, highs[0], second[b])
        else:
            out[found] = doc
            found += 1
            a += 1
    return found


@njit()
def _merge_three(first: Ids, second: Ids, third: Ids, lows: Numbers, highs: Numbers, out: Ids, found: int) -> int:
    a, b, c = lows[0], lows[1], lows[2]
    while a < highs[0]:
        doc = first[a]
        b = _next_from(second, b, highs[1], doc)
        if b >= highs[1]:
            break
        if second[b] > doc:
            a = _next_from(first, a + 1, highs[0], second[b])
            continue
        c = _next_from(third, c, highs[2], doc)
        if c >= highs[2]:
            break
        if third[c] > doc:
            a = _next_from(first, a + 1, highs[0], third[c])
            continue
        out[found] = doc
        found += 1
        a += 1
    return found


@njit()
def _intersect_tiles(left: Ids, right: Ids, out: Ids) -> int:
    """Write the ids that both have, compared four with four; the tile that ends first moves on.

    `out` may not be `left`. Return how many there are.
    """
    a, b, found = 0, 0, 0
    while a + TILE <= len(left) and b + TILE <= len(right):
        left_last, right_last = left[a + TILE - 1], right[b + TILE - 1]
        if left_last >= right[b] and right_last >= left[a]:
            for i in range(TILE):
                equal = False
                for j in range(TILE):
                    equal |= left[a + i] == right[b + j]
                if equal:
                    out[found] = left[a + i]
                    found += 1
        a += TILE * (left_last <= right_last)
        b += TILE * (right_last <= left_last)
    while a < len(left) and b < len(right):
        one, other = left[a], right[b]
        if one == other:
            out[found] = one
            found += 1
        a += one <= other
        b += other <= one
    return found


@njit(forceinline=True)
def _next_from(ids: Ids, at: int, end: int, target: np.uint32) -> int:
    """Return the first place from `at` on, or `end`, whose id is not below the target; nine are passed at once."""
    while at + LANES < end:
        if ids[at + LANES] < target:
            at += LANES + 1
        else:
            below = 0
            for lane in range(LANES):
                below += ids[at + lane] < target
            return at + below
    while at < end and ids[at] < target:
        at += 1
    return at


@njit(forceinline=True)
def _block_of(first_ids: Ids, block: int, end: int, target: int) -> int:
    """Return the last block, from `block` on and before `end`, whose first id is not above the target."""
    for _ in range(STEPS):
        if block + 1 >= end or first_ids[block + 1] > target:
            return block
        block += 1
    while block + GROUP < end and first_ids[block + GROUP] <= target:
        block += GROUP
    low, high = block + 1, min(block + GROUP, end)
    while low < high:
        middle = (low + high) >> 1
        if first_ids[middle] <= target:
            low = middle + 1
        else:
            high = middle
    return low - 1


@njit()
def _decode_ids(blocks: Bytes, at: int, count: int, shift: int, ids: Ids) -> None:
    """Decode the ids of a block that begins at `at` and has `count` postings; frequencies stay."""
    at += _head(1 << shift)
    if count < 1 << shift:
        _unpack_varints(blocks, at, ids[:count])
        _add_up(ids[:count], np.uint32(0))
    else:
        _unpack(blocks, at + 5, blocks[at + 4], ids)
        _add_up(ids, _word(blocks, at))


@njit(forceinline=True)
def _first_from(ids: Ids, low: int, high: int, target: int) -> int:
    """Return the first place from `low` on whose id is not below the target, or `high`; by halves."""
    while low < high:
        middle = (low + high) >> 1
        if ids[middle] < target:
            low = middle + 1
        else:
            high = middle
    return low


@njit(forceinline=True)
def _head(size: int) -> int:
    """Return the bytes of the maximum that a block begins with."""
    return 4 if size == SMALL else 0


@njit()
def _add_up(ids: Ids, doc: np.uint32) -> None:
    for i in range(ids.size):
        doc += ids[i]
        ids[i] = doc


@njit()
def _unpack(blocks: Bytes, start: int, width: int, out: Ids) -> None:
    """Unpack numbers of `width` bits that begin at `start`."""
    end = start + out.size // 8 * np.int64(width)
    words = blocks[start:end].view(np.uint32)
    mask = np.uint32((np.int64(1) << width) - 1)
    if width == 0:
        out[:] = 0
    elif out.size == SMALL:
        _unpack_lanes(words, np.int64(width), mask, out, 4)
    else:
        _unpack_lanes(words, np.int64(width), mask, out, 8)


@njit(forceinline=True)
def _unpack_lanes(words: Ids, width: int, mask: np.uint32, out: Ids, lanes: int) -> None:
    for row in range(32):
        word = row * width // 32 * lanes
        shift = row * width % 32
        if shift + width <= 32:
            for lane in range(lanes):
                out[row * lanes + lane] = words[word + lane] >> np.uint32(shift) & mask
        else:
            for lane in range(lanes):
                low = words[word + lane] >> np.uint32(shift)
                out[row * lanes + lane] = (low | words[word + lanes + lane] << np.uint32(32 - shift)) & mask


@njit()
def _unpack_varints(blocks: Bytes, at: int, out: Ids) -> None:
    """Unpack varints that begin at `at`."""
    for i in range(out.size):
        out[i], at = _varint(blocks, at)


@njit(forceinline=True)
def _varint(blocks: Bytes, at: int) -> tuple[np.uint32, int]:
    """Return the number that begins at `at`, and where it ends."""
    number, shift = np.uint32(0), np.uint32(0)
    while blocks[at] > 127:
        number |= np.uint32(blocks[at] & 127) << shift
        shift += np.uint32(7)
        at += 1
    return np.uint32(number | np.uint32(blocks[at]) << shift), at + 1


@njit(forceinline=True)
def _word(blocks: Bytes, at: int) -> np.uint32:
    """Return the 4 bytes at `at` as a number."""
    low = np.uint32(blocks[at]) | np.uint32(blocks[at + 1]) << np.uint32(8)
    return np.uint32(low | np.uint32(blocks[at + 2]) << np.uint32(16) | np.uint32(blocks[at + 3]) << np.uint32(24))
