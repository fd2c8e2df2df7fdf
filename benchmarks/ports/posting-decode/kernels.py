"""Decoding posting lists: doc ids, frequencies, and the positions of single docs. The file that an agent edits.

A port of what Lance 14.0.2 runs under every full-text search: `decompress_posting_block`,
`decompress_posting_remainder` and `seek_packed_doc_positions` (rust/lance-index/src/scalar/inverted/encoding.rs),
the cursor that calls the last one (`PostingIterator`, inverted/wand.rs), and `BitPacker4x` and `BitPacker8x`
(rust/compression/bitpacking/src/bitpacker_internal).

Stays: `PostingDecoder(block)`, `decode_lists(blocks, offsets, first_blocks, lengths)` and
`decode_positions(..., streams, stream_starts, lists, places, total)`, with the dtypes, shapes and order of results
that their docstrings give.

CAN: read and write in words of any size; take several passes; decode a part of a block or of a group; keep scratch
memory, and return a part of it; write anything there behind what is returned.
CANNOT: read before or behind an argument; keep anything that depends on a call's arguments for a later call; start
threads or processes; import anything but numba, llvmlite.ir, numpy and the mathematics of the standard library.
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

GROUP = 128
"""Differences of positions that are packed together."""


class PostingDecoder:
    """Decoder of posting lists in blocks of `block` postings, 128 or 256.

    All numbers are little endian. W, X and P being bytes, a block has

    - whole, of 128: maximal score, float32; first doc id, uint32; W; 16 W bytes of differences; X; 16 X bytes of
      frequencies
    - whole, of 256: first doc id, uint32; W; 32 W bytes of differences; X; P; 32 X bytes of the lowest X bits of
      the frequencies; P patches, each a place, one byte, and the frequency's higher bits, a varint
    - shorter, the last of its list: maximal score, if blocks are of 128; first doc id and differences, and then
      frequencies, all varints

    The k-th difference is from id k - 1 to id k; in whole blocks that of the first is 0. Of packed numbers
    i, i + L, i + 2 L ... fill lane i % L from the lowest bit, L being 4 for 128 numbers and 8 for 256; a lane has
    W words of 32 bits, word k of lane l is the (L k + l)-th. A varint has seven bits a byte, the lowest first, and
    the eighth bit set in all bytes but the last.

    A block's positions are a stream: of the docs in their order, as many differences each as its frequency says.
    The first of a doc is its first position, each other one the difference from the position before. Of all
    differences of a block, 128 after 128 are a group: W; 16 W bytes of them, packed in 4 lanes. Those left are
    varints.
    """

    def __init__(self, block: int) -> None:
        self._block = block
        self._ids = self._frequencies = self._positions = np.empty(0, np.uint32)

    def decode_lists(
        self, blocks: Bytes, offsets: Numbers, first_blocks: Numbers, lengths: Numbers
    ) -> tuple[Ids, Ids]:
        """Return the doc ids and the frequencies of L lists, uint32 (the sum of lengths,), list after list.

        Parameters
        ----------
        blocks, offsets : uint8 (bytes,), int64 (B + 1,)
            Block b is blocks[offsets[b]:offsets[b + 1]].
        first_blocks, lengths : int64, shapes (L + 1,) and (L,)
            List i has the blocks first_blocks[i] to first_blocks[i + 1] - 1 and lengths[i] >= 1 postings; only its
            last block may be shorter.
        """
        count = lengths.sum()
        if count > len(self._ids):
            self._ids, self._frequencies = np.empty(count, np.uint32), np.empty(count, np.uint32)
        _decode_lists(blocks, offsets, first_blocks, lengths, self._block, self._ids, self._frequencies)
        return self._ids[:count], self._frequencies[:count]

    def decode_positions(
        self,
        blocks: Bytes,
        offsets: Numbers,
        first_blocks: Numbers,
        lengths: Numbers,
        streams: Bytes,
        stream_starts: Numbers,
        lists: Numbers,
        places: Numbers,
        total: int,
    ) -> tuple[Ids, Ids]:
        """Return the positions of Q docs, uint32 (total,), doc after doc, and how many each has, uint32 (Q,).

        Parameters
        ----------
        blocks, offsets, first_blocks, lengths
            The lists; see `decode_lists`.
        streams, stream_starts : uint8 (bytes,), int64 (B + 1,)
            The positions of block b are streams[stream_starts[b]:stream_starts[b + 1]].
        lists, places : int64 (Q,)
            Which docs: each a list, and a place in it, from 0. Ascending by list and place, each once.
        total : int
            How many positions these docs have together.
        """
        if total > len(self._positions):
            self._positions = np.empty(total, np.uint32)
        counts = np.empty(len(lists), np.uint32)
        _decode_positions(
            blocks,
            offsets,
            first_blocks,
            lengths,
            streams,
            stream_starts,
            lists,
            places,
            self._block,
            self._positions,
            counts,
        )
        return self._positions[:total], counts


@njit()
def _decode_lists(
    blocks: Bytes, offsets: Numbers, first_blocks: Numbers, lengths: Numbers, size: int, ids: Ids, frequencies: Ids
) -> None:
    done = 0
    for number in range(len(lengths)):
        end = done + lengths[number]
        for block in range(first_blocks[number], first_blocks[number + 1]):
            count = min(size, end - done)
            at = offsets[block] + _head(size)
            if count < size:
                _decode_remainder(blocks, at, count, ids, frequencies, done)
            else:
                at = _decode_ids(blocks, at, size, ids, done)
                _decode_frequencies(blocks, at, size, frequencies, done)
            done += count


@njit(forceinline=True)
def _decode_ids(blocks: Bytes, at: int, size: int, ids: Ids, first: int) -> int:
    """Decode the ids of a whole block to `ids[first:]`; return where they end."""
    doc = _word(blocks, at)
    end = _unpack(blocks, at + 5, blocks[at + 4], size, ids, first)
    for i in range(first, first + size):
        doc += ids[i]
        ids[i] = doc
    return end


@njit(forceinline=True)
def _decode_frequencies(blocks: Bytes, at: int, size: int, frequencies: Ids, first: int) -> None:
    """Decode the frequencies of a whole block, which begin at `at`, to `frequencies[first:]`."""
    width = blocks[at]
    if size == SMALL:
        _unpack(blocks, at + 1, width, size, frequencies, first)
        return
    patches = blocks[at + 1]
    at = _unpack(blocks, at + 2, width, size, frequencies, first)
    for _ in range(patches):
        place = first + blocks[at]
        high, at = _varint(blocks, at + 1)
        frequencies[place] |= high << np.uint32(width)


@njit(forceinline=True)
def _decode_remainder(blocks: Bytes, at: int, count: int, ids: Ids, frequencies: Ids, first: int) -> None:
    """Decode a block that is not whole to `ids[first:]` and `frequencies[first:]`."""
    doc = np.uint32(0)
    for i in range(first, first + count):
        difference, at = _varint(blocks, at)
        doc += difference
        ids[i] = doc
    _unpack_varints(blocks, at, count, frequencies, first)


@njit()
def _decode_positions(
    blocks: Bytes,
    offsets: Numbers,
    first_blocks: Numbers,
    lengths: Numbers,
    streams: Bytes,
    stream_starts: Numbers,
    lists: Numbers,
    places: Numbers,
    size: int,
    positions: Ids,
    counts: Ids,
) -> None:
    """Decode what a doc needs and is not there yet: its block's frequencies, a group of its differences."""
    frequencies, differences = np.empty(size, np.uint32), np.empty(GROUP, np.uint32)
    ends = np.empty(size, np.int64)  # of each doc's differences, in the block
    block, total = -1, 0  # the block that is there, and how many differences it has
    group, at, unpacked = 0, 0, -1  # a group, where it begins, and the group that is there
    done = 0
    for doc in range(len(lists)):
        number, place = lists[doc], places[doc] % size
        if block != first_blocks[number] + places[doc] // size:
            block = first_blocks[number] + places[doc] // size
            count = min(size, lengths[number] - (places[doc] - place))
            _read_frequencies(blocks, offsets[block] + _head(size), count, size, frequencies)
            total = _ends(frequencies, count, ends)
            group, at, unpacked = 0, stream_starts[block], -1
        counts[doc] = frequencies[place]
        position = np.uint32(0)
        for i in range(ends[place] - frequencies[place], ends[place]):
            if unpacked != i // GROUP:
                unpacked = i // GROUP
                while group < unpacked:
                    at += _packed_end(GROUP, streams[at])
                    group += 1
                _unpack_group(streams, at, min(GROUP, total - group * GROUP), differences)
            position += differences[i % GROUP]
            positions[done] = position
            done += 1


@njit()
def _read_frequencies(blocks: Bytes, at: int, count: int, size: int, frequencies: Ids) -> None:
    """Decode the frequencies of a block of `count` postings whose ids begin at `at`, without the ids."""
    if count == size:
        _decode_frequencies(blocks, at + 4 + _packed_end(size, blocks[at + 4]), size, frequencies, 0)
        return
    for _ in range(count):
        _, at = _varint(blocks, at)
    _unpack_varints(blocks, at, count, frequencies, 0)


@njit()
def _ends(frequencies: Ids, count: int, ends: Numbers) -> int:
    """Add frequencies up, to `ends`; return the last sum."""
    total = 0
    for i in range(count):
        total += np.int64(frequencies[i])
        ends[i] = total
    return total


@njit()
def _unpack_group(streams: Bytes, at: int, count: int, differences: Ids) -> None:
    """Unpack a group of differences that begins at `at`, or the last `count` ones."""
    if count == GROUP:
        _unpack(streams, at + 1, streams[at], GROUP, differences, 0)
    else:
        _unpack_varints(streams, at, count, differences, 0)


@njit(forceinline=True)
def _head(size: int) -> int:
    """Return the bytes of the maximum that a block begins with."""
    return 4 if size == SMALL else 0


@njit(forceinline=True)
def _packed_end(count: int, width: int) -> int:
    """Return the bytes of `count` packed numbers and of their width before them."""
    return 1 + count // 8 * np.int64(width)


@njit()
def _unpack(packed: Bytes, start: int, width: int, count: int, out: Ids, first: int) -> int:
    """Unpack `count` numbers of `width` bits that begin at `start` to `out[first:]`; return where they end."""
    bits = np.int64(width)
    end = start + count // 8 * bits
    words, numbers = packed[start:end].view(np.uint32), out[first : first + count]
    if width == 0:
        numbers[:] = 0
    elif count == SMALL:
        _unpack_lanes(words, bits, numbers, 4)
    else:
        _unpack_lanes(words, bits, numbers, 8)
    return end


@njit(forceinline=True)
def _unpack_lanes(words: Ids, width: int, numbers: Ids, lanes: int) -> None:
    """Unpack a row of numbers after the other, one of each lane."""
    mask = np.uint32((1 << width) - 1)
    for row in range(32):
        word, shift = (row * width >> 5) * lanes, row * width & 31
        if shift + width <= 32:
            for lane in range(lanes):
                numbers[row * lanes + lane] = words[word + lane] >> np.uint32(shift) & mask
        else:
            for lane in range(lanes):
                low = words[word + lane] >> np.uint32(shift)
                high = words[word + lanes + lane] << np.uint32(32 - shift)
                numbers[row * lanes + lane] = (low | high) & mask


@njit(forceinline=True)
def _unpack_varints(packed: Bytes, at: int, count: int, out: Ids, first: int) -> int:
    """Unpack varints that begin at `at` to `out[first:]`; return where they end."""
    for i in range(first, first + count):
        out[i], at = _varint(packed, at)
    return at


@njit(forceinline=True)
def _varint(packed: Bytes, at: int) -> tuple[np.uint32, int]:
    """Return the number that begins at `at`, and where it ends."""
    read, shift = np.uint32(packed[at]), np.uint32(0)
    number = read & np.uint32(127)
    at += 1
    while read > 127:
        read, shift = np.uint32(packed[at]), np.uint32(shift + np.uint32(7))
        number |= (read & np.uint32(127)) << shift
        at += 1
    return number, at


@njit(forceinline=True)
def _word(packed: Bytes, at: int) -> np.uint32:
    """Return the 4 bytes at `at` as a number."""
    low = np.uint32(packed[at]) | np.uint32(packed[at + 1]) << np.uint32(8)
    return np.uint32(low | np.uint32(packed[at + 2]) << np.uint32(16) | np.uint32(packed[at + 3]) << np.uint32(24))
