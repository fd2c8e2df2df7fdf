"""The target utf8-validate: honest rewrites pass on every case, wrong kernels fail where they are wrong.

The stand-in kernels are plain numpy and Python; each wrong one has one mistake of those who write such kernels.
"""

from __future__ import annotations

import itertools
import re
from typing import Any

import numpy as np
import pytest
from battery import Battery

from pytest_lance_autoresearch.errors import KernelIncorrect

BATTERY = Battery("utf8-validate")
Array = np.ndarray[Any, Any]
VALID, DESCENDING, NEGATIVE, BEYOND, NOT_UTF8, SPLIT = range(6)


def cases(*distributions: str) -> tuple[str, ...]:
    return tuple(case for case in BATTERY.cases if case.rpartition("-")[2] in distributions)


class RowByRow:
    """Every batch by itself, its bytes decoded as a whole and then row by row; the base of all others."""

    def validate(self, data: Array, offsets: Array) -> Array:
        return np.array([self.batch(data, batch.tolist()) for batch in offsets], np.int64).reshape(-1, 2)

    def batch(self, data: Array, offsets: list[int]) -> tuple[int, int]:
        fault = self.offset_fault(offsets, len(data))
        if fault[0] != VALID:
            return fault
        fault = self.byte_fault(data[offsets[0] : offsets[-1]])
        return self.split(data, offsets) if fault[0] == VALID else fault

    def offset_fault(self, offsets: list[int], size: int) -> tuple[int, int]:
        descending = [
            position for position, (one, other) in enumerate(itertools.pairwise(offsets), 1) if one > other
        ]
        if descending:
            return DESCENDING, descending[0]
        if offsets[0] < 0:
            return NEGATIVE, 0
        if offsets[-1] <= size:
            return VALID, -1
        return BEYOND, next(position for position, offset in enumerate(offsets) if offset > size)

    def byte_fault(self, values: Array) -> tuple[int, int]:
        try:
            values.tobytes().decode()
        except UnicodeDecodeError as error:
            return NOT_UTF8, error.start
        return VALID, -1

    def split(self, data: Array, offsets: list[int]) -> tuple[int, int]:
        """The whole is valid, so the first row that is not ends inside a character."""
        values = data[: offsets[-1]].tobytes()
        if not values[offsets[0] :].isascii():
            for row, (start, end) in enumerate(itertools.pairwise(offsets)):
                try:
                    values[start:end].decode()
                except UnicodeDecodeError:
                    return SPLIT, row + 1
        return VALID, -1


TOO_SHORT, TOO_LONG, OVERLONG_3, TOO_LARGE, SURROGATE, OVERLONG_2, OVERLONG_4, NO_LEAD = (1 << n for n in range(8))
TOO_LARGE_1000 = OVERLONG_4  # after other leads, so that a bit can stand for both
ANY_LEAD = TOO_SHORT | TOO_LONG | NO_LEAD
FOLLOWS = TOO_LONG | OVERLONG_2 | NO_LEAD
OF_LEAD = np.array(
    [TOO_LONG] * 8
    + [NO_LEAD] * 4
    + [TOO_SHORT | OVERLONG_2, TOO_SHORT, TOO_SHORT | OVERLONG_3 | SURROGATE, TOO_SHORT | TOO_LARGE | OVERLONG_4],
    np.uint8,
)
OF_ITS_END = np.array(
    [
        ANY_LEAD | OVERLONG_2 | OVERLONG_3 | OVERLONG_4,
        ANY_LEAD | OVERLONG_2,
        ANY_LEAD,
        ANY_LEAD,
        ANY_LEAD | TOO_LARGE,
    ]
    + [ANY_LEAD | TOO_LARGE | TOO_LARGE_1000] * 8
    + [ANY_LEAD | TOO_LARGE | TOO_LARGE_1000 | SURROGATE]
    + [ANY_LEAD | TOO_LARGE | TOO_LARGE_1000] * 2,
    np.uint8,
)
OF_SECOND = np.array(
    [TOO_SHORT] * 8
    + [FOLLOWS | OVERLONG_3 | OVERLONG_4, FOLLOWS | OVERLONG_3 | TOO_LARGE]
    + [FOLLOWS | SURROGATE | TOO_LARGE] * 2
    + [TOO_SHORT] * 4,
    np.uint8,
)
"""Two bytes do wrong what the first one's upper half, its lower half and the second one's upper half agree on."""


class ByTables(RowByRow):
    """Every byte beside the one before it, by three tables (Keiser and Lemire, 2021); places only for faults."""

    FORGIVEN = 0

    def byte_fault(self, values: Array) -> tuple[int, int]:
        return super().byte_fault(values) if self.is_faulty(values) else (VALID, -1)

    def is_faulty(self, values: Array) -> bool:
        one, two, three = (np.concatenate((np.zeros(n, np.uint8), values))[: len(values)] for n in (1, 2, 3))
        wrong = OF_LEAD[one >> 4] & OF_ITS_END[one & 15] & OF_SECOND[values >> 4] & (255 - self.FORGIVEN)
        must_follow = (two >= 0xE0) | (three >= 0xF0)
        return bool((wrong != must_follow * np.uint8(NO_LEAD)).any()) or self.ends_inside(values)

    def ends_inside(self, values: Array) -> bool:
        """Whether one of the last three bytes begins what takes more bytes than are left."""
        return any(len(values) > n and values[-1 - n] >= lead for n, lead in enumerate((0xC0, 0xE0, 0xF0)))


class OverlongTaken(ByTables):
    FORGIVEN = OVERLONG_2 | OVERLONG_3 | OVERLONG_4


class SurrogatesTaken(ByTables):
    FORGIVEN = SURROGATE


class TooLargeTaken(ByTables):
    FORGIVEN = TOO_LARGE


class CutAtTheEndTaken(ByTables):
    """Looks for a lead without its bytes only where another byte follows."""

    def ends_inside(self, values: Array) -> bool:  # noqa: ARG002
        return False


class NoncharactersRefused(RowByRow):
    """Takes U+FFFF, which no text should have, for what UTF-8 may not have."""

    def byte_fault(self, values: Array) -> tuple[int, int]:
        at = values.tobytes().find("\uffff".encode())
        return (NOT_UTF8, at) if at >= 0 else super().byte_fault(values)


class EverySecondBlock(RowByRow):
    """Looks at 64 bytes in 128."""

    def byte_fault(self, values: Array) -> tuple[int, int]:
        found = super().byte_fault(values)
        return (VALID, -1) if found[1] & 64 else found


class FirstTenthOnly(RowByRow):
    def byte_fault(self, values: Array) -> tuple[int, int]:
        found = super().byte_fault(values)
        return found if found[1] < len(values) / 10 else (VALID, -1)


class WrongByteForItsCharacter(RowByRow):
    """Says which byte is wrong, not where its character begins."""

    def byte_fault(self, values: Array) -> tuple[int, int]:
        try:
            values.tobytes().decode()
        except UnicodeDecodeError as error:
            return NOT_UTF8, error.end
        return VALID, -1


class PlaceInAllBytes(RowByRow):
    """Counts from the beginning of the data, not from the first byte of the batch."""

    def batch(self, data: Array, offsets: list[int]) -> tuple[int, int]:
        fault, place = super().batch(data, offsets)
        return fault, place + offsets[0] if fault == NOT_UTF8 else place


class BatchesFromZero(RowByRow):
    """Takes the first offset for 0, as it is in a batch that was not cut."""

    def batch(self, data: Array, offsets: list[int]) -> tuple[int, int]:
        return super().batch(data, [0, *offsets[1:]])


class NoSplit(RowByRow):
    def split(self, data: Array, offsets: list[int]) -> tuple[int, int]:  # noqa: ARG002
        return VALID, -1


class NoDescent(RowByRow):
    """Trusts the offsets between the first and the last."""

    def offset_fault(self, offsets: list[int], size: int) -> tuple[int, int]:
        return super().offset_fault([offsets[0], max(offsets[0], offsets[-1])], size)


class NoBounds(RowByRow):
    """Slices as Python does, where a negative place counts from the end and one beyond is the end."""

    def offset_fault(self, offsets: list[int], size: int) -> tuple[int, int]:
        fault = super().offset_fault(offsets, size)
        return fault if fault[0] == DESCENDING else (VALID, -1)


class BeyondIsTheLast(RowByRow):
    """Compares the last offset alone with the size, and says that it is the one."""

    def offset_fault(self, offsets: list[int], size: int) -> tuple[int, int]:
        fault, place = super().offset_fault(offsets, size)
        return fault, len(offsets) - 1 if fault == BEYOND else place


class StopsAtAFault(RowByRow):
    """Takes the batches after a faulty one for valid."""

    def validate(self, data: Array, offsets: Array) -> Array:
        found = super().validate(data, offsets)
        faulty = np.flatnonzero(found[:, 0])
        if len(faulty):
            found[faulty[0] + 1 :] = VALID, -1
        return found


class AllValid(RowByRow):
    def validate(self, data: Array, offsets: Array) -> Array:  # noqa: ARG002
        return np.tile([VALID, -1], (len(offsets), 1))


HONEST = (RowByRow, ByTables)
BYTES = cases("faulty_bytes")
OFFSETS = cases("faulty_offsets")
WRONG = {
    OverlongTaken: BYTES,
    SurrogatesTaken: BYTES,
    TooLargeTaken: BYTES,
    CutAtTheEndTaken: BYTES,
    NoncharactersRefused: cases("extremes"),
    EverySecondBlock: BYTES + cases("flipped_bits"),
    FirstTenthOnly: BYTES + cases("flipped_bits"),
    WrongByteForItsCharacter: BYTES,
    PlaceInAllBytes: BYTES + cases("flipped_bits"),
    BatchesFromZero: BYTES + OFFSETS + cases("mixed", "extremes", "flipped_bits"),
    NoSplit: OFFSETS,
    NoDescent: OFFSETS,
    NoBounds: OFFSETS,
    BeyondIsTheLast: OFFSETS,
    StopsAtAFault: BYTES + OFFSETS + cases("flipped_bits"),
    AllValid: BYTES + OFFSETS + cases("flipped_bits"),
}
"""Wrong kernels, and the cases in which each must be found out."""


@pytest.mark.parametrize("case_id", BATTERY.cases)
def test_honest_kernels_pass_on_every_case(case_id: str) -> None:
    for kernel in HONEST:
        BATTERY.verify(kernel(), case_id)


@pytest.mark.parametrize("kernel", WRONG)
def test_wrong_kernels_fail_where_they_are_wrong(kernel: type[RowByRow]) -> None:
    for case_id in WRONG[kernel]:
        with pytest.raises(KernelIncorrect):
            BATTERY.verify(kernel(), case_id)


GRAMMAR = re.compile(
    rb"([\x00-\x7f]|[\xc2-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]{2}"
    rb"|\xed[\x80-\x9f][\x80-\xbf]|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}"
    rb"|\xf4[\x80-\x8f][\x80-\xbf]{2})*"
)
"""The characters of RFC 3629, section 4."""


def validated(impl: Any, *batches: bytes) -> list[list[int]]:
    """What is said of batches of one row each, all of a size, with bytes that begin nothing around them."""
    margin = np.full(16, 0xFF, np.uint8)
    (size,) = {len(batch) for batch in batches}
    data = np.concatenate((margin, np.frombuffer(b"".join(batches), np.uint8), margin))
    ends = 16 + size * np.arange(len(batches) + 1, dtype=np.int32)
    found: list[list[int]] = impl.validate(data, np.column_stack((ends[:-1], ends[1:]))).tolist()
    return found


@pytest.mark.parametrize("impl", [BATTERY.target.reference, BATTERY.kernels], ids=["oracle", "kernel"])
def test_places_are_those_of_the_grammar(impl: Any) -> None:
    """Every first byte, with whatever may follow it at the edges of what is allowed, as a whole and cut short."""
    edges = bytes((0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xFF))
    tails = [b"", *(bytes(tail) for tail in itertools.product(edges, b"\x80\xc0", b"\xbf\x41"))]
    for size in range(1, 5):
        starts = {(bytes((first,)) + tail)[:size] for first in range(256) for tail in tails}
        batches = sorted(start for start in starts if len(start) == size)
        ends = [GRAMMAR.match(batch).end() for batch in batches]  # type: ignore[union-attr]
        expected = [[VALID, -1] if end == size else [NOT_UTF8, end] for end in ends]
        assert validated(impl, *batches) == expected
        if size > 1:
            assert set(ends) >= {0, size}


BY_HAND = {
    "two rows": (b"ab\xc3\xa9", [0, 2, 4], [VALID, -1]),
    "an empty row inside no character": (b"ab\xc3\xa9", [0, 2, 2, 4], [VALID, -1]),
    "no bytes": (b"", [0, 0, 0], [VALID, -1]),
    "a row that ends inside a character": (b"ab\xc3\xa9", [0, 3, 4], [SPLIT, 1]),
    "the later of two rows that do": (b"\xc3\xa9\xc3\xa9", [0, 2, 3, 4], [SPLIT, 2]),
    "a batch that begins inside a character": (b"\xc3\xa9a", [1, 3], [NOT_UTF8, 0]),
    "a batch that ends inside one": (b"a\xc3\xa9", [0, 2], [NOT_UTF8, 1]),
    "places count from the first row": (b"abc\xff", [2, 3, 4], [NOT_UTF8, 1]),
    "what lies around the rows is not looked at": (b"\xffab\xff", [1, 2, 3], [VALID, -1]),
    "bytes come before splits": (b"\xc3\xa9\xff", [0, 1, 3], [NOT_UTF8, 2]),
    "descent comes before bytes": (b"ab\xff", [0, 2, 1, 3], [DESCENDING, 2]),
    "descent comes before bounds": (b"ab", [-1, 9, 8, 9], [DESCENDING, 2]),
    "a negative first offset": (b"ab", [-3, -2, 1], [NEGATIVE, 0]),
    "the first of two beyond": (b"ab", [0, 99, 100], [BEYOND, 1]),
    "the very end is not beyond": (b"ab", [0, 2], [VALID, -1]),
}


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("impl", [BATTERY.target.reference, BATTERY.kernels], ids=["oracle", "kernel"])
@pytest.mark.parametrize("name", BY_HAND)
def test_a_batch_is_judged_as_by_hand(name: str, impl: Any, bits: int) -> None:
    text, rows, found = BY_HAND[name]
    offsets = np.array([rows], f"i{bits // 8}")
    assert impl.validate(np.frombuffer(text, np.uint8), offsets).tolist() == [found]


def test_calls_are_what_their_distribution_says() -> None:
    found: dict[str, list[int]] = {}
    for case_id, case in BATTERY.cases.items():
        state, oracle, calls = BATTERY.prepared(case_id)
        state.text.tobytes().decode()
        assert (state.text < 0x80).all() == (case.distribution == "ascii")
        if case.timed:
            assert len(state.text) == BATTERY.target.wiring.ops(case.shape)
        for call in calls:
            faults = oracle.expected(call)[:, 0]
            found.setdefault(case.distribution, []).extend(faults.tolist())
            lengths = np.diff(call[1], axis=1)[faults == VALID]
            assert lengths.size == 0 or lengths.max() <= case.shape.longest * (20 if "empty" in case_id else 1.5)
    for distribution, faults in found.items():
        share = np.count_nonzero(faults) / len(faults)
        if distribution == "faulty_bytes":
            assert share > 0.6
            assert set(faults) == {VALID, NOT_UTF8}
        elif distribution == "faulty_offsets":
            assert share > 0.6
            assert set(faults) == {VALID, DESCENDING, NEGATIVE, BEYOND, NOT_UTF8, SPLIT}
        elif distribution == "flipped_bits":
            assert 0.15 < share < 0.9
        else:
            assert 0 < share < 0.08


def test_the_sentence_names_the_batch() -> None:
    with pytest.raises(KernelIncorrect) as refused:
        BATTERY.verify(AllValid(), "64x100x60x300x32-flipped_bits")
    said = r"\(fault, place\) of the batches: \d+ of 128 values .*; first at \[\d+, 0\]: kernel 0, reference 4"
    assert re.search(said, str(refused.value))
