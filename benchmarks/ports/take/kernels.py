"""Gathering rows by index, and finding requested rows among those that were read. The file that an agent edits.

A port of what Lance 14.0.2 runs for `take`: `arrow_select::take` (arrow-rs 58) for values of fixed width, vectors,
strings and validity bits, as `take_struct_array` (rust/lance/src/dataset/take.rs) and the readers of what a search
found call it, and the search of `do_take_rows` (dataset/take.rs) for requests that are not in ascending order: a
`std::collections::HashMap` from the returned addresses to their positions, which hashes with SipHash-1-3.

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
    Table = tuple[NDArray[np.uint64], NDArray[np.uint8]]
    """Of each place its address and position, (size, 2), and a byte of the address's hash, 0 where it is free."""

SIPHASH = np.frombuffer(b"uespemosmodnarodarenegylsetybdet", np.uint64)
"""The state in which SipHash begins, with a key of zeros; upstream draws one."""


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
    table = _table(returned)
    found = 0
    for address in requested:
        position = _position(table, address)
        if position >= 0:
            out[found] = position
            found += 1
    return found


@njit()
def _table(addresses: NDArray[np.uint64]) -> Table:
    """Return an open hash table, half of its places free or more.

    Upstream's looks at the bytes of 16 places at once; here the free places see to it that a look or two decide.
    """
    size = 16
    while size < 2 * addresses.size:
        size *= 2
    slots, tags = np.empty((size, 2), np.uint64), np.zeros(size, np.uint8)
    for position in range(addresses.size):
        hashed = _siphash(addresses[position])
        place = np.int64(hashed & np.uint64(size - 1))
        while tags[place]:
            place = (place + 1) & (size - 1)
        slots[place, 0], slots[place, 1], tags[place] = addresses[position], position, _tag(hashed)
    return slots, tags


@njit()
def _position(table: Table, address: np.uint64) -> int:
    """Return the position of an address, or -1 where it is not in the table."""
    slots, tags = table
    hashed = _siphash(address)
    place = np.int64(hashed & np.uint64(tags.size - 1))
    while tags[place]:
        if tags[place] == _tag(hashed) and slots[place, 0] == address:
            return np.int64(slots[place, 1])
        place = (place + 1) & (tags.size - 1)
    return -1


@njit()
def _tag(hashed: np.uint64) -> np.uint8:
    return np.uint8(hashed >> np.uint64(57)) | np.uint8(128)


@njit()
def _siphash(word: np.uint64) -> np.uint64:
    """Return SipHash-1-3 of one word: Aumasson and Bernstein (2012), one round for each word and three to end."""
    v0, v1, v2, v3 = SIPHASH[0], SIPHASH[1], SIPHASH[2], SIPHASH[3]
    for message in (word, np.uint64(8 << 56)):  # the second is the length in bytes
        v0, v1, v2, v3 = _round(v0, v1, v2, v3 ^ message)
        v0 ^= message
    v2 ^= np.uint64(255)
    for _ in range(3):
        v0, v1, v2, v3 = _round(v0, v1, v2, v3)
    return v0 ^ v1 ^ v2 ^ v3


@njit()
def _round(v0: np.uint64, v1: np.uint64, v2: np.uint64, v3: np.uint64) -> tuple[np.uint64, ...]:
    v0, v2 = v0 + v1, v2 + v3
    v1, v3 = _rotated(v1, 13) ^ v0, _rotated(v3, 16) ^ v2
    v0, v2 = _rotated(v0, 32) + v3, v2 + v1
    v1, v3 = _rotated(v1, 17) ^ v2, _rotated(v3, 21) ^ v0
    return v0, v1, _rotated(v2, 32), v3


@njit()
def _rotated(word: np.uint64, bits: int) -> np.uint64:
    return word << np.uint64(bits) | word >> np.uint64(64 - bits)
