"""The workload of pq-l2-lossy, that of pq-l2: shapes, distributions, seeded generators of partitions and queries.

Owns every number that is checked or timed. A partition is made as Lance makes one: vectors, a codebook from a
short k-means, and codes from encoding those vectors; so the codes are skewed, as real ones are.

The same seed gives the same bits on every machine. k-means and encoding therefore run on whole numbers small
enough that float32 holds every sum exactly, whatever order a BLAS adds in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]


class Shape(NamedTuple):
    """Dimensions of a vector, sub-spaces (M) and centroids per sub-space."""

    dim: int
    sub_vectors: int
    centroids: int


ROWS: Final = {
    Shape(128, 16, 256): 20_000,
    Shape(768, 96, 256): 5_000,  # of longer calls a window holds too few to tell a recall
    Shape(96, 8, 256): 20_011,  # sub-vectors of 12, and 11 rows after the last whole block of 16
}
"""Rows of the partition that is timed, per shape."""

SHAPES: Final = tuple(ROWS)
DISTRIBUTIONS: Final = ("clustered", "uniform", "sparse")
EDGE_DISTRIBUTIONS: Final = (
    "gaussian",
    "large_dynamic_range",
    "mostly_zero",
    "duplicates",
    "constant_codes",
    "k_exceeds_n",
)

CLUSTERS: Final = 8
NONZERO: Final = {"sparse": 0.1, "mostly_zero": 0.01}
DRAWN: Final = {"clustered": (0.7, 0.75), "uniform": (0.7, 0.75), "sparse": (0.9, 0.75)}
"""The share of a query's dimensions that is drawn towards a row, and how far: 1 is all the way."""

REPEATS: Final = {"duplicates": 15}
K: Final = 10
TRAINING_ROWS: Final = 2048
TRAINING_PASSES: Final = 2
BLOCK_ROWS: Final = 1024


class State(NamedTuple):
    """One partition as it is before the first query, and what its queries are drawn from.

    `codebook` is float32 (M, 256, sd), `codes` uint8 (M, n), `k` the rows asked for. `last_rows`, float32
    (<= 8, D), are the last rows, decoded, in units of `scale`, float32 (D,); `centres`, float32 (8, D), the
    middles of the clusters.
    """

    codebook: Floats
    codes: NDArray[np.uint8]
    k: int
    last_rows: Floats
    centres: Floats
    scale: Floats


def make_state(shape: Shape, distribution: str, rng: np.random.Generator) -> State:
    """Make a partition with the published number of rows."""
    return _make_state(shape, distribution, _rows(shape, distribution), rng)


def make_hidden_state(shape: Shape, distribution: str, rng: np.random.Generator) -> State:
    """Make a partition whose number of rows is drawn, within 10 % of the published one."""
    rows = _rows(shape, distribution)
    return _make_state(shape, distribution, int(rng.integers(rows * 9 // 10, rows * 11 // 10 + 1)), rng)


def make_call(
    shape: Shape, distribution: str, state: State, rng: np.random.Generator
) -> tuple[NDArray[np.float32]]:
    """Make a query, float32 (D,), a new vector of the same distribution, drawn towards one of the last rows.

    That row is then likely among the nearest, so that a kernel which forgets the rows after its last whole
    block is found out. One row of ten that is known to be at the end neither helps a scan nor tells which are
    the other nine; still, timed queries are drawn less.
    """
    place = rng.integers(len(state.last_rows))
    query = _vectors(distribution, shape.dim, state.centres[[place]], rng)[0]
    share, pull = DRAWN.get(distribution, (0.9, 0.9))
    drawn = rng.random(shape.dim, dtype=np.float32) < share
    query += np.float32(pull) * drawn * (state.last_rows[place] - query)
    return (query * state.scale,)


def bare_state(codebook: Floats, codes: NDArray[np.uint8], k: int) -> State:
    """Return a partition given by its parts; queries for it come from elsewhere."""
    nothing = np.zeros((0, codebook.shape[0] * codebook.shape[2]), np.float32)
    return State(codebook, codes, k, nothing, nothing, nothing)


def _rows(shape: Shape, distribution: str) -> int:
    """Return the published number of rows; what is never timed has a quarter, 11 past a block of 16."""
    if distribution == "k_exceeds_n":
        return K - 3
    if distribution in EDGE_DISTRIBUTIONS:
        return ROWS[shape] // 64 * 16 + 11
    return ROWS[shape]


def _make_state(shape: Shape, distribution: str, rows: int, rng: np.random.Generator) -> State:
    length = shape.dim // shape.sub_vectors
    centres = rng.standard_normal((CLUSTERS, shape.dim), dtype=np.float32)
    sample = _vectors(distribution, shape.dim, centres[_clusters(TRAINING_ROWS, rng)], rng)
    codebook = _train(_on_grid(sample, length), shape.centroids, rng)
    last_vectors = _vectors(distribution, shape.dim, centres[:rows], rng, 8 / shape.dim)
    first_codes = _codes(distribution, rows - len(last_vectors), centres, codebook, rng)
    codes = np.hstack((first_codes, _encode(_on_grid(last_vectors, length), codebook)))
    if distribution == "constant_codes":
        codes = np.repeat(codes[:, -1:], rows, axis=1)
    # Off the grid again: on it float16 would be exact, and so would float32.
    blur = 1 + rng.uniform(-0.004, 0.004, codebook.shape)
    codebook = (codebook / _grid(length) * blur).astype(np.float32)
    last_rows = _decode(codes[:, rows - len(last_vectors) :], codebook) * (last_vectors != 0)
    scale = _scale(distribution, shape, rng)
    codebook *= scale.reshape(shape.sub_vectors, 1, length)
    return State(codebook, np.ascontiguousarray(codes), K, last_rows, centres, scale)


def _scale(distribution: str, shape: Shape, rng: np.random.Generator) -> Floats:
    """Return each dimension's unit; a sub-space spans the whole range, so that none is negligible."""
    if distribution != "large_dynamic_range":
        return np.ones(shape.dim, np.float32)
    exponents = np.linspace(-3, 3, shape.dim // shape.sub_vectors)
    scale = rng.permuted(np.tile(10.0**exponents, (shape.sub_vectors, 1)), axis=1)
    return scale.astype(np.float32).ravel()


def _clusters(rows: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw each row's cluster; the first is the largest, as partitions are in practice."""
    weights = 1 / np.arange(1, CLUSTERS + 1)
    return rng.choice(CLUSTERS, rows, p=weights / weights.sum())


def _vectors(
    distribution: str, dim: int, centres: Floats, rng: np.random.Generator, nonzero: float = 0.0
) -> Floats:
    """Draw one vector, in units near 1, for each row of `centres`; at least `nonzero` of it is not 0."""
    size = (len(centres), dim)
    if distribution == "uniform":
        return rng.random(size, dtype=np.float32) * np.float32(2) - np.float32(1)
    values = rng.standard_normal(size, dtype=np.float32)
    if distribution == "clustered":
        values *= np.float32(0.5)
        values += centres
    if distribution in NONZERO:
        keep = rng.random(size, dtype=np.float32) < max(NONZERO[distribution], nonzero)
        keep[:, -1] = True  # so that no query repeats and the last sub-space always counts
        values *= keep
    return values


def _codes(
    distribution: str, rows: int, centres: Floats, codebook: Floats, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Draw and encode rows, block by block; return uint8 (M, rows)."""
    sub_vectors, _, length = codebook.shape
    distinct = rows // REPEATS.get(distribution, 1)
    codes = np.empty((sub_vectors, distinct), np.uint8)
    for start in range(0, distinct, BLOCK_ROWS):
        block = codes[:, start : start + BLOCK_ROWS]
        chosen = centres[_clusters(block.shape[1], rng)]
        vectors = _vectors(distribution, sub_vectors * length, chosen, rng)
        block[:] = _encode(_on_grid(vectors, length), codebook)
    return codes if distinct == rows else codes[:, rng.integers(0, distinct, rows)]


def _train(points: Floats, centroids: int, rng: np.random.Generator) -> Floats:
    """Run a short k-means in every sub-space of `points`, (M, rows, sd); return (M, centroids, sd)."""
    lengths = np.square(points).sum(axis=2)
    # The long vectors are likelier to be starting points: most sub-vectors of sparse data are zero.
    order = np.argsort(rng.exponential(size=lengths.shape) / (lengths + 1), axis=1)
    codebook = np.take_along_axis(points, order[:, :centroids, None], axis=1)
    for _ in range(TRAINING_PASSES):
        for centres, members, codes in zip(codebook, points, _encode(points, codebook), strict=True):
            counts = np.bincount(codes, minlength=centroids)
            for d in range(points.shape[2]):
                sums = np.bincount(codes, weights=members[:, d], minlength=centroids)
                centres[:, d] = np.where(counts, np.rint(sums / np.maximum(counts, 1)), centres[:, d])
    return codebook


def _encode(points: Floats, codebook: Floats) -> NDArray[np.uint8]:
    """Return the nearest centroid of every sub-vector of `points`, (M, rows, sd), as uint8 (M, rows)."""
    codes = np.empty(points.shape[:2], np.uint8)
    norms = np.square(codebook).sum(axis=2)
    for m, members in enumerate(points):
        scores = members @ (-2 * codebook[m].T)
        scores += norms[m]
        codes[m] = scores.argmin(axis=1)
    return codes


def _decode(codes: NDArray[np.uint8], codebook: Floats) -> Floats:
    """Return the vectors, (rows, D), that codes, (M, rows), stand for."""
    parts = codebook[np.arange(len(codes))[:, None], codes]
    return parts.swapaxes(0, 1).reshape(codes.shape[1], -1)


def _on_grid(vectors: Floats, length: int) -> Floats:
    """Round vectors, (rows, D), to whole numbers that `_encode` can sum exactly; return (M, rows, sd)."""
    largest = 4 * _grid(length)
    points = np.rint(np.clip(vectors * _grid(length), -largest, largest))
    return np.ascontiguousarray(points.reshape(len(vectors), -1, length).swapaxes(0, 1))


def _grid(length: int) -> np.float32:
    """Steps per unit: with 4 units at most, |c|**2 + 2 |x . c| over `length` dimensions stays below 2**24."""
    return np.float32(int((2**24 / (3 * length)) ** 0.5) // 4)
