"""The target posting-seek: honest rewrites pass on every case, wrong kernels fail wherever it shows.

The stand-in kernels walk through decoded lists, one step after the other, in plain Python.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
from battery import Battery

from pytest_lance_autoresearch.errors import KernelIncorrect

BATTERY = Battery("posting-seek")
INPUTS, ORACLE = BATTERY.target.inputs, BATTERY.target.reference
NEXT, SHALLOW, FREQ = INPUTS.NEXT, INPUTS.SHALLOW, INPUTS.FREQ
END = 2**32 - 1
Array = np.ndarray[Any, Any]
Answer = tuple[int, int]


class Encoded(NamedTuple):
    """One list: bytes of all blocks, the offsets of its own, how many postings it has, and a whole block has."""

    blocks: Array
    offsets: Array
    length: int
    size: int

    @property
    def starts(self) -> Array:
        """Where the first ids of whole blocks are."""
        starts: Array = self.offsets[: self.length // self.size] + ORACLE.HEADS[self.size]
        return starts


Decoded = tuple[list[int], list[int], list[int]]
CACHE: dict[tuple[int, type[ByHalves]], list[Decoded]] = {}


def decoded_lists(
    kernel: type[ByHalves], blocks: Array, offsets: Array, first_blocks: Array, lengths: Array, size: int
) -> list[Decoded]:
    """Return ids, frequencies and first ids of every list as a kernel decodes them; those of a case are kept."""
    for owner in kernel.__mro__:
        if "decode" in vars(owner):
            break
    if (id(blocks), owner) not in CACHE:
        lists = []
        for (first, stop), length in zip(pairwise(first_blocks), lengths.tolist(), strict=True):
            ids, frequencies = kernel.decode(Encoded(blocks, offsets[first : stop + 1], length, size))
            lists.append((ids.tolist(), frequencies.tolist(), ids[::size].tolist()))
        CACHE[id(blocks), owner] = lists
    return CACHE[id(blocks), owner]


class ByHalves:
    """Searches what is left of the list by halves. The oracle decodes; it has its own tests below."""

    ids: list[int]
    frequencies: list[int]
    first_ids: list[int]
    place: int
    block: int

    def __init__(self, blocks: Array, offsets: Array, first_blocks: Array, lengths: Array, size: int) -> None:
        self.lists = decoded_lists(type(self), blocks, offsets, first_blocks, lengths, size)
        self.size = size

    @staticmethod
    def decode(encoded: Encoded) -> tuple[Array, Array]:
        ids, frequencies = ORACLE.decode(*encoded)
        return ids, frequencies

    def run_traces(self, lists: Array, operations: Array, targets: Array) -> tuple[Array, ...]:
        answers = []
        for number, *trace in zip(lists, operations, targets, strict=True):
            self.ids, self.frequencies, self.first_ids = self.lists[number]
            self.place = self.block = 0
            answers.append([self.step(*step) for step in zip(*(part.tolist() for part in trace), strict=True)])
        return tuple(np.array(answers, np.uint32).reshape(*targets.shape, 2).transpose(2, 0, 1).copy())

    def step(self, operation: int, target: int) -> Answer:
        if operation == SHALLOW:
            self.shallow(target)
            return self.block, self.first_ids[min(self.block, len(self.first_ids) - 1)]
        if operation == NEXT:
            self.next(target)
            return self.place, self.doc(self.place) if self.place < len(self.ids) else END
        return self.place, self.frequency(self.place) if self.place < len(self.ids) else 0

    def next(self, target: int) -> None:
        self.place = bisect_left(self.ids, target, lo=self.place)
        self.block = self.place // self.size

    def shallow(self, target: int) -> None:
        self.block = max(self.block, bisect_right(self.first_ids, target) - 1)

    def doc(self, place: int) -> int:
        return self.ids[place]

    def frequency(self, place: int) -> int:
        return self.frequencies[place]


class ByDoubling(ByHalves):
    """Steps twice as long each time, from where the list is; then by halves."""

    def next(self, target: int) -> None:
        reach = 1
        while self.place + reach < len(self.ids) and self.ids[self.place + reach] < target:
            reach *= 2
        self.place = bisect_left(self.ids, target, self.place, min(self.place + reach + 1, len(self.ids)))
        self.block = self.place // self.size


class BlockThenPosting(ByHalves):
    """The block by its first id, then the posting in it, and on into the next block."""

    def next(self, target: int) -> None:
        self.block = max(self.place // self.size, bisect_right(self.first_ids, target) - 1)
        self.place = max(self.place, self.size * self.block)
        self.place = bisect_left(self.ids, target, self.place, min(self.size * (self.block + 1), len(self.ids)))
        self.block = self.place // self.size


class AboveTheTarget(ByHalves):
    """The first doc above the target, not from the target on."""

    def next(self, target: int) -> None:
        self.place = bisect_right(self.ids, target, lo=self.place)
        self.block = self.place // self.size


class MovesBack(ByHalves):
    """Searches the whole list, as if the list had not been moved."""

    def next(self, target: int) -> None:
        self.place = bisect_left(self.ids, target)
        self.block = self.place // self.size


class StaysInItsBlock(ByHalves):
    """Stops at the last posting of a block, where only the next block has a doc from the target on."""

    def next(self, target: int) -> None:
        block = max(self.place // self.size, bisect_right(self.first_ids, target) - 1)
        last = min(self.size * (block + 1) - 1, len(self.ids))
        self.place = bisect_left(self.ids, target, max(self.place, self.size * block), max(self.place, last))
        self.block = self.place // self.size


class BlockNeverBack(ByHalves):
    """Keeps the block that a shallow step reached, although the next step lands before it."""

    def next(self, target: int) -> None:
        self.place = bisect_left(self.ids, target, lo=self.place)
        self.block = max(self.block, self.place // self.size)


class ShallowMovesThePlace(ByHalves):
    def shallow(self, target: int) -> None:
        super().shallow(target)
        self.place = max(self.place, self.size * self.block)


class ShallowStaysBelow(ByHalves):
    """The last block whose first id is below the target, not up to it."""

    def shallow(self, target: int) -> None:
        self.block = max(self.block, bisect_left(self.first_ids, target) - 1)


class ShallowNeverMoves(ByHalves):
    def shallow(self, target: int) -> None:
        """Leaves the block of the last step."""


class LastPostingIsTheEnd(ByHalves):
    """A search that ends one posting early."""

    def next(self, target: int) -> None:
        self.place = bisect_left(self.ids, target, self.place, max(self.place, len(self.ids) - 1))
        self.block = self.place // self.size


class FrequencyLessOne(ByHalves):
    def frequency(self, place: int) -> int:
        return super().frequency(place) - 1


class FrequencyOfThePlaceBefore(ByHalves):
    """Frequencies of whole blocks begin one place late."""

    def frequency(self, place: int) -> int:
        if place < len(self.ids) // self.size * self.size:
            place += self.size - 1 if place % self.size == 0 else -1
        return super().frequency(place)


class SmallFrequencies(ByHalves):
    """Frequencies of 31 bits."""

    def frequency(self, place: int) -> int:
        return super().frequency(place) & (2**31 - 1)


class SmallIds(ByHalves):
    """Ids of 31 bits, as an int32 holds them."""

    def doc(self, place: int) -> int:
        return super().doc(place) & (2**31 - 1)


class EightBlocksAtMost(ByHalves):
    """Goes eight blocks on, one by one, and no further."""

    def next(self, target: int) -> None:
        block = self.place // self.size
        reached = max(block, bisect_right(self.first_ids, target) - 1)
        end = self.size * (min(reached, block + 8) + 1)
        self.place = bisect_left(self.ids, target, self.place, max(self.place, min(end, len(self.ids))))
        self.block = self.place // self.size


class PastTheEndOfItsGroup(ByHalves):
    """Passes the 32 blocks of a group whose last id is the target, where it is more than eight blocks away."""

    def next(self, target: int) -> None:
        before = self.place // self.size
        super().next(target)
        ends_a_group = (self.place + 1) % (32 * self.size) == 0 and self.place < len(self.ids)
        self.place += ends_a_group and self.ids[self.place] == target and self.block > before + 8
        self.block = self.place // self.size


class BeyondIsTheLast(ByHalves):
    """Gives the last posting where no doc is from the target on."""

    def next(self, target: int) -> None:
        self.place = min(bisect_left(self.ids, target, lo=self.place), len(self.ids) - 1)
        self.block = self.place // self.size


class FrequencyInTheShallowBlock(ByHalves):
    """Takes the frequency from the block that a shallow step reached."""

    def frequency(self, place: int) -> int:
        return super().frequency(min(self.size * self.block + place % self.size, len(self.ids) - 1))


class FrequenciesOfTheFirstBlock(ByHalves):
    """Decodes frequencies for the first block of a call that is asked for one, and never again."""

    def __init__(self, *encoded: Any) -> None:
        super().__init__(*encoded)
        self.decoded: list[int] = []

    def run_traces(self, *call: Array) -> tuple[Array, ...]:
        self.decoded.clear()
        return super().run_traces(*call)

    def frequency(self, place: int) -> int:
        self.decoded.append(place // self.size)
        return super().frequency(min(self.size * self.decoded[0] + place % self.size, len(self.ids) - 1))


class RawRemainder(ByHalves):
    """Takes a list's last block for what Lance 1.0.0 wrote: ids and frequencies of 4 bytes each."""

    @staticmethod
    def decode(encoded: Encoded) -> tuple[Array, Array]:
        ids, frequencies = ORACLE.decode(*encoded)
        left = encoded.length % encoded.size
        start = encoded.offsets[encoded.length // encoded.size] + ORACLE.HEADS[encoded.size]
        words = np.resize(encoded.blocks[start : start + 8 * left], 8 * left).view("<u4").reshape(2, left)
        whole = encoded.length - left
        return np.append(ids[:whole], words[0]), np.append(frequencies[:whole], words[1])


class MaximumOfTheOtherFormat(ByHalves):
    """Expects a maximum in blocks of 256 and none in those of 128: the first id is 4 bytes off."""

    @staticmethod
    def decode(encoded: Encoded) -> tuple[Array, Array]:
        ids, frequencies = ORACLE.decode(*encoded)
        starts = encoded.starts
        at = starts - 4 if encoded.size == 128 else starts + 4
        found, right = (encoded.blocks[each[:, None] + np.arange(4)].view("<u4")[:, 0] for each in (at, starts))
        ids[: len(starts) * encoded.size] += np.repeat(found - right, encoded.size)
        return ids, frequencies


class PatchesIgnored(ByHalves):
    """Leaves out the higher bits of the frequencies in blocks of 256."""

    @staticmethod
    def decode(encoded: Encoded) -> tuple[Array, Array]:
        ids, frequencies = ORACLE.decode(*encoded)
        if encoded.size == 256:
            width_of_ids = encoded.blocks[encoded.starts + 4].astype(np.int64)
            widths = encoded.blocks[encoded.starts + 5 + 32 * width_of_ids].astype(np.uint64)
            masks = ((np.uint64(1) << widths) - np.uint64(1)).astype(np.uint32)
            frequencies[: 256 * len(masks)] &= np.repeat(masks, 256)
        return ids, frequencies


class FirstListOnly(ByHalves):
    def run_traces(self, lists: Array, operations: Array, targets: Array) -> tuple[Array, ...]:
        return super().run_traces(np.zeros_like(lists), operations, targets)


class OneTraceGoesOn(ByHalves):
    """A trace begins where the one before it ended."""

    def run_traces(self, lists: Array, operations: Array, targets: Array) -> tuple[Array, ...]:
        parts = super().run_traces(lists[:1], operations.reshape(1, -1), targets.reshape(1, -1))
        return tuple(part.reshape(targets.shape) for part in parts)


EDGES = INPUTS.EDGE_DISTRIBUTIONS


def anywhere(_: str) -> bool:
    return True


def only(*parts: str) -> Callable[[str], bool]:
    """Where a case's id has one of these, or is one that is never timed."""
    return lambda case_id: any(part in case_id for part in parts) or case_id.endswith(EDGES)


def ending(*distributions: str) -> Callable[[str], bool]:
    return lambda case_id: case_id.endswith(distributions)


HONEST = (ByHalves, ByDoubling, BlockThenPosting)
WRONG: dict[type[ByHalves], Callable[[str], bool]] = {
    AboveTheTarget: anywhere,
    LastPostingIsTheEnd: anywhere,
    BeyondIsTheLast: anywhere,
    FrequencyLessOne: anywhere,
    FrequencyOfThePlaceBefore: only("wand", "probe", "rare", "far"),
    FrequenciesOfTheFirstBlock: only("wand", "probe", "rare", "far"),
    ShallowNeverMoves: only("wand"),
    OneTraceGoesOn: ending(*EDGES),
    StaysInItsBlock: ending(*EDGES),
    FirstListOnly: ending(*EDGES),
    RawRemainder: ending(*EDGES),
    MaximumOfTheOtherFormat: ending(*EDGES),
    PatchesIgnored: lambda case_id: "x256x" in case_id,
    EightBlocksAtMost: ending("many_blocks"),
    PastTheEndOfItsGroup: ending("many_blocks"),
    ShallowStaysBelow: ending("block_edges"),
    FrequencyInTheShallowBlock: ending("block_edges"),
    MovesBack: ending("backwards", "block_edges"),
    ShallowMovesThePlace: ending("backwards"),
    BlockNeverBack: ending("backwards"),
    SmallFrequencies: ending("frequencies"),
    SmallIds: ending("wide"),
}


def verify(kernel: type[ByHalves], case_id: str) -> None:
    BATTERY.verify(SimpleNamespace(PostingLists=kernel), case_id)


@pytest.mark.parametrize("case_id", BATTERY.cases)
def test_honest_kernels_pass_on_every_case(case_id: str) -> None:
    for kernel in HONEST:
        verify(kernel, case_id)


@pytest.mark.parametrize("case_id", BATTERY.cases)
def test_wrong_kernels_fail_where_it_shows(case_id: str) -> None:
    for kernel, shows in WRONG.items():
        if shows(case_id):
            with pytest.raises(KernelIncorrect):
                verify(kernel, case_id)


def little(*words: int) -> bytes:
    return np.array(words, "<u4").tobytes()


def run(ids: Sequence[int], frequencies: Sequence[int], block: int, *steps: tuple[int, int]) -> list[Answer]:
    """Take the steps in a list with the oracle, and require that the committed kernel does the same."""
    state = INPUTS.state_of([(np.array(ids, np.uint32), np.array(frequencies, np.uint32))], block)
    operations, targets = np.array(steps, np.uint32).T.reshape(2, 1, -1)
    call = np.zeros(1, np.int64), operations.astype(np.uint8), targets
    of_oracle, of_kernel = (
        np.stack(BATTERY.target.wiring.bind(module, state)(*call), axis=-1)[0].tolist()
        for module in (ORACLE, BATTERY.kernels)
    )
    assert of_oracle == of_kernel
    return [(place, value) for place, value in of_oracle]


def encode(ids: Sequence[int], frequencies: Sequence[int], block: int) -> bytes:
    state = INPUTS.state_of([(np.array(ids, np.uint32), np.array(frequencies, np.uint32))], block)
    return bytes(state.blocks.tobytes())


def test_a_whole_block_of_128_by_hand() -> None:
    differences = [0, 1, 2, 3] * 31 + [5, 6, 7, 31]
    ids = (1000 + np.cumsum(differences)).tolist()
    frequencies = [1] * 127 + [2**32 - 1]
    lanes = [sum(differences[4 * row + lane] << 5 * row for row in range(32)) for lane in range(4)]
    words = [lane >> 32 * word & END for word in range(5) for lane in lanes]
    block = encode(ids, frequencies, 128)
    assert block[4:] == little(1000) + bytes([5]) + little(*words) + bytes([32]) + little(*frequencies)
    assert run(ids, frequencies, 128, (NEXT, ids[-1]), (FREQ, 0)) == [(127, ids[-1]), (127, 2**32 - 1)]


def test_a_whole_block_of_256_by_hand() -> None:
    """Ids that follow each other, and counts of 1 or 3 but for two, which need more bits than two."""
    ids = list(range(7, 263))
    frequencies = [1, 3] * 128
    frequencies[9], frequencies[200] = 4 * 300 + 2, 2**32 - 1
    differences = little(*[2**32 - 2] + [2**32 - 1] * 7)  # 256 ones, but the first is 0
    lanes = [sum((frequencies[8 * row + lane] & 3) << 2 * row for row in range(32)) for lane in range(8)]
    words = [lane >> 32 * word & END for word in range(2) for lane in lanes]
    patches = bytes([9, 300 & 127 | 128, 300 >> 7, 200, 255, 255, 255, 255, 3])
    block = encode(ids, frequencies, 256)
    assert block == little(7) + bytes([1]) + differences + bytes([2, 2]) + little(*words) + patches
    steps = [(NEXT, 16), (FREQ, 0), (NEXT, 207), (FREQ, 0), (NEXT, 262), (FREQ, 0)]
    expected = [(9, 16), (9, 1202), (200, 207), (200, 2**32 - 1), (255, 262), (255, 3)]
    assert run(ids, frequencies, 256, *steps) == expected


@pytest.mark.parametrize(("count", "patches"), [(31, 31), (32, 0)])
def test_a_block_has_31_patches_at_most(count: int, patches: int) -> None:
    frequencies = [1000] * count + [1] * (256 - count)
    block = encode(list(range(256)), frequencies, 256)
    assert block[5 + 32 + 1] == patches
    steps = [(NEXT, count - 1), (FREQ, 0), (NEXT, count), (FREQ, 0)]
    assert run(list(range(256)), frequencies, 256, *steps)[1::2] == [(count - 1, 1000), (count, 1)]


@pytest.mark.parametrize("size", [128, 256])
def test_a_remainder_by_hand(size: int) -> None:
    """The largest id there is, after 3; an id that takes two bytes would be 128."""
    block = encode([3, 2**32 - 2], [200, 1], size)
    maximum = np.array([200], "<f4").tobytes() if size == 128 else b""
    difference = bytes([251, 255, 255, 255, 15])  # 2**32 - 5
    assert block == maximum + bytes([3]) + difference + bytes([200 & 127 | 128, 1, 1])
    steps = [(FREQ, 0), (NEXT, 3), (FREQ, 0), (NEXT, 4), (FREQ, 0), (NEXT, END), (FREQ, 0), (NEXT, 0)]
    expected = [(0, 200), (0, 3), (0, 200), (1, 2**32 - 2), (1, 1), (2, END), (2, 0), (2, END)]
    assert run([3, 2**32 - 2], [200, 1], size, *steps) == expected


def test_next_goes_to_the_first_doc_from_the_target_on_and_never_back() -> None:
    ids, ones = list(range(10, 2010, 10)), [1] * 200
    steps = [(NEXT, 0), (NEXT, 10), (NEXT, 11), (NEXT, 5), (NEXT, 1281), (NEXT, 2000), (NEXT, 2001), (NEXT, 0)]
    expected = [(0, 10), (0, 10), (1, 20), (1, 20), (128, 1290), (199, 2000), (200, END), (200, END)]
    assert run(ids, ones, 128, *steps) == expected


def test_shallow_moves_the_block_alone_and_the_next_step_sets_it_anew() -> None:
    ids, counts = list(range(10, 4010, 10)), list(range(1, 401))
    steps = [(SHALLOW, 1289), (SHALLOW, 1290), (SHALLOW, 0), (SHALLOW, END), (FREQ, 0), (NEXT, 20), (SHALLOW, 20)]
    expected = [(0, 10), (1, 1290), (1, 1290), (3, 3850), (0, 1), (1, 20), (0, 10)]
    assert run(ids, counts, 128, *steps) == expected


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_a_step_passes_many_blocks(more: int) -> None:
    """Around the 8 blocks that are looked at one by one, and the 32 that are passed at once."""
    ids = list(range(0, 20 * 128 * 70, 20))
    for block in (8, 9, 10, 32, 33, 40, 41, 64, 69):
        first = 128 * block
        expected = first - 1 if more < 0 else first + more
        target = ids[first] + (more if more > 0 else 20 * more)
        landed = target // 20 // 128
        answers = run(ids, [1] * len(ids), 128, (SHALLOW, target), (NEXT, target))
        assert answers == [(landed, ids[128 * landed]), (expected, ids[expected])]


def moved(case_id: str) -> Array:
    """Return by how many postings the steps NEXT of a case's calls move, but for the ends of traces."""
    _, oracle, calls = BATTERY.prepared(case_id)
    jumps = []
    for call in calls:
        places = oracle.expected(call)[0].astype(np.int64)
        for trace, operations in zip(places, call[1], strict=True):
            jumps.append(np.diff(trace[:-5][operations[:-5] == NEXT]))
    return np.concatenate(jumps)


def test_traces_move_as_wand_does() -> None:
    """The shares were measured in searches for 3 words; a third of the steps or more go nowhere."""
    jumps = moved("100000x128xwand-geometric")
    assert abs((jumps == 0).mean() - INPUTS.WAND_SHARES[0]) < 0.02
    assert abs((jumps == 1).mean() - INPUTS.WAND_SHARES[1]) < 0.02
    assert 0.001 < (jumps > 100).mean() < 0.02


def test_traces_move_as_maxscore_probes_a_list() -> None:
    """Measured in searches for 3, 5 and 10 words: half the steps by 2 to 25 or more, a tenth by 5 to 190."""
    jumps = moved("300000x128xprobe-geometric")
    assert 5 <= np.median(jumps) <= 9
    assert 40 < np.quantile(jumps, 0.9) < 80
    assert 300 < np.quantile(jumps, 0.99) < 1000
