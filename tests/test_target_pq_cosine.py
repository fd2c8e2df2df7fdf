"""The target pq-cosine: honest rewrites pass its checks on every case, wrong kernels fail wherever they should.

The stand-in kernels are plain numpy, so that no compiler's order of summation is taken for granted.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import quantised_rows
from battery import Battery

from pytest_lance_autoresearch.errors import KernelIncorrect
from pytest_lance_autoresearch.target_files import generate

BATTERY = Battery("pq-cosine")
Array = np.ndarray[Any, Any]


class InOrder(quantised_rows.InOrder):
    """float32 in the order of the terms; results ascending by (distance, id)."""

    def __init__(self, codebook: Array, codes: Array, offsets: Array, centroids: Array) -> None:
        self.codebook, self.codes, self.offsets, self.centroids = codebook, codes, offsets, centroids

    def blocks(self) -> Iterator[Array]:
        for block in np.split(self.codes, self.offsets[1:-1] * len(self.codebook)):
            yield block.reshape(len(self.codebook), -1)

    def unit(self, query: Array) -> Array:
        unit: Array = query / np.sqrt(np.square(query).cumsum(dtype=np.float32)[-1])
        return unit

    def residual(self, query: Array, centroid: Array) -> Array:
        return self.unit(query) - centroid

    def partition(self, query: Array, block: Array, centroid: Array) -> Array:
        return self.scan(self.table(self.residual(query, centroid)), block)

    def distances(self, query: Array) -> Array:
        pairs = zip(self.blocks(), self.centroids, strict=True)
        return np.concatenate([self.partition(query, block, centroid) for block, centroid in pairs])

    def select(self, distances: Array, k: int) -> Array:
        rows = self.order(distances)
        return rows[~np.isnan(distances[rows])][:k]

    def top_k(self, query: Array, k: int) -> tuple[Array, Array]:
        distances = self.distances(query)
        ids = self.select(distances, k)
        return ids.astype(np.uint32), distances[ids]


class Backwards(quantised_rows.FromTheEnd, InOrder):
    """Every sum from its end, a reciprocal in place of the division, ties in descending order of ids."""

    def unit(self, query: Array) -> Array:
        unit: Array = query * (np.float32(1) / np.sqrt(np.square(query[::-1]).cumsum(dtype=np.float32)[-1]))
        return unit


class WithoutResidual(InOrder):
    """1 + x.x - 2 q.centroid - 2 q.r in float32: a table of inner products that no partition changes."""

    def partition(self, query: Array, block: Array, centroid: Array) -> Array:
        unit = self.unit(query)
        parts = unit.reshape(len(self.codebook), 1, -1)
        products = (parts * self.codebook).sum(axis=2)
        rows = (self.codebook + centroid.reshape(parts.shape)) * self.codebook
        of_rows = (rows + self.codebook * centroid.reshape(parts.shape)).sum(axis=2)
        distances = self.scan(of_rows - np.float32(2) * products, block)
        distances += np.float32(1) + np.square(centroid).sum() - np.float32(2) * unit.dot(centroid)
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


class PartitionByPartition(InOrder):
    """The k best of each partition, then the k best of those."""

    def select(self, distances: Array, k: int) -> Array:
        parts = np.split(np.arange(distances.size), self.offsets[1:-1])
        best = np.concatenate([part[super(type(self), self).select(distances[part], k)] for part in parts])
        return best[super().select(distances[best], k)]


class NoResidual(InOrder):
    def residual(self, query: Array, centroid: Array) -> Array:  # noqa: ARG002
        return self.unit(query)


class OneResidualForAll(InOrder):
    """Every partition searched with the table of the first."""

    def residual(self, query: Array, centroid: Array) -> Array:  # noqa: ARG002
        return super().residual(query, self.centroids[0])


class NormalisedAfterwards(InOrder):
    def residual(self, query: Array, centroid: Array) -> Array:
        return self.unit(query - centroid)


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
    def __init__(self, codebook: Array, codes: Array, offsets: Array, centroids: Array) -> None:
        super().__init__(codebook.astype(np.float16).astype(np.float32), codes, offsets, centroids)

    def residual(self, query: Array, centroid: Array) -> Array:
        return super().residual(query, centroid).astype(np.float16).astype(np.float32)


class LastSubSpaceLeftOut(InOrder):
    def scan(self, table: Array, block: Array) -> Array:
        return super().scan(table[:-1], block[:-1])


class OnePartitionAsBlock(InOrder):
    """All codes read as one (M, n), as if they did not lie partition by partition."""

    def blocks(self) -> Iterator[Array]:
        whole = self.codes.reshape(len(self.codebook), -1)
        yield from np.split(whole, self.offsets[1:-1], axis=1)


class IdsOfThePartition(InOrder):
    """Rows counted from the beginning of their partition."""

    def top_k(self, query: Array, k: int) -> tuple[Array, Array]:
        ids, distances = super().top_k(query, k)
        first = self.offsets[np.searchsorted(self.offsets, ids, side="right") - 1]
        return (ids - first).astype(np.uint32), distances


class TailsNeverSeen(InOrder):
    """Rows of a partition after its last whole block of 16; where there is no whole block, all are seen."""

    def partition(self, query: Array, block: Array, centroid: Array) -> Array:
        distances = super().partition(query, block, centroid)
        distances[block.shape[1] // 16 * 16 or block.shape[1] :] = np.inf
        return distances


class HeapEmptiedForEachPartition(InOrder):
    """The nearest of the last partition that has rows."""

    def select(self, distances: Array, k: int) -> Array:
        first = self.offsets[self.offsets < distances.size][-1]
        rows: Array = first + super().select(distances[first:], k)
        return rows


class WrongIds(InOrder):
    def top_k(self, query: Array, k: int) -> tuple[Array, Array]:
        ids, distances = super().top_k(query, k)
        return np.sort(ids)[::-1].copy(), distances


class NanKept(InOrder):
    """Rows without a distance returned, as Lance 1.0.0 did."""

    def select(self, distances: Array, k: int) -> Array:
        return self.order(distances)[:k]


HONEST = (InOrder, Backwards, WithoutResidual, InDouble, PartitionByPartition)
WRONG: dict[type[InOrder], tuple[str, ...]] = {
    NotNormalised: (),
    NoResidual: (),
    OneResidualForAll: (),
    NormalisedAfterwards: (),
    RoughRoot: ("near_duplicates", "100x10x3x12299-one_hot"),  # along a row, a little longer is as near
    Halved: (),
    SquareRoot: (),
    HalfPrecision: ("near_duplicates",),  # nine rows of ten differ from the query in one sub-space only
    LastSubSpaceLeftOut: ("near_duplicates",),
    OnePartitionAsBlock: (),
    IdsOfThePartition: (),
    HeapEmptiedForEachPartition: (),
    WrongIds: ("near_duplicates", "one_hot"),  # ties
}
"""Wrong kernels, and the ends of the ids of cases where they may be right, besides `no_direction`."""
SHAPES = [*dict.fromkeys(case.shape_id for case in BATTERY.cases.values())]


def verify(kernel: type[InOrder], case_id: str) -> None:
    BATTERY.verify(SimpleNamespace(PqCosineKernel=kernel), case_id)


@pytest.mark.parametrize("case_id", BATTERY.cases)
def test_honest_kernels_pass_on_every_case(case_id: str) -> None:
    for kernel in HONEST:
        verify(kernel, case_id)


@pytest.mark.parametrize("case_id", [case_id for case_id in BATTERY.cases if not case_id.endswith("no_direction")])
def test_wrong_kernels_fail_on_every_case(case_id: str) -> None:
    for kernel, spared in WRONG.items():
        if not case_id.endswith(spared):
            with pytest.raises(KernelIncorrect):
                verify(kernel, case_id)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("kernel", "distribution"),
    [(TailsNeverSeen, "anisotropic"), (TailsNeverSeen, "clustered")],
)
def test_forgetting_the_rows_after_the_last_block_fails_on_every_shape(
    kernel: type[InOrder], distribution: str, shape: str
) -> None:
    with pytest.raises(KernelIncorrect):
        verify(kernel, f"{shape}-{distribution}")


@pytest.mark.parametrize("shape", SHAPES)
def test_answering_a_query_without_direction_fails_on_every_shape(shape: str) -> None:
    with pytest.raises(KernelIncorrect, match=r"ids: uint32 of shape \(10,\), expected uint32 of shape \(0,\)"):
        verify(NanKept, f"{shape}-no_direction")


THREE = SimpleNamespace(
    codebook=np.zeros((2, 256, 1), np.float32),
    codes=np.array([0, 1, 0, 0, 0, 1], np.uint8),
    offsets=np.array([0, 2, 2, 3]),
    centroids=np.array([[0.5, 0.5], [0.1, 0.1], [0.25, 0]], np.float32),
    k=2,
)
"""Rows (0.5, 0.5) and (1.5, 0.5), an empty partition, and the row (0.25, 2)."""
THREE.codebook[:, 1, 0] = 1, 2


def search(query: tuple[float, float]) -> Any:
    """The oracle's answer on the three rows, after the committed kernel's has passed its check."""
    call = (np.array(query, np.float32),)
    wiring = BATTERY.target.wiring
    expected = wiring.bind(BATTERY.target.reference, THREE)(*call)
    wiring.check(wiring.bind(BATTERY.kernels, THREE)(*call), expected, call)
    return expected


@pytest.mark.parametrize("length", [1e-15, 1.0, 1e15])
def test_distances_are_those_of_the_unit_query_by_hand(length: float) -> None:
    ids, distances, every, _ = search((3 * length, 4 * length))  # (0.6, 0.8)
    assert ids.tolist() == [0, 1]
    assert np.allclose(distances, [0.01 + 0.09, 0.81 + 0.09])
    assert np.allclose(every, [0.1, 0.9, 0.1225 + 1.44], atol=1e-7)


@pytest.mark.parametrize("query", [(0.0, 0.0), (np.nan, 1.0), (0.0, np.inf), (-np.inf, 1.0)])
def test_a_query_without_direction_finds_nothing(query: tuple[float, float]) -> None:
    ids, distances, every, limit = search(query)
    assert ids.size == distances.size == 0
    assert np.isnan(every).all()
    assert np.isfinite(limit).all()


def test_queries_come_in_every_length_and_near_duplicates_are_near() -> None:
    state, oracle, calls = BATTERY.prepared("384x24x4x8192-scaled_query")
    feed = generate.Feed(BATTERY.target, BATTERY.cases["384x24x4x8192-scaled_query"], state, 7, "lengths")
    exponents = np.log2([np.linalg.norm(query.astype(np.float64)) for (query,) in feed.draw(100)])
    assert exponents.min() < -40
    assert exponents.max() > 40
    _, oracle, calls = BATTERY.prepared("384x24x4x8192-near_duplicates")
    assert oracle.expected(calls[0])[2].min() < 1e-7
