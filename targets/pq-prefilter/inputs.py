"""The workload of pq-prefilter: shapes, how allowed rows lie, and seeded generators of partitions and queries.

Owns every number that is checked or timed. The vectors are alike in all cases: time depends on how many rows a
filter allows and on how these lie, so that the first is part of the shape, and the second is the distribution. A
call has its own query and its own filter.

Partitions are made as Lance makes them: residuals in clusters, a short k-means over a sample of all partitions for
the codebook, and codes from encoding. The same seed gives the same bits on every machine: k-means and encoding run
on whole numbers small enough that float32 holds every sum exactly, whatever order a BLAS adds in.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Codes = NDArray[np.uint8]
    Floats = NDArray[np.float32]
    Places = NDArray[np.int64]


class Shape(NamedTuple):
    """Dimensions, sub-spaces (M), partitions, rows of all partitions, and how many of 1,000 rows are allowed."""

    dim: int
    sub_vectors: int
    partitions: int
    rows: int
    per_mille: int


SHAPES: Final = (
    Shape(384, 24, 12, 32_768, 1),
    Shape(768, 96, 4, 16_384, 10),
    Shape(128, 16, 8, 32_768, 100),
    Shape(100, 10, 3, 27_011, 500),  # sub-vectors of 10
)
DISTRIBUTIONS: Final = ("scattered", "ranges", "clustered")
EDGE_DISTRIBUTIONS: Final = (
    "everything",
    "few",
    "ends",
    "one_partition",
    "duplicates",
    "no_distance",
    "far_partition",
)

ALLOWED: Final = {"everything": 1.0, "duplicates": 0.5, "one_partition": 0.5}
"""The share of rows that a filter allows there, whatever the shape says; in the last of one partition's rows."""
ALLOWED_ELSEWHERE: Final = 10
"""In other distributions that are never timed, so many times the shape's share, or half of all."""

K: Final = 10
CENTROIDS: Final = 256
CLUSTERS: Final = 8
"""Of each partition; the filter of `clustered` allows whole ones."""
OF_CLUSTER: Final = 0.5
OF_ROW: Final = 0.7
"""The standard deviations of a cluster's middle and of its rows; that of a partition's middle is 1."""
OF_QUERY: Final = 0.6
"""How far a query is from the row that it is drawn to."""
END: Final = 8
COPIES: Final = 15
TOO_LARGE: Final = 2.0**65
"""The square of this is more than float32 holds."""
FAR: Final = 0
"""The partition whose rows are too far from any query in `far_partition`."""
TRAINING_ROWS: Final = 2048
TRAINING_PASSES: Final = 2
BLOCK_ROWS: Final = 1024


class State(NamedTuple):
    """The partitions as they are before the first query, and which rows a filter takes together.

    `codebook` is float32 (M, 256, sd), `codes` uint8 (M * n,), `offsets` int64 (P + 1,), `centroids` float32
    (P, D), `k` the rows asked for. Clusters are numbered over all partitions: `by_cluster`, int64 (n,), are the
    rows of one after the other, and `cluster_starts`, int64 (8 P + 1,), say where each begins. No kernel is told.
    """

    codebook: Floats
    codes: Codes
    offsets: Places
    centroids: Floats
    k: int
    by_cluster: Places
    cluster_starts: Places


Call = tuple["Floats", "NDArray[np.uint32]"]
"""A query, (D,), and the rows allowed, ascending, as `PqPrefilterKernel.top_k` takes them."""


def make_state(shape: Shape, distribution: str, rng: np.random.Generator) -> State:
    """Make partitions with the published number of rows in all; what is never timed has a quarter."""
    rows = shape.rows // 4 + 1 if distribution in EDGE_DISTRIBUTIONS else shape.rows
    return _make_state(shape, distribution, rows, rng)


def make_hidden_state(shape: Shape, distribution: str, rng: np.random.Generator) -> State:
    """Make partitions whose number of rows is drawn, within 10 % of the published one."""
    rows = int(rng.integers(shape.rows * 9 // 10, shape.rows * 11 // 10 + 1))
    return _make_state(shape, distribution, rows, rng)


def make_call(shape: Shape, distribution: str, state: State, rng: np.random.Generator) -> Call:
    """Make a filter, and a query near the last row that it allows: of all or, every other time, of a partition.

    That row is then likely among the nearest, so that a kernel which forgets the last allowed rows is found out.
    In `no_distance` the query has NaN, an infinity or a number whose square is one.
    """
    allowed = _allowed(distribution, _share(shape, distribution), state, rng)
    last_rows = _last_rows(distribution, state.offsets, allowed)
    row = last_rows[-1] if rng.random() < 0.5 else rng.choice(last_rows)
    query = _decode(state, row) + np.float32(OF_QUERY) * rng.standard_normal(shape.dim, dtype=np.float32)
    if distribution == "no_distance":
        query[rng.integers(shape.dim)] = rng.choice((np.nan, np.inf, -np.inf, TOO_LARGE, -TOO_LARGE))
    return query, allowed.astype(np.uint32)


def bare_state(codebook: Floats, codes: Codes, offsets: Places, centroids: Floats, k: int) -> State:
    """Return partitions given by their parts; queries and filters for them come from elsewhere."""
    return State(codebook, codes, offsets, centroids, k, np.zeros(0, np.int64), np.zeros(1, np.int64))


def _share(shape: Shape, distribution: str) -> float:
    """Return the share of rows that a filter allows."""
    share = shape.per_mille / 1000
    if distribution in DISTRIBUTIONS:
        return share
    return ALLOWED.get(distribution, min(ALLOWED_ELSEWHERE * share, 0.5))


def _allowed(distribution: str, share: float, state: State, rng: np.random.Generator) -> Places:
    """Draw a filter; return the rows that it allows, ascending."""
    rows, bounds = int(state.offsets[-1]), list(pairwise(state.offsets.tolist()))
    if distribution == "few":
        return np.unique(rng.integers(0, rows, rng.integers(K)))
    if distribution == "far_partition":  # all of its rows, and a few of the others
        first, end = bounds[FAR]
        return np.unique(np.r_[first:end, rng.integers(end, rows, rng.integers(1, K))])
    if distribution == "ends":
        return np.concatenate([np.r_[first : first + END, end - END : end] for first, end in bounds])
    if distribution == "ranges":
        place = rng.uniform(0, 1 - share) + np.array((0, share))
        ranges = [first + (place * (end - first)).astype(np.int64) for first, end in bounds]
        return np.concatenate([np.arange(*own) for own in ranges])
    if distribution == "clustered":
        return _of_clusters(share, state, rng)
    first, end = bounds[rng.integers(len(bounds))] if distribution == "one_partition" else (0, rows)
    return first + np.flatnonzero(_drawn(end - first, share, rng))


def _of_clusters(share: float, state: State, rng: np.random.Generator) -> Places:
    """Allow clusters, one after the other, until a share of all rows is allowed; of the last, what is missing.

    They come in a random order, in which those of a partition are rather together.
    """
    sizes = np.diff(state.cluster_starts)
    order = np.argsort(rng.random(sizes.size) + np.repeat(rng.random(len(state.centroids)), CLUSTERS))
    wanted = share * state.by_cluster.size
    ends = np.cumsum(sizes[order])
    whole = int(np.searchsorted(ends, wanted, "right"))
    *allowed, last = (
        state.by_cluster[state.cluster_starts[cluster] : state.cluster_starts[cluster + 1]]
        for cluster in order[: whole + 1].tolist()
    )
    missing = 1 - (ends[whole] - wanted) / last.size
    is_allowed = np.zeros(state.by_cluster.size, np.bool_)
    is_allowed[np.concatenate((*allowed, last[_drawn(last.size, missing, rng)]))] = True
    return np.flatnonzero(is_allowed)


def _drawn(count: int, share: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Draw of so many whether each is among a share of them."""
    return rng.random(count, dtype=np.float32) < np.float32(share)


def _last_rows(distribution: str, offsets: Places, allowed: Places) -> Places:
    """Return the last allowed row of each partition that has one, or the last of all where no row counts."""
    begins = np.searchsorted(allowed, offsets)
    counts = np.diff(begins)
    if distribution == "far_partition":
        counts[FAR] = 0
    ends = begins[1:][counts > 0]
    return allowed[ends - 1] if ends.size else offsets[-1:] - 1


def _decode(state: State, row: int) -> Floats:
    """Return the vector that the codes of a row stand for."""
    partition = np.searchsorted(state.offsets, row, "right") - 1
    first, end = state.offsets[partition : partition + 2]
    sub_vectors = len(state.codebook)
    block = state.codes[first * sub_vectors : end * sub_vectors].reshape(sub_vectors, -1)
    return state.centroids[partition] + state.codebook[np.arange(sub_vectors), block[:, row - first]].ravel()


def _make_state(shape: Shape, distribution: str, rows: int, rng: np.random.Generator) -> State:
    dim, sub_vectors, partitions, _, _ = shape
    length = dim // sub_vectors
    offsets = _offsets(partitions, rows, rng)
    centroids = rng.standard_normal((partitions, dim), dtype=np.float32)
    middles = np.float32(OF_CLUSTER) * rng.standard_normal((partitions * CLUSTERS, dim), dtype=np.float32)
    sample = middles[_clusters(np.arange(TRAINING_ROWS) % partitions, rng)]
    codebook = _train(_on_grid(_around(sample, rng), length), rng)
    clusters = _clusters(np.repeat(np.arange(partitions), np.diff(offsets)), rng)
    blocks = []
    for own in np.split(clusters, offsets[1:-1]):
        parts = [own[start : start + BLOCK_ROWS] for start in range(0, own.size, BLOCK_ROWS)]
        block = np.hstack([_encode(_on_grid(_around(middles[part], rng), length), codebook) for part in parts])
        if distribution == "duplicates":
            block = block[:, rng.integers(0, 1 + own.size // COPIES, own.size)]
        blocks.append(block.ravel())
    if distribution == "far_partition":
        centroids[FAR, rng.integers(dim)] = 2 * TOO_LARGE
    # Off the grid again: on it float16 would be exact, and so would float32.
    blur = 1 + rng.uniform(-0.004, 0.004, codebook.shape)
    codebook = (codebook / _grid(length) * blur).astype(np.float32)
    by_cluster = np.argsort(clusters, kind="stable")
    starts = np.searchsorted(clusters[by_cluster], np.arange(CLUSTERS * partitions + 1))
    return State(codebook, np.concatenate(blocks), offsets, centroids, K, by_cluster, starts)


def _offsets(partitions: int, rows: int, rng: np.random.Generator) -> Places:
    """Draw the sizes of partitions, the largest up to four times the smallest; return where they begin."""
    weights = np.cumsum(rng.integers(10, 41, partitions))
    return np.concatenate(([0], rows * weights // weights[-1]))


def _clusters(partition: Places, rng: np.random.Generator) -> Codes:
    """Draw the cluster of each row from those of its partition; the first is the largest."""
    weights = 1 / np.arange(1, CLUSTERS + 1)
    within = rng.choice(CLUSTERS, partition.size, p=weights / weights.sum())
    return (partition * CLUSTERS + within).astype(np.uint8)


def _around(middles: Floats, rng: np.random.Generator) -> Floats:
    """Draw the residual of one row, in units near 1, for each row of `middles`, (rows, D)."""
    return middles + np.float32(OF_ROW) * rng.standard_normal(middles.shape, dtype=np.float32)


def _train(points: Floats, rng: np.random.Generator) -> Floats:
    """Run a short k-means in every sub-space of `points`, (M, rows, sd); return (M, 256, sd)."""
    codebook = points[:, rng.permutation(points.shape[1])[:CENTROIDS]]
    for _ in range(TRAINING_PASSES):
        for centres, members, codes in zip(codebook, points, _encode(points, codebook), strict=True):
            counts = np.bincount(codes, minlength=CENTROIDS)
            for d in range(points.shape[2]):
                sums = np.bincount(codes, weights=members[:, d], minlength=CENTROIDS)
                centres[:, d] = np.where(counts, np.rint(sums / np.maximum(counts, 1)), centres[:, d])
    return codebook


def _encode(points: Floats, codebook: Floats) -> Codes:
    """Return the nearest centroid of every sub-vector of `points`, (M, rows, sd), as uint8 (M, rows)."""
    codes = np.empty(points.shape[:2], np.uint8)
    norms = np.square(codebook).sum(axis=2)
    for m, members in enumerate(points):
        scores = members @ (-2 * codebook[m].T)
        scores += norms[m]
        codes[m] = scores.argmin(axis=1)
    return codes


def _on_grid(vectors: Floats, length: int) -> Floats:
    """Round vectors, (rows, D), to whole numbers that `_encode` can sum exactly; return (M, rows, sd)."""
    largest = 4 * _grid(length)
    points = np.rint(np.clip(vectors * _grid(length), -largest, largest))
    return np.ascontiguousarray(points.reshape(len(vectors), -1, length).swapaxes(0, 1))


def _grid(length: int) -> np.float32:
    """Steps per unit: with 4 units at most, |c|**2 + 2 |x . c| over `length` dimensions stays below 2**24."""
    return np.float32(int((2**24 / (3 * length)) ** 0.5) // 4)
