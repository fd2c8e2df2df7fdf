"""Worker processes that are none: kernels run in the tests' own process, and time passes as a test says.

What is measured with them is exact, so that a test of what goes on around a window needs neither a second process
nor a clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import pytest
import toys

from pytest_lance_autoresearch.bench import measure, processes
from pytest_lance_autoresearch.bench.comparison import Comparison
from pytest_lance_autoresearch.bench.inprocess import InProcessRunner, KeptAnswers
from pytest_lance_autoresearch.bench.processes import Processes
from pytest_lance_autoresearch.kernel_side import wire
from pytest_lance_autoresearch.machine import clocks, environment
from pytest_lance_autoresearch.records import Case, Interval, Rules, Source, Step, Window
from pytest_lance_autoresearch.target_files import contract, generate, sources
from pytest_lance_autoresearch.target_files.load import Target

START_S = 0.5
"""What starting a process takes."""
CALL_NS = 400_000
PEAK_BYTES = 50 * 2**20
BASELINE, CANDIDATE = toys.KERNEL, f"{toys.FASTER}NUMBER = 1\n"


@dataclass
class Machine:
    """What fake processes run on; what is given by kernel is given by the kernel's text."""

    call_ns: dict[str, int] = field(default_factory=lambda: {"": 0})
    """How long a call takes; of the empty kernel: what the runner itself costs."""
    peak_bytes: dict[str, int] = field(default_factory=dict)
    failures: dict[str, BaseException] = field(default_factory=dict)
    """Of kernels that do not start."""
    stolen_ns: int = 0
    """Taken from every window to come; more than nothing disturbs it."""
    is_confined: bool = True
    """Whether processes to come lock themselves in."""
    now_ns: int = 10**9
    together: tuple[int, ...] = ()
    """The ids of the processes that are kept on one core at present."""
    started: list[FakeProcess] = field(default_factory=list)

    def texts(self) -> list[str]:
        """The kernel of every process, in the order in which they were started."""
        return [process.text for process in self.started]

    def running(self) -> list[bool]:
        return [not process.is_closed for process in self.started]

    def seconds(self) -> float:
        return self.now_ns / 1e9

    @contextmanager
    def placed(self, pids: Sequence[int]) -> Iterator[None]:
        """Stands for `environment.placed`."""
        self.together = tuple(pids)
        try:
            yield
        finally:
            self.together = ()


class FakeProcess:
    """Stands for a `KernelProcess`: its answers are its kernel's, its times are the machine's."""

    machine: ClassVar[Machine]

    def __init__(self, target: Target, source: Source, timeout_s: float, *, checks_bounds: bool = False) -> None:
        self.text = source.text.decode()
        self.timeout_s = timeout_s
        self.checks_bounds = checks_bounds
        self.handicaps: dict[str, float | None] = {}
        """By bound case."""
        self.placements: list[tuple[int, ...]] = []
        """The ids of the processes that shared a core, in each window."""
        self.is_closed = False
        self.is_confined = self.machine.is_confined
        self.pid = len(self.machine.started)
        self.machine.started.append(self)
        self.machine.now_ns += round(START_S * 1e9)
        if self.text in self.machine.failures:
            raise self.machine.failures[self.text]
        self._runner = InProcessRunner(replace(target, kernel=source))

    def bind(self, key: str, state: bytes, handicap: float | None = None) -> None:
        self._runner.bind(key, state)
        self.handicaps[key] = handicap

    def imitate(self, key: str, echo: wire.Echo) -> None:
        self._echo = key, echo

    def release(self, key: str) -> None:
        if self.text:
            self._runner.release(key)

    def run_window(self, window: wire.PackedWindow) -> FakeAnswers:
        assert not self.is_closed, "a window in a process that has ended"
        key, calls = window.plan.key, window.calls()
        self.placements.append(self.machine.together)
        wall_ns = self.machine.call_ns.get(self.text, CALL_NS) * len(calls)
        self.machine.now_ns += wall_ns
        timed = Window(len(calls), wall_ns, wall_ns, 0, self.machine.stolen_ns)
        return FakeAnswers(timed, self._runner.run(key, calls).results if self.text else [])

    def forget_warm_up(self) -> None:
        pass

    def peak_rss_bytes(self) -> int:
        assert not self.is_closed, "a process that has ended has no memory"
        return self.machine.peak_bytes.get(self.text, PEAK_BYTES)

    def close(self) -> None:
        self.is_closed = True


class FakeAnswers(KeptAnswers):
    """The answers of a window of a `FakeProcess`."""

    def echo(self, index: int) -> wire.Echo:
        return wire.Echo((self.results[index],), is_tuple=False)

    def settled(self) -> Window:
        return self.window


def install(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """The machine on which `Processes` starts fake processes from here on."""
    machine = Machine()
    monkeypatch.setattr(FakeProcess, "machine", machine, raising=False)
    monkeypatch.setattr(processes, "KernelProcess", FakeProcess)
    monkeypatch.setattr(clocks, "now_ns", lambda: machine.now_ns)
    monkeypatch.setattr(environment, "placed", machine.placed)
    return machine


@dataclass
class Compared:
    """A comparison of two kernels, and two of its cases."""

    target: Target
    processes: Processes
    rules: Rules = field(default_factory=lambda: Rules(blocks=2))
    handicap: Callable[[Case], measure.Handicap] = lambda _: measure.NO_HANDICAP
    watch: Callable[[], None] = lambda: None
    """Called whenever something is shown, as before every block."""
    shown: list[tuple[str, Step | None, Interval | None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.both = contract.cases_of(self.target)[:2]
        self.ids = tuple(case.id for case in self.both)
        self.baseline = sources.make(BASELINE.encode(), self.target.layout.kernel_path)
        self.start_over()

    def start_over(self) -> None:
        """A comparison that has measured nothing, under the present rules."""
        sides = self.target, self.baseline
        self.comparison = Comparison(*sides, self.rules, self.processes, self.show, self.handicap)

    def show(self, what: str, step: Step | None, speedup: Interval | None) -> None:
        self.shown.append((what, step, speedup))
        self.watch()

    def first(self, *cases: Case) -> None:
        """Measure the cases, both unless told otherwise, in the first pair."""
        for case in cases or self.both:
            self.comparison.measure_case(case, generate.make_state(self.target, case, 1), 1)

    def again(self, is_over: Callable[[], bool] = lambda: False) -> None:
        self.comparison.measure_again(self.both, 1, is_over)

    def measured(self) -> list[set[str]]:
        """The cases of each pair."""
        return [{block.case for block in pair.blocks} for pair in self.comparison.pairs()]


def surface(kind: type[Any]) -> set[str]:
    """What others may call."""
    return {name for name in vars(kind) if not name.startswith("_") and callable(getattr(kind, name))}
