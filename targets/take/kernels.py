"""Gathering rows by index, and finding requested rows among those that were read. The file that an agent edits.

What makes it fast: `remap` keeps no addresses in its table but 32-bit positions in `returned`, hashes with one
multiplication, and compares the address where it already is, so that the table is a quarter of a megabyte and
not one. A string is copied 64 bytes at a time, whatever its length: what is too much, the next string
overwrites. Eight bits are gathered in a register, with unsigned places, of which numba does not ask whether they
count from the end. What is bound by misses of the caches, values and vectors, is left to the processor, which
overlaps them as it is.

In Rust: a map of the address to its position with a multiplying hasher (`hashbrown` with `FxHash`), and
`copy_nonoverlapping` of 64 bytes into a buffer with as much room behind it. Lance 14.0.2 runs
`arrow_select::take` (arrow-rs 58) and in `do_take_rows` (rust/lance/src/dataset/take.rs) a
`std::collections::HashMap` that hashes with SipHash-1-3; `benchmarks/ports/take/kernels.py` is a port of these.

Stays: `take_fixed`, `take_rows`, `take_binary`, `take_bits` and `remap`, with the dtypes, shapes and bits that
their docstrings give. Indices are uint32 or uint64 and always in range; no array overlaps another.

CAN: copy in any order and any unit; group, sort or prefetch indices; build tables within a call.
CANNOT: keep anything for a later call; start threads or processes; import anything but numba, llvmlite.ir, numpy
and the mathematics of the standard library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]
    Indices = NDArray[np.uint32] | NDArray[np.uint64]

UNIT = 64
"""The bytes of a string that are copied at once, and the slack behind the last one."""
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
"""2^64 divided by the golden ratio: the upper bits of a product with it tell neighbours far apart (Knuth, 6.4)."""


@njit
def take_fixed(values: Array, indices: Indices, out: Array) -> None:
    """Fill `out`, (n,), with the values, (m,), that `indices`, (n,), name; 1 to 8 bytes each, bit for bit."""
    for i in range(indices.size):
        out[i] = values[np.uint64(indices[i])]


@njit
def take_rows(values: Array, indices: Indices, out: Array) -> None:
    """Fill `out`, (n, D), with the rows of `values`, (m, D), that `indices`, (n,), name, bit for bit."""
    for i in range(indices.size):
        row, copy = values[np.uint64(indices[i])], out[i]
        for d in range(row.size):
            copy[d] = row[d]


@njit
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
        index = np.uint64(indices[i])
        start, end = np.int64(offsets[index]), np.int64(offsets[index + np.uint64(1)])
        if end + UNIT <= data.size:
            _copy_unit(data, start, out, total)
            for place in range(UNIT, end - start, UNIT):
                _copy_unit(data, start + place, out, total + place)
        else:
            for place in range(end - start):
                out[total + place] = data[start + place]
        total += end - start
        out_offsets[i + 1] = total
    return total


@njit
def take_bits(bits: NDArray[np.uint8], indices: Indices, out: NDArray[np.uint8]) -> None:
    """Fill `out`, uint8 (ceil(n / 8),), with the bits that `indices`, (n,), name, and 0 after the last.

    Bit i is bit i % 8 of byte i // 8, in `bits`, uint8 (ceil(m / 8),), and in `out`.
    """
    whole = indices.size // 8
    for byte in range(whole):
        packed = np.uint64(0)
        for bit in range(8):
            packed |= _bit(bits, indices[8 * byte + bit]) << np.uint64(bit)
        out[byte] = packed
    if whole < out.size:
        packed = np.uint64(0)
        for bit in range(indices.size % 8):
            packed |= _bit(bits, indices[8 * whole + bit]) << np.uint64(bit)
        out[whole] = packed


@njit
def _bit(bits: NDArray[np.uint8], index: np.uint64) -> np.uint64:
    place = np.uint64(index)
    return (np.uint64(bits[place >> np.uint64(3)]) >> (place & np.uint64(7))) & np.uint64(1)


@njit
def remap(requested: NDArray[np.uint64], returned: NDArray[np.uint64], out: NDArray[np.uint64]) -> int:
    """Find each of `requested`, uint64 (n,), in `returned`, uint64 (m,), which is ascending without duplicates.

    Writes the positions of those that are found to `out`, uint64 (n,), in the order in which they were requested,
    and returns their number. The places after them may hold anything.
    """
    table, shift = _table(returned)
    last = np.uint64(table.size - 1)
    found = 0
    for address in requested:
        place = _hashed(address, shift)
        while table[place] and returned[np.uint64(table[place]) - np.uint64(1)] != address:
            place = (place + np.uint64(1)) & last
        if table[place]:
            out[found] = table[place] - np.uint32(1)
            found += 1
    return found


@njit
def _table(addresses: NDArray[np.uint64]) -> tuple[NDArray[np.uint32], np.uint64]:
    """Return an open hash table of positions plus 1, half of its places or more 0, and the shift of its hash."""
    bits = 4
    while 1 << bits < 2 * addresses.size:
        bits += 1
    table, shift = np.zeros(1 << bits, np.uint32), np.uint64(64 - bits)
    last = np.uint64(table.size - 1)
    for position in range(addresses.size):
        place = _hashed(addresses[position], shift)
        while table[place]:
            place = (place + np.uint64(1)) & last
        table[place] = position + 1
    return table, shift


@njit
def _hashed(address: np.uint64, shift: np.uint64) -> np.uint64:
    return (address * MULTIPLIER) >> shift


@intrinsic  # type: ignore[untyped-decorator]  # numba is not typed
def _copy_unit(typingctx: Any, source: Any, start: Any, target: Any, at: Any) -> Any:
    """Copy 64 bytes from a place in one array of bytes to one in another."""
    vector = ir.VectorType(ir.IntType(8), UNIT)

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def pointer(array: int) -> Any:
            data = context.make_array(signature.args[array])(context, builder, arguments[array]).data
            return builder.bitcast(builder.gep(data, [arguments[array + 1]]), vector.as_pointer())

        builder.store(builder.load(pointer(0), align=1), pointer(2), align=1)
        return context.get_dummy_value()

    return types.void(source, start, target, at), codegen
