"""The target posting-intersect: honest rewrites pass on every case, wrong kernels fail wherever it shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from battery import Battery

from pytest_lance_autoresearch.errors import KernelIncorrect

BATTERY = Battery("posting-intersect")
INPUTS, ORACLE = BATTERY.target.inputs, BATTERY.target.reference
Array = np.ndarray[Any, Any]


class ByLookup:
    """Looks the ids of the shortest list up in the others. The oracle decodes; it has its own tests below."""

    def intersect(self, ids: Array, starts: Array, queries: Array, out: Array) -> Array:
        return self.answers([ids[start:stop] for start, stop in pairwise(starts)], queries, out)

    def intersect_blocks(self, *arguments: Array) -> Array:
        blocks, offsets, _, first_blocks, lengths, queries, out = arguments
        lists = [
            self.decoded(blocks, offsets[first : stop + 1], length)
            for (first, stop), length in zip(pairwise(first_blocks), lengths, strict=True)
        ]
        return self.answers(lists, queries, out)

    def decoded(self, blocks: Array, offsets: Array, length: int) -> Array:
        ids: Array = ORACLE._decode(blocks, offsets, length)
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
        return super().common([ids[: len(ids) // 128 * 128] for ids in lists])


class LastIdMissed(ByLookup):
    """A loop that ends one early."""

    def common(self, lists: list[Array]) -> Array:
        return super().common([ids[:-1] for ids in lists])


class FirstIdOfBlocksMissed(ByLookup):
    """The search begins behind the id that brought it to the block."""

    def common(self, lists: list[Array]) -> Array:
        return super().common([np.delete(ids, slice(0, None, 128)) for ids in lists])


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

    def decoded(self, blocks: Array, offsets: Array, length: int) -> Array:
        ids = super().decoded(blocks, offsets, length)
        rows = ids[: length // 128 * 128].reshape(-1, 32, 4)
        differences = np.diff(rows.reshape(-1, 128), axis=1, prepend=rows[:, 0, :1]).reshape(rows.shape)
        rows[:] = rows[:, :1, :1] + differences.cumsum(axis=1, dtype=np.uint32)
        return np.unique(ids)


class OrderOfBits(ByLookup):
    """Takes the packed differences for one string of bits, without lanes."""

    def decoded(self, blocks: Array, offsets: Array, length: int) -> Array:
        ids = super().decoded(blocks, offsets, length)
        for block, start in enumerate(offsets[: length // 128]):
            width = int(blocks[start + 8])
            bits = np.unpackbits(blocks[start + 9 : start + 9 + 16 * width], bitorder="little").reshape(128, width)
            differences = bits @ (1 << np.arange(width))
            ids[block * 128 : block * 128 + 128] = ids[block * 128] + differences.cumsum()
        return np.unique(ids)


def only(*distributions: str) -> Callable[[str], bool]:
    return lambda case_id: case_id.endswith(distributions)


TIMED = INPUTS.DISTRIBUTIONS
HONEST = (ByLookup, ByCounting, Bitmap)
WRONG: dict[type[ByLookup], Callable[[str], bool]] = {
    LongestListLeftOut: only(*TIMED, "consecutive"),
    RemainderLeftOut: only(*TIMED),
    LastIdMissed: only(*TIMED, "apart", "identical", "wide"),
    FirstIdOfBlocksMissed: only(*TIMED, "identical", "block_edges"),
    SignedIds: only("wide"),
    Descending: only(*TIMED, "identical", "nested", "consecutive", "wide"),
    CountsForEnds: lambda case_id: case_id.startswith("1000000x200+"),
    DifferencesOfFour: lambda case_id: "xblocks-" in case_id and case_id.endswith((*TIMED, "nested")),
    OrderOfBits: lambda case_id: "xblocks-" in case_id and case_id.endswith((*TIMED, "nested")),
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


def decode_with_the_oracle(stream: Any) -> Array:
    out = np.zeros(len(stream.ids), np.uint32)
    blocks, lengths = np.array([0, len(stream.offsets) - 1]), np.array([len(stream.ids)])
    query = np.zeros((1, 1), np.int64)
    ends = ORACLE.intersect_blocks(stream.blocks, stream.offsets, stream.ids[::128], blocks, lengths, query, out)
    assert ends.tolist() == [len(out)]
    return out


def test_consecutive_ids_take_one_bit_each_and_the_first_difference_is_zero() -> None:
    ids = np.arange(7, 135, dtype=np.uint32)
    stream = INPUTS.encode(ids, np.ones(128, np.uint32))
    score = np.array([1], "<f4").tobytes()
    ones = 2**32 - 1
    expected = score + little(7) + b"\1" + little(ones - 1, ones, ones, ones) + b"\1" + little(*[ones] * 4)
    assert stream.blocks.tobytes() == expected
    assert decode_with_the_oracle(stream).tolist() == ids.tolist()


def test_numbers_go_to_four_lanes_in_turn_and_their_words_alternate() -> None:
    differences = [0, 1, 2, 3] * 31 + [5, 6, 7, 31]
    ids = 1000 + np.cumsum(differences).astype(np.uint32)
    stream = INPUTS.encode(ids, np.full(128, 2, np.uint32))
    lanes = [
        sum(difference << 5 * row for row, difference in enumerate(differences[lane::4])) for lane in range(4)
    ]
    words = [lane >> 32 * word & (2**32 - 1) for word in range(5) for lane in lanes]
    assert stream.blocks[8] == 5
    assert stream.blocks[9:89].tobytes() == little(*words)
    assert stream.blocks[89:].tobytes() == b"\2" + little(*[0xAAAAAAAA] * 8)
    assert decode_with_the_oracle(stream).tolist() == ids.tolist()


def test_a_remainder_is_not_packed_and_follows_the_whole_blocks() -> None:
    ids = np.append(np.arange(128), (2**31, 2**32 - 3, 2**32 - 2)).astype(np.uint32)
    stream = INPUTS.encode(ids, np.append(np.ones(128), (4, 8, 2)).astype(np.uint32))
    assert stream.offsets.tolist() == [0, 42, 70]
    score = np.array([8], "<f4").tobytes()
    assert stream.blocks[42:].tobytes() == score + little(2**31, 2**32 - 3, 2**32 - 2) + little(4, 8, 2)
    assert decode_with_the_oracle(stream).tolist() == ids.tolist()


def test_a_difference_of_32_bits() -> None:
    ids = np.append(np.arange(127), 2**32 - 2).astype(np.uint32)
    stream = INPUTS.encode(ids, np.ones(128, np.uint32))
    assert stream.blocks[8] == 32
    assert decode_with_the_oracle(stream).tolist() == ids.tolist()


def test_three_queries_by_hand() -> None:
    ids = np.array([1, 3, 5, 9, 3, 4, 5, 5, 9], np.uint32)
    starts = np.array([0, 4, 7, 9, 9])
    queries = np.array([[0, 1], [3, 0], [2, 0]])
    for module in (ORACLE, BATTERY.kernels):
        out = np.full(8, 77, np.uint32)
        assert module.intersect(ids, starts, queries, out).tolist() == [2, 2, 4]
        assert out.tolist() == [3, 5, 5, 9, 77, 77, 77, 77]


@pytest.mark.parametrize("case_id", [case_id for case_id in BATTERY.cases if case_id.endswith(TIMED)])
def test_every_timed_call_has_answers_in_the_last_block_of_its_lists(case_id: str) -> None:
    """Establishes that a kernel cannot leave the ends of the lists out, whichever lists a call draws."""
    _, oracle, calls = BATTERY.prepared(case_id)
    for call in calls:
        out, ends = oracle.expected(call)
        if "xids" in case_id:
            ids, starts = call[:2]
            lasts = ids[starts[1:] - 1]
        else:
            blocks, offsets, _, first_blocks, lengths = call[:5]
            of_longest = offsets[first_blocks[-2] : first_blocks[-1] + 1]
            lasts = ORACLE._decode(blocks, of_longest, lengths[-1])[-1:]
        assert np.isin(lasts, out[: ends[-1]]).all()
