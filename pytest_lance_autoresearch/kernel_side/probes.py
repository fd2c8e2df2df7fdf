"""Loops that do one thing as fast as this host lets a compiled kernel do it: read, copy, look up.

Owns the loops. They run in a worker like any kernel, and the parent has the clock.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

WORK_BYTES = 32 * 2**20
"""What one call reads or copies, at least."""
WORK_LOOKUPS = 2**20
"""Of one call."""
ENTRY = np.dtype(np.uint32)
"""Of a table."""
_LEAST_INDICES = 4096


def read(size: int) -> Callable[[], int]:
    """Adds up an array of `size` bytes, again and again."""
    from numba import njit

    @njit
    def run(array: Any, passes: int) -> Any:
        total = np.uint64(0)
        for _ in range(passes):
            for i in range(array.size):
                total += array[i]
            array[0] += total  # or one pass would do for all
        return total

    array, passes = np.ones(size // 8, np.uint64), passes_over(size)
    return lambda: int(run(array, passes)) & 1


def copy(size: int) -> Callable[[], int]:
    """Copies one half of `size` bytes to the other, again and again."""
    from numba import njit

    @njit
    def run(source: Any, copied: Any, passes: int) -> int:
        for number in range(passes):
            source[0] = number
            copied[:] = source
        return int(copied[0])

    half = np.ones(size // 16, np.uint64)
    other, passes = np.ones_like(half), passes_over(size)
    return lambda: run(half, other, passes)


def look_up(size: int) -> Callable[[], int]:
    """Looks up entries of 4 bytes, anywhere in a table of `size` bytes, none of which waits for another."""
    from numba import njit

    @njit
    def run(table: Any, indices: Any, passes: int) -> int:
        total = np.uint32(0)
        for _ in range(passes):
            for i in range(indices.size):
                total += table[indices[i]]
            table[0] += total
        return int(total & 1)

    entries = size // ENTRY.itemsize
    count = min(WORK_LOOKUPS, max(_LEAST_INDICES, entries))
    indices = np.random.default_rng(0).integers(entries, size=count, dtype=np.uint32)
    table = np.ones(entries, ENTRY)
    return lambda: run(table, indices, WORK_LOOKUPS // count)


def follow(size: int) -> Callable[[], int]:
    """Looks up entries of 4 bytes, anywhere in a table of `size` bytes, each of which says where the next is."""
    from numba import njit

    @njit
    def run(table: Any, steps: int) -> int:
        at = np.uint32(0)
        for _ in range(steps):
            at = table[at]
        return int(at)

    entries = size // ENTRY.itemsize
    order = np.random.default_rng(0).permutation(entries).astype(ENTRY)
    table = np.empty(entries, ENTRY)
    table[order] = np.roll(order, 1)  # one cycle through all entries
    return lambda: run(table, WORK_LOOKUPS)


def passes_over(size: int) -> int:
    """How often an array of that size is worked through in one call."""
    return max(1, WORK_BYTES // size)


PROBES = {"read": read, "copy": copy, "look up": look_up, "follow": follow}
"""By name."""


def units(name: str, size: int) -> int:
    """The bytes that one call reads or copies, or its look-ups."""
    streamed = passes_over(size) * size
    return {"read": streamed, "copy": streamed // 2}.get(name, WORK_LOOKUPS)
