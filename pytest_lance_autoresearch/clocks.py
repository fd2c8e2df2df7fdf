"""The clocks of this process: the only module that asks for them.

Owns their being real. Fixtures that freeze or shift time replace `time.monotonic`, `time.perf_counter` and their
like in every module that is loaded, and no measurement may follow. They leave `clock_gettime_ns` alone, except for
the time of day, which is not asked for here.
"""

from __future__ import annotations

from time import CLOCK_MONOTONIC, clock_gettime_ns


def now_ns() -> int:
    """Nanoseconds of a clock that only goes forward."""
    return clock_gettime_ns(CLOCK_MONOTONIC)


def now_s() -> float:
    """The same in seconds."""
    return now_ns() / 1e9


def process_ns(clock: int) -> int:
    """Nanoseconds of CPU time on another process's clock, see clock_getcpuclockid(3); OSError when it ended."""
    return clock_gettime_ns(clock)
