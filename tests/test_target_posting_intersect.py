"""The target posting-intersect: honest rewrites pass on every case, wrong kernels fail wherever it shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pytest
from battery import Battery

from pytest_lance_autoresearch.errors import KernelIncorrect

BATTERY = Battery("posting-intersect")
INPUTS, ORACLE = BATTERY.target.inputs, BATTERY.target.reference
Array = np.ndarray[Any, Any]


class Encoded(NamedTuple):
    """One list: bytes of all blocks, the offsets of its own, how many ids it has, and a whole block has."""

    blocks: Array
    offsets: Array
    length: int
    size: int

    @property
    def whole(self) -> int:
        return self.length // self.size

    @property
    def starts(self) -> Array:
        """Where the first ids of whole blocks are."""
        starts: Array = self.offsets[: self.whole] + ORACLE.HEADS[self.size]
        return starts


class ByLookup:
    """Looks the ids of the shortest list up in the others. The oracle decodes; it has its own tests below."""

    size: int

    def intersect(self, *arguments: Any) -> Array:
        blocks, offsets, _, first_blocks, lengths, self.size, queries, out = arguments
        lists = [
            self.decoded(Encoded(blocks, offsets[first : stop + 1], length, self.size))
            for (first, stop), length in zip(pairwise(first_blocks), lengths.tolist(), strict=True)
        ]
        return self.answers(lists, queries, out)

    def decoded(self, encoded: Encoded) -> Array:
        ids: Array = ORACLE.decode(*encoded)
        return ids

    def answers(self, lists: Sequence[Array], queries: Array, out: Array) -> Array:
        ends, end = [], 0
        for query in queries:
            common = self.common([lists[number] for number in query])
            out[end : end + len(common)] = common
            end += len(common)
            ends.append(end)
        return np.array(ends)

    def common(self, lists: list[Array]) -> Array:
        common, *others = sorted(lists, key=len)
        for ids in others:
            places = np.searchsorted(ids, common)
            common = common[ids[np.minimum(places, len(ids) - 1)] == common]
        return common


class ByCounting(ByLookup):
    """An id is common when it occurs once for each list."""

    def common(self, lists: list[Array]) -> Array:
        ids, counts = np.unique(np.concatenate(lists), return_counts=True)
        common: Array = ids[counts == len(lists)]
        return common


class Bitmap(ByLookup):
    """Marks the ids of each list; ids far apart share a mark and are compared again."""

    def common(self, lists: list[Array]) -> Array:
        shortest = min(lists, key=len)
        for ids in lists:
            marks = np.zeros(2**21, np.bool_)
            marks[ids % 2**21] = True
            shortest = shortest[marks[shortest % 2**21]]
        return reduce(lambda one, other: np.intersect1d(one, other, assume_unique=True), [shortest, *lists])


class LongestListLeftOut(ByLookup):
    def common(self, lists: list[Array]) -> Array:
        return super().common(sorted(lists, key=len)[:-1])


class RemainderLeftOut(ByLookup):
    def common(self, lists: list[Array]) -> Array:
        return super().common([ids[: len(ids) // self.size * self.size] for ids in lists])


class LastIdMissed(ByLookup):
    """A loop that ends one early."""

    def common(self, lists: list[Array]) -> Array:
        return super().common([ids[:-1] for ids in lists])


class FirstIdOfBlocksMissed(ByLookup):
    """The search begins behind the id that brought it to the block."""

    def common(self, lists: list[Array]) -> Array:
        return super().common([np.delete(ids, slice(0, None, self.size)) for ids in lists])


class SignedIds(ByLookup):
    """A merge of ids read as int32: those from 2**31 on come first, and the merge loses its way."""

    def common(self, lists: list[Array]) -> Array:
        common = super().common(lists)
        return common[: np.searchsorted(common, 2**31)]


class Descending(ByLookup):
    def common(self, lists: list[Array]) -> Array:
        return super().common(lists)[::-1]


class CountsForEnds(ByLookup):
    def answers(self, lists: Sequence[Array], queries: Array, out: Array) -> Array:
        return np.diff(super().answers(lists, queries, out), prepend=0)


class DifferencesOfFour(ByLookup):
    """Takes each difference as that to the id four places before."""

    def decoded(self, encoded: Encoded) -> Array:
        ids = super().decoded(encoded)
        rows = ids[: encoded.whole * encoded.size].reshape(encoded.whole, encoded.size // 4, 4)
        of_rows = rows.reshape(encoded.whole, encoded.size)
        differences = np.diff(of_rows, axis=1, prepend=of_rows[:, :1]).reshape(rows.shape)
        rows[:] = rows[:, :1, :1] + differences.cumsum(axis=1, dtype=np.uint32)
        return np.unique(ids)


class OrderOfBits(ByLookup):
    """Takes the packed differences for one string of bits, without lanes."""

    def decoded(self, encoded: Encoded) -> Array:
        ids, size = super().decoded(encoded), encoded.size
        for block, start in enumerate(encoded.starts.tolist()):
            width = int(encoded.blocks[start + 4])
            packed = encoded.blocks[start + 5 : start + 5 + size // 8 * width]
            differences = np.unpackbits(packed, bitorder="little").reshape(size, width) @ (1 << np.arange(width))
            ids[block * size : block * size + size] = ids[block * size] + differences.cumsum()
        return np.unique(ids)


class RawRemainder(ByLookup):
    """Takes a list's last block for what Lance 1.0.0 wrote: ids of 4 bytes each."""

    def decoded(self, encoded: Encoded) -> Array:
        ids = super().decoded(encoded)
        left = encoded.length % encoded.size
        if left:
            start = encoded.offsets[encoded.whole] + ORACLE.HEADS[encoded.size]
            ids[-left:] = np.resize(encoded.blocks[start : start + 4 * left], 4 * left).view("<u4")
        return np.unique(ids)


class MaximumOfTheOtherFormat(ByLookup):
    """Expects a maximum in blocks of 256 and none in those of 128: the first id is 4 bytes off."""

    def decoded(self, encoded: Encoded) -> Array:
        ids, starts = super().decoded(encoded), encoded.starts
        at = starts - 4 if encoded.size == 128 else starts + 4
        found, right = (encoded.blocks[each[:, None] + np.arange(4)].view("<u4")[:, 0] for each in (at, starts))
        ids[: encoded.whole * encoded.size] += np.repeat(found - right, encoded.size)
        return np.unique(ids)


class EightBlocksAtMost(ByLookup):
    """Goes eight blocks of the longest list on from one answer to the next, and no further."""

    def common(self, lists: list[Array]) -> Array:
        common = super().common(lists)
        blocks = np.searchsorted(max(lists, key=len), common) // self.size
        too_far = np.flatnonzero(np.diff(blocks, prepend=0) > 8)
        return common[: too_far[0]] if too_far.size else common


class LastIdOfBlocksMissed(ByLookup):
    """Windows end one id early."""

    def common(self, lists: list[Array]) -> Array:
        return super().common([np.delete(ids, slice(self.size - 1, None, self.size)) for ids in lists])


def only(*distributions: str) -> Callable[[str], bool]:
    return lambda case_id: case_id.endswith(distributions)


TIMED = INPUTS.DISTRIBUTIONS
HONEST = (ByLookup, ByCounting, Bitmap)
WRONG: dict[type[ByLookup], Callable[[str], bool]] = {
    LongestListLeftOut: only(*TIMED, "many_blocks"),
    RemainderLeftOut: only(*TIMED),
    RawRemainder: only(*TIMED, "short"),
    MaximumOfTheOtherFormat: only(*TIMED),
    LastIdMissed: only(*TIMED, "apart", "identical", "wide"),
    FirstIdOfBlocksMissed: only(*TIMED, "identical", "block_edges", "many_blocks"),
    LastIdOfBlocksMissed: only("identical", "block_edges", "many_blocks"),
    EightBlocksAtMost: only("many_blocks"),
    SignedIds: only("wide"),
    Descending: only(*TIMED, "identical", "nested", "consecutive", "wide"),
    CountsForEnds: lambda case_id: case_id.startswith("1000000x200+"),
    DifferencesOfFour: only(*TIMED, "nested"),
    OrderOfBits: only(*TIMED, "nested"),
}


@pytest.mark.parametrize("case_id", BATTERY.cases)
def test_honest_kernels_pass_on_every_case(case_id: str) -> None:
    for kernel in HONEST:
        BATTERY.verify(kernel(), case_id)


@pytest.mark.parametrize("case_id", BATTERY.cases)
def test_wrong_kernels_fail_where_it_shows(case_id: str) -> None:
    for kernel, shows in WRONG.items():
        if shows(case_id):
            with pytest.raises(KernelIncorrect):
                BATTERY.verify(kernel(), case_id)


def little(*words: int) -> bytes:
    return np.array(words, "<u4").tobytes()


def encode(ids: Sequence[int] | Array, frequencies: Sequence[int], block: int = 128) -> Any:
    return INPUTS.encode(np.array(ids, np.uint32), np.array(frequencies, np.uint32), block)


def decode_with_the_oracle(stream: Any, block: int = 128) -> list[int]:
    ids: list[int] = ORACLE.decode(stream.blocks, stream.offsets, len(stream.ids), block).tolist()
    return ids


def test_consecutive_ids_take_one_bit_each_and_the_first_difference_is_zero() -> None:
    stream = encode(range(7, 135), [1] * 128)
    score = np.array([1], "<f4").tobytes()
    ones = 2**32 - 1
    expected = score + little(7) + b"\1" + little(ones - 1, ones, ones, ones) + b"\1" + little(*[ones] * 4)
    assert stream.blocks.tobytes() == expected
    assert decode_with_the_oracle(stream) == list(range(7, 135))


@pytest.mark.parametrize("size", [128, 256])
def test_numbers_go_to_the_lanes_in_turn_and_their_words_alternate(size: int) -> None:
    differences = [*[0, 1, 2, 3] * (size // 4 - 1), 5, 6, 7, 31]
    ids = (1000 + np.cumsum(differences)).tolist()
    stream = encode(ids, [2] * size, size)
    lanes, head = size // 32, 4 if size == 128 else 0
    packed = [sum(each << 5 * row for row, each in enumerate(differences[lane::lanes])) for lane in range(lanes)]
    words = [lane >> 32 * word & (2**32 - 1) for word in range(5) for lane in packed]
    of_counts = b"\2" + b"\0" * (size == 256) + little(*[0xAAAAAAAA] * 2 * lanes)
    assert stream.blocks[head:].tobytes() == little(1000) + b"\5" + little(*words) + of_counts
    assert decode_with_the_oracle(stream, size) == ids


@pytest.mark.parametrize("size", [128, 256])
def test_a_remainder_has_varints_and_follows_the_whole_blocks(size: int) -> None:
    ids = [*range(size), 2**31, 2**32 - 3, 2**32 - 2]
    stream = encode(ids, [*[1] * size, 4, 8, 200], size)
    remainder = stream.blocks[stream.offsets[1] :].tobytes()
    maximum = np.array([200], "<f4").tobytes() if size == 128 else b""
    differences = bytes([128, 128, 128, 128, 8, 253, 255, 255, 255, 7, 1])
    assert remainder == maximum + differences + bytes([4, 8, 200 & 127 | 128, 1])
    assert decode_with_the_oracle(stream, size) == ids


def test_a_difference_of_32_bits() -> None:
    ids = [*range(127), 2**32 - 2]
    stream = encode(ids, [1] * 128)
    assert stream.blocks[8] == 32
    assert decode_with_the_oracle(stream) == ids


def found(lists: Sequence[Sequence[int] | Array], queries: Sequence[Sequence[int]], block: int) -> list[list[int]]:
    """Return the ids of each query, by the oracle, and require that the committed kernel does the same."""
    streams = [encode(ids, [1] * len(ids), block) for ids in lists]
    call = INPUTS.call_of(block, streams, np.array(queries), np.random.default_rng(0))
    answers = []
    for module in (ORACLE, BATTERY.kernels):
        out, ends = BATTERY.target.wiring.bind(module, None)(*call[:-1], call[-1].copy())
        answers.append([out[start:end].tolist() for start, end in pairwise([0, *ends.tolist()])])
    assert answers[0] == answers[1]
    return answers[0]


def test_three_queries_by_hand() -> None:
    lists = [[1, 3, 5, 9], [3, 4, 5], [5, 9], []]
    assert found(lists, [[0, 1], [3, 0], [2, 0]], 128) == [[3, 5], [], [5, 9]]


@pytest.mark.parametrize("others", [1, 2, 4])
@pytest.mark.parametrize("block", [128, 256])
def test_few_ids_at_the_edges_of_a_list_of_many_blocks(block: int, others: int) -> None:
    """One jump goes on by more than 8 blocks, and one by more than 32; a target beyond the list ends it."""
    longest = 3 * np.arange(70 * block)
    edges = [0, 3 * block - 3, 3 * block, 36 * block, 192 * block - 3, 192 * block, 210 * block - 3]
    beside = [edge + more for edge in edges[1:] for more in (-1, 0)]
    few = [edges[0], *beside, 210 * block, 2**32 - 2]
    assert found([longest, *[few] * others], [list(range(others + 1))], block) == [edges]


@pytest.mark.parametrize("case_id", [case_id for case_id in BATTERY.cases if case_id.endswith(TIMED)])
def test_every_timed_call_has_answers_in_the_last_block_of_its_lists(case_id: str) -> None:
    """Establishes that a kernel cannot leave the ends of the lists out, whichever lists a call draws."""
    _, oracle, calls = BATTERY.prepared(case_id)
    for call in calls:
        out, ends = oracle.expected(call)
        blocks, offsets, _, first_blocks, lengths, block = call[:6]
        of_longest = offsets[first_blocks[-2] : first_blocks[-1] + 1]
        assert ORACLE.decode(blocks, of_longest, lengths[-1], block)[-1] in out[: ends[-1]]
