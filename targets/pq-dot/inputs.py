"""The workload of pq-dot: shapes, distributions, and seeded generators of partitions and queries.

Owns every number that is checked or timed. Partitions are made as Lance makes them for inner products: vectors in
groups, a codebook from a short k-means that assigns by largest inner product, and codes chosen the same way; so
the codes are skewed, as real ones are.

The same seed gives the same bits on every machine. Lengths, k-means and encoding therefore run on whole numbers
small enough that every sum is exact, whatever order it is added in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]


class Shape(NamedTuple):
    """Dimensions of a vector, sub-spaces (M), partitions, and rows of all partitions when they are timed."""

    dim: int
    sub_vectors: int
    partitions: int
    rows: int


SHAPES: Final = (
    Shape(64, 8, 20, 40_960),
    Shape(128, 16, 20, 20_480),
    Shape(768, 96, 8, 4096),
    Shape(100, 10, 13, 20_011),  # sub-vectors of 10
)
DISTRIBUTIONS: Final = ("popularity", "unit", "gaussian")
EDGE_DISTRIBUTIONS: Final = (
    "large_dynamic_range",
    "cancelling",
    "all_negative",
    "duplicates",
    "k_exceeds_n",
    "overflow",
    "not_finite",
)

SHARED: Final = 1.5
GROUP: Final = 0.5
"""How long, in units of a vector's noise, what all vectors have in common is, and what a partition's have."""

DRAWN: Final = {
    "popularity": (0.7, 0.75),
    "unit": (0.7, 0.75),
    "gaussian": (0.7, 0.75),
    "cancelling": (1.0, 0.3),
    "all_negative": (1.0, 0.3),
}
"""The share of a query's dimensions that is drawn towards a row, and how far: 1 is all the way."""

HUGE: Final = np.float32(3e38)
"""What two rows of three have, with either sign, in the first dimension of `overflow`: twice that overflows."""

K: Final = 10
CENTROIDS: Final = 256
COPIES: Final = 15
LAST_ROWS: Final = 8
TRAINING_ROWS: Final = 2048
TRAINING_PASSES: Final = 2


class State(NamedTuple):
    """The partitions as they are before the first query, and what the queries are drawn from.

    `codebook` is float32 (M, 256, sd), `codes` uint8 (M * n,), `offsets` int64 (P + 1,), `k` the rows asked for.
    `last_rows`, float32 (<= 8 P, D), are the last rows of every partition, decoded, and `means`, of the same
    shape, the middles that a query near them is drawn from, both in units of `scale`, float32 (D,).
    """

    codebook: Floats
    codes: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    k: int
    last_rows: Floats
    means: Floats
    scale: Floats


def make_state(shape: Shape, distribution: str, rng: np.random.Generator) -> State:
    """Make partitions with the published number of rows in all."""
    return _make_state(shape, distribution, _rows(shape, distribution), rng)


def make_hidden_state(shape: Shape, distribution: str, rng: np.random.Generator) -> State:
    """Make partitions whose number of rows is drawn, within 10 % of the published one."""
    rows = _rows(shape, distribution)
    return _make_state(shape, distribution, int(rng.integers(rows * 9 // 10, rows * 11 // 10 + 1)), rng)


def make_call(
    shape: Shape,  # noqa: ARG001
    distribution: str,
    state: State,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float32]]:
    """Make a query, float32 (D,), a new vector of the same distribution, drawn towards a last row of a partition.

    That row is then likely among the nearest, so that a kernel which forgets a partition, or the rows after
    its last whole block, is found out. The queries of `overflow` are 2 to 3 in the first dimension; those of
    `not_finite` have NaN or an infinity somewhere.
    """
    place = rng.integers(len(state.last_rows))
    query = _vectors(distribution, state.means[[place]], rng)[0]
    share, pull = DRAWN.get(distribution, (0.9, 0.9))
    drawn = rng.random(query.size, dtype=np.float32) < share
    query += np.float32(pull) * drawn * (state.last_rows[place] - query)
    query *= state.scale
    if distribution == "overflow":
        query[0] = 2 + rng.random()
    if distribution == "not_finite":
        query[rng.integers(query.size)] = rng.choice((np.nan, np.inf, -np.inf))
    return (query,)


def bare_state(codebook: Floats, codes: NDArray[np.uint8], offsets: NDArray[np.int64], k: int) -> State:
    """Return partitions given by their parts; queries for them come from elsewhere."""
    nothing = np.zeros((0, codebook.shape[0] * codebook.shape[2]), np.float32)
    return State(codebook, codes, offsets, k, nothing, nothing, nothing)


def _rows(shape: Shape, distribution: str) -> int:
    """Return the published number of rows; what is never timed has a quarter."""
    if distribution == "k_exceeds_n":
        return K - 3
    if distribution in EDGE_DISTRIBUTIONS:
        return shape.rows // 4 + 1
    return shape.rows


def _make_state(shape: Shape, distribution: str, rows: int, rng: np.random.Generator) -> State:
    length = shape.dim // shape.sub_vectors
    offsets = _offsets(shape.partitions, rows, rng)
    shared, signs = _shared(distribution, shape.dim, rng)
    groups = rng.standard_normal((shape.partitions, shape.dim), dtype=np.float32)
    means = shared + np.float32(GROUP) * groups
    sample = _vectors(distribution, means[rng.integers(0, shape.partitions, TRAINING_ROWS)], rng)
    steps = _reach(length) / float(np.abs(sample).max())
    points = _train(_on_grid(sample, steps, length), rng)
    blocks = [
        _codes(distribution, mean, size, points, steps, rng)
        for mean, size in zip(means, np.diff(offsets), strict=True)
    ]
    # Off the grid again: on it float16 would be exact, and so would float32.
    codebook = (points / steps * (1 + rng.uniform(-0.004, 0.004, points.shape))).astype(np.float32)
    last = [_decode(block[:, -LAST_ROWS:], codebook) for block in blocks]
    near = np.repeat(means + (signs - 1) * shared, [len(rows) for rows in last], axis=0)
    scale = _scale(distribution, shape, rng)
    codebook *= scale.reshape(shape.sub_vectors, 1, length)
    if distribution == "overflow":
        codebook[0, 0::3, 0], codebook[0, 1::3, 0] = HUGE, -HUGE
    codes = np.concatenate([block.ravel() for block in blocks])
    return State(codebook, codes, offsets, K, np.concatenate(last), near.astype(np.float32), scale)


def _offsets(partitions: int, rows: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw the sizes of partitions, the largest up to four times the smallest; return where they begin."""
    weights = np.cumsum(rng.integers(10, 41, partitions))
    return np.concatenate(([0], rows * weights // weights[-1]))


def _shared(distribution: str, dim: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Return what all rows have in common, and the sign with which queries have it, both float32 (D,)."""
    signs = np.ones(dim, np.float32)
    if distribution not in ("cancelling", "all_negative"):
        return np.zeros(dim, np.float32), signs
    shared = np.float32(SHARED) * rng.standard_normal(dim, dtype=np.float32)
    if distribution == "all_negative":
        signs[:] = -1
    else:
        half = dim // 2
        shared[dim - half :] = shared[:half]
        signs[dim - half :] = -1
    return shared, signs


def _scale(distribution: str, shape: Shape, rng: np.random.Generator) -> Floats:
    """Return each dimension's unit; a sub-space spans the whole range, so that none is negligible."""
    if distribution != "large_dynamic_range":
        return np.ones(shape.dim, np.float32)
    exponents = np.linspace(-3, 3, shape.dim // shape.sub_vectors)
    scale = rng.permuted(np.tile(10.0**exponents, (shape.sub_vectors, 1)), axis=1)
    return scale.astype(np.float32).ravel()


def _vectors(distribution: str, means: Floats, rng: np.random.Generator) -> Floats:
    """Draw one vector for each row of `means`, (rows, D).

    Those of `popularity` are 1/4 to 8 times as long as the others: few are long, as in recommenders.
    """
    values = rng.standard_normal(means.shape, dtype=np.float32)
    values += means
    if distribution == "popularity":
        lengths = np.ldexp(1 + rng.random(len(means)), rng.binomial(4, 0.5, len(means)) - 2)
        values *= lengths.astype(np.float32)[:, None]
    if distribution == "unit":
        whole = np.rint(values * np.float64(2**12))  # sums of squares are exact
        values = (whole / np.sqrt(np.square(whole).sum(axis=1, keepdims=True))).astype(np.float32)
    return values


def _codes(
    distribution: str, mean: Floats, rows: int, points: Floats, steps: float, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Draw and encode the rows of one partition; return uint8 (M, rows)."""
    distinct = -(-rows // COPIES) if distribution == "duplicates" else rows
    vectors = _vectors(distribution, np.repeat(mean[None], distinct, axis=0), rng)
    codes = _encode(_on_grid(vectors, steps, points.shape[2]), points)
    return codes if distinct == rows else codes[:, rng.integers(0, distinct, rows)]


def _train(points: Floats, rng: np.random.Generator) -> Floats:
    """Run a short k-means by inner product in every sub-space of `points`, (M, rows, sd); return (M, 256, sd)."""
    lengths = np.square(points).sum(axis=2)
    # The long vectors are likelier to be starting points: no short one is ever chosen.
    order = np.argsort(rng.exponential(size=lengths.shape) / (lengths + 1), axis=1)
    trained = np.take_along_axis(points, order[:, :CENTROIDS, None], axis=1)
    for _ in range(TRAINING_PASSES):
        for centres, members, codes in zip(trained, points, _encode(points, trained), strict=True):
            counts = np.bincount(codes, minlength=CENTROIDS)
            for d in range(points.shape[2]):
                sums = np.bincount(codes, weights=members[:, d], minlength=CENTROIDS)
                centres[:, d] = np.where(counts, np.rint(sums / np.maximum(counts, 1)), centres[:, d])
    return trained


def _encode(points: Floats, centroids: Floats) -> NDArray[np.uint8]:
    """Return which centroid has the largest inner product with each of `points`, (M, rows, sd)."""
    codes = np.empty(points.shape[:2], np.uint8)
    for m, members in enumerate(points):
        codes[m] = (members @ centroids[m].T).argmax(axis=1)
    return codes


def _decode(codes: NDArray[np.uint8], codebook: Floats) -> Floats:
    """Return the vectors, (rows, D), that codes, (M, rows), stand for."""
    parts = codebook[np.arange(len(codes))[:, None], codes]
    return parts.swapaxes(0, 1).reshape(codes.shape[1], len(codes) * codebook.shape[2])


def _on_grid(vectors: Floats, steps: float, length: int) -> Floats:
    """Round vectors, (rows, D), to whole numbers that `_encode` can sum exactly; return (M, rows, sd)."""
    reach = _reach(length)
    points = np.rint(np.clip(vectors * np.float32(steps), -reach, reach))
    parts = points.reshape(len(vectors), points.shape[1] // length, length)
    return np.ascontiguousarray(parts.swapaxes(0, 1))


def _reach(length: int) -> int:
    """The largest whole number x for which |x . c| over `length` dimensions stays below 2**24."""
    return int((2**24 / length) ** 0.5)
