"""The target dictionary: honest rewrites pass its checks on every case, wrong kernels fail where they are wrong.

The stand-in kernels are plain numpy and Python; each wrong one has one mistake of those who write such kernels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from battery import Battery

from pytest_lance_autoresearch.errors import KernelIncorrect

BATTERY = Battery("dictionary")
EVERY = tuple(BATTERY.cases)
BINARY = tuple(case for case in EVERY if "x0x0-" not in case)
IN_RUNS = tuple(case for case in EVERY if "x20-" in case)
Array = np.ndarray[Any, Any]


def cases(*distributions: str, of: tuple[str, ...] = BINARY) -> tuple[str, ...]:
    return tuple(case for case in of if case.rpartition("-")[2] in distributions)


class RowByRow:
    """The plain loop; the base of all others."""

    def prepare_fixed(self, values: Array) -> Any:
        return values

    def decode_fixed(self, indices: Array, table: Any, out: Array) -> None:
        out[...] = self.values(indices.astype(np.int64), table)

    def values(self, entries: Array, table: Array) -> Array:
        return table[entries]

    def prepare_binary(self, offsets: Array, data: Array) -> Any:
        return offsets, data

    def decode_binary(self, indices: Array, table: Any, out_offsets: Array, out_data: Array) -> int:
        offsets, data = self.rows(indices.astype(np.int64), *table)
        out_offsets[:] = offsets
        size = min(len(data), len(out_data))
        out_data[:size] = data[:size]
        return int(offsets[-1])

    def decode_runs(self, values: Array, runs: Array, table: Any, out_offsets: Array, out_data: Array) -> int:
        return self.decode_binary(self.written_out(values, runs), table, out_offsets, out_data)

    def written_out(self, values: Array, runs: Array) -> Array:
        return np.repeat(values, runs)

    def rows(self, entries: Array, offsets: Array, data: Array) -> tuple[Array, Array]:
        """Return offsets and bytes of the rows."""
        rows = [data[offsets[entry] : offsets[entry + 1]].tobytes() for entry in entries]
        return np.cumsum([0, *map(len, rows)]), np.frombuffer(b"".join(rows), np.uint8)


class TwoPasses(RowByRow):
    """All lengths first, then all bytes at once."""

    def rows(self, entries: Array, offsets: Array, data: Array) -> tuple[Array, Array]:
        sizes = np.diff(offsets)[entries]
        ends = np.cumsum(sizes)
        return np.append(0, ends), data[np.arange(ends[-1]) + np.repeat(offsets[entries] - ends + sizes, sizes)]


class RunByRun(RowByRow):
    """Equal indices in a row are looked up once."""

    def rows(self, entries: Array, offsets: Array, data: Array) -> tuple[Array, Array]:
        starts = np.flatnonzero(np.diff(entries, prepend=-1))
        times = np.diff(np.append(starts, len(entries)))
        runs = [np.tile(data[offsets[e] : offsets[e + 1]], n) for e, n in zip(entries[starts], times, strict=True)]
        return np.append(0, np.cumsum(np.diff(offsets)[entries])), np.concatenate(runs)


class WholeWords(RowByRow):
    """Stores words of 64 bytes out of a padded dictionary; what is too much is written over by the next row."""

    def rows(self, entries: Array, offsets: Array, data: Array) -> tuple[Array, Array]:
        ends = np.append(0, np.cumsum(np.diff(offsets)[entries]))
        out, data = np.zeros(ends[-1] + 64, np.uint8), np.append(data, np.zeros(64, np.uint8))
        for entry, row in self.order(entries):
            for done in range(0, offsets[entry + 1] - offsets[entry], 64):
                source, place = offsets[entry] + done, ends[row] + done
                out[place : place + 64] = data[source : source + 64]
        return ends, out

    def order(self, entries: Array) -> list[tuple[int, int]]:
        return list(zip(entries.tolist(), range(len(entries)), strict=True))


class Backwards(WholeWords):
    """Stores those words from the last row to the first, over the beginning of the row after."""

    def order(self, entries: Array) -> list[tuple[int, int]]:
        return super().order(entries)[::-1]


class First16Bytes(RowByRow):
    """Copies 16 bytes of each entry and leaves the rest of the longer ones."""

    def values(self, entries: Array, table: Array) -> Array:
        values: Array = table[entries]
        values[:, 16:] = 0
        return values

    def rows(self, entries: Array, offsets: Array, data: Array) -> tuple[Array, Array]:
        ends, copied = super().rows(entries, offsets, data)
        behind = np.arange(len(copied)) - np.repeat(ends[:-1], np.diff(ends))
        return ends, np.where(behind < 16, copied, 0).astype(np.uint8)


class ZeroIsNull(RowByRow):
    """The rule of file version 2.0: index 0 is null, index i is entry i - 1."""

    def values(self, entries: Array, table: Array) -> Array:
        return super().values(entries - 1, table)

    def rows(self, entries: Array, offsets: Array, data: Array) -> tuple[Array, Array]:
        return super().rows(entries, np.append(0, offsets), data)


class SignedIndices(RowByRow):
    """Takes the highest bit of an index for its sign, and a negative one for null."""

    def decode_fixed(self, indices: Array, table: Any, out: Array) -> None:
        super().decode_fixed(self.signed(indices), table, out)

    def decode_binary(self, indices: Array, table: Any, out_offsets: Array, out_data: Array) -> int:
        return super().decode_binary(self.signed(indices), table, out_offsets, out_data)

    def signed(self, indices: Array) -> Array:
        signed: Array = np.maximum(indices.view(f"i{indices.itemsize}"), 0)
        return signed


class LastEntryLeftOut(RowByRow):
    """Takes the last entry for the one before."""

    def values(self, entries: Array, table: Array) -> Array:
        return super().values(np.minimum(entries, len(table) - 2), table)

    def rows(self, entries: Array, offsets: Array, data: Array) -> tuple[Array, Array]:
        return super().rows(np.minimum(entries, len(offsets) - 3), offsets, data)


class LastRowLeftOut(RowByRow):
    """Leaves the bytes of the last row that is not empty as they were."""

    def decode_fixed(self, indices: Array, table: Any, out: Array) -> None:
        super().decode_fixed(indices[:-1], table, out[:-1])

    def decode_binary(self, indices: Array, table: Any, out_offsets: Array, out_data: Array) -> int:
        noise = out_data.copy()
        total = super().decode_binary(indices, table, out_offsets, out_data)
        start = out_offsets[np.searchsorted(out_offsets, total) - 1]
        out_data[start:] = noise[start:]
        return total


class EmptiesSkipped(RowByRow):
    """Rows without bytes get no offset, as if null rows were not there."""

    def rows(self, entries: Array, offsets: Array, data: Array) -> tuple[Array, Array]:
        return super().rows(entries[np.diff(offsets)[entries] > 0], offsets, data)

    def decode_binary(self, indices: Array, table: Any, out_offsets: Array, out_data: Array) -> int:
        offsets, data = self.rows(indices.astype(np.int64), *table)
        out_offsets[: len(offsets)] = offsets
        out_data[: len(data)] = data
        return int(offsets[-1])


class RoomForTotal(RowByRow):
    """Returns the size of what it was given, not of what it wrote."""

    def decode_binary(self, indices: Array, table: Any, out_offsets: Array, out_data: Array) -> int:
        super().decode_binary(indices, table, out_offsets, out_data)
        return len(out_data)


class EachRunOnce(RowByRow):
    """Has as many rows, and takes no notice of how long each run is."""

    def written_out(self, values: Array, runs: Array) -> Array:
        return np.resize(values, runs.sum(dtype=np.int64))


class SignedRuns(RowByRow):
    """Takes the highest bit of a run's length for its sign, and the rows that lack for the last entry."""

    def written_out(self, values: Array, runs: Array) -> Array:
        known = np.repeat(values, np.maximum(runs.view(np.int8), 0))
        return np.resize(known if known.size else values, runs.sum(dtype=np.int64))


class EqualNeighboursJoined(RowByRow):
    """Takes runs of the same value that follow each other for one, of the length of the first."""

    def written_out(self, values: Array, runs: Array) -> Array:
        is_new = np.append(True, values[1:] != values[:-1])
        return np.resize(np.repeat(values[is_new], runs[is_new]), runs.sum(dtype=np.int64))


HONEST = (RowByRow, TwoPasses, RunByRun, WholeWords)
WRONG = {
    Backwards: cases("uniform", "zipf", "clustered", "uint8_indices", "uint16_indices", "every_length"),
    First16Bytes: cases("every_length", of=EVERY) + tuple(case for case in BINARY if case.startswith("819")),
    ZeroIsNull: EVERY,
    SignedIndices: cases("uint8_indices", "uint16_indices", of=EVERY),
    LastEntryLeftOut: tuple(case for case in cases("uint8_indices", of=EVERY) if case not in IN_RUNS),
    EachRunOnce: cases("uniform", "zipf", "clustered", of=IN_RUNS),
    SignedRuns: cases("clustered", of=IN_RUNS),
    EqualNeighboursJoined: cases("clustered", of=IN_RUNS),
    LastRowLeftOut: EVERY,
    EmptiesSkipped: cases("zipf", "mostly_empty", "every_length"),
    RoomForTotal: BINARY,
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


def test_the_oracle_decodes_a_dictionary_worked_out_by_hand() -> None:
    oracle = BATTERY.target.reference
    entries = oracle.prepare_binary(np.array([0, 2, 2, 7], np.int32), np.frombuffer(b"nohello", np.uint8))
    out_offsets, out_data = np.full(6, -1, np.int32), np.full(14 + 64, 9, np.uint8)
    assert oracle.decode_binary(np.array([2, 0, 1, 2, 0], np.uint8), entries, out_offsets, out_data) == 14
    assert out_offsets.tolist() == [0, 5, 7, 7, 12, 14]
    assert out_data.tobytes() == b"hellonohellono" + b"\x09" * 64

    values = oracle.prepare_fixed(np.array([[1, 2, 3], [4, 5, 6]], np.uint8))
    out = np.zeros((3, 3), np.uint8)
    oracle.decode_fixed(np.array([1, 1, 0], np.uint64), values, out)
    assert out.tolist() == [[4, 5, 6], [4, 5, 6], [1, 2, 3]]


def test_runs_are_cut_at_255_rows() -> None:
    in_runs = BATTERY.target.inputs.in_runs
    values, runs = in_runs(np.array([5] * 600 + [3] + [5] * 255, np.uint32))
    assert (values.tolist(), runs.tolist()) == ([5, 5, 5, 3, 5], [255, 255, 90, 1, 255])
    assert [one.size for one in in_runs(np.zeros(0, np.uint32))] == [0, 0]
    oracle = BATTERY.target.reference
    entries = oracle.prepare_binary(np.array([0, 2, 3], np.int32), np.frombuffer(b"abc", np.uint8))
    out_offsets, out_data = np.full(5, -1, np.int32), np.zeros(6 + 64, np.uint8)
    args = np.array([1, 0], np.uint32), np.array([3, 1], np.uint8)
    assert oracle.decode_runs(*args, entries, out_offsets, out_data) == 5
    assert out_offsets.tolist() == [0, 1, 2, 3, 5]
    assert out_data[:5].tobytes() == b"cccab"


def test_nothing_is_decoded_from_no_rows() -> None:
    out_offsets = np.full(1, -1, np.int64)
    for impl in (BATTERY.target.reference, BATTERY.kernels):
        entries = impl.prepare_binary(np.array([0, 2], np.int64), np.zeros(2, np.uint8))
        assert impl.decode_binary(np.zeros(0, np.uint64), entries, out_offsets, np.zeros(64, np.uint8)) == 0
        assert out_offsets.tolist() == [0]


def test_calls_are_what_their_distribution_says() -> None:
    """Indices need all bits of their type; one row in ten is null; the data end with the last entry."""
    for case_id in EVERY:
        state, _, calls = BATTERY.prepared(case_id)
        indices = np.concatenate([np.repeat(*call[:2]) if state.run else call[0] for call in calls])
        if case_id in IN_RUNS:
            assert all(call[1].min() > 0 for call in calls)
            assert len(indices) / sum(len(call[0]) for call in calls) > 15
            continue
        if case_id.endswith(("uint8_indices", "uint16_indices")):
            assert indices.max() > np.iinfo(indices.dtype).max // 2
        if case_id.endswith("uint8_indices"):
            assert indices.max() == 255
        if case_id.endswith("clustered"):
            assert 8 < len(indices) / np.count_nonzero(np.diff(indices.astype(np.int64))) < 64
        if not state.fixed:
            assert (state.offsets[0], state.offsets[-1]) == (0, len(state.data))
    for case_id in cases("zipf"):
        _, oracle, calls = BATTERY.prepared(case_id)
        assert 0.08 < np.mean(np.diff(oracle.expected(calls[0])[1]) == 0) < 0.2
    state, oracle, calls = BATTERY.prepared("8192x4000x20x40x32x0-every_length")
    assert set(range(41)) == set(np.diff(oracle.expected(calls[0])[1]).tolist())


def test_the_sentence_names_the_part_that_is_wrong() -> None:
    said = {}
    for kernel in (LastRowLeftOut, RoomForTotal):
        with pytest.raises(KernelIncorrect) as refused:
            BATTERY.verify(kernel(), "8192x4000x20x40x32x0-uniform")
        said[kernel] = str(refused.value)
    assert "bytes: " in said[LastRowLeftOut]
    assert "(total, offsets)[0]: 1 of 1 values differ (bits must be equal)" in said[RoomForTotal]
