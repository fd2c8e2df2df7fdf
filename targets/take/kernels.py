"""Gathering rows by index, and finding requested rows among those that were read. The file that an agent edits.

A port of what Lance 1.0.0 runs for `take`: `arrow_select::take` (arrow-rs 56) for values of fixed width, vectors,
strings and validity bits, as `take_struct_array` (rust/lance/src/dataset/take.rs) and `TakeStream::map_batch`
(rust/lance/src/io/exec/take.rs) call it, and the search of `do_take_rows` (dataset/take.rs) for requests that are
not in ascending order, which looks at the returned addresses one after the other.

Stays: `take_fixed`, `take_rows`, `take_binary`, `take_bits` and `remap`, with the dtypes, shapes and bits that
their docstrings give. Indices are uint32 or uint64 and always in range; no array overlaps another.

CAN: copy in any order and any unit; group, sort or prefetch indices; build tables within a call.
CANNOT: keep anything for a later call; start threads or processes; import anything but numba, numpy and the
mathematics of the standard library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]
    Indices = NDArray[np.uint32] | NDArray[np.uint64]


@njit()
def take_fixed(values: Array, indices: Indices, out: Array) -> None:
    """Fill `out`, (n,), with the values, (m,), that `indices`, (n,), name; 1 to 8 bytes each, bit for bit."""
    for i in range(indices.size):
        out[i] = values[np.int64(indices[i])]


@njit()
def take_rows(values: Array, indices: Indices, out: Array) -> None:
    """Fill `out`, (n, D), with the rows of `values`, (m, D), that `indices`, (n,), name, bit for bit."""
    for i in range(indices.size):
        row, copy = values[np.int64(indices[i])], out[i]
        for d in range(row.size):
            copy[d] = row[d]


@njit()
def take_binary(
    offsets: NDArray[np.int32],
    data: NDArray[np.uint8],
    indices: Indices,
    out_offsets: NDArray[np.int32],
    out: NDArray[np.uint8],
) -> int:
    """Concatenate the strings that `indices`, (n,), name; return their length.

    String i is `data[offsets[i] : offsets[i + 1]]`; `offsets` is int32 (m + 1,). Fills `out_offsets`, int32
    (n + 1,), from 0, and the first bytes of `out`, which has 64 more than the strings need; those may hold
    anything.
    """
    total = 0
    out_offsets[0] = 0
    for i in range(indices.size):
        index = np.int64(indices[i])
        total += offsets[index + 1] - offsets[index]
        out_offsets[i + 1] = total
    for i in range(indices.size):
        start = offsets[np.int64(indices[i])]
        copy = out[out_offsets[i] : out_offsets[i + 1]]
        string = data[start : start + copy.size]
        for byte in range(copy.size):
            copy[byte] = string[byte]
    return total


@njit()
def take_bits(bits: NDArray[np.uint8], indices: Indices, out: NDArray[np.uint8]) -> None:
    """Fill `out`, uint8 (ceil(n / 8),), with the bits that `indices`, (n,), name, and 0 after the last.

    Bit i is bit i % 8 of byte i // 8, in `bits`, uint8 (ceil(m / 8),), and in `out`.
    """
    for byte in range(out.size):
        packed = 0
        eight = indices[8 * byte : 8 * byte + 8]
        for bit in range(eight.size):
            index = np.int64(eight[bit])
            packed |= ((bits[index >> 3] >> (index & 7)) & 1) << bit
        out[byte] = packed


@njit()
def remap(requested: NDArray[np.uint64], returned: NDArray[np.uint64], out: NDArray[np.uint64]) -> int:
    """Find each of `requested`, uint64 (n,), in `returned`, uint64 (m,), which is ascending without duplicates.

    Writes the positions of those that are found to `out`, uint64 (n,), in the order in which they were requested,
    and returns their number. The places after them may hold anything.
    """
    found = 0
    for address in requested:
        for position in range(returned.size):
            if returned[position] == address:
                out[found] = position
                found += 1
                break
    return found
