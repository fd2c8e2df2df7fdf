"""The target rle-decode: honest rewrites pass its checks on every case, wrong kernels fail where they are wrong.

The stand-in kernels are plain numpy; each wrong one has one mistake of those who write such kernels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from battery import Battery

from pytest_lance_autoresearch.errors import KernelIncorrect

BATTERY = Battery("rle-decode")
EVERY = tuple(BATTERY.cases)
Array = np.ndarray[Any, Any]
FINE, EMPTY, UNDIVIDED, UNEQUAL, ZERO_RUN, TOO_FEW = range(6)


def cases(*distributions: str, bits: tuple[int, ...] = (8, 16, 32, 64)) -> tuple[str, ...]:
    return tuple(
        case_id
        for case_id, case in BATTERY.cases.items()
        if case.shape.bits in bits and (case.distribution in distributions or not distributions)
    )


class ByEnds:
    """Asks for each value in which run it is; the base of all others."""

    def __init__(self, bits: int, size_bits: int) -> None:
        self.word, self.size_bytes = bits // 8, size_bits // 8

    def decode_chunks(self, page: Array, starts: Array, counts: Array, out: Array) -> Array:
        ends = np.cumsum(counts)
        chunks = zip(
            starts[:-1].tolist(), starts[1:].tolist(), (ends - counts).tolist(), ends.tolist(), strict=True
        )
        return np.array([self.chunk(page[a:b].tobytes(), out[c:d]) for a, b, c, d in chunks], np.uint8)

    def chunk(self, chunk: bytes, out: Array) -> int:
        values_bytes, lengths_bytes = self.sizes(chunk)
        fault = self.size_fault(values_bytes, lengths_bytes)
        if fault != FINE:
            return fault
        runs = min(values_bytes // self.word, lengths_bytes)
        at = self.after(0, 2 + 2 * self.size_bytes)
        values = np.frombuffer(chunk, out.dtype, runs, at)
        lengths = np.frombuffer(chunk, np.uint8, runs, self.after(at, values_bytes))
        return self.fault(self.lengths(lengths), len(out)) or self.fill(values, self.lengths(lengths), out)

    def sizes(self, chunk: bytes) -> tuple[int, int]:
        values, lengths = np.frombuffer(chunk, f"<u{self.size_bytes}", 2, 2).tolist()
        return values, lengths

    def size_fault(self, values_bytes: int, lengths_bytes: int) -> int:
        if not values_bytes or not lengths_bytes:
            return EMPTY
        if values_bytes % self.word:
            return UNDIVIDED
        return FINE if values_bytes // self.word == lengths_bytes else UNEQUAL

    def after(self, at: int, size: int) -> int:
        return at + -(-size // 8) * 8

    def lengths(self, lengths: Array) -> Array:
        return lengths.astype(np.int64)

    def fault(self, lengths: Array, count: int) -> int:
        ends = np.cumsum(lengths)
        if (lengths[ends <= count] == 0).any():
            return ZERO_RUN
        return TOO_FEW if ends[-1] < count else FINE

    def fill(self, values: Array, lengths: Array, out: Array) -> int:
        out[:] = values[np.searchsorted(np.cumsum(lengths), np.arange(len(out)), "right")]
        return FINE


class ByStarts(ByEnds):
    """Counts at every place the runs that have begun."""

    def fill(self, values: Array, lengths: Array, out: Array) -> int:
        starts = np.cumsum(lengths)[:-1]
        begun = np.zeros(len(out), np.int64)
        np.add.at(begun, starts[starts < len(out)], 1)
        out[:] = values[np.cumsum(begun)]
        return FINE


class TooManyRefused(ByEnds):
    """Takes runs beyond the count for a fault, as Lance does in other places than mini-blocks."""

    def fault(self, lengths: Array, count: int) -> int:
        return super().fault(lengths, count) or (TOO_FEW if lengths.sum() > count else FINE)


class ZeroRunsTaken(ByEnds):
    def fault(self, lengths: Array, count: int) -> int:
        return TOO_FEW if lengths.sum() < count else FINE


class ZeroRunsRefusedAnywhere(ByEnds):
    """Looks for runs of no values beyond the count too."""

    def fault(self, lengths: Array, count: int) -> int:
        return ZERO_RUN if not lengths.all() else super().fault(lengths, count)


class TooFewTaken(ByEnds):
    """Repeats the last value where there are too few."""

    def fault(self, lengths: Array, count: int) -> int:
        fault = super().fault(lengths, count)
        return FINE if fault == TOO_FEW else fault

    def fill(self, values: Array, lengths: Array, out: Array) -> int:
        return super().fill(np.append(values, values[-1:]), lengths, out)


class ShorterOfTwo(ByEnds):
    """Takes as many runs as there are both values and lengths of."""

    def size_fault(self, values_bytes: int, lengths_bytes: int) -> int:
        fault = super().size_fault(values_bytes, lengths_bytes)
        return FINE if fault == UNEQUAL else fault


class RoundedDown(ByEnds):
    """Divides the size of the values without asking for a rest."""

    def size_fault(self, values_bytes: int, lengths_bytes: int) -> int:
        return super().size_fault(values_bytes // self.word * self.word, lengths_bytes)


class EmptyIsUnequal(ByEnds):
    def size_fault(self, values_bytes: int, lengths_bytes: int) -> int:
        fault = super().size_fault(values_bytes, lengths_bytes)
        return UNEQUAL if fault == EMPTY else fault


class SignedLengths(ByEnds):
    """Takes the highest bit of a length for its sign."""

    def lengths(self, lengths: Array) -> Array:
        return np.abs(lengths.view(np.int8).astype(np.int64))


class OtherSizes(ByEnds):
    """Reads the header of the other file version."""

    def __init__(self, bits: int, size_bits: int) -> None:
        super().__init__(bits, 48 - size_bits)


class LengthsUnpadded(ByEnds):
    """Looks for the lengths right behind the values."""

    def after(self, at: int, size: int) -> int:
        return at + size if at else super().after(at, size)


class WholeChunks(ByEnds):
    """Takes every chunk but the last for one of 4,096 values."""

    def decode_chunks(self, page: Array, starts: Array, counts: Array, out: Array) -> Array:
        counts = np.append(np.full(len(counts) - 1, 4096), counts[-1])
        ends = np.minimum(np.cumsum(counts), len(out))
        return super().decode_chunks(page, starts, np.diff(ends, prepend=0), out)


class StopsAtAFault(ByEnds):
    """Leaves everything after a faulty chunk as it was."""

    def decode_chunks(self, page: Array, starts: Array, counts: Array, out: Array) -> Array:
        old = out.copy()
        faults = super().decode_chunks(page, starts, counts, out)
        for chunk in np.flatnonzero(faults)[:1]:
            end = counts[: chunk + 1].sum()
            out[end:], faults[chunk + 1 :] = old[end:], FINE
        return faults


class NothingRefused(ByEnds):
    def decode_chunks(self, page: Array, starts: Array, counts: Array, out: Array) -> Array:
        return np.zeros_like(super().decode_chunks(page, starts, counts, out))


class FirstOfEachChunkLeftOut(ByEnds):
    """Leaves a chunk's first value as it was."""

    def fill(self, values: Array, lengths: Array, out: Array) -> int:
        first = out[0]
        super().fill(values, lengths, out)
        out[0] = first
        return FINE


class ThroughDouble(ByEnds):
    """Takes values to float64 and back, as numba does where it adds signed and unsigned words."""

    def fill(self, values: Array, lengths: Array, out: Array) -> int:
        as_doubles = np.minimum(values.astype(np.float64), 2.0**63)
        return super().fill(as_doubles.astype(np.uint64).astype(out.dtype), lengths, out)


HONEST = (ByEnds, ByStarts)
FAULTY = cases("faulty")
WRONG = {
    TooManyRefused: cases("beyond_the_count"),
    ZeroRunsTaken: FAULTY,
    ZeroRunsRefusedAnywhere: FAULTY,
    TooFewTaken: FAULTY,
    ShorterOfTwo: FAULTY,
    RoundedDown: cases("faulty", bits=(16, 32, 64)),
    EmptyIsUnequal: FAULTY,
    SignedLengths: cases("constant", "around_255"),
    OtherSizes: EVERY,
    LengthsUnpadded: cases("geometric", "skewed", "stretches", bits=(8, 16, 32)),
    WholeChunks: cases("ones", bits=(16, 32, 64)),
    StopsAtAFault: FAULTY,
    NothingRefused: FAULTY,
    FirstOfEachChunkLeftOut: EVERY,
    ThroughDouble: cases(bits=(64,)),
}
"""Wrong kernels, and the cases in which each must be found out."""


class Module:
    """A kernel's module with one class in it."""

    def __init__(self, kernel: type[ByEnds]) -> None:
        self.Rle = kernel


@pytest.mark.parametrize("case_id", EVERY)
def test_honest_kernels_pass_on_every_case(case_id: str) -> None:
    for kernel in HONEST:
        BATTERY.verify(Module(kernel), case_id)


@pytest.mark.parametrize("kernel", WRONG)
def test_wrong_kernels_fail_where_they_are_wrong(kernel: type[ByEnds]) -> None:
    for case_id in WRONG[kernel]:
        with pytest.raises(KernelIncorrect):
            BATTERY.verify(Module(kernel), case_id)


BY_HAND = {
    "three runs": ([7, 8, 9], [1, 3, 2], 6, FINE, [7, 8, 8, 8, 9, 9]),
    "one run of 255": ([5], [255], 255, FINE, [5] * 255),
    "a run that was split": ([5, 5], [255, 2], 257, FINE, [5] * 257),
    "a run cut off": ([1, 2], [2, 9], 4, FINE, [1, 1, 2, 2]),
    "runs that nobody needs": ([1, 2, 3], [2, 3, 4], 2, FINE, [1, 1]),
    "a run of none among others": ([1, 2, 3], [1, 0, 1], 2, ZERO_RUN, None),
    "a run of none where the count is reached": ([1, 2], [3, 0], 3, ZERO_RUN, None),
    "a run of none after too many": ([1, 2, 3], [2, 2, 0], 3, FINE, [1, 1, 2]),
    "a run of none at the end of too few": ([1, 2], [2, 0], 3, ZERO_RUN, None),
    "one value too few": ([1, 2], [2, 2], 5, TOO_FEW, None),
}


def page_by_hand(bits: int, size_bits: int, values: list[int], lengths: list[int]) -> bytes:
    """A chunk; between its parts lies what Lance puts there."""
    sizes = (len(values) * bits // 8).to_bytes(size_bits // 8, "little") + len(lengths).to_bytes(
        size_bits // 8, "little"
    )
    parts = (bytes(2) + sizes, np.array(values, f"u{bits // 8}").tobytes(), bytes(lengths))
    return b"".join(part + b"\xfe" * (-len(part) % 8) for part in parts)


@pytest.mark.parametrize("size_bits", [16, 32])
@pytest.mark.parametrize("bits", [8, 64])
@pytest.mark.parametrize("impl", [BATTERY.target.reference, BATTERY.kernels], ids=["oracle", "kernel"])
@pytest.mark.parametrize("name", BY_HAND)
def test_a_chunk_is_decoded_as_by_hand(name: str, impl: Any, bits: int, size_bits: int) -> None:
    values, lengths, count, fault, decoded = BY_HAND[name]
    chunk = page_by_hand(bits, size_bits, values, lengths)
    page = np.frombuffer(chunk + chunk, np.uint8)
    starts, counts = np.array([0, 1, 2]) * len(chunk), np.array([count, count])
    out = np.full(2 * count, 99, f"u{bits // 8}")
    assert impl.Rle(bits, size_bits).decode_chunks(page, starts, counts, out).tolist() == [fault, fault]
    assert decoded is None or out.tolist() == decoded * 2


def test_calls_are_what_their_distribution_says() -> None:
    for case_id, case in BATTERY.cases.items():
        state, oracle, calls = BATTERY.prepared(case_id)
        counts = [chunk.count for chunk in state.chunks]
        runs = sum(len(chunk.lengths) for chunk in state.chunks)
        assert all(count.bit_count() == 1 and count <= 4096 for count in counts[:-1])
        assert all(chunk.lengths.sum(dtype=np.int64) == chunk.count for chunk in state.chunks)
        assert max(len(chunk.lengths) for chunk in state.chunks) * (case.shape.bits // 8 + 1) <= 8186
        if case.timed:
            assert sum(counts) == BATTERY.target.wiring.ops(case.shape)
            assert case.shape.mean / 3 < sum(counts) / runs < case.shape.mean * 2
        faults = np.concatenate([oracle.expected(call)[0] for call in calls])
        if case.distribution == "faulty":
            assert set(faults.tolist()) >= {FINE, EMPTY, UNEQUAL, ZERO_RUN, TOO_FEW}
            assert 0.3 < np.mean(faults != FINE) < 0.9
        else:
            assert np.mean(faults != FINE) < 0.1
    assert {chunk.count for chunk in BATTERY.prepared("64x10x131072x32-ones")[0].chunks} == {512}


def test_the_sentence_names_what_is_wrong() -> None:
    said = {}
    for kernel in (FirstOfEachChunkLeftOut, NothingRefused):
        with pytest.raises(KernelIncorrect) as refused:
            BATTERY.verify(Module(kernel), "32x3x262144x32-faulty")
        said[kernel] = str(refused.value)
    assert "values: " in said[FirstOfEachChunkLeftOut]
    assert "faults: " in said[NothingRefused]
    assert "(bits must be equal); first at [" in said[NothingRefused]
