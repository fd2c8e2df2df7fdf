"""The target pq-prefilter: honest rewrites pass its checks on every case, wrong kernels fail wherever they should.

The stand-in kernels are plain numpy, so that no compiler's order of summation is taken for granted.
"""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import quantised_rows
from battery import Battery

from pytest_lance_autoresearch.errors import KernelIncorrect

BATTERY = Battery("pq-prefilter")
SHAPES = [*dict.fromkeys(case.shape_id for case in BATTERY.cases.values())]
LARGEST = np.finfo(np.float32).max
Array = np.ndarray[Any, Any]


class Gather(quantised_rows.InOrder):
    """float32 in the order of the terms, a row's codes one by one; the base of all others."""

    def __init__(self, codebook: Array, codes: Array, offsets: Array, centroids: Array) -> None:
        self.codebook, self.offsets, self.centroids = codebook, offsets, centroids
        self.blocks = self.split(codes)

    def split(self, codes: Array) -> list[Array]:
        sub_vectors = len(self.codebook)
        return [part.reshape(sub_vectors, -1) for part in np.split(codes, self.offsets[1:-1] * sub_vectors)]

    def residual(self, query: Array, partition: int) -> Array:
        residual: Array = query - self.centroids[partition]
        return residual

    def partition(self, query: Array, partition: int, rows: Array) -> Array:
        """The distances of some rows of a partition, whose numbers count from its first."""
        return self.scan(self.table(self.residual(query, partition)), self.blocks[partition][:, rows])

    def distances(self, query: Array, allowed: Array) -> Array:
        begins = np.searchsorted(allowed, self.offsets)
        parts = [
            self.partition(query, p, allowed[start:stop] - self.offsets[p])
            for p, (start, stop) in enumerate(pairwise(begins))
        ]
        return np.concatenate(parts).astype(np.float32)

    def has_distance(self, distances: Array) -> Array:
        has: Array = distances < LARGEST
        return has

    def best(self, distances: Array, k: int) -> Array:
        order = self.order(distances)
        best: Array = order[self.has_distance(distances[order])][:k]
        return best

    def top_k(self, query: Array, allowed: Array, k: int) -> tuple[Array, Array]:
        distances = self.distances(query, allowed)
        best = self.best(distances, k)
        return allowed[best], distances[best]


class FullScan(Gather):
    """Scans all rows, and asks a bitmap which of the distances count."""

    def distances(self, query: Array, allowed: Array) -> Array:
        rows = np.arange(self.offsets[-1])
        bitmap = np.packbits(np.isin(rows, allowed), bitorder="little")
        counts = np.unpackbits(bitmap, count=rows.size, bitorder="little")
        distances: Array = super().distances(query, rows)[counts == 1]
        return distances


class RowMajor(Gather):
    """Keeps the codes row by row."""

    def split(self, codes: Array) -> list[Array]:
        return [np.ascontiguousarray(block.T) for block in super().split(codes)]

    def partition(self, query: Array, partition: int, rows: Array) -> Array:
        table = self.table(self.residual(query, partition))
        distances: Array = table[np.arange(len(table)), self.blocks[partition][rows]].sum(axis=1)
        return distances


class NoTable(Gather):
    """Squared differences of the query to every allowed row, decoded."""

    def partition(self, query: Array, partition: int, rows: Array) -> Array:
        residual = self.residual(query, partition)
        codes = self.blocks[partition][:, rows]
        decoded = self.codebook[np.arange(len(codes))[:, None], codes]
        squares = np.square(decoded - residual.reshape(len(codes), 1, -1))
        distances: Array = squares.sum(axis=(0, 2), dtype=np.float32)
        return distances


class OneTableForAll(Gather):
    """q.q - 2 q.x + x.x for x = centroid + r: one table of q.r for all partitions, a constant for each row."""

    def __init__(self, codebook: Array, codes: Array, offsets: Array, centroids: Array) -> None:
        super().__init__(codebook, codes, offsets, centroids)
        self.constants = []
        for block, centroid in zip(self.blocks, centroids, strict=True):
            whole = codebook + centroid.reshape(len(codebook), 1, -1)
            with np.errstate(over="ignore"):  # rows that are too far
                self.constants.append(self.scan(np.square(whole).sum(axis=2), block))

    def partition(self, query: Array, partition: int, rows: Array) -> Array:
        products = (query.reshape(len(self.codebook), 1, -1) * self.codebook).sum(axis=2)
        distances = self.constants[partition][rows] + np.square(query).sum()
        distances -= np.float32(2) * query.dot(self.centroids[partition])
        distances -= np.float32(2) * self.scan(products, self.blocks[partition][:, rows])
        return np.asarray(distances)


class Backwards(quantised_rows.FromTheEnd, Gather):
    """Every sum from its end; ties in descending order of ids."""


class PartitionByPartition(Gather):
    """The k best of each partition, the last partition first, then the k best of those."""

    def top_k(self, query: Array, allowed: Array, k: int) -> tuple[Array, Array]:
        begins = np.searchsorted(allowed, self.offsets)
        parts = [super(PartitionByPartition, self).top_k(query, allowed[a:b], k) for a, b in pairwise(begins)]
        ids, distances = (np.concatenate(of_parts) for of_parts in zip(*reversed(parts), strict=True))
        best = self.best(distances, k)
        return ids[best], distances[best]


class LastRowForgotten(Gather):
    def top_k(self, query: Array, allowed: Array, k: int) -> tuple[Array, Array]:
        return super().top_k(query, allowed[:-1], k)


class TailsForgotten(Gather):
    """Looks at whole blocks of 16 allowed rows of a partition; where there is none, at all."""

    def distances(self, query: Array, allowed: Array) -> Array:
        distances = super().distances(query, allowed)
        for start, stop in pairwise(np.searchsorted(allowed, self.offsets)):
            whole = (stop - start) // 16 * 16
            distances[start + whole if whole else stop : stop] = np.inf
        return distances


class FilterIgnored(Gather):
    def top_k(self, query: Array, allowed: Array, k: int) -> tuple[Array, Array]:  # noqa: ARG002
        return super().top_k(query, np.arange(self.offsets[-1], dtype=np.uint32), k)


class FilteredAfterwards(Gather):
    """The k nearest of all rows, and of these the allowed ones."""

    def top_k(self, query: Array, allowed: Array, k: int) -> tuple[Array, Array]:
        ids, distances = super().top_k(query, np.arange(self.offsets[-1], dtype=np.uint32), k)
        counts = np.isin(ids, allowed)
        return ids[counts], distances[counts]


class FirstToLast(Gather):
    """Takes the allowed rows of a partition for a range."""

    def top_k(self, query: Array, allowed: Array, k: int) -> tuple[Array, Array]:
        parts = np.split(allowed, np.searchsorted(allowed, self.offsets[1:-1]))
        ranges = [np.arange(part[0], part[-1] + 1, dtype=np.uint32) for part in parts if part.size]
        return super().top_k(query, np.concatenate([allowed[:0], *ranges]), k)


class BitmapNotCleared(Gather):
    """What was allowed once is allowed in every later call."""

    def __init__(self, codebook: Array, codes: Array, offsets: Array, centroids: Array) -> None:
        super().__init__(codebook, codes, offsets, centroids)
        self.bitmap = np.zeros(offsets[-1], np.bool_)

    def top_k(self, query: Array, allowed: Array, k: int) -> tuple[Array, Array]:
        self.bitmap[allowed] = True
        return super().top_k(query, np.flatnonzero(self.bitmap).astype(np.uint32), k)


class StopsAtK(Gather):
    """Leaves the loop when the heap is full."""

    def top_k(self, query: Array, allowed: Array, k: int) -> tuple[Array, Array]:
        return super().top_k(query, allowed[:k], k)


class AnyDistance(Gather):
    """No row is dropped, whatever its distance."""

    def has_distance(self, distances: Array) -> Array:
        return np.ones(distances.size, np.bool_)


class OnlyNanDropped(Gather):
    def has_distance(self, distances: Array) -> Array:
        return ~np.isnan(distances)


class HeapOfTheLastPartition(Gather):
    """A heap emptied for each partition."""

    def top_k(self, query: Array, allowed: Array, k: int) -> tuple[Array, Array]:
        *_, last = (part for part in np.split(allowed, np.searchsorted(allowed, self.offsets[1:-1])) if part.size)
        return super().top_k(query, last, k)


class HeapForEachPartition(Gather):
    """An equal part of the answer from every partition."""

    def top_k(self, query: Array, allowed: Array, k: int) -> tuple[Array, Array]:
        parts = np.split(allowed, np.searchsorted(allowed, self.offsets[1:-1]))
        share = -(-k // len(parts))
        of_parts = [super(HeapForEachPartition, self).top_k(query, part, share) for part in parts]
        ids, distances = (np.concatenate(of_parts) for of_parts in zip(*of_parts, strict=True))
        best = self.best(distances, k)
        return ids[best], distances[best]


class OneResidualForAll(Gather):
    """Every partition searched with the table of the first."""

    def residual(self, query: Array, partition: int) -> Array:  # noqa: ARG002
        return super().residual(query, 0)


class NoResidual(Gather):
    def residual(self, query: Array, partition: int) -> Array:  # noqa: ARG002
        return query


class OnePartitionAsBlock(Gather):
    """All codes read as one (M, n), as if they did not lie partition by partition."""

    def split(self, codes: Array) -> list[Array]:
        return np.split(codes.reshape(len(self.codebook), -1), self.offsets[1:-1], axis=1)


class ReadRowMajor(Gather):
    """Takes the codes to lie row by row."""

    def split(self, codes: Array) -> list[Array]:
        return [block.reshape(block.shape[::-1]).T for block in super().split(codes)]


class LastSubSpaceLeftOut(Gather):
    def scan(self, table: Array, block: Array) -> Array:
        return super().scan(table[:-1], block[:-1])


class HalfPrecision(Gather):
    """A table of float16."""

    def table(self, residual: Array) -> Array:
        return super().table(residual).astype(np.float16).astype(np.float32)


class HalfPrecisionInputs(Gather):
    def __init__(self, codebook: Array, codes: Array, offsets: Array, centroids: Array) -> None:
        super().__init__(codebook.astype(np.float16).astype(np.float32), codes, offsets, centroids)

    def residual(self, query: Array, partition: int) -> Array:
        return super().residual(query, partition).astype(np.float16).astype(np.float32)


class Bytes(Gather):
    """A table of bytes, in whole steps above the least entry of each sub-space; nothing is summed again."""

    def table(self, residual: Array) -> Array:
        table = super().table(residual)
        least = table.min(axis=1, keepdims=True)
        step = (table - least).max() / np.float32(255)
        return np.asarray(least + np.round((table - least) / step) * step)


class SquareRoot(Gather):
    def top_k(self, query: Array, allowed: Array, k: int) -> tuple[Array, Array]:
        ids, distances = super().top_k(query, allowed, k)
        return ids, np.sqrt(distances)


class IdsOfThePartition(Gather):
    """Rows counted from the beginning of their partition."""

    def top_k(self, query: Array, allowed: Array, k: int) -> tuple[Array, Array]:
        ids, distances = super().top_k(query, allowed, k)
        first = self.offsets[np.searchsorted(self.offsets, ids, side="right") - 1]
        return (ids - first).astype(np.uint32), distances


class PlacesAmongAllowed(Gather):
    """Rows counted among those that are allowed."""

    def top_k(self, query: Array, allowed: Array, k: int) -> tuple[Array, Array]:
        ids, distances = super().top_k(query, allowed, k)
        return np.searchsorted(allowed, ids).astype(np.uint32), distances


class WrongIds(Gather):
    def top_k(self, query: Array, allowed: Array, k: int) -> tuple[Array, Array]:
        ids, distances = super().top_k(query, allowed, k)
        return np.sort(ids)[::-1].copy(), distances


HONEST = (Gather, FullScan, RowMajor, NoTable, OneTableForAll, Backwards, PartitionByPartition)
NEAREST_ALLOWED = ("128x16x8x32768x100-clustered", "100x10x3x27011x500-clustered")
"""Where whole clusters are allowed, and the nearest rows of all lie in them."""
WRONG: dict[type[Gather], tuple[str, ...]] = {
    OneResidualForAll: (),
    NoResidual: (),
    OnePartitionAsBlock: (),
    ReadRowMajor: (),
    LastSubSpaceLeftOut: (),
    HalfPrecision: (),
    HalfPrecisionInputs: (),
    Bytes: (),
    SquareRoot: (),
    WrongIds: ("duplicates",),
    IdsOfThePartition: (),
    PlacesAmongAllowed: ("everything",),
    StopsAtK: ("few",),
    FirstToLast: ("ranges", "everything", *NEAREST_ALLOWED),
    FilterIgnored: ("everything", *NEAREST_ALLOWED),
    FilteredAfterwards: ("everything", *NEAREST_ALLOWED),
    HeapForEachPartition: ("few", "far_partition"),
    BitmapNotCleared: ("clustered", "everything", "ends", "one_partition"),
}
"""Wrong kernels, and the ends of the ids of cases where they may be right, besides `no_distance`."""
WRONG_SOMEWHERE = {
    LastRowForgotten: ("scattered", "ranges", "clustered", "everything", "few", "one_partition"),
    TailsForgotten: ("clustered", "everything", "one_partition", "duplicates"),
    HeapOfTheLastPartition: ("scattered", "everything"),
    AnyDistance: ("no_distance", "far_partition"),
    OnlyNanDropped: ("no_distance", "far_partition"),
}
"""Wrong kernels, and the distributions where they must be found out, on every shape."""


def verify(kernel: type[Gather], case_id: str) -> None:
    BATTERY.verify(SimpleNamespace(PqPrefilterKernel=kernel), case_id)


@pytest.mark.parametrize("case_id", BATTERY.cases)
def test_honest_kernels_pass_on_every_case(case_id: str) -> None:
    for kernel in HONEST:
        verify(kernel, case_id)


@pytest.mark.parametrize("kernel", WRONG)
def test_wrong_kernels_fail_on_every_case(kernel: type[Gather]) -> None:
    for case_id in BATTERY.cases:
        if not case_id.endswith(("no_distance", *WRONG[kernel])):
            with pytest.raises(KernelIncorrect):
                verify(kernel, case_id)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kernel", WRONG_SOMEWHERE)
def test_other_wrong_kernels_fail_on_every_shape(kernel: type[Gather], shape: str) -> None:
    for distribution in WRONG_SOMEWHERE[kernel]:
        with pytest.raises(KernelIncorrect):
            verify(kernel, f"{shape}-{distribution}")


THREE = SimpleNamespace(
    codebook=np.zeros((2, 256, 1), np.float32),
    codes=np.array([0, 1, 0, 0, 0, 1], np.uint8),
    offsets=np.array([0, 2, 2, 3]),
    centroids=np.array([[0.5, 0.5], [0.1, 0.1], [0.25, 0]], np.float32),
    k=2,
)
"""Rows (0.5, 0.5) and (1.5, 0.5), an empty partition, and the row (0.25, 2)."""
THREE.codebook[:, 1, 0] = 1, 2


def search(query: tuple[float, float], allowed: list[int], state: SimpleNamespace = THREE) -> Any:
    """The oracle's answer on the three rows, after the committed kernel's has passed its check."""
    call = (np.array(query, np.float32), np.array(allowed, np.uint32))
    wiring = BATTERY.target.wiring
    expected = wiring.bind(BATTERY.target.reference, state)(*call)
    wiring.check(wiring.bind(BATTERY.kernels, state)(*call), expected, call)
    return expected


@pytest.mark.parametrize(
    ("allowed", "found", "squares"),
    [
        ([0, 1, 2], [0, 1], [0.5, 0.5]),
        ([1, 2], [1, 2], [0.5, 1.5625]),
        ([0, 2], [0, 2], [0.5, 1.5625]),
        ([2], [2], [1.5625]),
        ([], [], []),
    ],
)
def test_only_allowed_rows_are_found_by_hand(allowed: list[int], found: list[int], squares: list[float]) -> None:
    ids, distances, every, _ = search((1, 1), allowed)
    assert (ids.tolist(), distances.tolist()) == (found, squares)
    assert np.flatnonzero(~np.isnan(every)).tolist() == allowed


@pytest.mark.parametrize("query", [(np.nan, 1.0), (0.0, np.inf), (-np.inf, 1.0), (2.0**65, 0.0)])
def test_a_query_without_distances_finds_nothing(query: tuple[float, float]) -> None:
    ids, distances, every, limit = search(query, [0, 1, 2])
    assert ids.size == distances.size == 0
    assert np.isnan(every).all()
    assert not limit.any()


def test_rows_that_are_too_far_are_left_out_one_by_one() -> None:
    far = SimpleNamespace(**vars(THREE) | {"centroids": THREE.centroids.copy()})
    far.centroids[0, 0] = 2.0**65
    assert search((1, 1), [0, 1, 2], far)[0].tolist() == [2]
    assert search((2.0**65, 1), [0, 1, 2], far)[0].tolist() == [0, 1]


def test_calls_are_what_their_shape_and_distribution_say() -> None:
    for case_id, case in BATTERY.cases.items():
        state, oracle, calls = BATTERY.prepared(case_id)
        largest = []
        for query, allowed in calls:
            found, _, every, _ = oracle.expected((query, allowed))
            assert (np.diff(allowed.astype(np.int64)) > 0).all()
            share = allowed.size / state.offsets[-1]
            by_partition = np.diff(np.searchsorted(allowed, state.offsets)) / np.diff(state.offsets)
            if case.timed:
                assert 0.5 < share * 1000 / case.shape.per_mille < 1.5
                assert found.size == state.k
            largest.append(by_partition.max() / share)
            if case.distribution == "few":
                assert found.size == allowed.size < state.k
            if case.distribution == "one_partition":
                assert np.count_nonzero(by_partition) == 1
            if case.distribution == "far_partition":
                assert 0 < found.size < state.k < allowed.size
                assert np.isnan(every[: state.offsets[1]]).all()
            if case.distribution == "no_distance":
                assert found.size == 0 < allowed.size
            if case.distribution == "duplicates":
                assert allowed.size > 2 * np.unique(every[allowed]).size
        if case.distribution == "clustered":
            assert np.mean(largest) > 1.4
