"""The workload of ivf-partition: shapes, distributions, and seeded generators of centroids and queries.

Owns every number that is checked or timed. A state is what an index keeps in memory: the centroids of its
partitions, in one table or, where rows came later, one for each of its deltas, and its metric. A call is one query
or a batch of them, and the number of partitions to probe.

Values are drawn and then changed element by element, so that the same seed gives the same bits on every machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]


class Shape(NamedTuple):
    """Tables of the index (T), partitions of each (P), dimensions (D), queries (Q), and partitions asked for."""

    tables: int
    partitions: int
    dim: int
    queries: int
    nprobes: int


SHAPES: Final = (
    Shape(1, 1024, 768, 1, 20),
    Shape(1, 1024, 768, 1, 1024),  # no maximum of probes, the default of a query: everything is ranked
    Shape(32, 256, 384, 1, 20),  # 32 deltas, 12.6 MB of centroids: more than a core's L2 cache
    Shape(1, 256, 128, 64, 20),  # a batch of queries
    Shape(1, 4099, 100, 1, 10),  # 3 partitions after the last block of 16, and 4 dimensions
)
DISTRIBUTIONS: Final = ("clustered", "gaussian", "unit")
EDGE_DISTRIBUTIONS: Final = (
    "query_is_centroid",
    "duplicates",
    "lattice",
    "equidistant",
    "large_dynamic_range",
    "mostly_zero",
    "nan_rows",
    "boundary_nprobes",
)

METRIC: Final = {"gaussian": "dot", "mostly_zero": "dot", "unit": "cosine"}
"""The metric of a distribution; "l2" where none is named."""

CLUSTERS: Final = 32
NOISE: Final = {"clustered": 0.4, "query_is_centroid": 0.0, "nan_rows": 0.3, "boundary_nprobes": 0.3}
"""How far a query is from a centroid, in standard deviations of each dimension."""

COPIES: Final = 15
NONZERO: Final = 0.01
LAST: Final = 3
"""Partitions of an edge case after its last whole block of 16."""


class State(NamedTuple):
    """Centroids, float32 (T, P, D), C-contiguous, and the metric: "l2", "dot" or "cosine"."""

    centroids: Floats
    metric: str


Call = tuple["Floats", int]


def make_state(shape: Shape, distribution: str, rng: np.random.Generator) -> State:
    """Make an index with the published number of partitions; what is never timed has about a quarter."""
    partitions = shape.partitions // 64 * 16 + LAST if distribution in EDGE_DISTRIBUTIONS else shape.partitions
    return make_index(distribution, shape.tables, partitions, shape.dim, rng)


def make_hidden_state(shape: Shape, distribution: str, rng: np.random.Generator) -> State:
    """Make an index whose number of partitions is drawn, within 10 % of the published one."""
    low, high = shape.partitions * 9 // 10, shape.partitions * 11 // 10
    return make_index(distribution, shape.tables, int(rng.integers(low, high + 1)), shape.dim, rng)


def make_index(distribution: str, tables: int, partitions: int, dim: int, rng: np.random.Generator) -> State:
    """Make an index of any size."""
    centroids = _centroids(distribution, tables * partitions, dim, rng).astype(np.float32)
    return State(centroids.reshape(tables, partitions, dim), METRIC.get(distribution, "l2"))


def make_call(shape: Shape, distribution: str, state: State, rng: np.random.Generator) -> Call:
    """Make queries, float32 (Q, D), each near a centroid, and the number of partitions to probe.

    What is never timed has that centroid among the last three of a table, so that a kernel which forgets the
    partitions after its last whole block is found out.
    """
    partitions = state.centroids.shape[1]
    queries = [_query(distribution, _near(distribution, state, rng), rng) for _ in range(shape.queries)]
    return np.array(queries), _nprobes(shape, distribution, partitions, rng)


def _near(distribution: str, state: State, rng: np.random.Generator) -> Floats:
    """Draw the centroid that a query is near, (D,)."""
    tables, partitions, dim = state.centroids.shape
    if not partitions:
        return np.zeros(dim, np.float32)
    first = max(partitions - LAST, 0) if distribution in EDGE_DISTRIBUTIONS else 0
    return np.nan_to_num(state.centroids[rng.integers(tables), rng.integers(first, partitions)])


def _centroids(distribution: str, partitions: int, dim: int, rng: np.random.Generator) -> NDArray[np.floating]:
    """Draw centroids, (P, D)."""
    size = (partitions, dim)
    if distribution == "lattice":  # distances are small whole numbers: ties at every rank
        return rng.integers(-1, 2, size).astype(np.float32)
    if distribution == "equidistant":  # as many times 1 in every row: as far from (t, t, ...) as any other
        pattern = np.where(np.arange(dim) % 2, -1, 1).astype(np.float32)
        return rng.permuted(np.tile(pattern, (partitions, 1)), axis=1)
    values = rng.standard_normal(size, dtype=np.float32)
    if distribution == "clustered":  # groups of unequal size, whose members are near or far
        values *= np.float32(0.3) * (1 + rng.standard_exponential((partitions, 1), dtype=np.float32))
        values += _centres(partitions, dim, rng)
    elif distribution == "unit":  # what k-means makes of vectors of length 1: a little shorter
        values = np.float32(0.6) * values + np.float32(0.8) * _centres(partitions, dim, rng)
        values *= rng.uniform(0.7, 1, (partitions, 1)) / np.sqrt(dim)
    elif distribution == "duplicates":
        values = values[rng.integers(0, -(-partitions // COPIES), partitions)] if partitions else values
    elif distribution == "large_dynamic_range":
        values = np.ldexp(values, rng.integers(-10, 11, dim))
    elif distribution == "mostly_zero":
        values *= rng.random(size, dtype=np.float32) < NONZERO
    elif distribution == "nan_rows":
        positive, negative = np.array_split(rng.permutation(partitions)[:2], 2)
        values[positive, -1] = np.nan
        values[negative, 0] = np.copysign(np.nan, -1)
    return values


def _centres(partitions: int, dim: int, rng: np.random.Generator) -> Floats:
    """Draw each partition's group, the first the largest, and return the middle of it, (P, D)."""
    weights = 1 / np.arange(1, CLUSTERS + 1)
    groups = rng.choice(CLUSTERS, partitions, p=weights / weights.sum())
    return rng.standard_normal((CLUSTERS, dim), dtype=np.float32)[groups]


def _query(distribution: str, near: Floats, rng: np.random.Generator) -> Floats:
    """Draw a query around the centroid `near`."""
    dim = near.size
    if distribution == "lattice":
        return rng.integers(-1, 2, dim).astype(np.float32)
    if distribution == "equidistant":
        return np.full(dim, rng.integers(2, 10), np.float32)
    noise = rng.standard_normal(dim, dtype=np.float32)
    if distribution == "unit":  # a query of any length
        query = (near + noise * np.float32(0.5 / np.sqrt(dim))) * rng.uniform(0.5, 20)
    elif distribution == "large_dynamic_range":
        query = near * (1 + np.float32(0.1) * noise)
    elif distribution == "mostly_zero":
        query = near + noise * (rng.random(dim, dtype=np.float32) < NONZERO)
    else:
        query = near + np.float32(NOISE.get(distribution, 1.0)) * noise
    return query.astype(np.float32)


def _nprobes(shape: Shape, distribution: str, partitions: int, rng: np.random.Generator) -> int:
    if distribution == "boundary_nprobes":
        return int(rng.choice((1, max(partitions - 1, 1), partitions + 3)))
    return shape.nprobes if shape.nprobes < shape.partitions else max(partitions, 1)
