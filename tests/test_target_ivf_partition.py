"""The target ivf-partition: honest rewrites pass its checks on every case, wrong kernels fail where they must.

The stand-in kernels are plain numpy, so that no compiler's order of summation is taken for granted.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from battery import Battery

from pytest_lance_autoresearch.errors import KernelIncorrect

BATTERY = Battery("ivf-partition")
Array = np.ndarray[Any, Any]


def ranks(distances: Array) -> Array:
    """Whole numbers in IEEE's total order of float32."""
    bits = distances.view(np.uint32)
    ordered: Array = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    return ordered


class InOrder:
    """float32, dimensions added one after the other; ties by id."""

    def __init__(self, centroids: Array, metric: str) -> None:
        self.centroids, self.metric = centroids, metric

    def total(self, terms: Array) -> Array:
        sums: Array = terms.cumsum(axis=1)[:, -1]
        return sums

    def normalised(self, query: Array) -> Array:
        unit: Array = query / np.sqrt(np.square(query).cumsum()[-1])
        return unit

    def distances(self, query: Array) -> Array:
        if self.metric == "dot":
            return np.float32(1) - self.total(self.centroids * query)
        if self.metric == "cosine":
            query = self.normalised(query)
        return self.total(np.square(self.centroids - query))

    def order(self, distances: Array, nprobes: int) -> Array:
        return np.argsort(ranks(distances), kind="stable")[:nprobes]

    def find_partitions(self, query: Array, nprobes: int) -> tuple[Array, Array]:
        distances = self.distances(query).astype(np.float32)
        ids = self.order(distances, nprobes).astype(np.uint32)
        return ids, distances[ids]


class Backwards(InOrder):
    def total(self, terms: Array) -> Array:
        sums: Array = terms[:, ::-1].cumsum(axis=1)[:, -1]
        return sums


class Pairwise(InOrder):
    """numpy's own sum, and ties by descending id."""

    def total(self, terms: Array) -> Array:
        sums: Array = terms.sum(axis=1)
        return sums

    def order(self, distances: Array, nprobes: int) -> Array:
        return np.lexsort((-np.arange(distances.size), ranks(distances)))[:nprobes]


class InDouble(InOrder):
    def __init__(self, centroids: Array, metric: str) -> None:
        super().__init__(centroids.astype(np.float64), metric)

    def distances(self, query: Array) -> Array:
        distances: Array = super().distances(query.astype(np.float64)).astype(np.float32)
        return distances


class Expanded(InOrder):
    """q.q - 2 q.c + c.c by BLAS, which cancels where q is near c."""

    def distances(self, query: Array) -> Array:
        if self.metric == "dot":
            return np.float32(1) - self.centroids @ query
        if self.metric == "cosine":
            query = self.normalised(query)
        self.norms = query @ query + np.square(self.centroids).sum(axis=1)
        distances: Array = self.norms - np.float32(2) * (self.centroids @ query)
        return distances


class ExpandedAndRechecked(Expanded):
    """The same, with the distances that cancelled, and those that are not numbers, computed again."""

    def distances(self, query: Array) -> Array:
        distances = super().distances(query)
        near = np.isnan(distances) if self.metric == "dot" else ~(distances > self.norms / 4)
        distances[near] = InOrder(self.centroids[near], self.metric).distances(query)
        return distances


class HalfPrecision(InOrder):
    """float16 copies without a second look."""

    def __init__(self, centroids: Array, metric: str) -> None:
        super().__init__(centroids.astype(np.float16).astype(np.float32), metric)


class HalfAFilter(InOrder):
    """Candidates by float16 centroids, exactly as many as asked for, with exact distances."""

    def find_partitions(self, query: Array, nprobes: int) -> tuple[Array, Array]:
        rough = HalfPrecision(self.centroids, self.metric).distances(query)
        ids = np.sort(self.order(rough, nprobes))
        distances = InOrder(self.centroids[ids], self.metric).distances(query)
        order = self.order(distances, nprobes)
        return ids[order].astype(np.uint32), distances[order]


class LastPartitionsNeverSeen(InOrder):
    """Whole blocks of 16 partitions only."""

    def distances(self, query: Array) -> Array:
        distances = super().distances(query)
        distances[len(distances) // 16 * 16 :] = np.inf
        return distances


class LastDimensionsLeftOut(InOrder):
    """Whole blocks of 16 dimensions only."""

    def total(self, terms: Array) -> Array:
        sums: Array = terms[:, : terms.shape[1] // 16 * 16].sum(axis=1)
        return sums


class NotNormalised(InOrder):
    def normalised(self, query: Array) -> Array:
        return query


class DotOnly(InOrder):
    """Forgets 1 - x; takes the negated product as the distance."""

    def distances(self, query: Array) -> Array:
        return super().distances(query) - np.float32(self.metric == "dot")


class Rooted(InOrder):
    def distances(self, query: Array) -> Array:
        distances = super().distances(query)
        return distances if self.metric == "dot" else np.sqrt(distances)


class Unsorted(InOrder):
    """The right partitions as a selection leaves them."""

    def order(self, distances: Array, nprobes: int) -> Array:
        return np.sort(super().order(distances, nprobes))


class OneTooMany(InOrder):
    """Leaves the nearest out and takes one more at the end."""

    def order(self, distances: Array, nprobes: int) -> Array:
        return np.roll(super().order(distances, nprobes + 1), -1)[:nprobes]


class TiesLost(InOrder):
    """Each distance once, as a threshold of `<` keeps them."""

    def order(self, distances: Array, nprobes: int) -> Array:
        return np.unique(distances, return_index=True)[1][:nprobes]


class NaNLast(InOrder):
    """numpy's order, not IEEE's."""

    def order(self, distances: Array, nprobes: int) -> Array:
        return np.argsort(distances, kind="stable")[:nprobes]


class NaNLeftOut(InOrder):
    def order(self, distances: Array, nprobes: int) -> Array:
        ids = super().order(distances, distances.size)
        return ids[~np.isnan(distances[ids])][:nprobes]


class NotClamped(InOrder):
    def find_partitions(self, query: Array, nprobes: int) -> tuple[Array, Array]:
        ids, distances = super().find_partitions(query, nprobes)
        missing = (0, nprobes - ids.size)
        return np.pad(ids, missing), np.pad(distances, missing, constant_values=np.inf)


HONEST = (InOrder, Backwards, Pairwise, InDouble, ExpandedAndRechecked)

L2 = ("clustered", "query_is_centroid", "duplicates", "large_dynamic_range", "nan_rows", "boundary_nprobes")
CONTINUOUS = (*L2, "gaussian", "unit", "mostly_zero")
WRONG = {
    HalfPrecision: ("clustered", "gaussian", "unit", "query_is_centroid", "duplicates", "large_dynamic_range"),
    LastPartitionsNeverSeen: ("query_is_centroid", "nan_rows", "large_dynamic_range", "boundary_nprobes"),
    NotNormalised: ("unit",),
    DotOnly: ("gaussian", "mostly_zero"),
    Rooted: (*L2, "unit", "lattice", "equidistant"),
    Unsorted: ("clustered", "gaussian", "unit", "query_is_centroid", "large_dynamic_range"),
    OneTooMany: (*(one for one in CONTINUOUS if one != "duplicates"), "lattice"),  # ten may be equal there
    TiesLost: ("lattice", "equidistant"),
    NaNLast: ("nan_rows",),
    NaNLeftOut: ("nan_rows",),
    Expanded: ("large_dynamic_range",),
}
"""Wrong kernels, and the distributions on which each fails for every shape."""


def whole(kernel: type[InOrder]) -> Any:
    """The kernel of all tables and queries, made of one that ranks a table for a query."""

    class IvfModel:
        def __init__(self, centroids: Array, metric: str) -> None:
            self.tables = [kernel(table, metric) for table in centroids]

        def find_partitions(self, queries: Array, nprobes: int) -> tuple[Array, Array]:
            found = [[table.find_partitions(query, nprobes) for query in queries] for table in self.tables]
            ids, distances = (np.array([[one[part] for one in row] for row in found]) for part in (0, 1))
            return ids, distances

    return IvfModel


class OneTableForAll:
    """Ranks the partitions of all tables together, as an index without deltas would."""

    def __init__(self, centroids: Array, metric: str) -> None:
        self.shape = centroids.shape
        self.all = InOrder(centroids.reshape(-1, centroids.shape[2]), metric)

    def find_partitions(self, queries: Array, nprobes: int) -> tuple[Array, Array]:
        tables, partitions, _ = self.shape
        found = [self.all.find_partitions(query, min(nprobes, partitions)) for query in queries]
        ids, distances = (np.array([[one[part] for one in found]] * tables) for part in (0, 1))
        return ids % partitions, distances


class FirstQueryForAll:
    def __init__(self, centroids: Array, metric: str) -> None:
        self.model = whole(InOrder)(centroids, metric)

    def find_partitions(self, queries: Array, nprobes: int) -> tuple[Array, Array]:
        found: tuple[Array, Array] = self.model.find_partitions(np.tile(queries[:1], (len(queries), 1)), nprobes)
        return found


def verify(kernel: Any, case_id: str) -> None:
    model = whole(kernel) if issubclass(kernel, InOrder) else kernel
    BATTERY.verify(SimpleNamespace(IvfModel=model), case_id)


def is_refused(kernel: Any, case_id: str) -> bool:
    try:
        verify(kernel, case_id)
    except KernelIncorrect:
        return True
    return False


@pytest.mark.parametrize("case_id", BATTERY.cases)
def test_honest_kernels_pass_on_every_case(case_id: str) -> None:
    for kernel in HONEST:
        verify(kernel, case_id)


@pytest.mark.parametrize("case_id", BATTERY.cases)
def test_wrong_kernels_fail_where_they_must(case_id: str) -> None:
    for kernel, distributions in WRONG.items():
        if BATTERY.cases[case_id].distribution in distributions:
            assert is_refused(kernel, case_id), kernel.__name__


def test_more_probes_than_partitions_are_met_on_some_shape() -> None:
    cases = [case_id for case_id in BATTERY.cases if case_id.endswith("boundary_nprobes")]
    assert any(is_refused(NotClamped, case_id) for case_id in cases)


@pytest.mark.parametrize(
    "distribution",
    sorted({*BATTERY.target.inputs.DISTRIBUTIONS, *L2} - {"large_dynamic_range"}),  # the last may be small there
)
def test_dimensions_after_the_last_whole_block_count(distribution: str) -> None:
    assert is_refused(LastDimensionsLeftOut, f"1x4099x100x1x10-{distribution}")


@pytest.mark.parametrize(
    ("kernel", "case_id"),
    [(OneTableForAll, "32x256x384x1x20-clustered"), (FirstQueryForAll, "1x256x128x64x20-gaussian")],
)
def test_each_table_and_each_query_is_ranked_by_itself(kernel: Any, case_id: str) -> None:
    assert is_refused(kernel, case_id)
    verify(kernel, "1x4099x100x1x10-lattice")  # one table, one query


def test_the_oracle_of_a_worked_example() -> None:
    """Four centroids in the plane, the query (3, 4): differences of (3, 4), (0, 4), (0, 0) and (4, 4)."""
    centroids = np.array([[[0, 0], [3, 0], [3, 4], [-1, 0]]], np.float32)
    queries = np.array([[3, 4]], np.float32)
    (ids,), (distances,), (every,), _ = model(centroids, "l2").find_partitions(queries, 3)
    assert ids.tolist() == [[2, 1, 0]]
    assert distances.tolist() == [[0, 16, 25]]
    assert every.tolist() == [[25, 16, 0, 32]]
    _, _, dot, _ = model(centroids, "dot").find_partitions(queries, 1)
    assert dot.tolist() == [[[1, -8, -24, 4]]]
    _, _, cosine, _ = model(centroids, "cosine").find_partitions(queries, 1)
    np.testing.assert_allclose(cosine, [[[1, 2.4**2 + 0.8**2, 2.4**2 + 3.2**2, 1.6**2 + 0.8**2]]])


def test_the_oracle_of_two_tables_and_two_queries() -> None:
    centroids = np.array([[[0], [10]], [[7], [1]]], np.float32)
    ids, distances, every, limits = model(centroids, "l2").find_partitions(np.array([[0], [8]], np.float32), 1)
    assert ids.tolist() == [[[0], [1]], [[1], [0]]]
    assert distances.tolist() == [[[0], [4]], [[1], [1]]]
    assert every.tolist() == [[[0, 100], [64, 4]], [[49, 1], [1, 49]]]
    assert limits.shape == every.shape


def model(centroids: Array, metric: str) -> Any:
    return BATTERY.target.reference.IvfModel(centroids, metric)


def test_negative_nan_is_nearest_and_positive_nan_farthest() -> None:
    column = np.array([[[np.nan], [1], [np.copysign(np.nan, -1)], [0]]], np.float32)
    ids, distances, _, _ = model(column, "l2").find_partitions(np.zeros((1, 1), np.float32), 4)
    assert ids.tolist() == [[[2, 3, 1, 0]]]
    assert np.signbit(distances).tolist() == [[[True, False, False, False]]]
