"""The workload of take: tables, and seeded generators of the indices that are gathered from them.

Owns every number that is checked or timed. Five kernels are measured, each on shapes of its own, because one call
does one job: `fixed`, `rows`, `binary` and `bits` gather from a table, `remap` finds requested row addresses among
those that were read. The table is the state; indices and the buffers to be filled arrive with the call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


class Shape(NamedTuple):
    """A job, the indices of one call, and the rows of the table."""

    job: str
    indices: int
    table_rows: int


SHAPES: Final = (
    Shape("fixed", 50_000, 10_000_000),  # 40 MB: most reads miss the caches
    Shape("fixed", 150_000, 150_000),  # what was read in another order than asked for: 0.6 MB, in L2
    Shape("rows", 400, 10_000),
    Shape("binary", 8192, 500_000),
    Shape("bits", 65_533, 1_000_003),  # 5 bits in the last byte
    Shape("remap", 20_000, 200_000),
)
DISTRIBUTIONS: Final = ("random", "sorted", "zipf")
EDGE_DISTRIBUTIONS: Final = ("identity", "reverse", "same", "ends", "runs")

EDGE_INDICES: Final = 1301
EDGE_TABLE_ROWS: Final = 997

WIDTH: Final = 768
"""Components of a vector of the job `rows`."""

SHORT_BYTES: Final = 40
LONG_BYTES: Final = 1000
LONG_SHARE: Final = 0.01
"""Most bytes of a short and of a long string of the job `binary`, and the share of the long: 25 on average."""

NULL_SHARE: Final = 0.2
DELETED_SHARE: Final = 0.03
FRAGMENTS: Final = 8
TOMBSTONE: Final = 2**64 - 1
"""The address by which Lance asks for a row that is out of range: it is never among those that were read."""

SCATTER: Final = np.uint32(2_654_435_761)
"""Odd: takes every rank to another place."""

RUN_ROWS: Final = 23
SLACK: Final = 64
"""Bytes after the last string that a kernel may write to."""


class State(NamedTuple):
    """What is gathered from, and how many indices a call brings.

    `table` is (values,) with values (m,) or (m, D) for `fixed` and `rows`; (offsets, data), int32 (m + 1,) and
    uint8, for `binary`; (bits,), uint8 (ceil(m / 8),), for `bits`; nothing for `remap`. `addresses`, uint64 (m,),
    and `deleted`, bool (m,), are what the calls of `remap` are drawn from.
    """

    job: str
    table: tuple[Array, ...]
    rows: int
    indices: int
    addresses: NDArray[np.uint64]
    deleted: NDArray[np.bool_]


def make_state(shape: Shape, distribution: str, rng: np.random.Generator) -> State:
    """Make a table with the published number of rows; what is never timed has fewer rows than indices."""
    if distribution in EDGE_DISTRIBUTIONS:
        return make_table(shape.job, EDGE_TABLE_ROWS, EDGE_INDICES, rng)
    return make_table(shape.job, shape.table_rows, shape.indices, rng)


def make_hidden_state(shape: Shape, distribution: str, rng: np.random.Generator) -> State:  # noqa: ARG001
    """Make a table whose number of rows is drawn, and that of the indices, within 10 % of the published ones."""
    rows, indices = (int(rng.integers(n * 9 // 10, n * 11 // 10 + 1)) for n in (shape.table_rows, shape.indices))
    return make_table(shape.job, rows, indices, rng)


def make_call(
    shape: Shape,  # noqa: ARG001
    distribution: str,
    state: State,
    rng: np.random.Generator,
) -> tuple[Array, ...]:
    """Make indices and the buffers to be filled with what they name."""
    return call_for(state, indices_of(distribution, state.rows, state.indices, rng), rng)


def make_table(job: str, rows: int, indices: int, rng: np.random.Generator, dtype: str = "uint32") -> State:
    """Make a table of random bits; `dtype` is that of the jobs `fixed` and `rows`."""
    table: tuple[Array, ...] = ()
    addresses, deleted = np.zeros(0, np.uint64), np.zeros(0, bool)
    if job == "fixed":
        table = (_bits((rows,), dtype, rng),)
    elif job == "rows":
        table = (_bits((rows, WIDTH if rows else 0), dtype, rng),)
    elif job == "binary":
        long = rng.random(rows) < LONG_SHARE
        lengths = rng.integers(0, np.where(long, LONG_BYTES, SHORT_BYTES) + 1)
        table = strings(lengths, rng)
    elif job == "bits":
        table = (np.packbits(rng.random(rows) >= NULL_SHARE, bitorder="little"),)
    else:
        addresses, deleted = _addresses(rows, rng), rng.random(rows) < DELETED_SHARE
        deleted[:1], deleted[-1:] = False, True
    return State(job, table, rows, indices, addresses, deleted)


def strings(lengths: NDArray[np.int64], rng: np.random.Generator) -> tuple[Array, Array]:
    """Return the offsets and the bytes of strings of the given lengths."""
    offsets = np.zeros(lengths.size + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    return offsets, _bits((int(offsets[-1]),), "uint8", rng)


def call_for(
    state: State, indices: NDArray[np.uint32], rng: np.random.Generator, dtype: str = ""
) -> tuple[Array, ...]:
    """Make the call for the given indices: buffers are full of a number that is drawn.

    `dtype` is that of the indices: uint64 for `fixed` and uint32 for the others, where it is not given.
    """
    size = indices.size
    if state.job == "remap":
        is_read = np.zeros(state.rows, np.bool_)
        is_read[indices] = True
        returned = state.addresses[is_read & ~state.deleted]
        return state.addresses[indices], returned, _noise((size,), "uint64", rng)
    given = indices.astype(dtype or ("uint64" if state.job == "fixed" else "uint32"), copy=False)
    if state.job == "binary":
        offsets = state.table[0]
        total = int((offsets[indices + 1] - offsets[indices]).sum())
        return given, _noise((size + 1,), "int32", rng), _noise((total + SLACK,), "uint8", rng)
    if state.job == "bits":
        return given, _noise(((size + 7) // 8,), "uint8", rng)
    values = state.table[0]
    return given, _noise((size, *values.shape[1:]), values.dtype.name, rng)


def indices_of(distribution: str, rows: int, size: int, rng: np.random.Generator) -> NDArray[np.uint32]:
    """Draw the rows that are asked for, uint32 (size,), in the order in which they are asked for."""
    places = np.arange(size, dtype=np.uint32)
    if distribution == "random":  # the nearest rows of a vector search, by distance
        return rng.integers(0, rows, size, dtype=np.uint32)
    if distribution == "sorted":  # what a filter left over: one row of every `rows / size`
        first = places.astype(np.uint64) * np.uint64(rows) // np.uint64(max(size, 1))
        return first.astype(np.uint32) + rng.integers(0, max(rows // max(size, 1), 1), size, dtype=np.uint32)
    if distribution == "zipf":  # the logarithm of a row's rank is uniform; hot rows lie anywhere
        halved = rng.integers(0, 32, size, dtype=np.uint32)
        ranks = rng.integers(0, 2**32, size, dtype=np.uint32) >> halved
        scattered = (ranks * SCATTER).astype(np.uint64)
        return (scattered * np.uint64(rows) >> np.uint64(32)).astype(np.uint32)
    if distribution == "identity":
        return places % rows
    if distribution == "reverse":
        return (rows - 1) - places % rows
    if distribution == "same":  # of one row for all calls: the size of a result may not vary much
        return np.full(size, rows // 2, np.uint32)
    if distribution == "ends":
        return rng.integers(0, 2, size, dtype=np.uint32) * np.uint32(rows - 1)
    starts = rng.integers(0, rows, size // RUN_ROWS + 1, dtype=np.uint32)
    return (starts[:, None] + places[:RUN_ROWS]).ravel()[:size] % rows


def _addresses(rows: int, rng: np.random.Generator) -> NDArray[np.uint64]:
    """Return row addresses, ascending: a fragment's number and 32 bits for a row's; 0 first, a tombstone last."""
    fragments = np.sort(rng.integers(0, 2**32, FRAGMENTS, dtype=np.uint64))
    fragments[0] = 0
    places = np.arange(rows, dtype=np.uint64)
    each = np.uint64(rows // FRAGMENTS + 1)
    addresses = fragments[places // each] << np.uint64(32) | places % each
    addresses[-1:] = TOMBSTONE
    return addresses


def _bits(size: tuple[int, ...], dtype: str, rng: np.random.Generator) -> Array:
    """Return values of random bits, among them NaNs of every kind where they are floats."""
    raw = rng.integers(0, 256, (*size, np.dtype(dtype).itemsize), dtype=np.uint8)
    return raw.view(dtype)[..., 0]


def _noise(size: tuple[int, ...], dtype: str, rng: np.random.Generator) -> Array:
    """Return a buffer full of one drawn number: a place that a kernel leaves out then shows."""
    return np.full(size, _bits((1,), dtype, rng)[0])
