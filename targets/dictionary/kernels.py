"""Dictionary decoding: the entry of every row, copied to a flat output. The file that an agent edits.

What makes it fast: an entry is copied by one load and one store of 16, 32 or 64 bytes, as many as the longest
entry needs, and the next row's entry overwrites what was too much. So nothing branches on the length of an
entry, and no copy waits for the one before it. Where indices come in runs, an entry of up to 16 bytes is kept as
often as it fits into 64, and a run is a few stores of these; the ends of its rows are made 16 at a time.

In Rust: `copy_nonoverlapping` of a constant number of bytes into a buffer with that much room behind it, and a
copy of the dictionary that has as much behind its last entry. Lance 14.0.2 appends each entry to a builder
(`DictionaryDataBlock::decode_helper`, rust/lance-encoding/src/data.rs), after it has written out runs of indices
(encodings/physical/rle.rs); `benchmarks/ports/dictionary/kernels.py` is a port of that.

Stays: `prepare_fixed(values)`, `decode_fixed(indices, table, out)`, `prepare_binary(offsets, data)`,
`decode_binary(indices, table, out_offsets, out_data)` and `decode_runs(values, runs, table, out_offsets,
out_data)`, with the dtypes and shapes that their docstrings give.

CAN: keep any table that is derived from the dictionary, padded or re-ordered; copy in any order and in words of
any size; write into the slack after the output's total; treat runs of equal indices as one, without writing them
out.
CANNOT: keep anything that depends on a call's arguments for a later call; start threads or processes; import
anything but numba, llvmlite.ir, numpy and the mathematics of the standard library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]

UNITS = (16, 32, 64)
"""The bytes that one copy may have."""
SLACK = UNITS[-1]
"""The bytes behind the end of an output that may be written, and behind a table's that may be read."""
ENDS = 16
"""The ends of rows that are stored at a time."""
SHORT = 16
"""The longest entry that is kept repeated, where no entry is longer."""
MOST_REPEATED = 4096
"""The most entries that are kept repeated."""


class Fixed(NamedTuple):
    """A dictionary of values of one width, with SLACK bytes behind the last one."""

    data: Bytes
    width: int
    copy: Callable[..., None]


class Binary(NamedTuple):
    """A dictionary with offsets, with SLACK bytes behind the last entry.

    `repeated`, uint8 (k, 64), has each entry as often as it fits in, or is empty, and `steps`, int64 (k,), how
    many bytes that are.
    """

    offsets: NDArray[Any]
    data: Bytes
    copy: Callable[..., int]
    repeated: Bytes
    steps: NDArray[np.int64]


def prepare_fixed(values: Bytes) -> Fixed:
    """Return what `decode_fixed` needs of the dictionary `values`, uint8 (k, width). Not timed."""
    width = values.shape[1]
    return Fixed(_padded(values.reshape(-1)), width, _COPY_FIXED[_unit(width)])


def decode_fixed(indices: NDArray[Any], table: Fixed, out: Bytes) -> None:
    """Copy an entry for every row.

    Parameters
    ----------
    indices : uint8, uint16, uint32 or uint64, shape (n,)
        Each row's entry, 0 to k - 1.
    table : Fixed
        What `prepare_fixed` returned.
    out : uint8, shape (n, width), C-contiguous
        To be filled.
    """
    table.copy(indices, table.width, table.data, out.reshape(-1))


def prepare_binary(offsets: NDArray[Any], data: Bytes) -> Binary:
    """Return what `decode_binary` and `decode_runs` need of the dictionary. Not timed.

    Entry e is `data[offsets[e] : offsets[e + 1]]`; `offsets` are int32 or int64 (k + 1,), the first is 0;
    `data`, uint8 (m,), ends with the last entry. There is at least one.
    """
    longest, count = int(np.diff(offsets).max()), len(offsets) - 1
    padded = _padded(data)
    repeated = np.zeros((count if longest <= SHORT and count <= MOST_REPEATED else 0, SLACK), np.uint8)
    steps = np.zeros(len(repeated), np.int64)
    _repeat(offsets, padded, repeated, steps)
    return Binary(offsets, padded, _COPY_BINARY[_unit(longest)], repeated, steps)


def decode_binary(indices: NDArray[Any], table: Binary, out_offsets: NDArray[Any], out_data: Bytes) -> int:
    """Copy an entry for every row, one after the other, and return the number of bytes written.

    Parameters
    ----------
    indices : uint8, uint16, uint32 or uint64, shape (n,)
        Each row's entry, 0 to k - 1.
    table : Binary
        What `prepare_binary` returned.
    out_offsets : shape (n + 1,), the dtype of the dictionary's offsets
        To be filled: 0, then the end of each row.
    out_data : uint8, shape (total + 64,)
        To be filled up to the total; what is in the last 64 bytes is not looked at.
    """
    return table.copy(indices, table.offsets, table.data, out_offsets, out_data)


def decode_runs(
    values: NDArray[Any], runs: Bytes, table: Binary, out_offsets: NDArray[Any], out_data: Bytes
) -> int:
    """Copy an entry for every row, where the rows' indices come in runs; otherwise as `decode_binary`.

    Parameters
    ----------
    values : uint8, uint16, uint32 or uint64, shape (r,)
        The entry of each run, 0 to k - 1. Neighbours may be equal: no run is longer than 255 rows.
    runs : uint8, shape (r,)
        The rows of each run, 1 to 255.
    """
    if len(table.repeated):
        total: int = _copy_runs(values, runs, table.offsets, table.repeated, table.steps, out_offsets, out_data)
        return total
    return table.copy(np.repeat(values, runs), table.offsets, table.data, out_offsets, out_data)


def _padded(data: Bytes) -> Bytes:
    padded = np.empty(len(data) + SLACK, np.uint8)
    padded[: len(data)] = data
    return padded


def _unit(longest: int) -> int:
    return next((unit for unit in UNITS if unit >= longest), UNITS[-1])


@njit
def _repeat(offsets: NDArray[Any], data: Bytes, repeated: Bytes, steps: NDArray[np.int64]) -> None:
    """Fill each row of `repeated` with its entry, as often as it fits in."""
    for entry in range(len(repeated)):
        length = np.int64(offsets[entry + 1] - offsets[entry])
        if length:
            steps[entry] = SLACK // length * length
            for place in range(steps[entry]):
                repeated[entry, place] = data[offsets[entry] + place % length]


@njit
def _copy_runs(
    values: NDArray[Any],
    runs: Bytes,
    offsets: NDArray[Any],
    repeated: Bytes,
    steps: NDArray[np.int64],
    out_offsets: NDArray[Any],
    out_data: Bytes,
) -> int:
    flat = repeated.reshape(-1)
    at, row = 0, 0
    out_offsets[0] = 0
    for run in range(len(values)):
        entry, rows = np.int64(values[run]), np.int64(runs[run])
        length = np.int64(offsets[entry + 1] - offsets[entry])
        if row + rows + ENDS < len(out_offsets):
            for begin in range(0, rows, ENDS):
                _store_ends(out_offsets, row + 1 + begin, at + begin * length, length)
        else:
            for place in range(1, rows + 1):
                out_offsets[row + place] = at + place * length
        end = at + rows * length
        while at < end:
            _copy_64(flat, entry * SLACK, out_data, at)
            at += steps[entry]
        at, row = end, row + rows
    return at


def _copiers(unit: int, copy: Any) -> tuple[Any, Any]:
    """Return how values of a fixed width, and how entries with offsets, are copied in units of so many bytes."""

    @njit
    def copy_fixed(indices: NDArray[Any], width: int, data: Bytes, out: Bytes) -> None:
        room = (width + unit - 1) // unit * unit
        at = 0
        for row in range(len(indices)):
            start = np.int64(indices[row]) * width
            if at + room <= len(out):
                for place in range(0, width, unit):
                    copy(data, start + place, out, at + place)
            else:
                for place in range(width):
                    out[at + place] = data[start + place]
            at += width

    @njit
    def copy_binary(
        indices: NDArray[Any], offsets: NDArray[Any], data: Bytes, out_offsets: NDArray[Any], out_data: Bytes
    ) -> int:
        at = 0
        out_offsets[0] = 0
        for row in range(len(indices)):
            entry = np.int64(indices[row])
            start = np.int64(offsets[entry])
            length = np.int64(offsets[entry + 1]) - start
            copy(data, start, out_data, at)
            for place in range(unit, length, unit):
                copy(data, start + place, out_data, at + place)
            at += length
            out_offsets[row + 1] = at
        return at

    return copy_fixed, copy_binary


def _pointer(context: Any, builder: Any, kind: Any, array: Any, place: Any, vector: Any) -> Any:
    """Where in an array a vector begins, as a pointer to it."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [place]), vector.as_pointer())


def _copy_of(count: int) -> Any:
    """Return a copy of so many bytes from a place in one array of bytes to one in another."""
    vector = ir.VectorType(ir.IntType(8), count)

    @intrinsic  # type: ignore[untyped-decorator]  # numba is not typed
    def copy(typingctx: Any, source: Any, start: Any, target: Any, at: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            read, written = (
                _pointer(context, builder, signature.args[array], arguments[array], arguments[array + 1], vector)
                for array in (0, 2)
            )
            builder.store(builder.load(read, align=1), written, align=1)
            return context.get_dummy_value()

        return types.void(source, start, target, at), codegen

    return copy


@intrinsic  # type: ignore[untyped-decorator]
def _store_ends(typingctx: Any, out_offsets: Any, row: Any, at: Any, length: Any) -> Any:
    """out_offsets[row + i] = at + (i + 1) * length, for 16 rows."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        offset = context.get_value_type(signature.args[0].dtype)
        vector = ir.VectorType(offset, ENDS)
        order = ir.Constant(ir.VectorType(ir.IntType(32), ENDS), [0] * ENDS)

        def repeated(value: Any) -> Any:
            value = builder.trunc(value, offset)
            first = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.IntType(32)(0))
            return builder.shuffle_vector(first, first, order)

        counts = ir.Constant(vector, list(range(1, ENDS + 1)))
        ends = builder.add(repeated(arguments[2]), builder.mul(repeated(arguments[3]), counts))
        place = _pointer(context, builder, signature.args[0], arguments[0], arguments[1], vector)
        builder.store(ends, place, align=offset.width // 8)
        return context.get_dummy_value()

    return types.void(out_offsets, row, at, length), codegen


_COPIES = {unit: _copy_of(unit) for unit in UNITS}
_copy_64 = _COPIES[SLACK]
_COPIERS = {unit: _copiers(unit, copy) for unit, copy in _COPIES.items()}
_COPY_FIXED = {unit: fixed for unit, (fixed, _) in _COPIERS.items()}
_COPY_BINARY = {unit: binary for unit, (_, binary) in _COPIERS.items()}
