"""The workload of dictionary: shapes, distributions, and seeded generators of dictionaries and indices.

Owns every number that is checked or timed. The dictionary is the state, as it is for a page; the indices of a
batch of rows are the call. All entries are random bytes: a decoder copies them and does not read them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]


class Shape(NamedTuple):
    """Rows of a call, entries of the dictionary, shortest and longest entry in bytes, bits of an offset, mean run.

    No offsets, 0 bits, means values of a fixed width; a run of 0 means plain indices.
    """

    rows: int
    entries: int
    shortest: int
    longest: int
    offset_bits: int
    run: int


SHAPES: Final = (
    Shape(32768, 200, 8, 16, 32, 0),
    Shape(32768, 16, 1, 8, 32, 20),  # runs, as of sorted strings of few values
    Shape(8192, 4000, 20, 40, 32, 0),
    Shape(32768, 50_021, 16, 16, 0, 0),
    Shape(8191, 20_011, 30, 60, 64, 0),  # a dictionary of 0.9 MB, which no L1 holds; 64-bit indices; odd
)
DISTRIBUTIONS: Final = ("uniform", "zipf", "clustered")
EDGE_DISTRIBUTIONS: Final = (
    "constant",
    "sequential",
    "uint8_indices",
    "uint16_indices",
    "mostly_empty",
    "every_length",
    "one_long_entry",
)

INDEX_DTYPES: Final = {"uint8_indices": "uint8", "uint16_indices": "uint16"}
ENTRIES: Final = {"uint8_indices": 256, "uint16_indices": 40_000, "every_length": 410}
"""Numbers of entries that are not the shape's: indices need all bits of their type; ten entries of each length."""

ZIPF: Final = 1.1
NULL_SHARE: Final = 0.1
NULL_ENTRY: Final = 3
LENGTHS: Final = 41
"""Lengths of 0 to 40 bytes are among the entries of `every_length`; there, a fixed width is one of 17 to 40."""

RUNS: Final = (8.0, 64.0)
"""Least and largest mean length of a run of equal indices."""

LONGEST_RUN: Final = 255
"""In one piece: a longer one is several."""
LONG_ENTRY: Final = 65_536
LONG_SHARE: Final = 1 / 512
DRAWS: Final = 65_536
SLACK: Final = 64


class State(NamedTuple):
    """The dictionary of a page, and what its indices are drawn from.

    Entry e of a binary dictionary is `data[offsets[e] : offsets[e + 1]]`, with `offsets` int32 or int64 (k + 1,).
    Of a fixed one, `data` is uint8 (k, width) and `offsets` are empty. `rows` are the rows of a call,
    `index_dtype` the name of the type of its indices, `run` the mean length of their runs where they come in runs,
    and else 0. `draws`, int64, are entries to choose from, each
    as often as it occurs, and empty where all are equally frequent.
    """

    offsets: NDArray[Any]
    data: Bytes
    rows: int
    index_dtype: str
    run: int
    draws: NDArray[np.int64]

    @property
    def fixed(self) -> bool:
        """Whether all values have one width."""
        return self.data.ndim == 2

    @property
    def entries(self) -> int:
        """Number of entries."""
        return len(self.data) if self.fixed else len(self.offsets) - 1


def make_state(shape: Shape, distribution: str, rng: np.random.Generator) -> State:
    """Make a dictionary; what is never timed has a quarter of the rows."""
    rows = shape.rows // 4 if distribution in EDGE_DISTRIBUTIONS else shape.rows
    entries = ENTRIES.get(distribution, shape.entries)
    lengths = _lengths(shape, distribution, entries, rng)
    draws = _draws(distribution, lengths, rng)
    if shape.offset_bits:
        offsets = np.concatenate(([0], np.cumsum(lengths))).astype(f"i{shape.offset_bits // 8}")
        data = rng.integers(0, 256, offsets[-1], dtype=np.uint8)
    else:
        offsets = np.zeros(0, np.int32)
        width = rng.integers(17, LENGTHS) if distribution == "every_length" else shape.longest
        data = rng.integers(0, 256, (entries, width), dtype=np.uint8)
    return State(offsets, data, rows, _index_dtype(shape, distribution), shape.run, draws)


def make_hidden_state(shape: Shape, distribution: str, rng: np.random.Generator) -> State:
    """Make a dictionary whose rows and entries are drawn, within 10 % of the published numbers."""
    rows, entries = (int(rng.integers(size * 9 // 10, size * 11 // 10 + 1)) for size in shape[:2])
    return make_state(shape._replace(rows=rows, entries=entries), distribution, rng)


def make_call(
    _shape: Shape, distribution: str, state: State, rng: np.random.Generator
) -> tuple[NDArray[Any], ...]:
    """Draw the indices of a batch, plain or in runs; return them with the outputs to fill."""
    indices = _indices(distribution, state, rng).astype(state.index_dtype, copy=False)
    if not state.run:
        return (indices, *outputs(state, indices, rng))
    indices = _repeated(indices, state.run, rng)
    return (*in_runs(indices), *outputs(state, indices, rng))


def in_runs(indices: NDArray[Any]) -> tuple[NDArray[Any], Bytes]:
    """Return the value and the length of each run of equal indices, those of more than 255 in pieces."""
    starts = np.flatnonzero(np.concatenate(([True], indices[1:] != indices[:-1]))) if indices.size else []
    lengths = np.diff(np.append(starts, indices.size)).astype(np.int64)
    pieces = -(-lengths // LONGEST_RUN)
    runs = np.full(pieces.sum(), LONGEST_RUN)
    runs[np.cumsum(pieces) - 1] = lengths - (pieces - 1) * LONGEST_RUN
    return np.repeat(indices[np.asarray(starts, np.int64)], pieces), runs.astype(np.uint8)


def _repeated(indices: NDArray[Any], mean: int, rng: np.random.Generator) -> NDArray[Any]:
    """Repeat each of the first indices, so that there are as many in all as before."""
    count = 2 * len(indices) // mean + 1
    lengths = rng.geometric(1 / mean, len(indices[:count]))
    return np.resize(np.repeat(indices[:count], lengths), len(indices))


def outputs(state: State, indices: NDArray[Any], rng: np.random.Generator) -> tuple[NDArray[Any], ...]:
    """Return the outputs for these indices, filled with a random number so that a row left out shows."""
    noise = rng.integers(1, 256)
    if state.fixed:
        return (np.full((len(indices), state.data.shape[1]), noise, np.uint8),)
    total = np.diff(state.offsets).take(indices.astype(np.intp, copy=False)).sum(dtype=np.int64)
    return (
        np.full(len(indices) + 1, -noise, state.offsets.dtype),
        np.full(total + SLACK, noise, np.uint8),
    )


def _index_dtype(shape: Shape, distribution: str) -> str:
    """Return the type of the indices: as wide as an offset where Lance made the dictionary, else what keys had."""
    return INDEX_DTYPES.get(distribution, "uint64" if shape.offset_bits == 64 else "uint32")


def _lengths(shape: Shape, distribution: str, entries: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw the length of each entry of a binary dictionary."""
    lengths = rng.integers(shape.shortest, shape.longest + 1, entries)
    if distribution == "zipf":
        lengths[NULL_ENTRY] = 0
    elif distribution == "mostly_empty":
        lengths[rng.permutation(entries)[: entries * 9 // 10]] = 0
    elif distribution == "every_length":
        lengths = rng.permutation(np.arange(entries) % LENGTHS)
    elif distribution == "one_long_entry":
        lengths[rng.integers(entries)] = LONG_ENTRY
    return lengths


def _draws(distribution: str, lengths: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Return entries as often as they occur; those with the smallest indices were met first and are the most."""
    entries = len(lengths)
    if distribution == "zipf":
        weights = np.arange(1, entries + 1) ** -ZIPF
        draws = np.searchsorted(np.cumsum(weights / weights.sum()), rng.random(DRAWS)).clip(max=entries - 1)
        draws[rng.random(DRAWS) < NULL_SHARE] = NULL_ENTRY
        return draws
    if distribution == "constant":  # one of the longer half, for the calls of a case shall be of a size
        return np.argsort(lengths, kind="stable")[entries // 2 :]
    if distribution == "one_long_entry":
        long = lengths.argmax()
        draws = (long + rng.integers(1, entries, DRAWS)) % entries
        draws[rng.random(DRAWS) < LONG_SHARE] = long
        return draws
    return np.zeros(0, np.int64)


def _indices(distribution: str, state: State, rng: np.random.Generator) -> NDArray[Any]:
    """Draw the entry of each row."""
    rows, entries = state.rows, state.entries
    if distribution == "constant":
        return np.full(rows, rng.choice(state.draws))
    if distribution == "sequential":
        return (rng.integers(entries) + rng.choice((-1, 1)) * np.arange(rows)) % entries
    if distribution == "clustered":
        lengths = rng.geometric(1 / rng.uniform(*RUNS, rows // 16 + 1))
        return np.resize(np.repeat(rng.integers(0, entries, len(lengths)), lengths), rows)
    if len(state.draws):
        return state.draws[rng.integers(0, DRAWS, rows, dtype=np.uint16)]
    return rng.integers(0, entries, rows, state.index_dtype)
