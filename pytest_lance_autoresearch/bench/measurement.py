"""How a trial measures: its kernel beside the baseline, or alone where there is none.

Owns what both ways have in common: everything is measured when the first case is asked for, in one turn, and each
case hears of its own times and its own failure.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from pytest_lance_autoresearch.errors import AutoresearchError, TargetError
from pytest_lance_autoresearch.machine import environment
from pytest_lance_autoresearch.records import Interval, Step

if TYPE_CHECKING:
    from pytest_lance_autoresearch.records import Case, CaseTimes, Evidence, Judgement, KernelTimes
    from pytest_lance_autoresearch.target_files.load import Target

Show = Callable[[str, Step | None, Interval | None], None]
"""Called with what happens, which step of it this is unless it is an event, and the speed-up at the last look."""
Turn = Callable[[float], AbstractContextManager[object]]
"""What measuring happens inside of, given about how many seconds it takes: no other trial measures meanwhile."""


def at_once(_seconds: float) -> AbstractContextManager[object]:
    """The turn of whoever need not wait, or has it already."""
    return nullcontext()


class Measurement(ABC):
    """The measuring of one trial."""

    failure: AutoresearchError | None = None
    """What ended the measuring of all cases."""
    refusal: Judgement | None = None
    """The verdict about a candidate that must not be timed."""
    _is_begun = False

    def measure_case(self, case: Case, state_of: Callable[[Case], Any], seed: int) -> CaseTimes | None:
        """The candidate's windows of the case; the first case that is asked for has all of them measured.

        None where the candidate is refused before it is timed, or where another case's failure ended it all.
        """
        if not self._is_begun:
            self._is_begun = True
            try:
                self.measure_all(state_of, seed)
            except AutoresearchError as failure:
                self.failure = failure
        if self.failure is not None and self.failure.case in ("", case.id):
            raise self.failure
        return None if self.failure or self.refusal else self.times(case)

    def prepare(self, state_of: Callable[[Case], Any], seed: int) -> None:  # noqa: B027  # most have nothing to begin
        """Begin what takes no turn, over the same states: it goes on while something else is done."""

    @abstractmethod
    def measure_all(self, state_of: Callable[[Case], Any], seed: int) -> None:
        """Measure every timed case over these states, unless the candidate is refused."""

    @abstractmethod
    def times(self, case: Case) -> CaseTimes:
        """The candidate's windows of a case that was measured."""

    @abstractmethod
    def decide(self, seconds: Callable[[], float], seed: int) -> Judgement | None:
        """The verdict once every timed case is measured; None where there is nothing to compare with."""

    @abstractmethod
    def candidate(self) -> KernelTimes:
        """The candidate's windows of every case measured so far."""

    @abstractmethod
    def evidence(self) -> Evidence:
        """Everything measured so far."""


def refuse_lacking_cores(target: Target) -> None:
    """TargetError where kernels of so many threads cannot be timed."""
    if lacking := environment.lacking_cores(target.threads):
        raise TargetError(f"target '{target.name}': {lacking}")


@contextmanager
def about(case: str) -> Iterator[None]:
    """Note the case with a failure."""
    try:
        yield
    except AutoresearchError as failure:
        failure.case = case
        raise
