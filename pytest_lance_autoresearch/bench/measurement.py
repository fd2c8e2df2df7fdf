"""How a trial measures: its kernel beside the baseline, or alone where there is none.

Owns the protocol that both ways keep, so that a trial need not know which one it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from pytest_lance_autoresearch.records import Interval, Step

if TYPE_CHECKING:
    from pytest_lance_autoresearch.records import Case, CaseTimes, Evidence, Judgement, KernelTimes

Show = Callable[[str, Step | None, Interval | None], None]
"""Called with what happens, which step of it this is unless it is an event, and the speed-up at the last look."""


class Measurement(Protocol):
    """The measuring of one trial, case by case."""

    def measure_case(self, case: Case, state: Any, seed: int) -> CaseTimes:
        """The candidate's windows of one case."""

    def decide(self, timed: Sequence[Case], seconds: Callable[[], float], seed: int) -> Judgement | None:
        """The verdict once every timed case is measured; None where there is nothing to compare with."""

    def candidate(self) -> KernelTimes:
        """The candidate's windows of every case measured so far."""

    def evidence(self) -> Evidence:
        """Everything measured so far."""

    def goes_on(self) -> bool:
        """Whether its processes are needed again, for the cases to come or to decide."""
