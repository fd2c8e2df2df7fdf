"""fsst by the port of Lance, with what Lance does for each chunk of a page compiled too. Exact.

For each chunk the table is parsed, a buffer of eight times the codes is allocated and zeroed, and what was decoded
is copied on. The port alone goes from chunk to chunk in Python, which takes longer than its decoding does.
"""

from __future__ import annotations

from typing import Any

import by_path
import numpy as np
from numba import njit
from numpy.lib.stride_tricks import as_strided

port = by_path.module("benchmarks/ports/fsst/kernels.py")
prepare, decode, decompress = port.prepare, port.decode, port._decompress

LONGEST_SYMBOL = SLACK = 8


def decode_chunks(
    table: np.ndarray, page: np.ndarray, starts: np.ndarray, counts: np.ndarray, out: np.ndarray, out_offsets: Any
) -> int:
    return _decode_chunks(table, page, starts, counts, out, out_offsets)


@njit
def _decode_chunks(
    table: np.ndarray, page: np.ndarray, starts: np.ndarray, counts: np.ndarray, out: np.ndarray, out_offsets: Any
) -> int:
    at, string = 0, 0
    out_offsets[0] = 0
    for chunk in range(starts.size):
        symbols, lengths, compressed = _parse(table)
        codes = page[starts[chunk] :]
        offsets = codes[: (counts[chunk] + 1) * out_offsets.itemsize].view(out_offsets.dtype)
        first, last = offsets[0], offsets[-1]
        room = np.zeros(LONGEST_SYMBOL * (last - first) + SLACK, np.uint8)
        ends = np.zeros_like(offsets)
        if compressed:
            total = decompress(symbols, lengths, codes, _quads(codes), offsets, room, _words(room), ends)
        else:
            total = last - first
            room[:total] = codes[first:last]
            ends[:] = offsets - first
        _copy_on(room[:total], out[at:])
        for i in range(1, ends.size):
            out_offsets[string + i] = ends[i] + at
        at += total
        string += counts[chunk]
    return at


@njit
def _parse(table: np.ndarray) -> Any:
    count = np.int64(table[0])
    symbols, lengths = np.zeros(256, np.uint64), np.zeros(256, np.uint8)
    symbols[:count] = table[8 : 8 + 8 * count].view(np.uint64)
    lengths[:count] = table[8 + 8 * count : 8 + 9 * count]
    return symbols, lengths, table[3] & 1 != 0


@njit
def _copy_on(data: np.ndarray, out: np.ndarray) -> None:
    """Copy by a loop that LLVM vectorises: numba's assignment to a slice takes ten times as long."""
    for i in range(data.size):
        out[i] = data[i]


@njit
def _quads(codes: np.ndarray) -> np.ndarray:
    """Four codes from each one on."""
    whole = codes[: codes.size // 4 * 4].view(np.uint32)
    return as_strided(whole, (codes.size - 3,), (1,))


@njit
def _words(room: np.ndarray) -> np.ndarray:
    """Eight bytes from each one on."""
    return as_strided(room.view(np.uint64), (room.size - 7,), (1,))
