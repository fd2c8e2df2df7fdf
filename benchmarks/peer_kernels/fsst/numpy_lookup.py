"""fsst by numpy: eight bytes are looked up for every code and those past a symbol's length dropped. Exact."""

from __future__ import annotations

from typing import Any

import numpy as np


def prepare(table: np.ndarray) -> Any:
    """See targets/fsst/kernels.py. Rows 256 to 511 are the literal bytes; row 255, the escape, has no bytes."""
    count = int(table[0])
    symbols, lengths = np.zeros(512, np.uint64), np.zeros(512, np.uint8)
    symbols[:count] = table[8 : 8 + 8 * count].view(np.uint64)
    lengths[:count] = table[8 + 8 * count : 8 + 9 * count]
    symbols[256:], lengths[256:] = np.arange(256), 1
    used = (np.arange(8) < lengths[:, None]).view(np.uint64).ravel()
    return symbols, lengths, used, bool(table[3] & 1)


def decode(decoder: Any, codes: np.ndarray, offsets: np.ndarray, out: np.ndarray, out_offsets: np.ndarray) -> int:
    symbols, lengths, used, compressed = decoder
    start = int(offsets[0])
    items = codes[start : offsets[-1]].astype(np.int64)
    if compressed:
        _mark_literals(items)
    else:
        items += 256
    ends = np.zeros(len(items) + 1, np.int64)
    np.cumsum(lengths.take(items), out=ends[1:])
    total = int(ends[-1])
    np.compress(used.take(items).view(np.bool_), symbols.take(items).view(np.uint8), out=out[:total])
    out_offsets[:] = ends.take(offsets - start)
    return total


def _mark_literals(items: np.ndarray) -> None:
    """Add 256 to each byte after an escape; of a run of bytes of 255 every other one is an escape."""
    full = np.flatnonzero(items == 255)
    number = np.arange(len(full))
    first = np.diff(full, prepend=-2) > 1
    items[full[(number - np.maximum.accumulate(number * first)) % 2 == 0] + 1] += 256
