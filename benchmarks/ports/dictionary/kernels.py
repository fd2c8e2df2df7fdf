"""Dictionary decoding: the entry of every row, copied to a flat output. The file that an agent edits.

A port of what Lance 14.0.2 runs for a dictionary-encoded page that is wanted as a plain column:
`DictionaryDataBlock::decode_helper` walks the indices one by one and appends each entry to a builder,
`VariableWidthDataBlockBuilder` or `FixedWidthDataBlockBuilder` (rust/lance-encoding/src/data.rs). Indices in runs
are written out before that, one run after the other (encodings/physical/rle.rs).

Stays: `prepare_fixed(values)`, `decode_fixed(indices, table, out)`, `prepare_binary(offsets, data)`,
`decode_binary(indices, table, out_offsets, out_data)` and `decode_runs(values, runs, table, out_offsets,
out_data)`, with the dtypes and shapes that their docstrings give.

CAN: keep any table that is derived from the dictionary, padded or re-ordered; copy in any order and in words of
any size; write into the slack after the output's total; treat runs of equal indices as one, without writing them
out.
CANNOT: keep anything that depends on a call's arguments for a later call; start threads or processes; import
anything but numba, numpy and the mathematics of the standard library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]


def prepare_fixed(values: Bytes) -> Any:
    """Return what `decode_fixed` needs of the dictionary `values`, uint8 (k, width). Not timed."""
    return values


def decode_fixed(indices: NDArray[Any], table: Any, out: Bytes) -> None:
    """Copy an entry for every row.

    Parameters
    ----------
    indices : uint8, uint16, uint32 or uint64, shape (n,)
        Each row's entry, 0 to k - 1.
    table : object
        What `prepare_fixed` returned.
    out : uint8, shape (n, width), C-contiguous
        To be filled.
    """
    _copy_fixed(indices, table, out)


def prepare_binary(offsets: NDArray[Any], data: Bytes) -> Any:
    """Return what `decode_binary` needs of the dictionary. Not timed.

    Entry e is `data[offsets[e] : offsets[e + 1]]`; `offsets` are int32 or int64 (k + 1,), the first is 0;
    `data`, uint8 (m,), ends with the last entry.
    """
    return offsets, data


def decode_binary(indices: NDArray[Any], table: Any, out_offsets: NDArray[Any], out_data: Bytes) -> int:
    """Copy an entry for every row, one after the other, and return the number of bytes written.

    Parameters
    ----------
    indices : uint8, uint16, uint32 or uint64, shape (n,)
        Each row's entry, 0 to k - 1.
    table : object
        What `prepare_binary` returned.
    out_offsets : shape (n + 1,), the dtype of the dictionary's offsets
        To be filled: 0, then the end of each row.
    out_data : uint8, shape (total + 64,)
        To be filled up to the total; what is in the last 64 bytes is not looked at.
    """
    offsets, data = table
    return _copy_binary(indices, offsets, data, out_offsets, out_data)


def decode_runs(values: NDArray[Any], runs: Bytes, table: Any, out_offsets: NDArray[Any], out_data: Bytes) -> int:
    """Copy an entry for every row, where the rows' indices come in runs; otherwise as `decode_binary`.

    Parameters
    ----------
    values : uint8, uint16, uint32 or uint64, shape (r,)
        The entry of each run, 0 to k - 1. Neighbours may be equal: no run is longer than 255 rows.
    runs : uint8, shape (r,)
        The rows of each run, 1 to 255.
    """
    offsets, data = table
    return _copy_binary(_written_out(values, runs), offsets, data, out_offsets, out_data)


@njit()
def _written_out(values: NDArray[Any], runs: Bytes) -> NDArray[Any]:
    rows = 0
    for run in runs:
        rows += np.int64(run)
    indices = np.empty(rows, values.dtype)
    at = 0
    for i in range(values.size):
        for _ in range(runs[i]):
            indices[at] = values[i]
            at += 1
    return indices


@njit()
def _copy_fixed(indices: NDArray[Any], values: Bytes, out: Bytes) -> None:
    for row in range(indices.size):
        entry = np.int64(indices[row])
        for i in range(values.shape[1]):
            out[row, i] = values[entry, i]


@njit()
def _copy_binary(
    indices: NDArray[Any], offsets: NDArray[Any], data: Bytes, out_offsets: NDArray[Any], out_data: Bytes
) -> int:
    at = 0
    out_offsets[0] = 0
    for row in range(indices.size):
        entry = np.int64(indices[row])
        for i in range(offsets[entry], offsets[entry + 1]):
            out_data[at] = data[i]
            at += 1
        out_offsets[row + 1] = at
    return at
