from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

FINE, EMPTY, UNDIVIDED, UNEQUAL, ZERO_RUN, TOO_FEW = range(6)
LEVELS_BYTES = 2
VEC = 32
STEP = 64

class Rle:
    def __init__(self, bits, size_bits):
        self._size_bytes = size_bits // 8
        self._words = np.dtype(f"u{bits // 8}")

    def decode_chunks(self, page, starts, counts, out):
        faults = np.empty(len(counts), np.uint8)
        _decode_chunks(page, page.view(self._words), self._size_bytes, starts, counts, out, faults)
        return faults

@njit()
def _decode_chunks(page, words, size_bytes, starts, counts, out, faults):
    first = 0
    for chunk in range(len(counts)):
        start = starts[chunk]
        values_bytes = _size(page, start + LEVELS_BYTES, size_bytes)
        lengths_bytes = _size(page, start + LEVELS_BYTES + size_bytes, size_bytes)
        values_at = start + _padded(LEVELS_BYTES + 2 * size_bytes)
        lengths_at = values_at + _padded(values_bytes)
        if values_bytes == 0 or lengths_bytes == 0:
            faults[chunk] = EMPTY
        elif values_bytes % out.itemsize != 0:
            faults[chunk] = UNDIVIDED
        elif values_bytes // out.itemsize != lengths_bytes:
            faults[chunk] = UNEQUAL
        else:
            values = words[values_at // out.itemsize :][:lengths_bytes]
            lengths = page[lengths_at : lengths_at + lengths_bytes]
            faults[chunk] = _decode(values, lengths, out, first, first + counts[chunk])
        first += counts[chunk]

@njit
def _check(lengths, count):
    total = np.uint32(0)
    zeros = np.uint8(0)
    for l in lengths:
        total += np.uint32(l)
        zeros |= np.uint8(l == 0)
    if total == count and zeros == 0:
        return FINE, len(lengths), count
    done = 0
    for run in range(len(lengths)):
        length = np.int64(lengths[run])
        if length == 0:
            return ZERO_RUN, run, done
        if length > count - done:
            return FINE, run, done
        done += length
    return (FINE if done == count else TOO_FEW), len(lengths), done

@njit
def _decode(values, lengths, out, first, last):
    fault, runs, done = _check(lengths, last - first)
    if fault != FINE:
        return fault
    end = first + done
    step = STEP // out.itemsize
    # trailing runs
    fast = runs
    safe = len(out) - step
    while fast > 0 and end > safe:
        fast -= 1
        end -= np.int64(lengths[fast])
    at = np.uint64(first)
    for run in range(fast):
        value = values[run]
        length = np.uint64(lengths[run])
        _fill(out, at, value)
        if length > step:
            k = at + np.uint64(step)
            while k < at + length:
                _fill(out, k, value)
                k += np.uint64(step)
        at += length
    at = np.int64(at)
    for run in range(fast, runs):
        length = np.int64(lengths[run])
        out[at:at+length] = values[run]
        at += length
    if at < last:
        out[at:last] = values[runs]
    return FINE

@intrinsic
def _fill(typingctx, out, at, value):
    def codegen(context, builder, signature, arguments):
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        word = context.get_value_type(signature.args[0].dtype)
        lanes = VEC * 8 // word.width
        vec = ir.VectorType(word, lanes)
        v = builder.insert_element(ir.Constant(vec, ir.Undefined), arguments[2], ir.IntType(32)(0))
        v = builder.shuffle_vector(v, ir.Constant(vec, ir.Undefined), ir.Constant(ir.VectorType(ir.IntType(32), lanes), None))
        for k in range(STEP // VEC):
            p = builder.gep(array.data, [builder.add(arguments[1], ir.Constant(arguments[1].type, k*lanes))])
            builder.store(v, builder.bitcast(p, vec.as_pointer()), align=1)
        return context.get_dummy_value()
    return types.void(out, at, value), codegen

@njit()
def _size(page, at, size_bytes):
    size = 0
    for byte in range(size_bytes):
        size |= np.int64(page[at + byte]) << (8 * byte)
    return size

@njit()
def _padded(size):
    return (size + 7) // 8 * 8
