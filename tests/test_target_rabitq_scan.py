"""The target rabitq-scan: honest rewrites pass its checks on every case, wrong kernels fail wherever they should.

The stand-in kernels are plain numpy over codes that the oracle has unpacked; tests/upstream shows that it reads
them as Lance does.
"""

from __future__ import annotations

from fnmatch import fnmatch
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from battery import Battery

from pytest_lance_autoresearch.errors import KernelIncorrect

BATTERY = Battery("rabitq-scan")
REFERENCE: Any = BATTERY.target.reference
Array = np.ndarray[Any, Any]
ONE = np.float32(1)


class InOrder:
    """float32 in the order of the terms, every row by all bits; results ascending by (distance, id)."""

    sums: type[np.unsignedinteger[Any]] = np.uint32

    def __init__(self, codes: Array, factors: Array, ex_codes: Array, ex_factors: Array) -> None:
        dim = 8 * codes.shape[1]
        self.nibbles = REFERENCE.unpacked_nibbles(codes)
        self.whole = len(codes) // 32 * 32
        self.factors, self.ex_factors = factors, ex_factors
        self.extra_bits = 8 * ex_codes.shape[1] // REFERENCE.padded(dim)
        self.values = REFERENCE.unpacked_values(ex_codes, self.extra_bits)[:, :dim].astype(np.float32)

    def table(self, query: Array) -> Array:
        table = np.zeros((query.size // 4, 16), np.float32)
        for dimension in range(4):
            table[:, np.arange(16) >> dimension & 1 == 1] += query[dimension::4, None]
        return table

    def rounded(self, scaled: Array) -> Array:
        steps: Array = np.rint(scaled)
        return steps

    def steps(self, table: Array) -> tuple[Array, np.float32]:
        span = np.float32(table.max() - table.min())
        factor = np.float32(255) / span if span else np.float32(0)
        return self.rounded((table - table.min()) * factor), span / np.float32(255)

    def in_steps(self, table: Array) -> Array:
        steps, step = self.steps(table)
        sums = np.zeros(self.nibbles.shape[1], self.sums)
        for of_table, codes in zip(steps.astype(self.sums), self.nibbles, strict=True):
            sums += of_table[codes]
        products: Array = sums.astype(np.float32) * step + np.float32(len(table)) * table.min()
        return products

    def as_they_are(self, table: Array) -> Array:
        products = np.zeros(self.nibbles.shape[1], np.float32)
        for of_table, codes in zip(table, self.nibbles, strict=True):
            products += of_table[codes]
        return products

    def products(self, query: Array) -> Array:
        table = self.table(query)
        return np.concatenate((self.in_steps(table)[: self.whole], self.as_they_are(table)[self.whole :]))

    def total(self, query: Array) -> np.float32:
        return np.float32(query.cumsum(dtype=np.float32)[-1])

    def estimates(self, query: Array, query_factor: np.float32) -> Array:
        add, scale, _ = self.factors
        estimates: Array = (self.products(query) - self.total(query) / 2) * scale + add + query_factor
        return estimates

    def distances(self, query: Array, query_factor: np.float32) -> Array:
        if not self.extra_bits:
            return self.estimates(query, query_factor)
        add, scale = self.ex_factors
        doubled = np.float32(2**self.extra_bits)
        full = doubled * self.products(query) + self.extra(query) - (doubled - ONE / 2) * self.total(query)
        distances: Array = full * scale + add + query_factor
        return distances

    def extra(self, query: Array) -> Array:
        products: Array = (self.values * query).cumsum(axis=1, dtype=np.float32)[:, -1]
        return products

    def select(self, distances: Array, bounds: Array, k: int) -> Array:  # noqa: ARG002
        return np.argsort(distances, kind="stable")[:k]

    def bounds(self, query: Array, query_factor: np.float32) -> Array:
        bounds: Array = self.estimates(query, query_factor) - self.factors[2] * np.sqrt(query_factor)
        return bounds

    def top_k(self, query: Array, query_factor: float, k: int) -> tuple[Array, Array]:
        factor = np.float32(query_factor)
        distances = self.distances(query, factor)
        ids = self.select(distances, self.bounds(query, factor) if self.extra_bits else distances, k)
        return ids.astype(np.uint32), distances[ids]


class Backwards(InOrder):
    """Extra bits from the last dimension on; ties in descending order of ids."""

    def extra(self, query: Array) -> Array:
        products: Array = (self.values * query)[:, ::-1].cumsum(axis=1, dtype=np.float32)[:, -1]
        return products

    def select(self, distances: Array, bounds: Array, k: int) -> Array:  # noqa: ARG002
        return np.lexsort((-np.arange(distances.size), distances))[:k]


class Centred(InOrder):
    """The extra bits with their middle taken off, which needs no sum of the query for them."""

    def distances(self, query: Array, query_factor: np.float32) -> Array:
        if not self.extra_bits:
            return self.estimates(query, query_factor)
        add, scale = self.ex_factors
        doubled = np.float32(2**self.extra_bits)
        centred = (self.values - (doubled - ONE) / 2) @ query
        full = doubled * (self.products(query) - self.total(query) / 2) + centred
        distances: Array = full * scale + add + query_factor
        return distances


class InDouble(InOrder):
    def extra(self, query: Array) -> Array:
        products: Array = (self.values.astype(np.float64) @ query).astype(np.float32)
        return products


class LeavesOut(InOrder):
    """As many rows as the rule allows: by lower bounds, all of them in order of these."""

    def select(self, distances: Array, bounds: Array, k: int) -> Array:
        order = np.argsort(bounds, kind="stable")
        kept = order[:k]
        for row in order[k:]:
            kept = kept[np.argsort(distances[kept], kind="stable")]
            if bounds[row] >= distances[kept[-1]]:
                break
            if distances[row] < distances[kept[-1]]:
                kept[-1] = row
        return kept[np.argsort(distances[kept], kind="stable")]


class RoundedDown(InOrder):
    def rounded(self, scaled: Array) -> Array:
        steps: Array = np.floor(scaled)
        return steps


class WithoutSteps(InOrder):
    def in_steps(self, table: Array) -> Array:
        return self.as_they_are(table)


class AllInSteps(InOrder):
    """The rows after the last whole block as well."""

    def products(self, query: Array) -> Array:
        return self.in_steps(self.table(query))


class SumsOf16Bits(InOrder):
    sums = np.uint16


class HalfPrecision(InOrder):
    def top_k(self, query: Array, query_factor: float, k: int) -> tuple[Array, Array]:
        return super().top_k(query.astype(np.float16).astype(np.float32), query_factor, k)


class SignsOnly(InOrder):
    def distances(self, query: Array, query_factor: np.float32) -> Array:
        return self.estimates(query, query_factor)


class RankedBySigns(InOrder):
    """The nearest by signs alone, with their distances by all bits."""

    def top_k(self, query: Array, query_factor: float, k: int) -> tuple[Array, Array]:
        factor = np.float32(query_factor)
        ids = np.argsort(self.estimates(query, factor), kind="stable")[:k]
        distances = self.distances(query, factor)
        ids = ids[np.argsort(distances[ids], kind="stable")]
        return ids.astype(np.uint32), distances[ids]


class NarrowBounds(LeavesOut):
    """Lower bounds with a quarter of the error factor."""

    def bounds(self, query: Array, query_factor: np.float32) -> Array:
        bounds: Array = self.estimates(query, query_factor) - self.factors[2] * np.sqrt(query_factor) / 4
        return bounds


class NibblesSwapped(InOrder):
    def __init__(self, *parts: Array) -> None:
        super().__init__(*parts)
        self.nibbles = self.nibbles.reshape(-1, 2, self.nibbles.shape[1])[:, ::-1].reshape(self.nibbles.shape)


class NotPermuted(InOrder):
    """Rows of a block in the order of its bytes."""

    def __init__(self, *parts: Array) -> None:
        super().__init__(*parts)
        blocks = self.nibbles[:, : self.whole].reshape(len(self.nibbles), -1, 2, 16)
        self.nibbles[:, : self.whole] = blocks[..., REFERENCE.PERMUTED].reshape(len(self.nibbles), self.whole)


class LastTableLeftOut(InOrder):
    def table(self, query: Array) -> Array:
        table = super().table(query)
        table[-1] = 0
        return table


class LastExtraBitsLeftOut(InOrder):
    """The extra bits of the last 8 dimensions."""

    def extra(self, query: Array) -> Array:
        return super().extra(np.where(np.arange(query.size) < query.size - 8, query, np.float32(0)))


class WithoutQueryFactor(InOrder):
    def distances(self, query: Array, query_factor: np.float32) -> Array:
        return super().distances(query, query_factor) - query_factor


class LastBlockNeverSeen(InOrder):
    def select(self, distances: Array, bounds: Array, k: int) -> Array:
        return super().select(distances[:-32], bounds[:-32], k)


class TailNeverSeen(InOrder):
    """The rows after the last whole block; where there is no whole block, all are seen."""

    def select(self, distances: Array, bounds: Array, k: int) -> Array:
        seen = distances.size // 32 * 32 or distances.size
        return super().select(distances[:seen], bounds[:seen], k)


class WrongIds(InOrder):
    def top_k(self, query: Array, query_factor: float, k: int) -> tuple[Array, Array]:
        ids, distances = super().top_k(query, query_factor, k)
        return np.sort(ids)[::-1].copy(), distances


HONEST = (InOrder, Backwards, Centred, InDouble, LeavesOut)
FEW = ("*-less_than_a_block", "*-k_exceeds_n")
ONE_BIT = "128x1x*"
NO_TAIL = (
    "*x16384-gaussian",
    "*x16384-clustered",
    "*x16384-unit",
    "*x4096-gaussian",
    "*x4096-clustered",
    "*x4096-unit",
    "*-far_query",
)
WRONG: dict[type[InOrder], tuple[str, ...]] = {
    RoundedDown: (*FEW, "*-zero_residuals", "1536x5x4096-descending"),  # the nearest are after the last block
    WithoutSteps: (*FEW, "*-zero_residuals", "1536x5x4096-descending"),
    AllInSteps: (*NO_TAIL, "128x5x16384-duplicates"),
    SumsOf16Bits: ("128x*", "96x*", "1536x*[!y]"),
    HalfPrecision: (
        "1536x*-zero_residuals",
        "1536x*-descending",
        "1536x*-less_than_a_block",
        "1536x*-k_exceeds_n",
    ),
    SignsOnly: (ONE_BIT,),
    RankedBySigns: (ONE_BIT, "*-duplicates", "*-zero_residuals", "*-k_exceeds_n"),
    NarrowBounds: (ONE_BIT, "*-duplicates", "*-zero_residuals", "*-far_query", "*-k_exceeds_n"),
    NibblesSwapped: (),
    NotPermuted: (*FEW, "*-zero_residuals"),
    LastTableLeftOut: (),
    LastExtraBitsLeftOut: (ONE_BIT,),
    WithoutQueryFactor: (),
    LastBlockNeverSeen: ("*-duplicates",),
    TailNeverSeen: (*FEW, *NO_TAIL, "*-duplicates"),
    WrongIds: ("*-duplicates", "128x1x16384-zero_residuals"),  # ties
}
"""Wrong kernels, and patterns of the ids of cases where they may be right."""


def verify(kernel: type[InOrder], case_id: str) -> None:
    BATTERY.verify(SimpleNamespace(RabitKernel=kernel), case_id)


@pytest.mark.parametrize("case_id", BATTERY.cases)
def test_honest_kernels_pass_on_every_case(case_id: str) -> None:
    for kernel in HONEST:
        verify(kernel, case_id)


@pytest.mark.parametrize("case_id", BATTERY.cases)
def test_wrong_kernels_fail_on_every_case(case_id: str) -> None:
    for kernel, spared in WRONG.items():
        if not any(fnmatch(case_id, pattern) for pattern in spared):
            with pytest.raises(KernelIncorrect):
                verify(kernel, case_id)


def searched(residuals: list[list[float]], query: list[float], bits: int) -> Any:
    """The oracle's two nearest rows around a centroid of zeros, after the kernel has passed its check."""
    inputs, wiring = BATTERY.target.inputs, BATTERY.target.wiring
    state = inputs.partition(np.array(residuals), np.zeros(8), bits, 2)
    call = np.array(query, np.float32), float(np.square(query).sum())
    expected = wiring.bind(REFERENCE, state)(*call)
    wiring.check(wiring.bind(BATTERY.kernels, state)(*call), expected, call)
    return expected


CORNERS = [[1.0] * 8, [-1.0] * 8, [1.0, -1.0] * 4]


@pytest.mark.parametrize("bits", [1, 5, 9])
def test_distances_of_corners_are_exact_by_hand(bits: int) -> None:
    """Signs say all of a vector whose values have one size: what is estimated is the distance itself."""
    found = searched(CORNERS, [0.5] * 8, bits)
    assert found.ids.tolist() == [0, 2]
    assert np.allclose(found.every, [8 * 0.25, 8 * 2.25, 4 * 0.25 + 4 * 2.25])
    assert np.allclose(found.bounds, found.every)


def test_a_query_of_zeros_is_as_far_as_rows_are_long() -> None:
    found = searched([*CORNERS, [0.5] * 8], [0.0] * 8, 5)
    assert found.ids.tolist() == [3, 0]
    assert np.allclose(found.every, [8, 8, 8, 2])


def answer(ids: list[int], distances: list[float]) -> tuple[Array, Array]:
    return np.array(ids, np.uint32), np.array(distances, np.float32)


BOUNDED = REFERENCE.Found(
    np.array([0, 1], np.uint32),
    np.array([1, 2], np.float32),
    np.array([1.0, 2.0, 3.0, 4.0]),
    np.zeros(4),
    np.array([0.0, 2.5, 2.0, 3.5]),
    np.zeros(4),
)
"""Row 1 is second by its estimate, but its lower bound lies above it, as with one row of thirty."""


def test_a_row_may_be_returned_whatever_its_lower_bound() -> None:
    BATTERY.target.wiring.check(answer([0, 1], [1, 2]), BOUNDED, ())


def test_a_row_may_be_left_out_where_its_lower_bound_allows_it() -> None:
    every = BOUNDED._replace(every=np.array([1.0, 2.0, 2.25, 4.0]))
    BATTERY.target.wiring.check(answer([0, 2], [1, 2.25]), every, ())


@pytest.mark.parametrize(
    ("found", "wrong"),
    [
        (
            answer([0, 2], [1, 3]),
            "top-k distances: 1 of 2 ranks are wrong; first at [1]: kernel 3, reference 2.5 to 2.5",
        ),
        (answer([0, 0], [1, 1]), "top-k ids: row 0 is returned 2 times; first at [0]"),
        (answer([0, 7], [1, 2]), "top-k ids: 1 of 2 are not rows; first at [1]: 7, expected 0 to 3"),
    ],
)
def test_a_row_left_out_below_the_farthest_is_told(found: tuple[Array, Array], wrong: str) -> None:
    with pytest.raises(AssertionError) as refused:
        BATTERY.target.wiring.check(found, BOUNDED, ())
    assert str(refused.value) == wrong
