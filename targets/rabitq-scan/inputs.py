"""The workload of rabitq-scan: shapes, distributions, and seeded generators of partitions and queries.

Owns every number that is checked or timed. A partition is made as Lance makes one: residuals from the centroid,
their signs, as many bits more as the index has, and the factors that turn products with a query into distances.
Vectors are drawn as they are after Lance's rotation, which makes all dimensions alike.

The same seed gives the same bits on every machine. Residuals and centroid lie on a grid so coarse that float64
holds every sum exactly, whatever order it is added in.
"""

from __future__ import annotations

from math import fsum
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Floats = NDArray[np.float32]
    Doubles = NDArray[np.float64]


class Shape(NamedTuple):
    """Dimensions of a vector, bits of each value of it (1, 5 or 9), rows of the partition that is timed."""

    dim: int
    bits: int
    rows: int


SHAPES: Final = (
    Shape(128, 5, 16_384),
    Shape(128, 1, 16_384),
    Shape(1536, 5, 4096),
    Shape(96, 9, 10_011),  # extra codes for 128 dimensions, and 27 rows after the last whole block of 32
)
DISTRIBUTIONS: Final = ("gaussian", "clustered", "unit")
EDGE_DISTRIBUTIONS: Final = (
    "uneven_lengths",
    "descending",
    "duplicates",
    "zero_residuals",
    "far_query",
    "less_than_a_block",
    "k_exceeds_n",
)

K: Final = 10
CLUSTERS: Final = 64
COPIES: Final = 15
GRID: Final = 2.0**14
"""Steps to the unit: 1536 squares of values up to 2**5 have sums below 2**53 steps of a square."""
REACH: Final = 3.0
"""The largest value that extra bits tell apart, in root mean squares of a row's residual."""
ERROR_WIDTH: Final = 1.9
"""How many standard deviations of the estimate's error Lance's lower bound goes down."""
BLOCK: Final = 32
BLOCK_ROWS: Final = 1024
FEW_ROWS: Final = {"less_than_a_block": 27, "k_exceeds_n": 7}


class State(NamedTuple):
    """One partition as it is before the first query, and what its queries are drawn from.

    `codes`, `factors`, `ex_codes` and `ex_factors` are what the kernel is built from, `k` the rows asked for.
    `centroid`, float64 (D,), and `last_residuals`, float64 (<= 8, D), of the last rows, are what queries are near.
    """

    codes: Bytes
    factors: Floats
    ex_codes: Bytes
    ex_factors: Floats
    k: int
    centroid: Doubles
    last_residuals: Doubles


def make_state(shape: Shape, distribution: str, rng: np.random.Generator) -> State:
    """Make a partition with the published number of rows."""
    return _make_state(shape, distribution, _rows(shape, distribution), rng)


def make_hidden_state(shape: Shape, distribution: str, rng: np.random.Generator) -> State:
    """Make a partition whose number of rows is drawn, within 10 % of the published one."""
    rows = _rows(shape, distribution)
    return _make_state(shape, distribution, int(rng.integers(rows * 9 // 10, rows * 11 // 10 + 1)), rng)


def make_call(
    shape: Shape, distribution: str, state: State, rng: np.random.Generator
) -> tuple[NDArray[np.float32], float]:
    """Make a query, float32 (D,), and its squared distance from the centroid, a float32 number.

    It is drawn towards one of the last rows, so that a kernel which forgets the rows after its last whole block is
    found out. A far query has a large sum of steps for that row: with 384 tables it needs more than 16 bits.
    """
    near = state.last_residuals[rng.integers(len(state.last_residuals))]
    noise = _unit(shape.dim, distribution) * rng.standard_normal(shape.dim)
    residual = noise + (0.6 if distribution in DISTRIBUTIONS else 0.8) * (near - noise)
    if distribution == "far_query":
        residual += 100 * np.sign(near)
    vector = state.centroid + residual
    query = (_normalised(vector[None])[0] if distribution == "unit" else vector).astype(np.float32)
    return query, float(np.float32(fsum(np.square(query - state.centroid))))


def partition(residuals: Doubles, centroid: Doubles, bits: int, k: int) -> State:
    """Return the partition of the vectors `centroid` + `residuals`, both on the grid, (n, D) and (D,)."""
    extra_bits = bits - 1
    dim = centroid.size
    signs = residuals >= 0
    norms = np.square(residuals).sum(axis=1)
    to_residual, to_centroid = ((signs - 0.5) * part for part in (residuals, centroid))
    add, scale = _add_and_scale(norms, to_residual.sum(axis=1), to_centroid.sum(axis=1))
    factors = np.stack((add, scale, _error(norms, to_residual.sum(axis=1), dim))).astype(np.float32)
    codes = packed_signs(signs)
    if not extra_bits:
        nothing = np.zeros((2, 0), np.float32)
        return State(codes, factors, np.zeros((len(codes), 0), np.uint8), nothing, k, centroid, residuals[-8:])
    values = _extra_values(residuals, signs, norms, extra_bits)
    whole = (signs * 2.0**extra_bits + values) - (2.0**extra_bits - 0.5)
    ex_factors = _add_and_scale(norms, (whole * residuals).sum(axis=1), whole @ centroid)
    return State(
        codes,
        factors,
        packed_values(values, extra_bits),
        np.stack(ex_factors).astype(np.float32),
        k,
        centroid,
        residuals[-8:],
    )


def packed_signs(signs: NDArray[np.bool_]) -> Bytes:
    """Return signs, (n, D), as Lance stores them, (n, D / 8): in blocks of 32 rows, see kernels.py."""
    rows = np.packbits(signs, axis=1, bitorder="little")
    whole = len(rows) // BLOCK * BLOCK
    blocks = rows[:whole].reshape(-1, 2, 2, 8, rows.shape[1])  # block, half, PERMUTED backwards, byte
    blocks = blocks.transpose(0, 4, 1, 3, 2).reshape(-1, rows.shape[1], 2, 16)  # block, byte, half, place
    low = (blocks[:, :, 0] & 15) | (blocks[:, :, 1] & 15) << 4
    high = blocks[:, :, 0] >> 4 | blocks[:, :, 1] & 0xF0
    packed = np.concatenate((low, high), axis=2).ravel()
    return np.concatenate((packed, rows[whole:].T.ravel())).reshape(rows.shape)


def packed_values(values: Bytes, bits: int) -> Bytes:
    """Return extra codes of 4 or 8 bits, (n, D), as Lance stores them, with D padded to blocks of 64."""
    padded = np.pad(values, ((0, 0), (0, -values.shape[1] % 64)))
    if bits == 8:
        return padded
    rows, dim = padded.shape
    groups = padded.reshape(rows, dim // 16, 2, 8)
    return (groups[:, :, 0] | groups[:, :, 1] << 4).reshape(rows, dim // 2)


def on_grid(values: Doubles) -> Doubles:
    """Round values to the grid, and to less than 32."""
    return np.clip(np.rint(values * GRID), -32 * GRID + 1, 32 * GRID - 1) / GRID


def _rows(shape: Shape, distribution: str) -> int:
    """Return the published number of rows; what is never timed has a quarter.

    That is 27 past a block of 32, but for far queries, whose row is then in a block.
    """
    if distribution in EDGE_DISTRIBUTIONS:
        in_blocks = shape.rows // 128 * BLOCK
        return FEW_ROWS.get(distribution, in_blocks if distribution == "far_query" else in_blocks + 27)
    return shape.rows


def _make_state(shape: Shape, distribution: str, rows: int, rng: np.random.Generator) -> State:
    centroid = on_grid(_unit(shape.dim, distribution) * rng.standard_normal(shape.dim))
    if distribution == "unit":
        centroid *= 0.5
    residuals = _residuals(distribution, centroid, rows, rng)
    parts = [
        partition(residuals[start : start + BLOCK_ROWS], centroid, shape.bits, K)
        for start in range(0, rows, BLOCK_ROWS)
    ]
    return State(
        np.concatenate([part.codes for part in parts]),
        np.concatenate([part.factors for part in parts], axis=1),
        np.concatenate([part.ex_codes for part in parts]),
        np.concatenate([part.ex_factors for part in parts], axis=1),
        K,
        centroid,
        residuals[-8:].copy(),
    )


def _residuals(distribution: str, centroid: Doubles, rows: int, rng: np.random.Generator) -> Doubles:
    """Draw the rows' residuals, (rows, D), on the grid."""
    distinct = 1 + rows // COPIES if distribution == "duplicates" else rows
    drawn = _unit(centroid.size, distribution) * rng.standard_normal((distinct, centroid.size))
    if distribution == "duplicates":
        drawn = drawn[rng.integers(0, distinct, rows)]
    if distribution == "clustered":
        centres = rng.standard_normal((CLUSTERS, centroid.size))
        drawn = 0.5 * drawn + 0.75 * centres[rng.integers(0, CLUSTERS, rows)]
    if distribution == "unit":
        drawn = _normalised(centroid + drawn) - centroid
    if distribution in ("uneven_lengths", "descending"):
        drawn *= 2.0 ** rng.uniform(-2, 2, (rows, 1))
    if distribution == "zero_residuals":
        drawn *= rng.random((rows, 1)) < 0.5
        drawn[-8:] += drawn[-1]
    residuals = on_grid(drawn)
    if distribution == "descending":
        residuals = residuals[np.argsort(-np.square(residuals).sum(axis=1), kind="stable")]
    return residuals


def _unit(dim: int, distribution: str) -> float:
    """Return the noise of each dimension; vectors of the distribution `unit` have about the length 1."""
    return float(dim**-0.5) if distribution == "unit" else 1.0


def _normalised(vectors: Doubles) -> Doubles:
    """Return vectors, (n, D), of length 1, rounded to the grid before, so that sums of squares are exact."""
    rounded = on_grid(vectors)
    normalised: Doubles = rounded / np.sqrt(np.square(rounded).sum(axis=1, keepdims=True))
    return normalised


def _extra_values(residuals: Doubles, signs: NDArray[np.bool_], norms: Doubles, bits: int) -> Bytes:
    """Return the extra bits of each value, (n, D): how large it is, counted from the other end where negative."""
    largest = 2**bits - 1
    width = REACH * np.sqrt(norms / residuals.shape[1]) / 2**bits
    sizes = np.minimum(np.abs(residuals) / np.where(width > 0, width, 1)[:, None], largest).astype(np.uint8)
    return np.where(signs, sizes, largest - sizes).astype(np.uint8)


def _add_and_scale(norms: Doubles, to_residual: Doubles, to_centroid: Doubles) -> tuple[Doubles, Doubles]:
    """Return the factors of rows, given their squared lengths and the products of their codes with both."""
    ratio = np.divide(norms, to_residual, out=np.zeros_like(norms), where=to_residual != 0)
    return norms + 2 * ratio * to_centroid, -2 * ratio


def _error(norms: Doubles, to_residual: Doubles, dim: int) -> Doubles:
    """Return how far below the estimate the lower bound lies, for a query at distance 1 of the centroid."""
    squares = np.square(to_residual)
    alignment = np.divide(norms * dim / 4, squares, out=np.ones_like(norms), where=squares > 0)
    deviation = np.sqrt(np.maximum(alignment - 1, 0) / (dim - 1))
    return 2 * ERROR_WIDTH * np.sqrt(norms) * deviation
