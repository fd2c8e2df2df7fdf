"""fsst by pyarrow: the codes are keys of a dictionary of 512 symbols, which `dictionary_decode` looks up. Exact.

numpy finds the literals and counts the bytes of each string; pyarrow's bytes are then copied to the output.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

pa.set_cpu_count(1)


def prepare(table: np.ndarray) -> Any:
    """See targets/fsst/kernels.py. Entries 256 to 511 are the literal bytes; entry 255, the escape, is empty."""
    data, count = table.tobytes(), int(table[0])
    lengths = data[8 + 8 * count : 8 + 9 * count]
    symbols = [data[8 + 8 * code : 8 + 8 * code + length] for code, length in enumerate(lengths)]
    entries = [*symbols, *[b""] * (256 - count), *(bytes([byte]) for byte in range(256))]
    return pa.array(entries, pa.binary()), bool(table[3] & 1)


def decode(decoder: Any, codes: np.ndarray, offsets: np.ndarray, out: np.ndarray, out_offsets: np.ndarray) -> int:
    entries, compressed = decoder
    start = int(offsets[0])
    keys = codes[start : offsets[-1]].astype(np.uint16)
    if compressed:
        _mark_literals(keys)
    else:
        keys += 256
    array = pa.Array.from_buffers(pa.uint16(), len(keys), [None, pa.py_buffer(keys)])
    _, ends, data = pa.DictionaryArray.from_arrays(array, entries, safe=False).dictionary_decode().buffers()
    out_offsets[:] = np.frombuffer(ends, np.int32, len(keys) + 1).take(offsets - start)
    total = int(out_offsets[-1])
    out[:total] = np.frombuffer(data, np.uint8, total)
    return total


def _mark_literals(keys: np.ndarray) -> None:
    """Add 256 to each byte after an escape; of a run of bytes of 255 every other one is an escape."""
    full = np.flatnonzero(keys == 255)
    number = np.arange(len(full))
    first = np.diff(full, prepend=-2) > 1
    keys[full[(number - np.maximum.accumulate(number * first)) % 2 == 0] + 1] += 256
