"""The workload of pq4-fastscan: shapes, distributions, and seeded generators of partitions and queries.

Owns every number that is checked or timed. How many rows pass the filter depends on how the distances of the rows
lie, and on how much the spans of the tables differ; the distributions vary both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Bytes = NDArray[np.uint8]


class Shape(NamedTuple):
    """Dimensions of a vector, sub-spaces (M), rows of the partition, and rows that are asked for."""

    dim: int
    sub_vectors: int
    rows: int
    k: int


SHAPES: Final = (
    Shape(128, 32, 60_000, 10),
    Shape(768, 48, 30_000, 100),  # sub-vectors of 16, the length at which fused steps matter
    Shape(1536, 384, 4111, 10),  # 384 bytes of 255 are more than a sum of 16 bits can hold
    Shape(110, 10, 100_003, 10),  # sub-vectors of 11, five bytes a row, 35 rows after the last block of 64
)
DISTRIBUTIONS: Final = ("clustered", "uniform", "decaying")
EDGE_DISTRIBUTIONS: Final = (
    "huge_span",
    "equal_spans",
    "equal_rows",
    "duplicates",
    "one_centroid",
    "two_centroids",
    "few_rows",
    "k_exceeds_n",
    "overflowing",
    "nan",
    "infinity",
)

CENTROIDS: Final = 16
EDGE_ROWS: Final = 4003
FEW_ROWS: Final = 50
"""Fewer than a block of 64."""
CLUSTERS: Final = 64
SHARED: Final = 0.4
"""The share of a row's bytes that are its cluster's, where rows are clustered."""
COPIES: Final = 15
"""How often each row is there, where rows are duplicates."""
HUGE: Final = np.float32(13)
"""How much larger the first sub-space is, where one span is huge: the others' are then a step or two."""
FAR: Final = np.float32(10)
"""How far all centroids but the first are, where spans are equal, from it and from the query."""
NEAR: Final = 0.6
"""There, the largest share of a row's bytes that stand for the first centroid."""
NOISE: Final = 0.5
"""How far a query is from the centroids that it is made of, in root mean squares of their sub-space."""
LAST_ROWS: Final = 8
DRAWN: Final = 0.7
"""The share of a query's bytes that are those of one of the last rows."""
NOT_FINITE: Final = {"nan": (np.nan,), "infinity": (np.inf, -np.inf)}

Call = tuple["Floats"]
"""The query, float32 (D,)."""


class State(NamedTuple):
    """One partition as it is before the first query.

    `codebook` is float32 (M, 16, sd); `codes` uint8 (M / 2, n), the even sub-space in the low half of a byte; `k`
    the rows that are asked for.
    """

    codebook: Floats
    codes: Bytes
    k: int


def make_state(shape: Shape, distribution: str, rng: np.random.Generator) -> State:
    """Make a partition with the published number of rows."""
    return new_state(shape._replace(rows=_rows(shape, distribution)), distribution, rng)


def make_hidden_state(shape: Shape, distribution: str, rng: np.random.Generator) -> State:
    """Make a partition whose number of rows is drawn, within 10 % of the published one."""
    rows = _rows(shape, distribution)
    rows = int(rng.integers(rows * 9 // 10, rows * 11 // 10 + 1))
    return new_state(shape._replace(rows=rows), distribution, rng)


def new_state(shape: Shape, distribution: str, rng: np.random.Generator) -> State:
    """Draw centroids and codes for exactly as many rows as the shape has."""
    return State(_codebook(shape, distribution, rng), _codes(shape, distribution, rng), shape.k)


def make_call(shape: Shape, distribution: str, state: State, rng: np.random.Generator) -> Call:
    """Make a query near the centroids of a row, most of which are those of one of the last rows.

    That one is then likely among the nearest, so that a kernel which forgets the rows after its last whole block
    is found out.
    """
    rows = state.codes.shape[1]
    row = state.codes[:, rng.integers(rows)].copy()
    last = state.codes[:, rows - 1 - rng.integers(min(rows, LAST_ROWS))]
    is_drawn = rng.random(len(row)) < DRAWN
    row[is_drawn] = last[is_drawn]
    codes = np.column_stack((row & 15, row >> 4)).ravel()
    centroids = state.codebook[np.arange(shape.sub_vectors), codes]
    sizes = np.sqrt(np.square(state.codebook.astype(np.float64)).mean(axis=(1, 2)))
    noise = rng.standard_normal(centroids.shape)
    if distribution == "equal_spans":
        centroids, noise = state.codebook[:1, 0], noise[:1]
    parts = centroids + NOISE * sizes[: len(noise), None] * noise
    query = np.resize(parts, shape.dim).astype(np.float32)
    if distribution == "overflowing":  # some rows, many or all of them are then too far away
        query *= rng.choice(np.float32([1, 1.5, 10]))
    if distribution in NOT_FINITE:
        query[rng.integers(shape.dim)] = rng.choice(np.float32(NOT_FINITE[distribution]))
    return (query,)


def _rows(shape: Shape, distribution: str) -> int:
    """Return the published number of rows; what is never timed has fewer."""
    if distribution == "few_rows":
        return FEW_ROWS
    if distribution == "k_exceeds_n":
        return shape.k - 3
    return EDGE_ROWS if distribution in EDGE_DISTRIBUTIONS else shape.rows


def _codebook(shape: Shape, distribution: str, rng: np.random.Generator) -> Floats:
    """Draw the centroids, normal and near 1 but for what the distribution makes of them."""
    dim, sub_vectors, _, _ = shape
    codebook = rng.standard_normal((sub_vectors, CENTROIDS, dim // sub_vectors), dtype=np.float32)
    if distribution == "decaying":  # as the principal components of data do
        codebook /= np.sqrt(1 + np.arange(sub_vectors, dtype=np.float32))[:, None, None]
    if distribution == "huge_span":
        codebook[0] *= HUGE
    if distribution == "equal_spans":  # many bytes of a row are then near 255
        codebook[:] = codebook[0]
        codebook[:, 1:] += FAR
    if distribution == "one_centroid":
        codebook[:] = codebook[:, :1]
    if distribution == "two_centroids":
        codebook[:] = codebook[:, np.arange(CENTROIDS) % 2]
    if distribution == "overflowing":  # the mean distance is near the largest float32
        codebook *= np.sqrt(np.finfo(np.float32).max / np.float32(2 * dim))
    return codebook


def _codes(shape: Shape, distribution: str, rng: np.random.Generator) -> Bytes:
    """Draw the bytes of all rows, two sub-spaces in each; in clusters, rows have some of them in common."""
    size = (shape.sub_vectors // 2, shape.rows)
    if distribution == "equal_rows":
        return np.repeat(rng.integers(0, 256, (size[0], 1), np.uint8), shape.rows, axis=1)
    codes = rng.integers(0, 256, size, np.uint8)
    if distribution == "clustered":
        weights = 1 / np.arange(1, CLUSTERS + 1)
        clusters = rng.choice(CLUSTERS, shape.rows, p=weights / weights.sum())
        of_clusters = rng.integers(0, 256, (size[0], CLUSTERS), np.uint8)
        codes = np.where(rng.random(size, np.float32) < SHARED, of_clusters[:, clusters], codes)
    if distribution == "huge_span":  # which has the same code in all rows, so that rounded entries decide
        codes[0] = codes[0, :1]
    if distribution == "duplicates":
        codes = codes[:, rng.integers(0, 1 + shape.rows // COPIES, shape.rows)]
    if distribution == "equal_spans":
        codes[rng.random(size) < NEAR * rng.random(shape.rows)] = 0
    return np.ascontiguousarray(codes)
