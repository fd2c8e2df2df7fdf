"""How long a trial has worked.

Owns the count of its seconds: it goes on only while the trial does something of its own. Other targets' items in
between, and waiting for another trial on this machine, use up nobody's budget.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pytest_lance_autoresearch.machine import clocks


class Stopwatch:
    """Counts the seconds spent in `running`, without those spent in `waiting`; both may be nested."""

    def __init__(self, clock: Callable[[], float] = clocks.now_s) -> None:
        self._clock = clock
        self._counted_s = 0.0
        self._since_s: float | None = None
        self.waited_s = 0.0

    def seconds(self) -> float:
        """Up to now."""
        return self._counted_s + (0.0 if self._since_s is None else self._clock() - self._since_s)

    def add(self, seconds: float) -> None:
        """Count what was done elsewhere."""
        self._counted_s += seconds

    def was_waiting(self, seconds: float) -> None:
        """Of what was counted, so much was waiting, which another stopwatch counted."""
        self.add(-seconds)
        self.waited_s += seconds

    @contextmanager
    def running(self) -> Iterator[None]:
        if self._since_s is not None:
            yield
            return
        self._since_s = self._clock()
        try:
            yield
        finally:
            self._counted_s, self._since_s = self.seconds(), None

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """What happens inside is counted apart."""
        self._counted_s = self.seconds()
        was_running, self._since_s = self._since_s is not None, None
        start_s = self._clock()
        try:
            yield
        finally:
            self.waited_s += self._clock() - start_s
            self._since_s = self._clock() if was_running else None
