"""What a trial works with, faked: processes that are none, measurements without time, a clock that a test sets.

A kernel runs in the test's own process, where no time is taken; what its process or a measurement is to do instead
is set in the `Lab`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import toys
from builders import SPEEDUP, evidence

from pytest_lance_autoresearch.bench import processes
from pytest_lance_autoresearch.bench.inprocess import InProcessRunner, KeptAnswers
from pytest_lance_autoresearch.bench.measurement import Measurement, about
from pytest_lance_autoresearch.bench.scratch import NOTHING_COMPILED
from pytest_lance_autoresearch.errors import AutoresearchError
from pytest_lance_autoresearch.kernel_side import wire
from pytest_lance_autoresearch.log import results
from pytest_lance_autoresearch.machine import turns
from pytest_lance_autoresearch.records import (
    BuildPrice,
    Call,
    Case,
    CaseTimes,
    Cause,
    Evidence,
    Judgement,
    KernelTimes,
    Outcome,
    Progress,
    Rules,
    Source,
    Status,
    Step,
    Verdict,
    Window,
)
from pytest_lance_autoresearch.runs import trial
from pytest_lance_autoresearch.runs.stopwatch import Stopwatch
from pytest_lance_autoresearch.target_files import contract, discover, load

if TYPE_CHECKING:
    from pytest_lance_autoresearch.bench.measurement import Show, Turn
    from pytest_lance_autoresearch.bench.processes import Processes
    from pytest_lance_autoresearch.bench.scratch import Compiled

WINDOW = Window(10, 8_000, None)
CASE_S = 2.0
"""Seconds that the measuring of a case takes."""
TURN_S = CASE_S * len(toys.TIMED)
"""... and of all of them."""
KEEP = Judgement(Verdict.KEEP, Cause.FASTER, SPEEDUP)
DISCARD = Judgement(Verdict.DISCARD, Cause.SLOWER, SPEEDUP)


REFUSAL = Judgement(
    Verdict.DISCARD,
    Cause.BUILDING,
    baseline_peak_rss_bytes=50 * 2**20,
    candidate_peak_rss_bytes=51 * 2**20,
    building=BuildPrice(9_000_000, 99_000_000, toys.TIMED[2], 2_000_000, 80_000_000, 10_000_000.0),
)


@dataclass
class Lab:
    """One test's laboratory, with one toy target in `root`."""

    root: Path
    now_s: float = 100.0
    judgement: Judgement | AutoresearchError = KEEP
    """What a comparison comes to, or how it fails."""
    refusal: Judgement | None = None
    """What it says instead of timing anything."""
    unprepared: AutoresearchError | None = None
    """How its preparation fails."""
    ahead: Sequence[float] = ()
    """How long each of those measures who are ahead when a turn is asked for, the last in line first."""
    turn_fault: str = ""
    expected_s: list[float | None] = field(default_factory=list)
    """The estimate of each turn that was taken."""
    is_confined: bool = True
    window: Window = WINDOW
    """What every window of a measurement is."""
    failing: dict[tuple[str, int], BaseException] = field(default_factory=dict)
    """What happens in the n-th window, from 1, of a case that a kernel is checked on; 0 is its measuring."""
    processes: list[FakedProcess] = field(default_factory=list)
    windows: list[tuple[str, tuple[Call, ...]]] = field(default_factory=list)
    """The case and the calls of each window that ran."""
    measurements: list[FakedMeasurement] = field(default_factory=list)
    shown: list[Progress] = field(default_factory=list)

    def begin(self, text: str = toys.KERNEL, *, target: str = toys.TARGET, **settings: Any) -> trial.Trial:
        """A trial over a kernel of the toy target."""
        loaded = load.load(discover.inspect(toys.write(self.root, text=text, target=target)))
        chosen = trial.Settings(self.root, **settings)
        return trial.Trial(loaded, contract.cases_of(loaded), chosen, self.shown.append)

    def ran(self, text: str = toys.FASTER, **settings: Any) -> trial.Trial:
        """A judged trial whose every item passed, not concluded yet."""
        begun = self.begin(text, gate=True, **settings)
        run_items(begun)
        return begun

    def with_baseline(self) -> Lab:
        """The laboratory, once its log holds a baseline."""
        assert self.judge().status is Status.BASELINE
        return self

    def judge(self, text: str = toys.KERNEL, **settings: Any) -> Outcome:
        """A whole trial under a gate, logged."""
        return self.ran(text, **settings).log()

    def fail_if_told(self, case: str, window: int) -> None:
        if (case, window) in self.failing:
            raise self.failing[case, window]

    def take(self, expected_s: float | None, show: Callable[[turns.Position], None]) -> turns.Turn:
        """Stands for `turns.take`."""
        self.expected_s.append(expected_s)
        for place, seconds in enumerate(self.ahead):
            show(turns.Position(len(self.ahead) + 1 - place, sum(self.ahead[place:])))
            self.now_s += seconds
        turn = turns.Turn(expected_s)
        turn.fault = self.turn_fault
        return turn

    def open_processes(self) -> list[FakedProcess]:
        return [process for process in self.processes if process.is_open]

    def rows(self) -> tuple[results.Row, ...]:
        return results.read(self.log_path)

    @property
    def log_path(self) -> Path:
        return self.root / "targets" / "toy" / "results.tsv"


def run_items(begun: trial.Trial) -> None:
    """Every item of a trial that times its kernel."""
    for case in begun.cases:
        begun.check_case(case)
    for case in begun.cases:
        if case.timed:
            begun.measure_case(case)


def ending(outcome: Outcome) -> tuple[Status | None, str, int]:
    """What a caller goes by."""
    return outcome.status, outcome.reason, outcome.exit_code


def first(begun: trial.Trial) -> Case:
    return begun.cases[0]


class FakedProcess(InProcessRunner):
    """Stands for a worker process."""

    def __init__(
        self,
        lab: Lab,
        target: load.Target,
        source: Source,
        timeout_s: float,
        *,
        checks_bounds: bool,
        is_portable: bool,
    ) -> None:
        super().__init__(replace(target, kernel=source))
        self.lab, self.source = lab, source
        self.timeout_s, self.checks_bounds, self.is_portable = timeout_s, checks_bounds, is_portable
        self.is_open, self.is_confined = True, lab.is_confined
        lab.processes.append(self)

    def introduce(self) -> None:
        pass

    def run(self, key: str, calls: Sequence[Call], result_bytes: int = 0) -> KeptAnswers:
        assert self.is_open, "a process that was given back is used"
        self.lab.windows.append((key, tuple(calls)))
        self.lab.fail_if_told(key, sum(case == key for case, _ in self.lab.windows))
        return super().run(key, calls, result_bytes)

    def end(self) -> None:
        """Nothing waits for it."""

    def close(self) -> None:
        self.is_open = False


class FakedMeasurement(Measurement):
    """Stands for `Alone`, or with a baseline for `Comparison`: every window takes the same time."""

    def __init__(
        self,
        lab: Lab,
        target: load.Target,
        cases: Sequence[Case],
        processes: Processes,
        show: Show,
        turn: Turn,
        baseline: Source | None = None,
        rules: Rules | None = None,
        *,
        brief: bool = False,
    ) -> None:
        self.lab, self.target, self.cases = lab, target, cases
        self.processes, self.show, self.turn = processes, show, turn
        self.baseline, self.rules, self.brief = baseline, rules, brief
        self.prepared: list[int] = []
        """How many processes there were each time when it was to begin."""
        self.states: list[Any] = []
        self.seeds: set[int] = set()
        self.measured: dict[str, CaseTimes] = {}
        lab.measurements.append(self)

    def measure_case(self, case: Case, state_of: Callable[[Case], Any], seed: int) -> CaseTimes | None:
        if not self.brief:
            return super().measure_case(case, state_of, seed)
        self._measure(case, state_of(case), seed)
        return self.times(case)

    def prepare(self, state_of: Callable[[Case], Any], seed: int) -> None:
        self.prepared.append(len(self.lab.processes))
        self.seeds.add(seed)
        for case in self.cases:
            state_of(case)
        if self.lab.unprepared is not None:
            raise self.lab.unprepared

    def measure_all(self, state_of: Callable[[Case], Any], seed: int) -> None:
        self.refusal = self.lab.refusal
        if self.refusal is not None:
            return
        with self.turn(TURN_S):
            for case in self.cases:
                self._measure(case, state_of(case), seed)

    def _measure(self, case: Case, state: Any, seed: int) -> None:
        with about(case.id):
            self.processes.start(self.target.kernel)
            self.show(case.id, Step(len(self.measured) + 1, len(self.cases)), None)
            self.lab.fail_if_told(case.id, 0)
        self.lab.now_s += CASE_S
        self.states.append(state)
        self.seeds.add(seed)
        self.measured[case.id] = CaseTimes(case.id, 1.0, 0.0, (self.lab.window, self.lab.window))

    def times(self, case: Case) -> CaseTimes:
        return self.measured[case.id]

    def decide(self, _seconds: Callable[[], float], _seed: int) -> Judgement | None:
        if self.baseline is None or self.refusal is not None:
            return self.refusal
        if isinstance(self.lab.judgement, AutoresearchError):
            raise self.lab.judgement
        return self.lab.judgement

    def candidate(self) -> KernelTimes:
        return KernelTimes(tuple(self.measured.values()), 2**20)

    def evidence(self) -> Evidence:
        if self.baseline is None:
            return Evidence(self.target.kernel.code_size, alone=self.candidate())
        return evidence(looks=1)


def installed(root: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """A laboratory where a trial looks for its processes, its measurements and its clock."""
    lab = Lab(root)

    def process(
        target: load.Target,
        source: Source,
        timeout_s: float,
        *,
        checks_bounds: bool = False,
        is_portable: bool = False,
        compiled: Compiled = NOTHING_COMPILED,
        shared: wire.Arena | None = None,
    ) -> FakedProcess:
        assert compiled is NOTHING_COMPILED
        assert shared is None
        return FakedProcess(lab, target, source, timeout_s, checks_bounds=checks_bounds, is_portable=is_portable)

    def alone(
        target: load.Target, cases: Sequence[Case], own: Processes, show: Show, turn: Turn, *, brief: bool = False
    ) -> FakedMeasurement:
        return FakedMeasurement(lab, target, cases, own, show, turn, brief=brief)

    def comparison(
        target: load.Target,
        baseline: Source,
        cases: Sequence[Case],
        rules: Rules,
        own: Processes,
        show: Show,
        turn: Turn,
    ) -> FakedMeasurement:
        return FakedMeasurement(lab, target, cases, own, show, turn, baseline, rules)

    monkeypatch.setattr(load.Target, "is_imported_here", False)  # it is, where its process is faked
    monkeypatch.setattr(processes, "KernelProcess", process)
    monkeypatch.setattr(turns, "take", lab.take)
    monkeypatch.setattr(trial, "Alone", alone)
    monkeypatch.setattr(trial, "Comparison", comparison)
    monkeypatch.setattr(trial, "Stopwatch", lambda: Stopwatch(lambda: lab.now_s))
    return lab
