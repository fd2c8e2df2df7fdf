"""What one core of this host can do at best: bytes read and copied, entries looked up.

Owns the sizes, and the units: GB/s are bytes per nanosecond, of the array that is read or of the half that is
copied (a byte that is read and written counts once); nanoseconds are those of one look-up of 4 bytes. The loops
run in a worker, and `bench.probing` takes the fastest of a few windows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_lance_autoresearch.bench.probing import ProbeProcess

KIB, MIB = 2**10, 2**20
STREAMED = (32 * KIB, MIB, 8 * MIB, 64 * MIB)
"""Bytes of the arrays that are read or copied."""
TABLES = (KIB, 32 * KIB, MIB, 64 * MIB)
"""Bytes of the tables that are looked into."""
BySize = Mapping[int, float]
"""A figure for each size in bytes, the smallest first."""


@dataclass(frozen=True)
class Limits:
    """What this host can do at best."""

    read_gb_per_s: BySize
    copy_gb_per_s: BySize
    look_up_ns: BySize
    """Of one look-up among many that do not wait for each other."""
    follow_ns: BySize
    """Of one look-up that waits for the one before."""


def measure(process: ProbeProcess) -> Limits:
    """About five seconds."""
    return Limits(
        {size: 1 / process.ns_per_unit("read", size) for size in STREAMED},
        {size: 1 / process.ns_per_unit("copy", size) for size in STREAMED},
        {size: process.ns_per_unit("look up", size) for size in TABLES},
        {size: process.ns_per_unit("follow", size) for size in TABLES},
    )


def next_size(figures: BySize, size: float) -> int:
    """The smallest size of a figure that is not below `size`, or else the largest."""
    return next((known for known in figures if known >= size), max(figures))
