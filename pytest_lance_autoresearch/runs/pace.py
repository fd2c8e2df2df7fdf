"""How long is left of work in several steps, and where the work stands while it waits for its turn.

Owns the estimates: what the steps were expected to take, corrected by what those that are done really took.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pytest_lance_autoresearch.records import Progress, Step
from pytest_lance_autoresearch.words import report

if TYPE_CHECKING:
    from pytest_lance_autoresearch.machine import turns


class Pace:
    """The pace of steps that follow each other.

    `expected` says what each was expected to take, in seconds; where `is_measured` is false, in whatever unit, and
    nothing is known before a step is done. `seconds` is the clock, which has begun.
    """

    def __init__(
        self, expected: Sequence[float], seconds: Callable[[], float], *, is_measured: bool = True
    ) -> None:
        self._expected = expected
        self._seconds = seconds
        self._is_measured = is_measured
        self._done = 0
        self._begun_s = self._since_s = seconds()

    def spent_s(self) -> float:
        """Since the first one began."""
        return self._seconds() - self._begun_s

    def step_is_done(self) -> None:
        """The next one begins."""
        self._done, self._since_s = self._done + 1, self._seconds()

    def left_s(self, of_this_step_s: float | None = None) -> float | None:
        """Until the last step is done; None while nothing is known.

        What is left of the present one may be known better than by what it was expected to take.
        """
        done, later = sum(self._expected[: self._done]), sum(self._expected[self._done + 1 :])
        if not done and not self._is_measured:
            return None
        pace = (self._since_s - self._begun_s) / done if done else 1.0
        if of_this_step_s is None:
            present = sum(self._expected[self._done : self._done + 1])
            of_this_step_s = max(0.0, pace * present - (self._seconds() - self._since_s))
        return of_this_step_s + pace * later


class Blocks:
    """How far the blocks of a comparison are; one that was disturbed, and is measured again, counts once."""

    def __init__(self, of: int, seconds: Callable[[], float]) -> None:
        self._of = of
        self._seconds = seconds
        self._since_s = seconds()
        self._before = 0
        """Blocks of the cases that are done, in whatever pair."""
        self._case, self._step = "", Step(0, 0)

    def begin(self, case: str, step: Step) -> Step:
        """A block of a case begins, after `step` of its blocks; which one of all this is."""
        if not self._case:
            self._since_s = self._seconds()
        elif case != self._case or step.number < self._step.number:
            self._before += self._step.of
        self._case, self._step = case, step
        return Step(min(self._done + 1, self._of), self._of)

    def left_s(self) -> float | None:
        """At the pace of those that are done; None before there is one."""
        if not self._done:
            return None
        return (self._seconds() - self._since_s) / self._done * max(0, self._of - self._done)

    @property
    def _done(self) -> int:
        return self._before + self._step.number


def in_line(target: str, watch: Callable[[Progress], None]) -> Callable[[turns.Position], None]:
    """Tells where a target's measuring stands in the line: an event where that is elsewhere than before."""
    number = 0

    def tell(position: turns.Position) -> None:
        nonlocal number
        what, is_event = report.waiting_line(*position), position.number != number
        number = position.number
        watch(Progress(target, what, None, None, None, is_event))

    return tell
