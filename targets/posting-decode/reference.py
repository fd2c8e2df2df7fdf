"""The oracle of posting-decode: all blocks of a kind at once with numpy, all positions before any are chosen.

Owns what is right. Nothing is rounded, so a result is right or wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ids = NDArray[np.uint32]
    Bytes = NDArray[np.uint8]
    Numbers = NDArray[np.int64]

HEADS = {128: 4, 256: 0}
"""Bytes of the maximal score that a block of so many postings begins with."""

GROUP = 128
"""Differences of positions that are packed together."""


class PostingDecoder:
    """See `kernels.PostingDecoder`."""

    def __init__(self, block: int) -> None:
        self._block = block

    def decode_lists(
        self, blocks: Bytes, offsets: Numbers, first_blocks: Numbers, lengths: Numbers
    ) -> tuple[Ids, Ids]:
        """Return the ids and frequencies of all lists, uint32 (n,) each."""
        counts = self._counts(first_blocks, lengths)
        ids, frequencies = (np.empty(lengths.sum(), np.uint32) for _ in range(2))
        starts = offsets[:-1] + HEADS[self._block]
        is_whole = counts == self._block
        of_whole = np.repeat(is_whole, counts)
        ids[of_whole], frequencies[of_whole], ends = _decode_whole(blocks, starts[is_whole], self._block)
        assert (ends == offsets[1:][is_whole]).all(), "whole blocks are longer than what they hold"
        left = counts[~is_whole]
        numbers = _varints(blocks, starts[~is_whole], offsets[1:][~is_whole], 2 * left)
        is_id = np.repeat(np.tile((True, False), len(left)), np.repeat(left, 2))
        ids[~of_whole], frequencies[~of_whole] = _summed(numbers[is_id], left), numbers[~is_id]
        return ids, frequencies

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
        """Return the positions of the docs that are asked, uint32 (total,), and how many each has, uint32 (Q,)."""
        _, frequencies = self.decode_lists(blocks, offsets, first_blocks, lengths)
        counts = self._counts(first_blocks, lengths)
        per_block = np.add.reduceat(frequencies, _starts(counts)[:-1], dtype=np.int64)
        positions = _summed(_decode_streams(streams, stream_starts, per_block), frequencies)
        docs = _starts(lengths)[lists] + places
        asked = frequencies[docs]
        firsts = np.repeat(_starts(frequencies)[docs] - _starts(asked)[:-1], asked)
        assert len(firsts) == total, "another number of positions than the caller says"
        return positions[firsts + np.arange(total)], asked

    def _counts(self, first_blocks: Numbers, lengths: Numbers) -> Numbers:
        """Return how many postings each block has."""
        counts = np.full(first_blocks[-1], self._block)
        counts[first_blocks[1:] - 1] -= np.diff(first_blocks) * self._block - lengths
        return counts


def _decode_whole(blocks: Bytes, starts: Numbers, block: int) -> tuple[Ids, Ids, Numbers]:
    """Return the ids and the frequencies of whole blocks, and where these end; their first ids are at `starts`."""
    ids, ends = _unpack(blocks, starts + 5, blocks[starts + 4], block)
    ids[:, 0] += blocks[starts[:, None] + np.arange(4)].view("<u4")[:, 0]
    np.cumsum(ids, axis=1, out=ids)
    widths = blocks[ends]
    if block == 128:
        frequencies, ends = _unpack(blocks, ends + 1, widths, block)
    else:
        patches = blocks[ends + 1]
        frequencies, ends = _unpack(blocks, ends + 2, widths, block)
        ends = _patch(blocks, ends, patches, widths, frequencies)
    return ids.ravel(), frequencies.ravel(), ends


def _decode_streams(streams: Bytes, starts: Numbers, counts: Numbers) -> Ids:
    """Return the differences of all positions; of each block there are so many."""
    groups, left = np.divmod(counts, GROUP)
    is_rest = np.arange(counts.sum()) - np.repeat(_starts(counts)[:-1], counts) >= np.repeat(counts - left, counts)
    at = starts[:-1].copy()
    group_starts = np.empty(groups.sum(), np.int64)
    for number in range(groups.max(initial=0)):
        having = groups > number
        group_starts[_starts(groups)[:-1][having] + number] = at[having]
        at[having] += 1 + GROUP // 8 * streams[at[having]].astype(np.int64)
    differences = np.empty(counts.sum(), np.uint32)
    differences[~is_rest] = _unpack(streams, group_starts + 1, streams[group_starts], GROUP)[0].ravel()
    differences[is_rest] = _varints(streams, at, starts[1:], left)
    return differences


def _unpack(packed: Bytes, starts: Numbers, widths: Bytes, count: int) -> tuple[Ids, Numbers]:
    """Return the `count` numbers of so many bits that begin at each start, uint32 (starts, count), and their ends.

    They are `width` words of 32 bits for each lane, in turn, a lane for 32 numbers. Of L lanes, number i is the
    i // L-th of lane i % L, which is a string of bits, the lowest first.
    """
    lanes = count // 32
    bits = np.arange(32) * widths[:, None].astype(np.int64)
    first_words = starts[:, None, None] + 4 * (lanes * (bits // 32)[:, :, None] + np.arange(lanes))
    padded = np.append(packed, np.zeros(8 * lanes, np.uint8))
    word_at = np.ndarray(len(padded) - 3, "<u4", padded, strides=(1,))  # those that begin at any byte
    two_words = word_at[first_words] | word_at[first_words + 4 * lanes].astype(np.uint64) << np.uint64(32)
    numbers = two_words >> (bits % 32).astype(np.uint64)[:, :, None]
    below = (np.uint64(1) << widths.astype(np.uint64))[:, None, None]
    numbers = (numbers & (below - np.uint64(1))).astype(np.uint32)
    return numbers.reshape(-1, count), starts + 4 * lanes * widths.astype(np.int64)


def _patch(blocks: Bytes, at: Numbers, counts: Bytes, widths: Bytes, rows: Ids) -> Numbers:
    """Add the higher bits of the numbers that are wider than their row; return where the patches end.

    A patch is a place and a varint; the first of each row begins at `at`.
    """
    at = at.copy()
    for number in range(counts.max(initial=0)):
        having = np.flatnonzero(counts > number)
        places = blocks[at[having]]
        at[having] += 1
        shifts = widths[having].astype(np.uint32)
        while having.size:
            read = blocks[at[having]]
            at[having] += 1
            rows[having, places] |= (read & 127).astype(np.uint32) << shifts
            goes_on = read > 127
            having, places, shifts = having[goes_on], places[goes_on], shifts[goes_on] + np.uint32(7)
    return at


def _varints(packed: Bytes, starts: Numbers, stops: Numbers, counts: Numbers) -> Ids:
    """Return the varints between each start and stop, so many of each: seven bits a byte, lowest first."""
    sizes = stops - starts
    taken = packed[np.repeat(starts - _starts(sizes)[:-1], sizes) + np.arange(sizes.sum())]
    ends = np.flatnonzero(taken < 128) + 1
    assert np.array_equal(_starts(counts)[1:], np.searchsorted(ends, _starts(sizes)[1:], side="right")), (
        "not as many varints as postings or positions"
    )
    firsts = np.append(0, ends)[:-1]
    shifts = 7 * (np.arange(len(taken)) - np.repeat(firsts, ends - firsts))
    parts = (taken & 127).astype(np.uint64) << shifts.astype(np.uint64)
    return np.diff(np.append(np.uint64(0), np.cumsum(parts))[np.append(0, ends)]).astype(np.uint32)


def _summed(differences: Ids, counts: NDArray[np.integer]) -> Ids:
    """Return the sums of differences, anew in each row of so many; modulo 2**32, as everything here."""
    sums = np.append(np.uint32(0), np.cumsum(differences, dtype=np.uint32))
    return sums[1:] - np.repeat(sums[_starts(counts)[:-1]], counts)


def _starts(counts: NDArray[np.integer]) -> Numbers:
    return np.concatenate(([0], np.cumsum(counts, dtype=np.int64)))
