"""A process that does one thing as fast as it can, and how long that takes.

Owns the timing of the loops of `kernel_side.probes`, by this process's clock.
"""

from __future__ import annotations

from pytest_lance_autoresearch.bench.explained import NO_ARGUMENTS
from pytest_lance_autoresearch.bench.process import KernelProcess
from pytest_lance_autoresearch.kernel_side import probes

WINDOWS = 9
"""Of each loop, the fastest of which counts: a limit is the best that can be had."""


class ProbeProcess(KernelProcess):
    """A process without a kernel."""

    def ns_per_unit(self, name: str, size: int) -> float:
        """Nanoseconds per byte that is read or copied, or per look-up, over so many bytes; see `probes.PROBES`.

        What it takes to compile the loop does not count.
        """
        key = f"{name}, {size} bytes"
        self._order(f"{key}, while it was bound", "bind_probe", key, name, size)
        self.run(key, NO_ARGUMENTS)
        fastest_ns = min(self.run(key, NO_ARGUMENTS).window.wall_ns for _ in range(WINDOWS))
        self.release(key)
        return fastest_ns / probes.units(name, size)
