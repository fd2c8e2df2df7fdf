"""The target pq4-fastscan: honest rewrites pass its checks on every case, wrong kernels fail where they are wrong.

The stand-in kernels are plain numpy; each wrong one has one mistake of those who write such kernels. They take
the oracle's table and sums where these are not what is wrong.
"""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from battery import Battery

from pytest_lance_autoresearch.errors import KernelIncorrect

BATTERY = Battery("pq4-fastscan")
REFERENCE: Any = BATTERY.target.reference
EVERY = tuple(BATTERY.cases)
Array = np.ndarray[Any, Any]
LARGEST = np.finfo(np.float32).max


class BruteForce:
    """Scores every row; the base of all others."""

    def __init__(self, codebook: Array, codes: Array) -> None:
        self.codebook, self.codes = codebook, codes

    def top_k(self, query: Array, k: int) -> tuple[Array, Array]:
        return self.nearest(self.distances(self.table(query), k), k)

    def table(self, query: Array) -> Array:
        table: Array = REFERENCE.distance_table(self.codebook, query)
        return table

    def distances(self, table: Array, k: int) -> Array:  # noqa: ARG002
        """Of every row; NaN where a row is not looked at."""
        distances: Array = REFERENCE.distances(table, self.codes)
        return distances

    def nearest(self, distances: Array, k: int) -> tuple[Array, Array]:
        rows = np.flatnonzero(self.is_near_enough(distances))
        rows = rows[self.order(distances[rows])][:k]
        return rows.astype(np.uint32), distances[rows]

    def is_near_enough(self, distances: Array) -> Array:
        return distances < LARGEST

    def order(self, distances: Array) -> Array:
        return np.argsort(distances, kind="stable")


class TiesBackwards(BruteForce):
    """Equal distances in descending order of their ids."""

    def order(self, distances: Array) -> Array:
        return np.lexsort((-np.arange(distances.size), distances))


class FilteredByDoubles(BruteForce):
    """Scores the rows whose sum in float64 is near enough to the k-th."""

    def distances(self, table: Array, k: int) -> Array:
        distances = super().distances(table, k)
        if not np.isfinite(table).all() or table.sum(dtype=np.float64) > LARGEST / 4 or k >= distances.size:
            return distances
        sums = REFERENCE.distances(table.astype(np.float64), self.codes)
        margin = 2 * (len(self.codes) + 1) * 2.0**-24
        is_left_out = sums * (1 - margin) > np.partition(sums, k - 1)[k - 1] * (1 + margin)
        return np.where(is_left_out, np.nan, distances)


class Quantised(BruteForce):
    """Sums of bytes; rows are scored exactly only where there is nothing to quantise."""

    limit = 65_535

    def distances(self, table: Array, k: int) -> Array:
        exact = super().distances(table, k)
        spans = np.ptp(table, axis=1) if np.isfinite(table).all() else np.zeros(1)
        if not spans.max() > 0 or spans.sum(dtype=np.float64) > LARGEST / 4 or k >= exact.size:
            return exact
        scale = min(255 / spans.max(), (self.limit - len(table)) / spans.sum())
        least = table.min(axis=1, keepdims=True)
        steps = np.floor((table - least) * scale + np.float32(0.5)).astype(np.uint16)
        byte = np.arange(256)
        sums = np.zeros(exact.size, np.uint16)
        for low, high, column in zip(steps[::2], steps[1::2], self.codes, strict=True):
            sums += (low[byte & 15] + high[byte >> 4])[column]
        is_left_out = self.left_out(sums, k, self.margin(table, steps, scale))
        return np.where(is_left_out, np.nan, self.scored(exact, sums / scale + least.sum()))

    def margin(self, table: Array, steps: Array, scale: float) -> float:
        """How much further than the k-th a row may seem, in steps, and yet be nearer."""
        errors = steps / scale - (table.astype(np.float64) - table.min(axis=1, keepdims=True))
        return float(np.ptp(errors, axis=1).sum() * scale + 1)

    def left_out(self, sums: Array, k: int, margin: float) -> Array:
        is_left_out: Array = sums > np.partition(sums, k - 1)[k - 1] + margin
        return is_left_out

    def scored(self, exact: Array, approximate: Array) -> Array:  # noqa: ARG002
        return exact


class NotRescored(Quantised):
    """Returns what the sums of bytes stand for."""

    def scored(self, exact: Array, approximate: Array) -> Array:
        return approximate.astype(exact.dtype)


class ErrorsForgotten(Quantised):
    """Leaves out rows whose sum is above the k-th."""

    def margin(self, table: Array, steps: Array, scale: float) -> float:  # noqa: ARG002
        return 0.0


class HalfAStepOnly(Quantised):
    """Takes a sum for as exact as one entry."""

    def margin(self, table: Array, steps: Array, scale: float) -> float:  # noqa: ARG002
        return 1.0


class TwiceAsManyByRank(Quantised):
    """Scores the 2 k rows with the smallest sums."""

    def left_out(self, sums: Array, k: int, margin: float) -> Array:  # noqa: ARG002
        is_left_out = np.ones(sums.size, np.bool_)
        is_left_out[np.argsort(sums, kind="stable")[: 2 * k]] = False
        return is_left_out


class SumsThatWrap(Quantised):
    """Lets the largest span be 255 steps, however many sub-spaces there are."""

    limit = 1 << 30


class OneByOne(BruteForce):
    """Adds the entries of a row one after the other, and not in pairs."""

    def distances(self, table: Array, k: int) -> Array:  # noqa: ARG002
        total = np.zeros(self.codes.shape[1], np.float32)
        for low, high, column in zip(table[::2], table[1::2], self.codes, strict=True):
            total += low[column & 15]
            total += high[column >> 4]
        return total


class LastByteFirst(BruteForce):
    def distances(self, table: Array, k: int) -> Array:  # noqa: ARG002
        pairs = table.reshape(-1, 2, 16)[::-1].reshape(-1, 16)
        distances: Array = REFERENCE.distances(pairs, self.codes[::-1])
        return distances


class InDouble(BruteForce):
    def table(self, query: Array) -> Array:
        parts = query.astype(np.float64).reshape(len(self.codebook), 1, -1)
        table: Array = np.square(parts - self.codebook).sum(axis=2)
        return table

    def distances(self, table: Array, k: int) -> Array:
        return super().distances(table, k).astype(np.float32)


class Unfused(BruteForce):
    """Rounds the squares of the table before they are added."""

    def table(self, query: Array) -> Array:
        squares = np.square(query.reshape(len(self.codebook), 1, -1) - self.codebook)
        whole = squares.shape[2] // 8 * 8
        lanes = squares[..., :whole].reshape(*squares.shape[:2], -1, 8).cumsum(axis=2)[:, :, -1:].sum(axis=2)
        pairs = lanes[..., :4] + lanes[..., 4:]
        tail = np.zeros(squares.shape[:2], np.float32)
        for place in range(whole, squares.shape[2]):
            tail += squares[..., place]
        table: Array = (pairs[..., 0] + pairs[..., 2]) + (pairs[..., 1] + pairs[..., 3]) + tail
        return table


class TableInOrder(BruteForce):
    """Adds the squares of the table one after the other."""

    def table(self, query: Array) -> Array:
        squares = np.square(query.reshape(len(self.codebook), 1, -1) - self.codebook)
        table: Array = squares.cumsum(axis=2, dtype=np.float32)[..., -1]
        return table


class NibblesSwapped(BruteForce):
    def __init__(self, codebook: Array, codes: Array) -> None:
        super().__init__(codebook, codes >> 4 | codes << 4)


class NotANumberKept(BruteForce):
    def is_near_enough(self, distances: Array) -> Array:
        return ~(distances >= LARGEST)


class InfinityKept(BruteForce):
    def is_near_enough(self, distances: Array) -> Array:
        return ~np.isnan(distances)


class LastBlockNeverSeen(BruteForce):
    """Looks at whole blocks of 64 rows."""

    def distances(self, table: Array, k: int) -> Array:
        distances = super().distances(table, k)
        distances[distances.size // 64 * 64 :] = np.nan
        return distances


class PaddingReturned(BruteForce):
    """Pads the last block of 64 rows with zeros, and takes these for rows."""

    def __init__(self, codebook: Array, codes: Array) -> None:
        super().__init__(codebook, np.pad(codes, ((0, 0), (0, -codes.shape[1] % 64))))


class FirstIds(BruteForce):
    def nearest(self, distances: Array, k: int) -> tuple[Array, Array]:
        ids, nearest = super().nearest(distances, k)
        return np.arange(ids.size, dtype=np.uint32), nearest


HONEST = (BruteForce, TiesBackwards, FilteredByDoubles, Quantised)
TIMED = BATTERY.target.inputs.DISTRIBUTIONS


def cases(*distributions: str, lengths: tuple[int, ...] = (4, 11, 16), more_than: int = 0) -> tuple[str, ...]:
    """The cases of these distributions with sub-vectors of such lengths, and more sub-spaces than that."""
    return tuple(
        case_id
        for case_id, case in BATTERY.cases.items()
        if case.distribution in distributions
        and case.shape.dim // case.shape.sub_vectors in lengths
        and case.shape.sub_vectors > more_than
    )


WRONG = {
    NotRescored: cases(*TIMED, "huge_span", "equal_spans", "equal_rows", "duplicates", "two_centroids"),
    ErrorsForgotten: cases("huge_span"),
    HalfAStepOnly: cases("huge_span"),
    TwiceAsManyByRank: cases("huge_span"),
    SumsThatWrap: cases("equal_spans", more_than=257),
    OneByOne: cases(*TIMED, "huge_span", "two_centroids", "few_rows", "k_exceeds_n"),
    LastByteFirst: cases(*TIMED, "huge_span", "duplicates", "two_centroids", "few_rows", "k_exceeds_n"),
    InDouble: cases(*TIMED, "huge_span", "equal_spans", "duplicates", "two_centroids"),
    Unfused: cases(*TIMED, lengths=(16,)),
    TableInOrder: cases(*TIMED, lengths=(11, 16)),
    NibblesSwapped: cases(*TIMED, "huge_span", "equal_rows", "duplicates", "two_centroids", "few_rows"),
    NotANumberKept: cases("nan"),
    InfinityKept: cases("infinity", "overflowing"),
    LastBlockNeverSeen: cases(*TIMED, "few_rows", "k_exceeds_n"),
    PaddingReturned: cases("k_exceeds_n"),
    FirstIds: cases(*TIMED, "huge_span", "equal_spans", "duplicates", "two_centroids", "few_rows"),
}
"""Wrong kernels, and the cases in which each must be found out."""


def verify(kernel: type[BruteForce], case_id: str) -> None:
    BATTERY.verify(SimpleNamespace(Pq4Kernel=kernel), case_id)


@pytest.mark.parametrize("case_id", EVERY)
def test_honest_kernels_pass_on_every_case(case_id: str) -> None:
    for kernel in HONEST:
        verify(kernel, case_id)


@pytest.mark.parametrize("kernel", WRONG)
def test_wrong_kernels_fail_where_they_are_wrong(kernel: type[BruteForce]) -> None:
    assert WRONG[kernel]
    for case_id in WRONG[kernel]:
        with pytest.raises(KernelIncorrect):
            verify(kernel, case_id)


ROOT = 2.0**63
BY_HAND: dict[str, tuple[Any, ...]] = {
    "the low half is the even sub-space": ([[0, 9], [0, 20]], [[0x10, 0x01, 0x11]], 3, [1, 0, 2], [81, 400, 481]),
    "fewer rows than are asked for": ([[3, 4], [0, 0]], [[0x00, 0x01]], 5, [0, 1], [9, 16]),
    "a row at the largest float32 is left out": (
        [[0, ROOT], [0, ROOT], [0, ROOT], [ROOT - 2.0**41, ROOT - 2.0**40]],
        [[0x11, 0x11], [0x01, 0x11]],
        2,
        [0],
        [2.0**128 - 2.0**105],
    ),
    "pairs are added before they join": (
        [[4096, 0], [0, 0], [1, 0], [1, 0]],
        [[0x00], [0x00]],
        1,
        [0],
        [2**24 + 2],
    ),
}


@pytest.mark.parametrize("impl", [REFERENCE, BATTERY.kernels], ids=["oracle", "kernel"])
@pytest.mark.parametrize("name", BY_HAND)
def test_a_search_ends_as_by_hand(name: str, impl: Any) -> None:
    """The query is 0, so that entries are squares; all centroids but two are far away."""
    first_two, codes, k, ids, distances = BY_HAND[name]
    codebook = np.full((len(first_two), 16, 1), 2.0**62, np.float32)
    codebook[:, :2, 0] = first_two
    kernel = impl.Pq4Kernel(codebook, np.array(codes, np.uint8))
    found = kernel.top_k(np.zeros(len(codebook), np.float32), k)
    assert [values.tolist() for values in found[:2]] == [ids, distances]


def test_the_oracle_rounds_a_fused_step_once() -> None:
    """Also where float64 cannot hold the sum: nothing is nearer to it than what is returned."""
    rng = np.random.default_rng(5)
    values = (rng.standard_normal(3000) * 10.0 ** rng.integers(-6, 7, 3000)).astype(np.float32)
    addends = np.abs(rng.permutation(values)) * 2.0 ** rng.integers(-30, 30, 3000).astype(np.float32)
    fused = REFERENCE._add_square(values, addends)
    for value, addend, found in zip(values.tolist(), addends.tolist(), fused, strict=True):
        exact = Fraction(value) ** 2 + Fraction(addend)
        neighbours = [float(np.nextafter(found, np.float32(side))) for side in (-np.inf, np.inf)]
        error = abs(exact - Fraction(float(found)))
        assert all(error <= abs(exact - Fraction(neighbour)) for neighbour in neighbours)
    assert (fused != np.square(values) + addends).any()


def test_a_fused_step_is_not_rounded_twice() -> None:
    """4097 ** 2 lies between two float32, and float64 has no room for the little that decides."""
    value, little = np.full(1, 4097, np.float32), np.full(1, 2.0**-30, np.float32)
    assert REFERENCE._add_square(value, little).tolist() == [4097**2 + 1]
    assert (np.square(value.astype(np.float64)) + little).astype(np.float32).tolist() == [4097**2 - 1]


def test_calls_are_what_their_distribution_says() -> None:
    for case_id, case in BATTERY.cases.items():
        state, oracle, calls = BATTERY.prepared(case_id)
        rows = state.codes.shape[1]
        found = [oracle.expected(call)[0].size for call in calls]
        if case.timed:
            assert rows == case.shape.rows
            assert rows % 64 in (15, 32, 35, 48)
        if case.distribution in ("nan", "infinity"):
            assert found == [0] * len(calls)
        elif case.distribution == "k_exceeds_n":
            assert found == [rows] * len(calls)
            assert rows < case.shape.k
        elif case.distribution != "overflowing":
            assert found == [min(case.shape.k, rows)] * len(calls)


def test_the_sentence_names_what_is_wrong() -> None:
    said = {}
    for kernel in (Unfused, FirstIds, NotANumberKept):
        case_id = "768x48x30000x100-" + ("nan" if kernel is NotANumberKept else "uniform")
        with pytest.raises(KernelIncorrect) as refused:
            verify(kernel, case_id)
        said[kernel] = str(refused.value)
    assert "top-k distances of the returned ids: " in said[Unfused]
    assert "top-k distances of the returned ids: " in said[FirstIds]
    assert "top-k ids: uint32 of shape (100,), expected uint32 of shape (0,)" in said[NotANumberKept]
