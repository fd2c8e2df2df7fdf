"""The target pq-dot: honest rewrites pass its checks on every case, wrong kernels fail wherever they should.

The stand-in kernels are plain numpy, so that no compiler's order of summation is taken for granted.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from battery import Battery

from pytest_lance_autoresearch.errors import KernelIncorrect

BATTERY = Battery("pq-dot")
LARGEST = np.finfo(np.float32).max
Array = np.ndarray[Any, Any]


class AsInLance:
    """float32: 1 - dot for each sub-space, their sum in order, and M - 1 off at the end."""

    def __init__(self, codebook: Array, codes: Array, offsets: Array) -> None:
        self.codebook, self.codes, self.offsets = codebook, codes, offsets

    def products(self, query: Array) -> Array:
        parts = query.reshape(len(self.codebook), 1, -1)
        return (parts * self.codebook).cumsum(axis=2, dtype=np.float32)[..., -1]

    def blocks(self) -> Iterator[Array]:
        for block in np.split(self.codes, self.offsets[1:-1] * len(self.codebook)):
            yield block.reshape(len(self.codebook), -1)

    def sum(self, terms: Array, block: Array) -> Array:
        total = np.zeros(block.shape[1], np.float32)
        for of_sub_space, column in zip(terms, block, strict=True):
            total += of_sub_space[column]
        return total

    def partition(self, query: Array, block: Array) -> Array:
        return self.sum(np.float32(1) - self.products(query), block) - np.float32(len(block) - 1)

    def distances(self, query: Array) -> Array:
        return np.concatenate([self.partition(query, block) for block in self.blocks()])

    def order(self, distances: Array) -> Array:
        return np.argsort(distances, kind="stable")

    def is_distance(self, distances: Array) -> Array:
        """Which rows may be returned at all."""
        result: Array = (distances >= -LARGEST) & (distances < LARGEST)
        return result

    def select(self, distances: Array, k: int) -> Array:
        rows = self.order(distances)
        return rows[self.is_distance(distances[rows])][:k]

    def top_k(self, query: Array, k: int) -> tuple[Array, Array]:
        distances = self.distances(query)
        ids = self.select(distances, k)
        return ids.astype(np.uint32), distances[ids]


class PlainProducts(AsInLance):
    """No ones to take off again; every sum from its end, ties in descending order of ids."""

    def products(self, query: Array) -> Array:
        parts = query.reshape(len(self.codebook), 1, -1)
        return (parts * self.codebook)[..., ::-1].cumsum(axis=2, dtype=np.float32)[..., -1]

    def partition(self, query: Array, block: Array) -> Array:
        return np.float32(1) - self.sum(self.products(query)[::-1], block[::-1])

    def order(self, distances: Array) -> Array:
        return np.lexsort((-np.arange(distances.size), distances))


class InDouble(AsInLance):
    def products(self, query: Array) -> Array:
        parts = query.reshape(len(self.codebook), 1, -1).astype(np.float64)
        products: Array = (parts * self.codebook).sum(axis=2).astype(np.float32)
        return products


class PartitionByPartition(AsInLance):
    """The k best of each partition, then the k best of those."""

    def select(self, distances: Array, k: int) -> Array:
        parts = np.split(np.arange(distances.size), self.offsets[1:-1])
        best = np.concatenate([part[super(type(self), self).select(distances[part], k)] for part in parts])
        return best[super().select(distances[best], k)]


class OffsetForgotten(AsInLance):
    def partition(self, query: Array, block: Array) -> Array:
        return super().partition(query, block) + np.float32(len(block) - 1)


class OneOffsetTooMany(AsInLance):
    def partition(self, query: Array, block: Array) -> Array:
        return super().partition(query, block) - np.float32(1)


class Similarity(AsInLance):
    """The inner product, not 1 minus it."""

    def distances(self, query: Array) -> Array:
        return np.float32(1) - super().distances(query)


class LargestFirst(AsInLance):
    def order(self, distances: Array) -> Array:
        return np.argsort(-distances, kind="stable")


class SmallestSizeFirst(AsInLance):
    """A negative distance taken for its size."""

    def order(self, distances: Array) -> Array:
        return np.argsort(np.abs(distances), kind="stable")


class CodesRowByRow(AsInLance):
    def blocks(self) -> Iterator[Array]:
        for block in super().blocks():
            yield block.reshape(block.shape[::-1]).T


class OnePartitionAsBlock(AsInLance):
    """All codes read as one (M, n), as if there were no partitions."""

    def blocks(self) -> Iterator[Array]:
        yield self.codes.reshape(len(self.codebook), -1)


class IdsOfThePartition(AsInLance):
    """Rows counted from the beginning of their partition."""

    def top_k(self, query: Array, k: int) -> tuple[Array, Array]:
        ids, distances = super().top_k(query, k)
        first = self.offsets[np.searchsorted(self.offsets, ids, side="right") - 1]
        return (ids - first).astype(np.uint32), distances


class HalfPrecision(AsInLance):
    def products(self, query: Array) -> Array:
        half = AsInLance(self.codebook.astype(np.float16).astype(np.float32), self.codes, self.offsets)
        return AsInLance.products(half, query.astype(np.float16).astype(np.float32))


class LastSubSpaceLeftOut(AsInLance):
    def sum(self, terms: Array, block: Array) -> Array:
        return super().sum(terms[:-1], block[:-1]) + np.float32(1)


class TailsNeverSeen(AsInLance):
    """Rows of a partition after its last whole block of 16; where there is no whole block, all are seen."""

    def partition(self, query: Array, block: Array) -> Array:
        distances = super().partition(query, block)
        distances[block.shape[1] // 16 * 16 or block.shape[1] :] = np.inf
        return distances


class FirstPartitionOnly(AsInLance):
    def select(self, distances: Array, k: int) -> Array:
        return super().select(distances[: self.offsets[1]], k)


class LastPartitionNeverSeen(AsInLance):
    def select(self, distances: Array, k: int) -> Array:
        return super().select(distances[: self.offsets[-2]], k)


class NothingLeftOut(AsInLance):
    """Rows at NaN and at infinity are returned."""

    def is_distance(self, distances: Array) -> Array:
        return np.ones(distances.size, bool)


class NegativeInfinityKept(AsInLance):
    def is_distance(self, distances: Array) -> Array:
        return distances < LARGEST


class NanLeftOutAlone(AsInLance):
    def is_distance(self, distances: Array) -> Array:
        return ~np.isnan(distances)


class LeftOutAfterSelection(AsInLance):
    """Rows without a distance take places among the k before they are left out."""

    def select(self, distances: Array, k: int) -> Array:
        rows = self.order(distances)[:k]
        return rows[self.is_distance(distances[rows])]


HONEST = (AsInLance, PlainProducts, InDouble, PartitionByPartition)
WRONG: dict[type[AsInLance], tuple[str, ...]] = {
    OffsetForgotten: ("large_dynamic_range",),  # distances of 1e7 and more
    OneOffsetTooMany: ("large_dynamic_range",),
    Similarity: (),
    LargestFirst: (),
    SmallestSizeFirst: ("unit", "all_negative"),  # no distance is negative
    CodesRowByRow: ("k_exceeds_n",),  # partitions of one row
    OnePartitionAsBlock: (),
    IdsOfThePartition: (),
    HalfPrecision: ("768x96x8x4096-unit",),  # Lance's own order rounds as coarsely there
    LastSubSpaceLeftOut: (),
    FirstPartitionOnly: (),
}
"""Wrong kernels, and the ends of the ids of cases where they may be right, besides `not_finite`."""
WRONG_WITHOUT_A_DISTANCE: dict[type[AsInLance], tuple[str, ...]] = {
    NothingLeftOut: ("overflow", "not_finite"),
    NegativeInfinityKept: ("overflow",),
    NanLeftOutAlone: ("overflow",),
    LeftOutAfterSelection: ("overflow",),
}
"""Kernels that are wrong about rows without a distance, and the distributions where they are refused."""
SHAPES = [*dict.fromkeys(case.shape_id for case in BATTERY.cases.values())]


def verify(kernel: type[AsInLance], case_id: str) -> None:
    BATTERY.verify(SimpleNamespace(PqDotKernel=kernel), case_id)


@pytest.mark.parametrize("case_id", BATTERY.cases)
def test_honest_kernels_pass_on_every_case(case_id: str) -> None:
    for kernel in HONEST:
        verify(kernel, case_id)


@pytest.mark.parametrize("case_id", [case_id for case_id in BATTERY.cases if not case_id.endswith("not_finite")])
def test_wrong_kernels_fail_on_every_case(case_id: str) -> None:
    for kernel, spared in WRONG.items():
        if not case_id.endswith(spared):
            with pytest.raises(KernelIncorrect):
                verify(kernel, case_id)


@pytest.mark.parametrize("shape", SHAPES)
def test_returning_rows_without_a_distance_fails_on_every_shape(shape: str) -> None:
    for kernel, distributions in WRONG_WITHOUT_A_DISTANCE.items():
        for distribution in distributions:
            with pytest.raises(KernelIncorrect):
                verify(kernel, f"{shape}-{distribution}")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("kernel", "distribution"),
    [
        (TailsNeverSeen, "popularity"),
        (TailsNeverSeen, "unit"),
        (TailsNeverSeen, "gaussian"),
        (LastPartitionNeverSeen, "k_exceeds_n"),
    ],
)
def test_forgetting_rows_at_an_end_fails_on_every_shape(
    kernel: type[AsInLance], distribution: str, shape: str
) -> None:
    with pytest.raises(KernelIncorrect):
        verify(kernel, f"{shape}-{distribution}")


def test_some_partitions_are_empty_and_equal_rows_are_many() -> None:
    state, _, _ = BATTERY.prepared("64x8x20x40960-k_exceeds_n")
    assert (np.diff(state.offsets) == 0).sum() >= 13
    state, oracle, calls = BATTERY.prepared("64x8x20x40960-duplicates")
    ascending = [np.sort(oracle.expected(call)[2]) for call in calls]
    assert any(every[state.k - 1] == every[state.k] for every in ascending)


THREE = SimpleNamespace(
    codebook=np.zeros((2, 256, 1), np.float32),
    codes=np.array([0, 1, 0, 0, 1, 1], np.uint8),
    offsets=np.array([0, 2, 2, 3]),
    k=2,
)
"""Rows (0, 0) and (1, 0), an empty partition, and the row (1, 2)."""
THREE.codebook[:, 1, 0] = 1, 2


def search(query: tuple[float, float]) -> Any:
    """The oracle's answer on the three rows, after the committed kernel's has passed its check."""
    call = (np.array(query, np.float32),)
    wiring = BATTERY.target.wiring
    expected = wiring.bind(BATTERY.target.reference, THREE)(*call)
    wiring.check(wiring.bind(BATTERY.kernels, THREE)(*call), expected, call)
    return expected


def test_distances_are_one_minus_the_inner_product_by_hand() -> None:
    ids, distances, every, _ = search((3, 0.5))
    assert every.tolist() == [1, -2, -3]
    assert ids.tolist() == [2, 1]
    assert distances.tolist() == [-3, -2]


def test_for_a_query_of_zeros_every_distance_is_one() -> None:
    ids, distances, every, _ = search((0, 0))
    assert every.tolist() == [1, 1, 1]
    assert ids.tolist() == [0, 1]
    assert distances.tolist() == [1, 1]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_query_with_nan_or_infinity_finds_nothing(value: float) -> None:
    ids, distances, every, limit = search((value, 0.5))
    assert ids.size == distances.size == 0
    assert np.isnan(every).all()
    assert limit.tolist() == [0, 0, 0]


def test_a_row_beyond_the_largest_float32_is_not_found_on_either_side() -> None:
    for query in ((3e38, 3e38), (-3e38, -3e38)):  # the third row is at 1 -+ 9e38
        ids, _, every, _ = search(query)
        assert sorted(ids) == [0, 1]
        assert np.isnan(every).tolist() == [False, False, True]
