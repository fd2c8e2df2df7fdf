"""The workload of pq-cosine: shapes, distributions, and seeded generators of partitions and queries.

Owns every number that is checked or timed. Partitions are made as Lance makes them: vectors are normalised, the
middle of a partition's is its centroid, a short k-means over the residuals of all gives the codebook, and encoding
them the codes; so the codes are skewed, as real ones are.

The same seed gives the same bits on every machine. Lengths, k-means and encoding therefore run on whole numbers
small enough that every sum is exact, whatever order it is added in.
"""

from __future__ import annotations

from math import fsum
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Doubles = NDArray[np.float64]


class Shape(NamedTuple):
    """Dimensions of a vector, sub-spaces (M), partitions, and rows of all partitions when they are timed."""

    dim: int
    sub_vectors: int
    partitions: int
    rows: int


SHAPES: Final = (
    Shape(384, 24, 4, 8192),
    Shape(768, 96, 4, 8192),
    Shape(1536, 96, 4, 8192),
    Shape(100, 10, 3, 12_299),  # sub-vectors of 10
)
DISTRIBUTIONS: Final = ("gaussian", "anisotropic", "clustered")
EDGE_DISTRIBUTIONS: Final = ("scaled_query", "near_duplicates", "one_hot", "k_exceeds_n", "no_direction")


class Mixture(NamedTuple):
    """How long is what all rows share, what a partition's and a cluster's rows share, and the noise of a row."""

    shared: float
    partition: float
    cluster: float
    noise: float


GAUSSIAN: Final = Mixture(0.15, 0.3, 0.0, 1.0)
MIXTURES: Final = {
    "anisotropic": Mixture(1.5, 0.3, 0.0, 1.0),  # the cosine of two rows is about 0.7
    "clustered": Mixture(0.7, 0.3, 0.7, 0.5),
}
DRAWN: Final = {
    "gaussian": (0.7, 0.75),
    "anisotropic": (0.7, 0.75),
    "clustered": (0.7, 0.75),
    "near_duplicates": (1.0, 0.9999),
    "one_hot": (1.0, 0.9),
}
"""The share of a query's dimensions that is drawn towards a row, and how far: 1 is all the way."""

K: Final = 10
CENTROIDS: Final = 256
CLUSTERS: Final = 8
COPIES: Final = 15
TRAINING_ROWS: Final = 2048
TRAINING_PASSES: Final = 2
BLOCK_ROWS: Final = 1024


class State(NamedTuple):
    """The partitions as they are before the first query, and what the queries are drawn from.

    `codebook` is float32 (M, 256, sd), `codes` uint8 (M * n,), `offsets` int64 (P + 1,), `centroids` float32
    (P, D), `k` the rows asked for. `last_rows`, float32 (<= 8 P, D), are unit vectors like the last rows of every
    partition. `means`, of the same shape, are the middles of their clusters, and `spread`, float32 (D,), the noise
    of each dimension, before vectors are normalised.
    """

    codebook: Floats
    codes: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    centroids: Floats
    k: int
    last_rows: Floats
    means: Floats
    spread: Floats


def make_state(shape: Shape, distribution: str, rng: np.random.Generator) -> State:
    """Make partitions with the published number of rows in all."""
    return _make_state(shape, distribution, _rows(shape, distribution), rng)


def make_hidden_state(shape: Shape, distribution: str, rng: np.random.Generator) -> State:
    """Make partitions whose number of rows is drawn, within 10 % of the published one."""
    rows = _rows(shape, distribution)
    return _make_state(shape, distribution, int(rng.integers(rows * 9 // 10, rows * 11 // 10 + 1)), rng)


def make_call(
    shape: Shape, distribution: str, state: State, rng: np.random.Generator
) -> tuple[NDArray[np.float32]]:
    """Make a query, float32 (D,), a new vector of the same distribution, drawn towards a last row of a partition.

    That row is then likely among the nearest, so that a kernel which forgets a partition, or the rows after its
    last whole block, is found out. No query is a unit vector: lengths go from 2**-2 to 2**6, those of
    `scaled_query` from 2**-50 to 2**51. The queries of `k_exceeds_n` point away from the row, to distances near 4;
    those of `no_direction` have NaN or an infinity somewhere, or are zeros.
    """
    place = rng.integers(len(state.last_rows))
    query = _vectors(distribution, state.means[[place]], state.spread, rng)[0]
    query /= np.float32(_length(distribution, shape.dim))
    share, pull = DRAWN.get(distribution, (0.9, 0.9))
    drawn = rng.random(shape.dim, dtype=np.float32) < share
    query += np.float32(pull) * drawn * (state.last_rows[place] - query)
    exponents = (-50, 51) if distribution == "scaled_query" else (-2, 6)
    sign = -1 if distribution == "k_exceeds_n" else 1
    scale = np.ldexp(sign * (1 + rng.random()), rng.integers(*exponents))
    query *= np.float32(scale)
    if distribution == "no_direction":
        value = rng.choice((0, np.nan, np.inf, -np.inf))
        query[rng.integers(shape.dim) if value else slice(None)] = value
    return (query,)


def bare_state(
    codebook: Floats, codes: NDArray[np.uint8], offsets: NDArray[np.int64], centroids: Floats, k: int
) -> State:
    """Return partitions given by their parts; queries for them come from elsewhere."""
    nothing = np.zeros((0, centroids.shape[1]), np.float32)
    return State(codebook, codes, offsets, centroids, k, nothing, nothing, nothing)


def _rows(shape: Shape, distribution: str) -> int:
    """Return the published number of rows; what is never timed has a quarter."""
    if distribution == "k_exceeds_n":
        return K - 3
    if distribution in EDGE_DISTRIBUTIONS:
        return shape.rows // 4 + 1
    return shape.rows


def _make_state(shape: Shape, distribution: str, rows: int, rng: np.random.Generator) -> State:
    dim, sub_vectors, partitions, _ = shape
    offsets = _offsets(partitions, rows, rng)
    centres = _centres(distribution, partitions, dim, rng)
    spread = np.float32(MIXTURES.get(distribution, GAUSSIAN).noise) * _spread(distribution, dim, rng)

    def unit_rows(means: Floats) -> Doubles:
        return _units(_vectors(distribution, means, spread, rng))

    of_each = TRAINING_ROWS // partitions
    samples = np.stack([unit_rows(own[_clusters(of_each, rng)]) for own in centres])
    centroids = np.rint(samples * 2**20).sum(axis=1) / (2**20 * of_each)
    encoder = _train((samples - centroids[:, None]).reshape(-1, dim), sub_vectors, rng)
    blocks = [np.empty((sub_vectors, size), np.uint8) for size in np.diff(offsets)]
    last = []
    for own, centroid, codes in zip(centres, centroids, blocks, strict=True):
        for start in range(0, codes.shape[1], BLOCK_ROWS):
            block = codes[:, start : start + BLOCK_ROWS]
            block[:] = encoder.encode(unit_rows(own[_clusters(block.shape[1], rng)]) - centroid)
        last.append(unit_rows(own[: codes.shape[1]]))
        codes[:, codes.shape[1] - len(last[-1]) :] = encoder.encode(last[-1] - centroid)
    codebook = encoder.codebook(rng)
    for number, codes in enumerate(blocks):
        units = last[number]
        if distribution != "one_hot":  # decoded, they are no longer sparse
            last[number] = centroids[number] + _decode(codes[:, codes.shape[1] - len(units) :], codebook)
        if distribution == "near_duplicates":
            # Rows that differ from the last in one sub-space, each about 15 times; the last is a unit vector.
            codes[:, :-1] = _one_code_changed(codes[:, -1], codes.shape[1] - 1, rng)
            centroids[number] += units[-1] - last[number][-1]
            last[number] = units[-1:]
    return State(
        codebook,
        np.concatenate([codes.ravel() for codes in blocks]),
        offsets,
        centroids.astype(np.float32),
        K,
        np.concatenate(last).astype(np.float32),
        np.concatenate([own[: len(rows)] for own, rows in zip(centres, last, strict=True)]),
        spread,
    )


def _offsets(partitions: int, rows: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw the sizes of partitions, the largest up to four times the smallest; return where they begin."""
    weights = np.cumsum(rng.integers(10, 41, partitions))
    return np.concatenate(([0], rows * weights // weights[-1]))


def _centres(distribution: str, partitions: int, dim: int, rng: np.random.Generator) -> Floats:
    """Draw the middle of every cluster of every partition, float32 (P, 8, D)."""
    mixture = MIXTURES.get(distribution, GAUSSIAN)
    centres = np.float32(mixture.cluster) * rng.standard_normal((partitions, CLUSTERS, dim), dtype=np.float32)
    centres += np.float32(mixture.partition) * rng.standard_normal((partitions, 1, dim), dtype=np.float32)
    centres += np.float32(mixture.shared) * rng.standard_normal(dim, dtype=np.float32)
    return centres


def _spread(distribution: str, dim: int, rng: np.random.Generator) -> Floats:
    """Return the noise of each dimension, 1 in the root mean square: all alike, or falling as a power law."""
    if distribution != "anisotropic":
        return np.ones(dim, np.float32)
    ranks = np.arange(1, dim + 1)
    return rng.permutation(np.sqrt(dim / fsum(1 / ranks) / ranks)).astype(np.float32)


def _length(distribution: str, dim: int) -> float:
    """Return the usual length of a vector of `_vectors`."""
    if distribution == "one_hot":
        return float(1.25**0.5)
    mixture = MIXTURES.get(distribution, GAUSSIAN)
    return float((dim * fsum(part**2 for part in mixture)) ** 0.5)


def _clusters(rows: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw each row's cluster; the first is the largest."""
    weights = 1 / np.arange(1, CLUSTERS + 1)
    return rng.choice(CLUSTERS, rows, p=weights / weights.sum())


def _vectors(distribution: str, means: Floats, spread: Floats, rng: np.random.Generator) -> Floats:
    """Draw one vector, not normalised, for each row of `means`, (rows, D)."""
    if distribution == "one_hot":
        values = np.zeros_like(means)
        values[np.arange(len(means)), rng.integers(0, means.shape[1], len(means))] = 1
        values[:, -1] = 0.5  # so that the last sub-space always counts
        return values
    values = rng.standard_normal(means.shape, dtype=np.float32)
    values *= spread
    values += means
    return values


def _units(vectors: Floats) -> Doubles:
    """Normalise vectors, (rows, D), after rounding them to steps of 2**-12: sums of squares are exact."""
    steps = np.rint(vectors * np.float64(2**12))
    return steps / np.sqrt(np.square(steps).sum(axis=1, keepdims=True))


def _one_code_changed(codes: NDArray[np.uint8], rows: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return (M, rows) codes: `codes` with another code in one sub-space, few of them distinct."""
    distinct = 1 + rows // COPIES
    changed = np.repeat(codes[:, None], distinct, axis=1)
    where = rng.integers(0, len(codes), distinct)
    changed[where, np.arange(distinct)] += rng.integers(1, 256, distinct, dtype=np.uint8)
    return changed[:, rng.integers(0, distinct, rows)]


class _Encoder(NamedTuple):
    """A trained product quantiser: `points`, float32 (M, 256, sd), on a grid of `steps` to the unit."""

    points: Floats
    steps: float

    def encode(self, residuals: Doubles) -> NDArray[np.uint8]:
        """Return the nearest centroid of every sub-vector of `residuals`, (rows, D), as uint8 (M, rows)."""
        return _nearest_points(_on_grid(residuals, self.steps, self.points.shape[2]), self.points)

    def codebook(self, rng: np.random.Generator) -> Floats:
        """Return the centroids off the grid again: on it float16 would be exact, and so would float32."""
        blur = 1 + rng.uniform(-0.004, 0.004, self.points.shape)
        return (self.points / self.steps * blur).astype(np.float32)


def _train(residuals: Doubles, sub_vectors: int, rng: np.random.Generator) -> _Encoder:
    """Run a short k-means in every sub-space of `residuals`, (rows, D)."""
    length = residuals.shape[1] // sub_vectors
    steps = _reach(length) / float(np.abs(residuals).max())
    points = _on_grid(residuals, steps, length)
    lengths = np.square(points).sum(axis=2)
    # The long vectors are likelier to be starting points: most sub-vectors of sparse data are alike.
    order = np.argsort(rng.exponential(size=lengths.shape) / (lengths + 1), axis=1)
    trained = np.take_along_axis(points, order[:, :CENTROIDS, None], axis=1)
    for _ in range(TRAINING_PASSES):
        for centres, members, codes in zip(trained, points, _nearest_points(points, trained), strict=True):
            counts = np.bincount(codes, minlength=CENTROIDS)
            for d in range(length):
                sums = np.bincount(codes, weights=members[:, d], minlength=CENTROIDS)
                centres[:, d] = np.where(counts, np.rint(sums / np.maximum(counts, 1)), centres[:, d])
    return _Encoder(trained, steps)


def _nearest_points(points: Floats, centroids: Floats) -> NDArray[np.uint8]:
    """Return which of `centroids`, (M, 256, sd), is nearest to each of `points`, (M, rows, sd)."""
    codes = np.empty(points.shape[:2], np.uint8)
    norms = np.square(centroids).sum(axis=2)
    for m, members in enumerate(points):
        scores = members @ (-2 * centroids[m].T)
        scores += norms[m]
        codes[m] = scores.argmin(axis=1)
    return codes


def _decode(codes: NDArray[np.uint8], codebook: Floats) -> Floats:
    """Return the vectors, (rows, D), that codes, (M, rows), stand for."""
    parts = codebook[np.arange(len(codes))[:, None], codes]
    return parts.swapaxes(0, 1).reshape(codes.shape[1], len(codes) * codebook.shape[2])


def _on_grid(vectors: Doubles, steps: float, length: int) -> Floats:
    """Round vectors, (rows, D), to whole numbers that `_nearest_points` can sum exactly; return (M, rows, sd)."""
    reach = _reach(length)
    points = np.rint(np.clip(vectors * steps, -reach, reach)).astype(np.float32)
    parts = points.reshape(len(vectors), points.shape[1] // length, length)
    return np.ascontiguousarray(parts.swapaxes(0, 1))


def _reach(length: int) -> int:
    """The largest whole number x for which |c|**2 + 2 |x . c| over `length` dimensions stays below 2**24."""
    return int((2**24 / (3 * length)) ** 0.5)
