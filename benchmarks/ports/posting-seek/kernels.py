"""Moving through compressed posting lists: next doc from a target on, or only the block. What an agent edits.

A port of what Lance 14.0.2 runs under every full-text search: `PostingIterator::next_doc_id`, `shallow_next`,
`doc` and `block_idx_for_doc` (rust/lance-index/src/scalar/inverted/wand.rs), and the decoding of blocks
(rust/lance-index/src/scalar/inverted/encoding.rs).

Stays: `PostingLists(blocks, offsets, first_blocks, lengths, block)` and `run_traces(lists, operations, targets)`,
with the dtypes, shapes and order of results that their docstrings give.

CAN: keep up to 32 bytes per block that `__init__` derives, such as first ids; search in any way; decode ids and
frequencies in part or whole; keep scratch memory, and a decoded block within a call.
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
    List = tuple[Bytes, Numbers, Ids, int, int]
    """The bytes of all blocks, the offsets of this list's, its first ids, its length, and the shift of a block."""

SMALL, LARGE = 128, 256
"""Postings of a block, by format."""

NEXT, SHALLOW, FREQ = 0, 1, 2
END = 2**32 - 1

STEPS, GROUP = 8, 32
"""Blocks that a search steps over one by one, and those that it then passes at once."""


class PostingLists:
    """L lists of postings, each a doc id with a frequency, ascending by doc id.

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
    first_blocks, lengths : int64, shapes (L + 1,) and (L,)
        List i has the blocks first_blocks[i] to first_blocks[i + 1] - 1 and lengths[i] >= 1 postings; only its
        last block may be shorter.
    block : int
        128 or 256.
    """

    def __init__(
        self, blocks: Bytes, offsets: Numbers, first_blocks: Numbers, lengths: Numbers, block: int
    ) -> None:
        self._blocks, self._offsets = blocks, offsets
        self._first_blocks, self._lengths = first_blocks, lengths
        self._first_ids = _first_ids(blocks, offsets, first_blocks, lengths, block)
        self._shift = block.bit_length() - 1

    def run_traces(self, lists: Numbers, operations: Bytes, targets: Ids) -> tuple[Ids, Ids]:
        """Take the steps of B traces of T steps, each trace from the beginning of its list.

        A trace has a place, the number of a posting in the list, and a block; both begin at 0.

        NEXT (0) moves the place to the first posting from there on whose doc id is not below the target, or to the
        list's length; it never moves back. The block becomes that of the place. It gives (place, doc id), or
        (length, 2**32 - 1) at the end.

        SHALLOW (1) moves the block to the last one from there on whose first doc id is not above the target, or
        leaves it; the place stays. It gives (block, first doc id of the block). It never comes after the end.

        FREQ (2) moves nothing and has no use for its target. It gives (place, frequency of its posting), or
        (length, 0) at the end.

        Parameters
        ----------
        lists, operations, targets : int64 (B,), uint8 (B, T), uint32 (B, T)
            The number of each trace's list, and its steps. Targets are any, and mostly ascending.

        Returns
        -------
        places, values : uint32, shape (B, T)
        """
        return _run_traces(
            self._blocks,
            self._offsets,
            self._first_ids,
            self._first_blocks,
            self._lengths,
            self._shift,
            lists,
            operations,
            targets,
        )


@njit()
def _first_ids(blocks: Bytes, offsets: Numbers, first_blocks: Numbers, lengths: Numbers, block: int) -> Ids:
    """Return the first id of each block."""
    head = _head(block)
    first_ids = np.empty(offsets.size - 1, np.uint32)
    for number in range(lengths.size):
        for each in range(first_blocks[number], first_blocks[number + 1]):
            is_whole = (each - first_blocks[number] + 1) * block <= lengths[number]
            at = offsets[each] + head
            first_ids[each] = _word(blocks, at) if is_whole else _varint(blocks, at)[0]
    return first_ids


@njit()
def _run_traces(
    blocks: Bytes,
    offsets: Numbers,
    first_ids: Ids,
    first_blocks: Numbers,
    lengths: Numbers,
    shift: int,
    lists: Numbers,
    operations: Bytes,
    targets: Ids,
) -> tuple[Ids, Ids]:
    places, values = np.empty(targets.shape, np.uint32), np.empty(targets.shape, np.uint32)
    ids, frequencies = np.empty(1 << shift, np.uint32), np.empty(1 << shift, np.uint32)
    for trace in range(len(lists)):
        number = lists[trace]
        first, end = first_blocks[number], first_blocks[number + 1]
        of_list = blocks, offsets[first : end + 1], first_ids[first:end], lengths[number], shift
        _run_trace(of_list, ids, frequencies, operations[trace], targets[trace], places[trace], values[trace])
    return places, values


@njit()
def _run_trace(
    of_list: List, ids: Ids, frequencies: Ids, operations: Bytes, targets: Ids, places: Ids, values: Ids
) -> None:
    """Search blocks, then postings; decode ids when a block is entered, frequencies when one is asked for."""
    blocks, offsets, first_ids, length, shift = of_list
    size, inside = 1 << shift, (1 << shift) - 1
    place, block = 0, 0
    decoded, counted = 0, -1  # the blocks whose ids and whose frequencies are there
    end_of_ids = _decode_ids(blocks, offsets[0], min(size, length), shift, ids)
    for step in range(len(targets)):
        operation, target = operations[step], targets[step]
        if operation == NEXT:
            block = _block_of(first_ids, place >> shift, target)
            place = max(place, block << shift)
            while place < length:
                block = place >> shift
                count = min(size, length - (block << shift))
                if decoded != block:
                    end_of_ids = _decode_ids(blocks, offsets[block], count, shift, ids)
                    decoded = block
                found = _first_from(ids, place & inside, count, target)
                place = (block << shift) + found
                if found < count:
                    break
            block = place >> shift
            places[step], values[step] = place, ids[place & inside] if place < length else END
        elif operation == SHALLOW:
            block = _block_of(first_ids, block, target)
            places[step], values[step] = block, first_ids[block]
        else:
            if place < length and counted != decoded:
                count = min(size, length - (decoded << shift))
                _decode_frequencies(blocks, end_of_ids, count, shift, frequencies)
                counted = decoded
            places[step], values[step] = place, frequencies[place & inside] if place < length else 0


@njit(forceinline=True)
def _block_of(first_ids: Ids, block: int, target: np.uint32) -> int:
    """Return the last block, from `block` on, whose first id is not above the target."""
    for _ in range(STEPS):
        if block + 1 >= first_ids.size or first_ids[block + 1] > target:
            return block
        block += 1
    while block + GROUP < first_ids.size and first_ids[block + GROUP] <= target:
        block += GROUP
    low, high = block + 1, min(block + GROUP, first_ids.size)
    while low < high:
        middle = (low + high) >> 1
        if first_ids[middle] <= target:
            low = middle + 1
        else:
            high = middle
    return low - 1


@njit(forceinline=True)
def _first_from(ids: Ids, low: int, high: int, target: np.uint32) -> int:
    """Return the first place from `low` on whose id is not below the target, or `high`; by halves."""
    while low < high:
        middle = (low + high) >> 1
        if ids[middle] < target:
            low = middle + 1
        else:
            high = middle
    return low


@njit()
def _decode_ids(blocks: Bytes, at: int, count: int, shift: int, ids: Ids) -> int:
    """Decode the ids of a block that begins at `at` and has `count` postings; return where they end."""
    at += _head(1 << shift)
    if count < 1 << shift:
        end = _unpack_varints(blocks, at, ids[:count])
        _add_up(ids[:count], np.uint32(0))
    else:
        end = _unpack(blocks, at + 5, blocks[at + 4], ids)
        _add_up(ids, _word(blocks, at))
    return end


@njit()
def _decode_frequencies(blocks: Bytes, at: int, count: int, shift: int, frequencies: Ids) -> None:
    """Decode the frequencies of a block, which begin at `at`, where its ids end."""
    if count < 1 << shift:
        _unpack_varints(blocks, at, frequencies[:count])
    elif 1 << shift == SMALL:
        _unpack(blocks, at + 1, blocks[at], frequencies)
    else:
        patches = _unpack(blocks, at + 2, blocks[at], frequencies)
        _patch(blocks, patches, blocks[at + 1], blocks[at], frequencies)


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
def _unpack(blocks: Bytes, start: int, width: int, out: Ids) -> int:
    """Unpack numbers of `width` bits that begin at `start`; return where they end."""
    end = start + out.size // 8 * np.int64(width)
    words = blocks[start:end].view(np.uint32)
    mask = np.uint32((np.int64(1) << width) - 1)
    if width == 0:
        out[:] = 0
    elif out.size == SMALL:
        _unpack_lanes(words, np.int64(width), mask, out, 4)
    else:
        _unpack_lanes(words, np.int64(width), mask, out, 8)
    return end


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
def _unpack_varints(blocks: Bytes, at: int, out: Ids) -> int:
    """Unpack varints that begin at `at`; return where they end."""
    for i in range(out.size):
        out[i], at = _varint(blocks, at)
    return at


@njit()
def _patch(blocks: Bytes, at: int, patches: int, width: int, frequencies: Ids) -> None:
    """Add the higher bits of the frequencies that have more than `width`."""
    for _ in range(patches):
        place = blocks[at]
        high, at = _varint(blocks, at + 1)
        frequencies[place] |= high << np.uint32(width)


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
