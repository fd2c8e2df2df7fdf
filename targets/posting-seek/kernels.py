"""Moving through compressed posting lists: next doc from a target on, or only the block. What an agent edits.

A port of what Lance 1.0.0 runs under every full-text search: `PostingIterator::next`, `shallow_next`, `doc` and
`block_first_doc` (rust/lance-index/src/scalar/inverted/wand.rs), `decompress_posting_block` and
`decompress_posting_remainder` (rust/lance-index/src/scalar/inverted/encoding.rs).

Stays: `PostingLists(blocks, offsets, first_blocks, lengths)` and `run_traces(lists, operations, targets)`, with
the dtypes, shapes and order of results that their docstrings give.

CAN: keep up to 32 bytes per block that `__init__` derives, such as first ids; search in any way; decode ids and
frequencies when they are needed, in part or whole; keep scratch memory, and a decoded block within a call.
CANNOT: keep decoded lists; keep anything that depends on a call's arguments for a later call; start threads or
processes; import anything but numba, numpy and the mathematics of the standard library.
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
NEXT = 0
END = 2**32 - 1


class PostingLists:
    """L lists of postings, each a doc id with a frequency, ascending by doc id.

    Parameters
    ----------
    blocks, offsets : uint8 (bytes,), int64 (B + 1,)
        B blocks of 128 postings; block b is blocks[offsets[b]:offsets[b + 1]]. All numbers are little endian. A
        whole block: maximal score, float32; first doc id, uint32; a byte W; 16 W bytes of differences; a byte V;
        16 V bytes of frequencies. A shorter block of r postings: maximal score, r doc ids, r frequencies, 4 bytes
        each. The k-th difference is from id k - 1 to id k; that of the first id is 0. Packed numbers i, i + 4,
        i + 8 ... fill lane i % 4 from the lowest bit; a lane has W words of 32 bits, word k of lane l is the
        (4 k + l)-th.
    first_blocks, lengths : int64, shapes (L + 1,) and (L,)
        List i has the blocks first_blocks[i] to first_blocks[i + 1] - 1 and lengths[i] >= 1 postings; only its
        last block may be shorter than 128.
    """

    def __init__(self, blocks: Bytes, offsets: Numbers, first_blocks: Numbers, lengths: Numbers) -> None:
        self._blocks = blocks
        self._offsets = offsets
        self._first_blocks = first_blocks
        self._lengths = lengths

    def run_traces(self, lists: Numbers, operations: Bytes, targets: Ids) -> tuple[Ids, Ids, Ids]:
        """Take the steps of B traces of T steps, each trace from the beginning of its list.

        A trace has a place, the number of a posting in the list, and a block; both begin at 0.

        NEXT (0) moves the place to the first posting from there on whose doc id is not below the target, or to the
        list's length; it never moves back. The block becomes that of the place. It gives (place, doc id,
        frequency), or (length, 2**32 - 1, 0) at the end.

        SHALLOW (1) moves the block to the last one from there on whose first doc id is not above the target, or
        leaves it; the place stays. It gives (block, first doc id of the block, 0). It never comes after the end.

        Parameters
        ----------
        lists, operations, targets : int64 (B,), uint8 (B, T), uint32 (B, T)
            The number of each trace's list, and its steps. Targets are any, and mostly ascending.

        Returns
        -------
        places, docs, frequencies : uint32, shape (B, T)
        """
        return _run_traces(
            self._blocks, self._offsets, self._first_blocks, self._lengths, lists, operations, targets
        )


@njit()
def _run_traces(
    blocks: Bytes,
    offsets: Numbers,
    first_blocks: Numbers,
    lengths: Numbers,
    lists: Numbers,
    operations: Bytes,
    targets: Ids,
) -> tuple[Ids, Ids, Ids]:
    places = np.empty(targets.shape, np.uint32)
    docs = np.empty(targets.shape, np.uint32)
    frequencies = np.empty(targets.shape, np.uint32)
    for trace in range(len(lists)):
        number = lists[trace]
        of_list = offsets[first_blocks[number] : first_blocks[number + 1] + 1]
        answers = places[trace], docs[trace], frequencies[trace]
        _run_trace(blocks, of_list, lengths[number], operations[trace], targets[trace], answers)
    return places, docs, frequencies


@njit()
def _run_trace(
    blocks: Bytes, offsets: Numbers, length: int, operations: Bytes, targets: Ids, answers: tuple[Ids, Ids, Ids]
) -> None:
    """Search blocks, then postings, one after the other; decode a block when it is entered."""
    places, docs, frequencies = answers
    ids = np.empty(BLOCK, np.uint32)
    counts = np.empty(BLOCK, np.uint32)
    count = len(offsets) - 1
    decoded = -1
    place = 0
    block = 0
    for step in range(len(targets)):
        target = targets[step]
        if operations[step] == NEXT:
            block = place // BLOCK
        while block + 1 < count and _first_id(blocks, offsets, block + 1) <= target:
            block += 1
        if operations[step] != NEXT:
            places[step], docs[step], frequencies[step] = block, _first_id(blocks, offsets, block), 0
            continue
        place = max(place, block * BLOCK)
        while place < length:
            block = place // BLOCK
            if decoded != block:
                _decode(blocks, offsets[block], min(length - block * BLOCK, BLOCK), ids, counts)
                decoded = block
            if ids[place % BLOCK] >= target:
                break
            place += 1
        block = place // BLOCK
        places[step], docs[step], frequencies[step] = place, END, 0
        if place < length:
            docs[step], frequencies[step] = ids[place % BLOCK], counts[place % BLOCK]


@njit()
def _first_id(blocks: Bytes, offsets: Numbers, block: int) -> np.uint32:
    return _word(blocks, offsets[block] + 4)


@njit()
def _decode(blocks: Bytes, start: int, count: int, ids: Ids, counts: Ids) -> None:
    """Decode the block of `count` postings at `start`."""
    if count < BLOCK:
        for i in range(count):
            ids[i] = _word(blocks, start + 4 + 4 * i)
            counts[i] = _word(blocks, start + 4 + 4 * (count + i))
        return
    end = _unpack(blocks, start + 8, ids)
    doc = _word(blocks, start + 4)
    for i in range(BLOCK):
        doc += ids[i]
        ids[i] = doc
    _unpack(blocks, end, counts)


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
