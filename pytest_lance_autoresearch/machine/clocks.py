"""The clocks of this process: the only module that asks for them.

Owns their being real. Fixtures that freeze or shift time replace `time.monotonic`, `time.perf_counter`,
`datetime.now` and their like in every module that is loaded, and neither a measurement nor a date in the log may
follow. They leave `clock_gettime_ns` alone, except that time-machine shifts CLOCK_REALTIME.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from time import CLOCK_MONOTONIC, CLOCK_REALTIME, clock_gettime_ns

_CLOCK_OF_DAY = 5 if sys.platform.startswith("linux") else CLOCK_REALTIME
"""Linux's CLOCK_REALTIME_COARSE, which the time module has no name for, is the same clock to some milliseconds."""


def now_ns() -> int:
    """Nanoseconds of a clock that only goes forward."""
    return clock_gettime_ns(CLOCK_MONOTONIC)


def now_s() -> float:
    """The same in seconds."""
    return now_ns() / 1e9


def process_ns(clock: int) -> int:
    """Nanoseconds of CPU time on another process's clock, see clock_getcpuclockid(3); OSError when it ended."""
    return clock_gettime_ns(clock)


def utc() -> str:
    """The date and the time of day in UTC, to the second, as ISO 8601 writes them."""
    return datetime.fromtimestamp(clock_gettime_ns(_CLOCK_OF_DAY) // 10**9, UTC).isoformat(timespec="seconds")
