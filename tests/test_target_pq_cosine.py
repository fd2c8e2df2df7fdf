"""The target pq-cosine: honest rewrites pass its checks on every case, wrong kernels fail wherever they should.

The stand-in kernels are plain numpy, so that no compiler's order of summation is taken for granted.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from battery import Battery

from pytest_lance_autoresearch.errors import KernelIncorrect
from pytest_lance_autoresearch.target_files import generate

BATTERY = Battery("pq-cosine")
Array = np.ndarray[Any, Any]


class InOrder:
    """float32 in the order of the terms; results ascending by (distance, id)."""

    def __init__(self, codebook: Array, codes: Array, centroid: Array) -> None:
        self.codebook, self.codes, self.centroid = codebook, codes, centroid

    def unit(self, query: Array) -> Array:
        unit: Array = query / np.sqrt(np.square(query).cumsum(dtype=np.float32)[-1])
        return unit

    def residual(self, query: Array) -> Array:
        return self.unit(query) - self.centroid

    def table(self, residual: Array) -> Array:
        parts = residual.reshape(len(self.codebook), 1, -1)
        table: Array = np.square(parts - self.codebook).cumsum(axis=2, dtype=np.float32)[..., -1]
        return table

    def scan(self, table: Array) -> Array:
        total = np.zeros(self.codes.shape[1], np.float32)
        for terms, column in zip(table, self.codes, strict=True):
            total += terms[column]
        return total

    def distances(self, query: Array) -> Array:
        return self.scan(self.table(self.residual(query)))

    def select(self, distances: Array, k: int) -> Array:
        return np.argsort(distances, kind="stable")[:k]

    def top_k(self, query: Array, k: int) -> tuple[Array, Array]:
        distances = self.distances(query)
        ids = self.select(distances, k)
        return ids.astype(np.uint32), distances[ids]


class Backwards(InOrder):
    """Every sum from its end, a reciprocal in place of the division, ties in descending order of ids."""

    def unit(self, query: Array) -> Array:
        unit: Array = query * (np.float32(1) / np.sqrt(np.square(query[::-1]).cumsum(dtype=np.float32)[-1]))
        return unit

    def table(self, residual: Array) -> Array:
        parts = residual.reshape(len(self.codebook), 1, -1)
        table: Array = np.square(parts - self.codebook)[..., ::-1].cumsum(axis=2, dtype=np.float32)[..., -1]
        return table

    def scan(self, table: Array) -> Array:
        total = np.zeros(self.codes.shape[1], np.float32)
        for terms, column in zip(table[::-1], self.codes[::-1], strict=True):
            total += terms[column]
        return total

    def select(self, distances: Array, k: int) -> Array:
        return np.lexsort((-np.arange(distances.size), distances))[:k]


class WithoutResidual(InOrder):
    """1 + x.x - 2 q.centroid - 2 q.r in float32: a table of inner products that no partition changes."""

    def distances(self, query: Array) -> Array:
        unit = self.unit(query)
        parts = unit.reshape(len(self.codebook), 1, -1)
        products = (parts * self.codebook).sum(axis=2)
        rows = (self.codebook + self.centroid.reshape(parts.shape)) * self.codebook
        of_rows = (rows + self.codebook * self.centroid.reshape(parts.shape)).sum(axis=2)
        distances = self.scan(of_rows - np.float32(2) * products)
        distances += np.float32(1) + np.square(self.centroid).sum() - np.float32(2) * unit.dot(self.centroid)
        return distances


class InDouble(InOrder):
    def unit(self, query: Array) -> Array:
        unit: Array = query / np.sqrt(np.square(query.astype(np.float64)).sum())
        return unit

    def table(self, residual: Array) -> Array:
        parts = residual.reshape(len(self.codebook), 1, -1)
        table: Array = np.square(parts - self.codebook).sum(axis=2).astype(np.float32)
        return table


class NotNormalised(InOrder):
    def unit(self, query: Array) -> Array:
        return query


class NoResidual(InOrder):
    def residual(self, query: Array) -> Array:
        return self.unit(query)


class NormalisedAfterwards(InOrder):
    def residual(self, query: Array) -> Array:
        return self.unit(query - self.centroid)


class RoughRoot(InOrder):
    """A reciprocal square root of 12 bits, as some instructions give it."""

    def unit(self, query: Array) -> Array:
        return super().unit(query) * np.float32(1 + 2**-12)


class Halved(InOrder):
    """1 - cos, which is half of the squared distance."""

    def distances(self, query: Array) -> Array:
        return super().distances(query) / np.float32(2)


class SquareRoot(InOrder):
    def distances(self, query: Array) -> Array:
        return np.sqrt(super().distances(query))


class HalfPrecision(InOrder):
    def __init__(self, codebook: Array, codes: Array, centroid: Array) -> None:
        super().__init__(codebook.astype(np.float16).astype(np.float32), codes, centroid)

    def residual(self, query: Array) -> Array:
        return super().residual(query).astype(np.float16).astype(np.float32)


class LastSubSpaceLeftOut(InOrder):
    def scan(self, table: Array) -> Array:
        return InOrder(self.codebook, self.codes[:-1], self.centroid).scan(table[:-1])


class LastBlockNeverSeen(InOrder):
    def select(self, distances: Array, k: int) -> Array:
        return super().select(distances[:-16], k)


class TailNeverSeen(InOrder):
    """Rows after the last whole block of 16; where there is no whole block, all are seen."""

    def select(self, distances: Array, k: int) -> Array:
        return super().select(distances[: distances.size // 16 * 16 or distances.size], k)


class WrongIds(InOrder):
    def top_k(self, query: Array, k: int) -> tuple[Array, Array]:
        ids, distances = super().top_k(query, k)
        return np.sort(ids)[::-1].copy(), distances


HONEST = (InOrder, Backwards, WithoutResidual, InDouble)
WRONG: dict[type[InOrder], tuple[str, ...]] = {
    NotNormalised: (),
    NoResidual: (),
    NormalisedAfterwards: (),
    RoughRoot: ("near_duplicates", "100x10x12299-one_hot"),  # along a row, a little longer is as near
    Halved: (),
    SquareRoot: (),
    HalfPrecision: ("near_duplicates",),  # nine rows of ten differ from the query in one sub-space only
    LastSubSpaceLeftOut: ("near_duplicates",),
    LastBlockNeverSeen: ("100x10x12299-one_hot",),  # each row is one of 100
    WrongIds: ("near_duplicates", "one_hot"),  # ties
}
"""Wrong kernels, and the ends of the ids of cases where they may be right."""


def verify(kernel: type[InOrder], case_id: str) -> None:
    BATTERY.verify(SimpleNamespace(PqCosineKernel=kernel), case_id)


@pytest.mark.parametrize("case_id", BATTERY.cases)
def test_honest_kernels_pass_on_every_case(case_id: str) -> None:
    for kernel in HONEST:
        verify(kernel, case_id)


@pytest.mark.parametrize("case_id", BATTERY.cases)
def test_wrong_kernels_fail_on_every_case(case_id: str) -> None:
    for kernel, spared in WRONG.items():
        if not case_id.endswith(spared):
            with pytest.raises(KernelIncorrect):
                verify(kernel, case_id)


@pytest.mark.parametrize("shape", ["384x24x8192", "768x96x8192", "1536x96x8192", "100x10x12299"])
def test_forgetting_the_rows_after_the_last_block_fails_on_every_shape(shape: str) -> None:
    with pytest.raises(KernelIncorrect):
        verify(TailNeverSeen, f"{shape}-scaled_query")


SQUARE = SimpleNamespace(
    codebook=np.zeros((2, 256, 1), np.float32),
    codes=np.array([[0, 1, 0], [0, 0, 1]], np.uint8),
    centroid=np.array([0.5, 0.5], np.float32),
    k=2,
)
"""Rows (0.5, 0.5), (1.5, 0.5) and (0.5, 2.5)."""
SQUARE.codebook[:, 1, 0] = 1, 2


def search(query: tuple[float, float]) -> Any:
    """The oracle's answer on the square, after the committed kernel's has passed its check."""
    call = (np.array(query, np.float32),)
    wiring = BATTERY.target.wiring
    expected = wiring.bind(BATTERY.target.reference, SQUARE)(*call)
    wiring.check(wiring.bind(BATTERY.kernels, SQUARE)(*call), expected, call)
    return expected


@pytest.mark.parametrize("length", [1e-15, 1.0, 1e15])
def test_distances_are_those_of_the_unit_query_by_hand(length: float) -> None:
    ids, distances, every, _ = search((3 * length, 4 * length))  # (0.6, 0.8)
    assert ids.tolist() == [0, 1]
    assert np.allclose(distances, [0.01 + 0.09, 0.81 + 0.09])
    assert np.allclose(every, [0.1, 0.9, 0.01 + 2.89], atol=1e-7)


def test_a_query_of_zeros_has_no_direction() -> None:
    ids, distances, every, limit = search((0.0, 0.0))
    assert ids.tolist() == [0, 1]
    assert np.isnan(distances).all()
    assert np.isnan(every).all()
    assert np.isfinite(limit).all()


@pytest.mark.parametrize(("distances", "wrong"), [([0.0, 0.0], "values differ"), ([np.nan] * 3, "shape")])
def test_a_query_of_zeros_answered_with_numbers_or_too_many_rows_is_refused(
    distances: list[float], wrong: str
) -> None:
    actual = np.arange(len(distances), dtype=np.uint32), np.array(distances, np.float32)
    with pytest.raises(AssertionError, match=wrong):
        BATTERY.target.wiring.check(actual, search((0.0, 0.0)), ())


def test_queries_come_in_every_length_and_near_duplicates_are_near() -> None:
    state, oracle, calls = BATTERY.prepared("384x24x8192-scaled_query")
    feed = generate.Feed(BATTERY.target, BATTERY.cases["384x24x8192-scaled_query"], state, 7, "lengths")
    exponents = np.log2([np.linalg.norm(query.astype(np.float64)) for (query,) in feed.draw(100)])
    assert exponents.min() < -40
    assert exponents.max() > 40
    _, oracle, calls = BATTERY.prepared("384x24x8192-near_duplicates")
    assert oracle.expected(calls[0])[2].min() < 1e-7
