"""The target take: honest rewrites pass on every case, wrong kernels fail wherever their mistake can show.

The stand-in kernels are plain numpy; each overrides one of the five functions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pytest
from battery import Battery

from pytest_lance_autoresearch.bench import oracles
from pytest_lance_autoresearch.errors import KernelIncorrect

BATTERY = Battery("take")
Array = Any


class Plain:
    """numpy's own gathering; whole words of bits; binary search in the returned addresses."""

    @staticmethod
    def take_fixed(values: Array, indices: Array, out: Array) -> None:
        np.take(values, indices.astype(np.int64), out=out, mode="clip")

    @staticmethod
    def take_rows(values: Array, indices: Array, out: Array) -> None:
        np.take(values, indices.astype(np.int64), axis=0, out=out, mode="clip")

    @staticmethod
    def take_binary(offsets: Array, data: Array, indices: Array, out_offsets: Array, out: Array) -> int:
        lengths = np.diff(offsets)[indices]
        out_offsets[0] = 0
        np.cumsum(lengths, out=out_offsets[1:])
        total = int(out_offsets[-1])
        out[:total] = data[np.repeat(offsets[:-1][indices] - out_offsets[:-1], lengths) + np.arange(total)]
        return total

    @staticmethod
    def take_bits(bits: Array, indices: Array, out: Array) -> None:
        padded = np.zeros(-(-indices.size // 8) * 8, np.uint8)
        padded[: indices.size] = bits[indices >> 3] >> (indices & 7).astype(np.uint8) & 1
        out[:] = padded.reshape(-1, 8) @ (1 << np.arange(8)).astype(np.uint8)

    @staticmethod
    def remap(requested: Array, returned: Array, out: Array) -> int:
        places: Array = np.searchsorted(returned, requested)
        places = places[np.append(returned, returned[:1])[places] == requested] if returned.size else places[:0]
        out[: places.size] = places
        return int(places.size)


class SortedFirst(Plain):
    """Reads the table in ascending order, and scatters; merges sorted requests with what was returned."""

    @staticmethod
    def take_fixed(values: Array, indices: Array, out: Array) -> None:
        order = np.argsort(indices, kind="stable")
        out[order] = values[indices[order]]

    @staticmethod
    def take_rows(values: Array, indices: Array, out: Array) -> None:
        SortedFirst.take_fixed(values, indices, out)

    @staticmethod
    def take_bits(bits: Array, indices: Array, out: Array) -> None:
        found = np.zeros(out.size * 8, bool)
        order = np.argsort(indices, kind="stable")
        found[order] = (bits[indices[order] // 8] & (1 << (indices[order] % 8)).astype(np.uint8)) != 0
        out[:] = np.packbits(found, bitorder="little")

    @staticmethod
    def remap(requested: Array, returned: Array, out: Array) -> int:
        asked, inverse = np.unique(requested, return_inverse=True)
        _, in_asked, in_returned = np.intersect1d(asked, returned, return_indices=True)
        place = np.full(asked.size, -1)
        place[in_asked] = in_returned
        found = place[inverse]
        out[: (found >= 0).sum()] = found[found >= 0]
        return int((found >= 0).sum())


class OverCopying(Plain):
    """Copies strings in steps of 64 bytes, in order: each overwrites what was too much of the one before."""

    @staticmethod
    def take_binary(offsets: Array, data: Array, indices: Array, out_offsets: Array, out: Array) -> int:
        padded = np.append(data, np.zeros(64, np.uint8))
        total = out_offsets[0] = 0
        for i, index in enumerate(indices.tolist()):
            start, end = int(offsets[index]), int(offsets[index + 1])
            for byte in range(0, end - start, 64):
                out[total + byte : total + byte + 64] = padded[start + byte : start + byte + 64]
            total += end - start
            out_offsets[i + 1] = total
        return total


def with_other_indices(change: Callable[[Array], Array]) -> type[Plain]:
    """Return kernels that gather what the changed indices name."""

    class Changed(Plain):
        @staticmethod
        def take_fixed(values: Array, indices: Array, out: Array) -> None:
            Plain.take_fixed(values, change(indices), out)

        @staticmethod
        def take_rows(values: Array, indices: Array, out: Array) -> None:
            Plain.take_rows(values, change(indices), out)

        @staticmethod
        def take_binary(offsets: Array, data: Array, indices: Array, out_offsets: Array, out: Array) -> int:
            return Plain.take_binary(offsets, data, change(indices), out_offsets, out)

        @staticmethod
        def take_bits(bits: Array, indices: Array, out: Array) -> None:
            Plain.take_bits(bits, change(indices), out)

    return Changed


Unordered = with_other_indices(np.sort)
OneRowOnly = with_other_indices(lambda indices: np.full_like(indices, indices[0]))
SixteenBitIndices = with_other_indices(lambda indices: indices.astype(np.uint16))


class DuplicatesOnce(Plain):
    """An address that was requested twice is found once."""

    @staticmethod
    def remap(requested: Array, returned: Array, out: Array) -> int:
        _, first = np.unique(requested, return_index=True)
        return Plain.remap(requested[np.sort(first)], returned, out)


class MissingTakenForNext(Plain):
    """A binary search whose result nobody compares."""

    @staticmethod
    def remap(requested: Array, returned: Array, out: Array) -> int:
        out[:] = np.searchsorted(returned, requested)
        return int(requested.size)


class ZeroForFree(Plain):
    """A table whose free places hold 0: the address of the first row is never found."""

    @staticmethod
    def remap(requested: Array, returned: Array, out: Array) -> int:
        return Plain.remap(requested[requested != 0], returned, out)


class AllOnesForFree(Plain):
    """A table whose free places hold 2**64 - 1 and position 0: there such a row is found."""

    @staticmethod
    def remap(requested: Array, returned: Array, out: Array) -> int:
        places = dict(zip(returned.tolist(), range(returned.size), strict=True)) | {2**64 - 1: 0}
        found = [places[address] for address in requested.tolist() if address in places]
        out[: len(found)] = found
        return len(found)


class OffsetsLookedUp(Plain):
    """Finds a row by its place in a fragment, whichever fragment that is."""

    @staticmethod
    def remap(requested: Array, returned: Array, out: Array) -> int:
        return Plain.remap(requested.astype(np.uint32), returned.astype(np.uint32), out)


class MissingKept(Plain):
    """An address that is missing keeps its place among the positions: nothing moves up."""

    @staticmethod
    def remap(requested: Array, returned: Array, out: Array) -> int:
        places: Array = np.searchsorted(returned, requested)
        there = np.isin(requested, returned)
        out[: requested.size][there] = places[there]
        return int(there.sum())


class SignedAddresses(Plain):
    """Binary search in addresses that are taken for signed numbers."""

    @staticmethod
    def remap(requested: Array, returned: Array, out: Array) -> int:
        return Plain.remap(requested.view(np.int64), returned.view(np.int64), out)


class AddressesInDouble(Plain):
    @staticmethod
    def remap(requested: Array, returned: Array, out: Array) -> int:
        return Plain.remap(requested.astype(np.float64), returned.astype(np.float64), out)


class LastBlockForgotten(Plain):
    """Whole blocks of 16 only."""

    @staticmethod
    def take_fixed(values: Array, indices: Array, out: Array) -> None:
        whole = indices.size // 16 * 16
        out[:whole] = values[indices[:whole]]

    @staticmethod
    def take_rows(values: Array, indices: Array, out: Array) -> None:
        out[:-1] = values[indices[:-1]]

    @staticmethod
    def take_bits(bits: Array, indices: Array, out: Array) -> None:
        Plain.take_bits(bits, indices[: indices.size // 8 * 8], out[: indices.size // 8])


class LastByteForgotten(Plain):
    """The offsets are right, the last byte of every string is not."""

    @staticmethod
    def take_binary(offsets: Array, data: Array, indices: Array, out_offsets: Array, out: Array) -> int:
        noise = out.copy()
        total = Plain.take_binary(offsets, data, indices, out_offsets, out)
        last = out_offsets[1:][np.diff(out_offsets) > 0] - 1
        out[last] = noise[last]
        return total


class LastColumnForgotten(Plain):
    @staticmethod
    def take_rows(values: Array, indices: Array, out: Array) -> None:
        out[:, :-1] = values[indices, :-1]


class OffsetsFromTheTable(Plain):
    """Offsets that do not begin at 0."""

    @staticmethod
    def take_binary(offsets: Array, data: Array, indices: Array, out_offsets: Array, out: Array) -> int:
        total = Plain.take_binary(offsets, data, indices, out_offsets, out)
        out_offsets += offsets[indices[0] + 1]
        return total


class ShortStringsOnly(Plain):
    """Copies 64 bytes of each string."""

    @staticmethod
    def take_binary(offsets: Array, data: Array, indices: Array, out_offsets: Array, out: Array) -> int:
        noise = out.copy()
        total = Plain.take_binary(offsets, data, indices, out_offsets, out)
        lengths = np.diff(out_offsets)
        far = np.arange(total) - np.repeat(out_offsets[:-1], lengths) >= 64
        out[:total][far] = noise[:total][far]
        return total


class HighBitFirst(Plain):
    @staticmethod
    def take_bits(bits: Array, indices: Array, out: Array) -> None:
        out[:] = np.packbits(np.unpackbits(bits)[indices])


class PaddingSet(Plain):
    @staticmethod
    def take_bits(bits: Array, indices: Array, out: Array) -> None:
        Plain.take_bits(bits, indices, out)
        out[-1] |= 255 << indices.size % 8 & 255 if indices.size % 8 else 0


HONEST: Final = (Plain, SortedFirst, OverCopying)
ALL_JOBS: Final = ("fixed", "rows", "binary", "bits", "remap")
TIMED: Final = ("random", "sorted", "zipf")
SMALL: Final = ("identity", "reverse", "same", "ends", "runs")
EVERY: Final = (*TIMED, *SMALL)
UNSORTED: Final = ("random", "zipf", "identity", "reverse", "ends", "runs")
"""Here a request is followed by one of a lower row: `identity` begins again after the last row."""

FAILS: Final[dict[type[Plain], tuple[tuple[str, ...], tuple[str, ...]]]] = {
    Unordered: (("fixed", "rows", "binary", "bits"), UNSORTED),
    OneRowOnly: (("fixed", "rows"), ("random", "sorted", "zipf", "identity", "reverse", "ends", "runs")),
    LastBlockForgotten: (("fixed", "rows", "bits"), SMALL),
    LastColumnForgotten: (("rows",), EVERY),
    LastByteForgotten: (("binary",), ("random", "sorted", "zipf", "identity", "reverse", "runs")),
    OffsetsFromTheTable: (("binary",), EVERY),
    ShortStringsOnly: (("binary",), TIMED),
    HighBitFirst: (("bits",), ("random", "sorted", "zipf", "identity", "reverse", "runs")),
    PaddingSet: (("bits",), EVERY),
    SixteenBitIndices: (("fixed", "bits"), TIMED),
    DuplicatesOnce: (("remap",), ("zipf", "identity", "reverse", "runs")),
    MissingTakenForNext: (("remap",), ("random", "sorted", "zipf", "identity", "reverse", "ends", "runs")),
    ZeroForFree: (("remap",), ("zipf", "identity", "reverse", "ends")),
    AllOnesForFree: (("remap",), ("identity", "reverse", "ends")),
    OffsetsLookedUp: (("remap",), ("random", "sorted", "zipf", "identity", "reverse", "runs")),
    MissingKept: (("remap",), ("random", "sorted", "zipf", "identity", "reverse", "ends", "runs")),
    SignedAddresses: (("remap",), TIMED),
    AddressesInDouble: (("remap",), TIMED),
}
"""The jobs and the distributions on which each wrong kernel must fail."""


def cases_of(jobs: tuple[str, ...], distributions: tuple[str, ...]) -> list[str]:
    """Return the ids of the cases of these jobs and distributions."""
    return [
        case_id
        for case_id, case in BATTERY.cases.items()
        if case.shape.job in jobs and case.distribution in distributions
    ]


@pytest.mark.parametrize("case_id", BATTERY.cases)
def test_honest_kernels_pass_on_every_case(case_id: str) -> None:
    for kernels in HONEST:
        BATTERY.verify(kernels, case_id)


@pytest.mark.parametrize("kernels", FAILS)
def test_wrong_kernels_fail_wherever_their_mistake_can_show(kernels: type[Plain]) -> None:
    jobs, distributions = FAILS[kernels]
    refusing = cases_of(jobs, distributions)
    assert {BATTERY.cases[case_id].shape.job for case_id in refusing} == set(jobs)
    assert {BATTERY.cases[case_id].distribution for case_id in refusing} == set(distributions)
    for case_id in refusing:
        with pytest.raises(KernelIncorrect):
            BATTERY.verify(kernels, case_id)


def test_the_examples_of_the_properties_let_honest_kernels_pass() -> None:
    wiring = BATTERY.target.wiring
    names = BATTERY.target.inputs.DISTRIBUTIONS + BATTERY.target.inputs.EDGE_DISTRIBUTIONS
    for seed in range(200):
        dtype, index_dtype = (("uint8", "uint32"), ("float64", "uint64"))[seed % 2]
        example = wiring.Example(
            ALL_JOBS[seed % 5], seed % 41, seed % 67, names[seed % 8], dtype, index_dtype, seed
        )
        state, call = wiring.realise(example._replace(rows=max(example.rows, 1)))
        for kernels in HONEST:
            answer = wiring.bind(kernels, state)(*(argument.copy() for argument in call))
            oracles.Oracle(BATTERY.target, state).verify(answer, call, str(example))


def test_the_oracle_concatenates_strings() -> None:
    """The strings "ab", "", "c" and "def", of which two are taken twice."""
    offsets, data = np.array([0, 2, 2, 3, 6], np.int32), np.frombuffer(b"abcdef", np.uint8)
    out_offsets, out = np.empty(6, np.int32), np.zeros(80, np.uint8)
    indices = np.array([3, 1, 0, 3, 0], np.uint32)
    assert BATTERY.target.reference.take_binary(offsets, data, indices, out_offsets, out) == 10
    assert out_offsets.tolist() == [0, 3, 3, 5, 8, 10]
    assert out[:10].tobytes() == b"defabdefab"


def test_the_oracle_s_first_bit_is_the_lowest() -> None:
    bits, out = np.array([0b00000001, 0b00000010], np.uint8), np.full(2, 255, np.uint8)
    indices = np.array([0, 1, 8, 9, 0, 1, 1, 9, 0], np.uint64)
    BATTERY.target.reference.take_bits(bits, indices, out)
    assert out.tolist() == [0b10011001, 0b00000001]


def test_the_oracle_leaves_out_what_was_not_returned_and_repeats_what_was_asked_for_twice() -> None:
    requested = np.array([5, 3, 2**64 - 1, 5, 7, 3 << 32], np.uint64)
    out = np.zeros(6, np.uint64)
    assert BATTERY.target.reference.remap(requested, np.array([3, 5, 3 << 32], np.uint64), out) == 4
    assert out[:4].tolist() == [1, 0, 1, 2]


def test_a_nan_keeps_its_bits() -> None:
    values = np.array([0x7FA00001, 0xFFC00000, 0x80000000], np.uint32).view(np.float32)
    out = np.empty(3, np.float32)
    BATTERY.target.reference.take_fixed(values, np.array([2, 0, 1], np.uint32), out)
    assert out.view(np.uint32).tolist() == [0x80000000, 0x7FA00001, 0xFFC00000]
