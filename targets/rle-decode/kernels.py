"""Run-length decoding: values and run lengths of mini-block chunks to a flat array. The file that an agent edits.

A chunk is taken apart by its header, and each run is its value, stored as often as its length says.

What makes it fast: nobody asks where a short run ends. Every run begins with a store of 64 bytes; the next run
begins where this one ends, and overwrites what was too much. Only a run that is longer than the store goes on in
a loop, so that few ends are guessed wrong. The lengths are looked through first: their sum and a search for
zeros say in vectors that a chunk is fine, and the loop that stores has nothing to check. Where the sum is not
the count, the runs are walked one by one, as Lance does. The last runs of a page, after which there is no room
for a whole store, are written exactly.

In Rust: `_mm256_set1_epi32` and `_mm256_storeu_si256`, or their like for other words and processors, on a
pointer into a vector that has reserved a store more than the values need, and `set_len` at the end. Lance 14.0.2
calls `Vec::resize` for every run (`RleDecompressor::decode_generic`,
rust/lance-encoding/src/encodings/physical/rle.rs); `benchmarks/ports/rle-decode/kernels.py` is a port of that.

Stays: `Rle(bits, size_bits)` and `decode_chunks(page, starts, counts, out)`, with the dtypes and shapes that
their docstrings give.

CAN: write in words of any size, and beyond the end of a run as long as the next one is written later; take
several passes, sort runs by length, treat equal lengths alike; write anything for a chunk that is faulty.
CANNOT: keep anything that depends on a call's arguments for a later call; write outside `out`; start threads or
processes; import anything but numba, llvmlite.ir, numpy and the mathematics of the standard library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Places = NDArray[np.int64]
    Words = NDArray[np.unsignedinteger[Any]]

FINE, EMPTY, UNDIVIDED, UNEQUAL, ZERO_RUN, TOO_FEW = range(6)
"""What a chunk may be; the order is that in which Lance looks for it."""

LEVELS_BYTES = 2
"""The header begins with the number of levels, which nobody needs here."""

VECTOR = 32
"""The bytes that are stored at once."""
STORE = 2 * VECTOR
"""The bytes that a run begins with, whatever its length."""


class Rle:
    """Decoder of words of `bits` bits, 8, 16, 32 or 64, in chunks whose headers have sizes of 16 or 32 bits."""

    def __init__(self, bits: int, size_bits: int) -> None:
        self._size_bytes = size_bits // 8
        self._words = np.dtype(f"u{bits // 8}")

    def decode_chunks(self, page: Bytes, starts: Places, counts: Places, out: Words) -> Bytes:
        """Fill `out` with the values of c chunks, and say which chunks Lance refuses.

        Parameters
        ----------
        page : uint8, shape (m,)
            The chunks as they lie in the file. A chunk is a header: the number of levels in 2 bytes, the sizes in
            bytes of values and run lengths in `size_bits` each, lowest byte first; then the values, one of `bits`
            bits for each run, and the run lengths, a byte each. Each of the three is padded to a multiple of 8
            bytes, with anything.
        starts : int64, shape (c + 1,)
            Chunk j is `page[starts[j] : starts[j + 1]]`; multiples of 8, ascending.
        counts : int64, shape (c,)
            How many values chunk j has, 1 or more.
        out : words of `bits` bits, shape (the sum of counts,)
            To be filled, chunk after chunk.

        Returns
        -------
        uint8, shape (c,)
            FINE, or the first of these that holds for a chunk; its part of `out` may become anything.
            EMPTY: no values or no run lengths; UNDIVIDED: the size of the values is no multiple of a word's;
            UNEQUAL: not as many values as run lengths; ZERO_RUN: a run of no values, before there are too
            many; TOO_FEW: the runs are less than the count. Runs beyond the count are cut off there, and
            what follows is not looked at.
        """
        faults = np.empty(len(counts), np.uint8)
        _decode_chunks(page, page.view(self._words), self._size_bytes, starts, counts, out, faults)
        return faults


@njit()
def _decode_chunks(
    page: Bytes, words: Words, size_bytes: int, starts: Places, counts: Places, out: Words, faults: Bytes
) -> None:
    first = 0
    for chunk in range(len(counts)):
        start = starts[chunk]
        values_bytes = _size(page, start + LEVELS_BYTES, size_bytes)
        lengths_bytes = _size(page, start + LEVELS_BYTES + size_bytes, size_bytes)
        values_at = start + _padded(LEVELS_BYTES + 2 * size_bytes)
        lengths_at = values_at + _padded(values_bytes)
        last = first + counts[chunk]
        if values_bytes == 0 or lengths_bytes == 0:
            faults[chunk] = EMPTY
        elif values_bytes % out.itemsize != 0:
            faults[chunk] = UNDIVIDED
        elif values_bytes // out.itemsize != lengths_bytes:
            faults[chunk] = UNEQUAL
        else:
            values = words[values_at // out.itemsize :][:lengths_bytes]
            lengths = page[lengths_at : lengths_at + lengths_bytes]
            faults[chunk] = _decode(values, lengths, out, first, last)
        first = last


@njit()
def _decode(values: Words, lengths: Bytes, out: Words, first: int, last: int) -> int:
    """Repeat each value in `out[first:last]`. What is behind it may become anything, since it is written later."""
    fault, runs, done = _look_through(lengths, last - first)
    if fault == FINE:
        stored = _runs_with_room(lengths, runs, first + done, len(out) - STORE // out.itemsize)
        at = _repeat(values, lengths, stored, out, first)
        _repeat_exactly(values, lengths, stored, runs, out, at, last)
    return fault


@njit()
def _look_through(lengths: Bytes, count: int) -> tuple[int, int, int]:
    """Return what a chunk is, how many runs fit whole, and how many values they have."""
    total, has_zero = np.uint32(0), np.uint8(0)
    for length in lengths:
        total += np.uint32(length)
        has_zero |= np.uint8(length == 0)
    if total == count and has_zero == 0:
        return FINE, len(lengths), count
    return _walk(lengths, count)


@njit()
def _walk(lengths: Bytes, count: int) -> tuple[int, int, int]:
    """Do the same run by run, up to the first that is empty or does not fit."""
    done = 0
    for run in range(len(lengths)):
        length = np.int64(lengths[run])
        if length == 0:
            return ZERO_RUN, run, done
        if length > count - done:
            return FINE, run, done
        done += length
    return FINE if done == count else TOO_FEW, len(lengths), done


@njit()
def _runs_with_room(lengths: Bytes, runs: int, end: int, room: int) -> int:
    """Return how many of the runs, which end at `end`, end at `room` or before."""
    while runs > 0 and end > room:
        runs -= 1
        end -= np.int64(lengths[runs])
    return runs


@njit()
def _repeat(values: Words, lengths: Bytes, runs: int, out: Words, first: int) -> int:
    """Repeat the values of so many runs from `out[first]` on, and return where the next one begins.

    Places are unsigned, or numba would ask of each whether it is one from the end.
    """
    step, at = np.uint64(STORE // out.itemsize), np.uint64(first)
    for run in range(runs):
        value, length = values[run], np.uint64(lengths[run])
        _store(out, at, value)
        if length > step:
            place = at + step
            while place < at + length:
                _store(out, place, value)
                place += step
        at += length
    return np.int64(at)


@njit()
def _repeat_exactly(values: Words, lengths: Bytes, begin: int, end: int, out: Words, at: int, last: int) -> None:
    """Repeat the values of the runs from `begin` to `end`, and fill up with the one that is cut off at `last`."""
    for run in range(begin, end):
        length = np.int64(lengths[run])
        out[at : at + length] = values[run]
        at += length
    if at < last:
        out[at:last] = values[end]


@intrinsic  # type: ignore[untyped-decorator]  # numba is not typed
def _store(typingctx: Any, out: Any, at: Any, value: Any) -> Any:
    """Fill 64 bytes from out[at] on with the value."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        word = arguments[2].type
        lanes = VECTOR * 8 // word.width
        nothing = ir.Constant(ir.VectorType(word, lanes), ir.Undefined)
        lowest = builder.insert_element(nothing, arguments[2], ir.IntType(32)(0))
        first_of_all = ir.Constant(ir.VectorType(ir.IntType(32), lanes), None)
        filled = builder.shuffle_vector(lowest, nothing, first_of_all)
        place = builder.bitcast(builder.gep(data, [arguments[1]]), filled.type.as_pointer())
        for vector in range(STORE // VECTOR):
            builder.store(filled, builder.gep(place, [ir.IntType(32)(vector)]), align=1)
        return context.get_dummy_value()

    return types.void(out, at, value), codegen


@njit()
def _size(page: Bytes, at: int, size_bytes: int) -> int:
    size = 0
    for byte in range(size_bytes):
        size |= np.int64(page[at + byte]) << (8 * byte)
    return size


@njit()
def _padded(size: int) -> int:
    return (size + 7) // 8 * 8
