"""Trials, faked: they remember what a suite asked of them, and come to what a test says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from builders import outcome

from pytest_lance_autoresearch.errors import AutoresearchError
from pytest_lance_autoresearch.plugin.options import KEEP_GATE, Options
from pytest_lance_autoresearch.plugin.suite import Suite
from pytest_lance_autoresearch.records import ANSWER_TIMEOUT_S, Case, CaseTimes, Outcome, Rules
from pytest_lance_autoresearch.runs import trial
from pytest_lance_autoresearch.target_files.discover import DEFAULT_GLOBS
from pytest_lance_autoresearch.target_files.load import Target
from pytest_lance_autoresearch.words import report

PLAIN = Options(
    names=(),
    gate="",
    log=None,
    revision="",
    globs=DEFAULT_GLOBS,
    description="",
    reports={},
    seed=None,
    timeout_s=ANSWER_TIMEOUT_S,
    in_process=False,
    no_cache=False,
    rebaseline=False,
    require_baseline=False,
    calibrate=False,
    selftest=False,
    rules=Rules(),
)
NAMED = replace(PLAIN, names=("toy",))
GATE = replace(NAMED, gate=KEEP_GATE)
NAMES = ("a", "b", "c", "d")
A_CASE = cast("Case", "c")
"""Which case it is, a suite passes on; it looks at nothing in it."""


@dataclass(eq=False)
class FakedTrial:
    """Stands for a trial."""

    target: Any
    cases: tuple[Case, ...]
    settings: trial.Settings
    watch: object = None
    calls: list[str] = field(default_factory=list)
    failures: list[AutoresearchError] = field(default_factory=list)
    is_awake: bool = False
    outcome: Outcome | None = None
    ends: list[Outcome | AutoresearchError] = field(default_factory=list)
    """What concluding it comes to, and then logging it."""
    why_not: str = ""
    answers: list[CaseTimes | BaseException | None] = field(default_factory=list)
    """What measuring comes to, the last one first; None where the case is not timed."""

    def nothing_to_measure(self) -> str:
        return self.why_not

    def check_case(self, case: Case) -> None:
        self._works("check", case)

    def check_speed_once(self, case: Case) -> None:
        self._works("once", case)

    def untimed(self) -> str:
        return "not timed: another case failed"

    def measure_case(self, case: Case) -> CaseTimes | None:
        self._works("measure", case)
        times = self.answers.pop()
        if isinstance(times, BaseException):
            raise times
        return times

    def calibrate(self) -> None:
        self._works("calibrate", "")

    def _works(self, what: str, case: object) -> None:
        self.is_awake = True
        self.calls.append(f"{what} {case}".strip())

    def forget(self, case_id: str) -> None:
        self.calls.append(f"forget {case_id}")

    def rest(self) -> None:
        self.is_awake = False
        self.calls.append("rest")

    def close(self) -> None:
        self.is_awake = False
        self.calls.append("close")

    def conclude(self) -> Outcome:
        return self._ended()

    def log(self) -> Outcome:
        return self._ended()

    def abandon(self) -> Outcome:
        return outcome(reason=report.BROKEN_OFF)

    def _ended(self) -> Outcome:
        end = self.ends.pop(0)
        if isinstance(end, AutoresearchError):
            raise end
        self.outcome = end
        return end


def suite_of(root: Path, options: Options = PLAIN, names: Sequence[str] = NAMES, **kwargs: Any) -> Suite:
    """A suite that has collected targets of these names; only their names are looked at."""
    made = Suite(
        options, root, **{"benchmarks": False, "distributed": False, "cache": None, "watch": print, **kwargs}
    )
    for name in names:
        made.add(cast("Target", SimpleNamespace(name=name)), (A_CASE,))
    return made


def faked(made: Suite, name: str = "toy") -> FakedTrial:
    return cast("FakedTrial", made.trial(name))


@contextmanager
def installed() -> Iterator[None]:
    """Faked trials where a suite looks for trials."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(trial, "Trial", FakedTrial)
        yield
