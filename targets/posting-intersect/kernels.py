"""Intersection of ascending lists of doc ids, decoded or in Lance's blocks. The file that an agent edits.

A port of what Lance 1.0.0 runs for an AND query without a score threshold: `Wand::next` with
`check_pivot_aligned` and `move_preceding`, `PostingIterator::next` and `doc`
(rust/lance-index/src/scalar/inverted/wand.rs), `decompress_posting_block` and `decompress_posting_remainder`
(rust/lance-index/src/scalar/inverted/encoding.rs). Ids that are decoded are searched as those of a decoded block.

Stays: `intersect` and `intersect_blocks`, with the dtypes, shapes and order of results that their docstrings give.

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

BLOCK = 128


def intersect(ids: Ids, starts: Numbers, queries: Numbers, out: Ids) -> Numbers:
    """Fill `out` with the ids that every list of a query has, ascending, query by query.

    Parameters
    ----------
    ids, starts : uint32 (n,), int64 (L + 1,)
        L lists, each ascending without duplicates, one after the other; list i is ids[starts[i]:starts[i + 1]].
    queries : int64, shape (Q, K)
        The K >= 1 lists of each query, by number, in any order. A list may be empty.
    out : uint32
        Room for the shortest list of each query, all together.

    Returns
    -------
    ends : int64, shape (Q,)
        Where the ids of each query end in `out`; the next query's begin there. What follows the last is free.
    """
    return _intersect(ids, starts, queries, out)


def intersect_blocks(
    blocks: Bytes,
    offsets: Numbers,
    first_ids: Ids,
    first_blocks: Numbers,
    lengths: Numbers,
    queries: Numbers,
    out: Ids,
) -> Numbers:
    """Do as `intersect` does, on lists that are encoded.

    Parameters
    ----------
    blocks, offsets : uint8 (bytes,), int64 (B + 1,)
        B blocks of 128 postings; block b is blocks[offsets[b]:offsets[b + 1]]. All numbers are little endian.
        A whole block: maximal score, float32; first doc id, uint32; a byte W; 16 W bytes of differences; a byte
        V; 16 V bytes of frequencies. A shorter block of r postings: maximal score, r doc ids, r frequencies,
        4 bytes each. The k-th difference is from id k - 1 to id k; that of the first id is 0. Packed numbers i,
        i + 4, i + 8 ... fill lane i % 4 from the lowest bit; a lane has W words of 32 bits, word k of lane l is
        the (4 k + l)-th.
    first_ids : uint32, shape (B,)
        The first doc id of each block.
    first_blocks, lengths : int64, shapes (L + 1,) and (L,)
        List i has the blocks first_blocks[i] to first_blocks[i + 1] - 1 and `lengths[i]` postings; only the last
        block of a list may be shorter than 128.
    queries, out
        See `intersect`.
    """
    return _intersect_blocks(blocks, offsets, first_ids, first_blocks, lengths, queries, out)


@njit()
def _intersect(ids: Ids, starts: Numbers, queries: Numbers, out: Ids) -> Numbers:
    ends = np.empty(len(queries), np.int64)
    found = 0
    for q in range(len(queries)):
        found = _leapfrog(ids, starts, queries[q], out, found)
        ends[q] = found
    return ends


@njit()
def _leapfrog(ids: Ids, starts: Numbers, query: Numbers, out: Ids, found: int) -> int:
    """Move one list after the other to the furthest doc seen, until all agree or one ends."""
    width = len(query)
    at = starts[query]
    stops = starts[query + 1]
    doc = np.uint32(0)
    agreeing = 0
    i = 0
    while True:
        place = at[i]
        while place < stops[i] and ids[place] < doc:
            place += 1
        if place == stops[i]:
            return found
        agreeing = agreeing + 1 if ids[place] == doc else 1
        doc = ids[place]
        at[i] = place
        if agreeing == width:
            out[found] = doc
            found += 1
            doc += np.uint32(1)
            agreeing = 0
        i = i + 1 if i + 1 < width else 0


@njit()
def _intersect_blocks(
    blocks: Bytes,
    offsets: Numbers,
    first_ids: Ids,
    first_blocks: Numbers,
    lengths: Numbers,
    queries: Numbers,
    out: Ids,
) -> Numbers:
    ends = np.empty(len(queries), np.int64)
    found = 0
    for q in range(len(queries)):
        found = _leapfrog_blocks(blocks, offsets, first_ids, first_blocks, lengths, queries[q], out, found)
        ends[q] = found
    return ends


@njit()
def _leapfrog_blocks(
    blocks: Bytes,
    offsets: Numbers,
    first_ids: Ids,
    first_blocks: Numbers,
    lengths: Numbers,
    query: Numbers,
    out: Ids,
    found: int,
) -> int:
    """Do as `_leapfrog` does; skip blocks by their first ids, decode ids and frequencies of the others."""
    width = len(query)
    at = np.zeros(width, np.int64)
    decoded = np.full(width, -1)
    docs = np.empty((width, BLOCK), np.uint32)
    frequencies = np.empty((width, BLOCK), np.uint32)
    doc = np.uint32(0)
    agreeing = 0
    i = 0
    while True:
        number = query[i]
        first_block = first_blocks[number]
        block = at[i] // BLOCK
        while first_block + block + 1 < first_blocks[number + 1] and first_ids[first_block + block + 1] <= doc:
            block += 1
        place = max(at[i], block * BLOCK)
        while place < lengths[number]:
            block = place // BLOCK
            if decoded[i] != block:
                count = min(lengths[number] - block * BLOCK, BLOCK)
                _decode(blocks, offsets[first_block + block], count, docs[i], frequencies[i])
                decoded[i] = block
            if docs[i, place % BLOCK] >= doc:
                break
            place += 1
        if place == lengths[number]:
            return found
        seen = docs[i, place % BLOCK]
        agreeing = agreeing + 1 if seen == doc else 1
        doc = seen
        at[i] = place
        if agreeing == width:
            out[found] = doc
            found += 1
            doc += np.uint32(1)
            agreeing = 0
        i = i + 1 if i + 1 < width else 0


@njit()
def _decode(blocks: Bytes, start: int, count: int, docs: Ids, frequencies: Ids) -> None:
    """Decode the block of `count` postings at `start`."""
    if count < BLOCK:
        for i in range(count):
            docs[i] = _word(blocks, start + 4 + 4 * i)
            frequencies[i] = _word(blocks, start + 4 + 4 * (count + i))
        return
    end = _unpack(blocks, start + 8, docs)
    doc = _word(blocks, start + 4)
    for i in range(BLOCK):
        doc += docs[i]
        docs[i] = doc
    _unpack(blocks, end, frequencies)


@njit()
def _unpack(blocks: Bytes, start: int, out: Ids) -> int:
    """Unpack 128 numbers; the byte at `start` says with how many bits. Return where they end."""
    width = np.int64(blocks[start])
    mask = np.uint32((1 << width) - 1)
    for row in range(BLOCK // 4):
        place = start + 1 + row * width // 32 * 16
        shift = row * width % 32
        for lane in range(4):
            number = _word(blocks, place + 4 * lane) >> shift
            if shift + width > 32:
                number |= _word(blocks, place + 16 + 4 * lane) << (32 - shift)
            out[4 * row + lane] = number & mask
    return start + 1 + 16 * width


@njit()
def _word(blocks: Bytes, place: int) -> np.uint32:
    """Return the 4 bytes at `place`, which may be any, as a number."""
    low = np.uint32(blocks[place]) | np.uint32(blocks[place + 1]) << 8
    high = np.uint32(blocks[place + 2]) | np.uint32(blocks[place + 3]) << 8
    return np.uint32(low | high << 16)
