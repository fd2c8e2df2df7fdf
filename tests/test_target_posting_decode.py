"""The target posting-decode: honest rewrites pass on every case, wrong kernels fail where they are wrong.

The stand-in kernels take block after block apart in plain Python; each wrong one has one mistake of those who
write decoders.
"""

from __future__ import annotations

from itertools import chain, pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from battery import Battery

from pytest_lance_autoresearch.errors import KernelIncorrect

BATTERY = Battery("posting-decode")
INPUTS = BATTERY.target.inputs
EVERY = tuple(BATTERY.cases)
TIMED = INPUTS.DISTRIBUTIONS
EDGES = INPUTS.EDGE_DISTRIBUTIONS
GROUP = 128
Array = np.ndarray[Any, Any]


def cases(*distributions: str, block: int | None = None, part: str | None = None) -> tuple[str, ...]:
    return tuple(
        case_id
        for case_id, case in BATTERY.cases.items()
        if (not distributions or case.distribution in distributions)
        and block in (None, case.shape.block)
        and part in (None, case.shape.part)
    )


class ByBits:
    """Takes packed numbers for strings of bits; the base of all others.

    So that wrong kernels come to an end, what is behind the bytes is 0, a width is at most 32, and a doc has at
    most 4,096 positions.
    """

    def __init__(self, block: int) -> None:
        self.size = block

    def decode_lists(
        self, blocks: Array, offsets: Array, first_blocks: Array, lengths: Array
    ) -> tuple[Array, ...]:
        decoded = self.decoded(blocks, offsets, first_blocks, lengths)
        ids, frequencies = (np.concatenate(parts) for parts in zip(*decoded, strict=True))
        return ids.astype(np.uint32), frequencies.astype(np.uint32)

    def decode_positions(
        self,
        blocks: Array,
        offsets: Array,
        first_blocks: Array,
        lengths: Array,
        streams: Array,
        stream_starts: Array,
        lists: Array,
        places: Array,
        total: int,
    ) -> tuple[Array, ...]:
        decoded = self.decoded(blocks, offsets, first_blocks, lengths)
        differences: dict[int, Array] = {}
        found = []
        for number, place in zip(lists.tolist(), places.tolist(), strict=True):
            block, inside = first_blocks[number] + place // self.size, place % self.size
            frequencies = np.minimum(decoded[block][1], 4096)
            if block not in differences:
                start = self.stream_start(stream_starts, first_blocks[number], block)
                stream = streams[start : stream_starts[block + 1]].tobytes()
                differences[block] = self.stream(stream, int(frequencies.sum()))
            end = int(frequencies[: inside + 1].sum())
            found.append(self.doc(differences[block], end - int(frequencies[inside]), end))
        positions = np.resize(np.concatenate(found), total).astype(np.uint32)
        return positions, np.array([len(each) for each in found], np.uint32)

    def stream_start(self, stream_starts: Array, _first: int, block: int) -> int:
        """Return where the positions of a block begin, `_first` being the first block of its list."""
        return int(stream_starts[block])

    def decoded(self, blocks: Array, offsets: Array, first_blocks: Array, lengths: Array) -> list[Any]:
        """Return the ids and the frequencies of each block."""
        decoded = []
        for (first, stop), length in zip(pairwise(first_blocks.tolist()), lengths.tolist(), strict=True):
            last = 0
            for block in range(first, stop):
                count = min(self.size, length - (block - first) * self.size)
                data = blocks[offsets[block] : offsets[block + 1]].tobytes()
                decoded.append((self.whole if count == self.size else self.remainder)(data, count, last))
                last = int(decoded[-1][0][-1])
        return decoded

    def byte(self, data: bytes, at: int) -> int:
        return data[at] if at < len(data) else 0

    def head(self) -> int:
        return 4 if self.size == 128 else 0

    def whole(self, data: bytes, count: int, last: int) -> tuple[Array, Array]:
        at = self.head()
        differences, end = self.unpack(data, at + 5, self.byte(data, at + 4), count)
        ids = self.first_id(int.from_bytes(data[at : at + 4], "little"), last) + np.cumsum(differences)
        width = self.byte(data, end)
        if self.size == 128:
            return ids, self.unpack(data, end + 1, width, count)[0]
        frequencies, at = self.unpack(data, end + 2, width, count)
        for _ in range(self.byte(data, end + 1)):
            place = self.byte(data, at)
            high, at = self.varint(data, at + 1)
            self.patch(frequencies, place, high, width)
        return ids, frequencies

    def first_id(self, first: int, _last: int) -> int:
        """Return the first id of a whole block, after a block whose last id was `_last`."""
        return first

    def patch(self, frequencies: Array, place: int, high: int, width: int) -> None:
        frequencies[place] |= high << width

    def remainder(self, data: bytes, count: int, _last: int) -> tuple[Array, Array]:
        numbers = self.varints(data, self.head(), 2 * count)
        return np.cumsum(numbers[:count]), numbers[count:]

    def varints(self, data: bytes, at: int, count: int) -> Array:
        numbers = []
        for _ in range(count):
            number, at = self.varint(data, at)
            numbers.append(number)
        return np.array(numbers, np.int64)

    def varint(self, data: bytes, at: int) -> tuple[int, int]:
        number = shift = 0
        while at < len(data):
            number |= (data[at] & 127) << shift
            at, shift = at + 1, shift + 7
            if data[at - 1] < 128:
                break
        return number & 2**32 - 1, at

    def unpack(self, data: bytes, at: int, width: int, count: int) -> tuple[Array, int]:
        width = min(width, 32)
        end = at + width * count // 8
        return self.numbers(data[at:end].ljust(end - at, b"\0"), width, count), end

    def numbers(self, packed: bytes, width: int, count: int) -> Array:
        lanes = np.frombuffer(packed, "<u4").reshape(width, count // 32).T
        return self.of_bits(lanes, width, (count // 32, 32)).T.ravel()

    def of_bits(self, words: Array, width: int, shape: tuple[int, ...]) -> Array:
        bits = np.unpackbits(np.ascontiguousarray(words).view(np.uint8), bitorder="little")
        numbers: Array = bits.reshape(*shape, width).astype(np.int64) @ (1 << np.arange(width))
        return numbers

    def stream(self, stream: bytes, count: int) -> Array:
        """Return the differences of a block's positions, of which there are so many."""
        at, groups = 0, []
        for _ in range(count // GROUP):
            numbers, at = self.group(stream, at)
            groups.append(numbers)
        return np.concatenate((*groups, self.varints(stream, at, count % GROUP)))

    def group(self, stream: bytes, at: int) -> tuple[Array, int]:
        return self.unpack(stream, at + 1, self.byte(stream, at), GROUP)

    def doc(self, differences: Array, start: int, end: int) -> Array:
        return np.cumsum(differences[start:end])


class ByWords(ByBits):
    """Shifts two words at a time, for all lanes."""

    def numbers(self, packed: bytes, width: int, count: int) -> Array:
        words = np.zeros((width + 1, count // 32), np.uint64)
        words[:width] = np.frombuffer(packed, "<u4").reshape(width, count // 32)
        at, shift = np.divmod(np.arange(32) * width, 32)
        both = words[at] | words[np.minimum(at + 1, width)] << np.uint64(32)
        masked: Array = both >> shift.astype(np.uint64)[:, None] & np.uint64(2**width - 1)
        return masked.astype(np.int64).ravel()


class MaximumEverywhere(ByBits):
    """Expects a maximum in front of blocks of 256, too."""

    def head(self) -> int:
        return 4


class MaximumNowhere(ByBits):
    def head(self) -> int:
        return 0


class NoLanes(ByBits):
    """Takes packed numbers for one string of bits."""

    def numbers(self, packed: bytes, width: int, count: int) -> Array:
        return self.of_bits(np.frombuffer(packed, np.uint8), width, (count,))


class FourLanes(ByBits):
    """Takes 256 numbers for two times 128."""

    def numbers(self, packed: bytes, width: int, count: int) -> Array:
        parts = np.frombuffer(packed, np.uint8).reshape(count // GROUP, -1)
        return np.concatenate([super(FourLanes, self).numbers(part.tobytes(), width, GROUP) for part in parts])


class Of31Bits(ByBits):
    """Takes the highest bit of a packed word for a sign."""

    def numbers(self, packed: bytes, width: int, count: int) -> Array:
        return super().numbers(packed, width, count) & (2**31 - 1)


class FirstIdLeftOut(ByBits):
    def first_id(self, _first: int, last: int) -> int:
        return last


class FirstIdIsADifference(ByBits):
    """Goes on from the last id of the block before, as other formats do."""

    def first_id(self, first: int, last: int) -> int:
        return last + first


class PatchesLeftOut(ByBits):
    def patch(self, frequencies: Array, place: int, high: int, width: int) -> None:
        pass


class PatchedOver(ByBits):
    """Puts a patch in the place of the lower bits."""

    def patch(self, frequencies: Array, place: int, high: int, width: int) -> None:
        frequencies[place] = high << width


class PatchedUnshifted(ByBits):
    """Takes a patch for the whole number."""

    def patch(self, frequencies: Array, place: int, high: int, _width: int) -> None:
        frequencies[place] = high


class PlacesOf7Bits(ByBits):
    """Takes places for numbers below 128."""

    def patch(self, frequencies: Array, place: int, high: int, width: int) -> None:
        super().patch(frequencies, place & 127, high, width)


class RemainderGoesOn(ByBits):
    """Adds the first id of a remainder to the last one before it."""

    def remainder(self, data: bytes, count: int, last: int) -> tuple[Array, Array]:
        ids, frequencies = super().remainder(data, count, last)
        return ids + last, frequencies


class RemainderOfWords(ByBits):
    """Reads a remainder as Lance 1.0.0 wrote it, 4 bytes for each id and each frequency."""

    def remainder(self, data: bytes, count: int, _last: int) -> tuple[Array, Array]:
        numbers = np.frombuffer(data[self.head() :].ljust(8 * count, b"\0"), "<u4", 2 * count).astype(np.int64)
        return numbers[:count], numbers[count:]


class RemainderInPairs(ByBits):
    """Expects each frequency behind its id."""

    def remainder(self, data: bytes, count: int, _last: int) -> tuple[Array, Array]:
        numbers = self.varints(data, self.head(), 2 * count)
        return np.cumsum(numbers[::2]), numbers[1::2]


class VarintsOf2Bytes(ByBits):
    """Leaves out what is beyond 14 bits."""

    def varint(self, data: bytes, at: int) -> tuple[int, int]:
        number, at = super().varint(data, at)
        return number & 2**14 - 1, at


class VarintsOf4Bytes(ByBits):
    """Leaves out what is beyond 28 bits."""

    def varint(self, data: bytes, at: int) -> tuple[int, int]:
        number, at = super().varint(data, at)
        return number & 2**28 - 1, at


class LastPostingLeftOut(ByBits):
    """Leaves the last frequency of each list as it was."""

    def remainder(self, data: bytes, count: int, last: int) -> tuple[Array, Array]:
        ids, frequencies = super().remainder(data, count, last)
        frequencies[-1] = 0
        return ids, frequencies


class PositionsGoOn(ByBits):
    """Adds positions up over all docs of a block."""

    def doc(self, differences: Array, start: int, end: int) -> Array:
        return np.cumsum(differences[:end])[start:]


class PositionsAPlaceTooEarly(ByBits):
    """Begins with the last difference of the doc before."""

    def doc(self, differences: Array, start: int, end: int) -> Array:
        return super().doc(np.roll(differences, 1), start, end)


class GroupsOfABlock(ByBits):
    """Expects groups of 256 differences, in 8 lanes, where blocks have 256 postings."""

    def stream(self, stream: bytes, count: int) -> Array:
        at, groups = 0, []
        for _ in range(count // self.size):
            numbers, at = self.unpack(stream, at + 1, self.byte(stream, at), self.size)
            groups.append(numbers)
        return np.concatenate((*groups, self.varints(stream, at, count % self.size)))


class VarintsOnly(ByBits):
    """Reads groups as varints, as the codec before this one wrote positions."""

    def stream(self, stream: bytes, count: int) -> Array:
        return self.varints(stream, 0, count)


class RestOfPositionsLeftOut(ByBits):
    """Knows groups of differences only."""

    def stream(self, stream: bytes, count: int) -> Array:
        differences = super().stream(stream, count)
        differences[count - count % GROUP :] = 0
        return differences


class EmptyGroupsTakeWords(ByBits):
    """Expects words where the differences of a group are all 0."""

    def group(self, stream: bytes, at: int) -> tuple[Array, int]:
        numbers, end = super().group(stream, at)
        return numbers, max(end, at + 17)


class OneStreamForAList(ByBits):
    """Looks for the positions of every block where those of the first one are."""

    def stream_start(self, stream_starts: Array, first: int, _block: int) -> int:
        return int(stream_starts[first])


HONEST = (ByBits, ByWords)
LONG = ("scattered", "clustered", "zipf", "wide", "patched", "block_edges", "groups")
"""Distributions whose lists have whole blocks, of numbers that are not all alike."""
PATCHED = cases("scattered", "clustered", "zipf", "patched", "block_edges", block=256)
POSITIONS = cases(part="positions")
WRONG = {
    MaximumEverywhere: cases(block=256),
    MaximumNowhere: cases(block=128),
    NoLanes: cases(*LONG),
    FourLanes: cases(*LONG, block=256),
    Of31Bits: cases("wide"),
    FirstIdLeftOut: cases(*LONG, "constant", part="lists"),
    FirstIdIsADifference: cases(*LONG, "constant", part="lists"),
    PatchesLeftOut: PATCHED,
    PatchedOver: PATCHED,
    PatchedUnshifted: PATCHED,
    PlacesOf7Bits: PATCHED,
    RemainderGoesOn: cases(*LONG, "constant", part="lists"),
    RemainderOfWords: EVERY,
    RemainderInPairs: EVERY,
    VarintsOf2Bytes: (*cases(part="lists"), *cases("tails", "wide", part="positions")),
    VarintsOf4Bytes: (*cases("tails", "wide", "patched", "constant", part="lists"), *cases("wide")),
    LastPostingLeftOut: cases(part="lists"),
    PositionsGoOn: POSITIONS,
    PositionsAPlaceTooEarly: POSITIONS,
    GroupsOfABlock: cases(block=256, part="positions"),
    VarintsOnly: POSITIONS,
    RestOfPositionsLeftOut: POSITIONS,
    EmptyGroupsTakeWords: cases("constant", part="positions"),
    OneStreamForAList: cases(*LONG, "constant", part="positions"),
}
"""Wrong kernels, and the cases in which each must be found out."""


def module(kernel: type[ByBits]) -> SimpleNamespace:
    """A kernel's module with one class in it."""
    return SimpleNamespace(PostingDecoder=kernel)


@pytest.mark.parametrize("case_id", EVERY)
def test_honest_kernels_pass_on_every_case(case_id: str) -> None:
    for kernel in HONEST:
        BATTERY.verify(module(kernel), case_id)


@pytest.mark.parametrize("kernel", WRONG)
def test_wrong_kernels_fail_where_they_are_wrong(kernel: type[ByBits]) -> None:
    for case_id in WRONG[kernel]:
        with pytest.raises(KernelIncorrect):
            BATTERY.verify(module(kernel), case_id)


BOTH = pytest.mark.parametrize("impl", [BATTERY.target.reference, BATTERY.kernels], ids=["oracle", "kernel"])
BLOCKS = pytest.mark.parametrize("block", [128, 256])


def starts_of(*parts: bytes) -> tuple[Array, Array]:
    """Some bytes, one after the other, and where each begins and the last one ends."""
    joined: Array = np.frombuffer(b"".join(parts), np.uint8)
    return joined, np.cumsum([0, *map(len, parts)])


@BOTH
@BLOCKS
def test_a_remainder_is_decoded_as_by_hand(impl: Any, block: int) -> None:
    maximum = b"\xff" * 4 if block == 128 else b""
    varints = bytes([5, 3, 0x80 | 44, 2, 1, 7, 0x80, 0x80, 0x80, 0x80, 8])
    blocks, offsets = starts_of(maximum + varints, maximum + b"\0\1")
    decoder = impl.PostingDecoder(block)
    ids, frequencies = decoder.decode_lists(blocks, offsets, np.arange(3), np.array([3, 1]))
    assert ids.tolist() == [5, 8, 308, 0]
    assert frequencies.tolist() == [1, 7, 2**31, 1]


@BOTH
@BLOCKS
def test_whole_blocks_are_decoded_as_by_hand(impl: Any, block: int) -> None:
    """Differences of one bit, all 1 but the first, then of none; frequencies of two bits, two of 256 patched."""
    lanes = block // 32
    ones = b"\xfe\xff\xff\xff" + b"\xff\xff\xff\xff" * (lanes - 1)
    tens = b"\xaa\xaa\xaa\xaa" * 2 * lanes
    if block == 128:
        first, second = (bytes(4) + head for head in (b"\7\0\0\0\1" + ones, b"\0\0\0\xff\0"))
        counts, patched = b"\2" + tens, {}
    else:
        first, second = b"\7\0\0\0\1" + ones, b"\0\0\0\xff\0"
        counts = b"\2\2" + tens + b"\0\1" + b"\xff\xff\xff\xff\xff\3"
        patched = {0: 4 | 2, 255: (2**30 - 1) << 2 | 2}
    blocks, offsets = starts_of(first + counts, second + counts)
    decoder = impl.PostingDecoder(block)
    ids, frequencies = decoder.decode_lists(blocks, offsets, np.array([0, 2]), np.array([2 * block]))
    assert ids.tolist() == [*range(7, 7 + block), *[255 << 24] * block]
    assert frequencies.tolist() == 2 * [patched.get(place, 2) for place in range(block)]


@BOTH
@BLOCKS
def test_positions_are_decoded_as_by_hand(impl: Any, block: int) -> None:
    """A doc with 127 positions, one with 130 that goes through a group to the varints, and one with 3."""
    maximum = bytes(4) if block == 128 else b""
    blocks, offsets = starts_of(maximum + bytes([1, 1, 1, 127, 0x80 | 2, 1, 3]))
    streams, stream_starts = starts_of(b"\0" + b"\2" + b"\x55" * 32 + bytes([3, 9, 0, 0x80 | 1, 1]))
    decoder = impl.PostingDecoder(block)
    lists = blocks, offsets, np.array([0, 1]), np.array([3]), streams, stream_starts
    expected = [[0] * 127, [0, *range(1, 129), 131], [9, 9, 138]]
    for asked in ([0], [1], [2], [0, 2], [0, 1, 2]):
        wanted = [expected[place] for place in asked]
        total = sum(map(len, wanted))
        positions, counts = decoder.decode_positions(*lists, np.zeros_like(asked), np.array(asked), total)
        assert positions.tolist() == list(chain(*wanted))
        assert counts.tolist() == [len(each) for each in wanted]


def test_calls_are_what_their_distribution_says() -> None:
    for case_id, case in BATTERY.cases.items():
        state, oracle, calls = BATTERY.prepared(case_id)
        lengths = calls[0][3]
        if case.shape.part == "positions":
            asked = len(calls[0][6])
            assert asked == case.shape.postings if case.timed else 0 < asked <= case.shape.postings
            assert calls[0][8] == len(oracle.expected(calls[0])[0])
        elif case.timed:
            assert lengths.sum() == BATTERY.target.wiring.ops(case.shape)
        if case.distribution == "zipf":
            is_short = lengths < state.block
            assert np.mean(is_short) > 0.95
            assert 0.3 < lengths[is_short].sum() / lengths.sum() < 0.8
        elif case.distribution == "tails":
            assert (lengths < state.block).all()
        else:
            assert (lengths >= state.block).any()


def test_blocks_of_256_have_every_number_of_patches() -> None:
    found: set[int] = set()
    for call in BATTERY.prepared("256xlistsx40000-patched")[2]:
        blocks, offsets, first_blocks, lengths = call
        for (first, _), length in zip(pairwise(first_blocks), lengths, strict=True):
            starts = offsets[first : first + length // 256]
            found.update(int(blocks[start + 6 + 32 * np.int64(blocks[start + 4])]) for start in starts)
    assert {0, 31} <= found
    assert max(found) == 31


def test_the_sentence_names_what_is_wrong() -> None:
    said = {}
    for kernel, case_id in (
        (PatchesLeftOut, "256xlistsx40000-patched"),
        (PositionsGoOn, "128xpositionsx2000-groups"),
    ):
        with pytest.raises(KernelIncorrect) as refused:
            BATTERY.verify(module(kernel), case_id)
        said[kernel] = str(refused.value)
    assert "(bits must be equal); first at [" in said[PatchesLeftOut]
    assert "(bits must be equal); first at [" in said[PositionsGoOn]
