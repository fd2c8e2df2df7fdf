"""Worker processes that are none: kernels run in the tests' own process, and time passes as a test says.

What is measured with them is exact, so that a test of what goes on around a window needs neither a second process
nor a clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from threading import RLock
from typing import Any, ClassVar

import pytest
import toys

from pytest_lance_autoresearch.bench import measure, measurement, processes, scratch
from pytest_lance_autoresearch.bench.comparison import Comparison
from pytest_lance_autoresearch.bench.inprocess import InProcessRunner, KeptAnswers
from pytest_lance_autoresearch.bench.processes import Processes
from pytest_lance_autoresearch.kernel_side import wire
from pytest_lance_autoresearch.machine import clocks, environment
from pytest_lance_autoresearch.records import Case, CaseTimes, Extent, Interval, Rules, Source, Step, Window
from pytest_lance_autoresearch.target_files import contract, generate, sources
from pytest_lance_autoresearch.target_files.load import Target

START_S = 0.5
"""What introducing a process takes."""
BUILD_NS = 200_000
"""What building a kernel takes; less than anyone may object to."""
CALL_NS = 400_000
PEAK_BYTES = 50 * 2**20
BASELINE, CANDIDATE = toys.KERNEL, f"{toys.FASTER}NUMBER = 1\n"


@dataclass
class Machine:
    """What fake processes run on; what is given by kernel is given by the kernel's text."""

    call_ns: dict[str, int] = field(default_factory=lambda: {"": 0})
    """How long a call takes; of the empty kernel: what the runner itself costs."""
    build_ns: dict[str, int] = field(default_factory=dict)
    compile_ns: dict[str, int] = field(default_factory=dict)
    """What the first building in a process takes besides."""
    uneven_ns: dict[str, int] = field(default_factory=dict)
    """How much longer a call takes in every second process."""
    ahead_ns: dict[str, int] = field(default_factory=dict)
    """How much longer a call takes where nothing is known of later ones."""
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
    put_aside: list[int] = field(default_factory=list)
    """The ids of the processes that were kept off the measuring core."""
    started: list[FakeProcess] = field(default_factory=list)
    events: list[tuple[str, str]] = field(default_factory=list)
    """What happened, after the kernel of the process that it happened to."""
    lock: Any = field(default_factory=RLock)
    """Both sides of a pair are introduced at the same time."""

    def texts(self) -> list[str]:
        """The kernel of every process, in the order in which they were started."""
        return [process.text for process in self.started]

    def running(self) -> list[bool]:
        return [not process.is_closed for process in self.started]

    def seconds(self) -> float:
        return self.now_ns / 1e9

    def pass_time(self, ns: int) -> None:
        with self.lock:
            self.now_ns += ns

    def windows(self) -> int:
        """How many windows were timed: those in which processes share a core."""
        return sum(bool(placement) for process in self.started for placement in process.placements)

    @contextmanager
    def placed(self, pids: Sequence[int], _threads: int = 1) -> Iterator[None]:
        """Stands for `environment.placed`."""
        self.together = tuple(pids)
        try:
            yield
        finally:
            self.together = ()


class FakeProcess:
    """Stands for a `KernelProcess`: its answers are its kernel's, its times are the machine's."""

    machine: ClassVar[Machine]

    def __init__(
        self,
        target: Target,
        source: Source,
        timeout_s: float,
        *,
        checks_bounds: bool = False,
        is_portable: bool = False,
        compiled: scratch.Compiled = scratch.NOTHING_COMPILED,
        shared: wire.Arena | None = None,
    ) -> None:
        self.source = source
        self.shared = shared
        """Where it finds its arguments once it is told to."""
        self.text = source.text.decode()
        self.timeout_s = timeout_s
        self.checks_bounds = checks_bounds
        self.is_portable = is_portable
        self.was_given = compiled
        self._target = target
        self.handicaps: dict[str, float | None] = {}
        """By bound case."""
        self.placements: list[tuple[int, ...]] = []
        """The ids of the processes that shared a core, in each window."""
        self.one_by_one_after: list[int] = []
        """How many of those there were before each window whose calls were started one by one."""
        self.is_closed = False
        self.is_confined = self.machine.is_confined
        self.pid = len(self.machine.started)
        is_second = self.machine.texts().count(self.text) % 2
        self._to_compile_ns = self.machine.compile_ns.get(self.text, 0)
        self._longer_ns = self.machine.uneven_ns.get(self.text, 0) * is_second
        self.machine.started.append(self)
        self._note("spawn")

    def introduce(self) -> None:
        self._note("introduce")
        self.machine.pass_time(round(START_S * 1e9))
        if self.text in self.machine.failures:
            self.close()
            raise self.machine.failures[self.text]
        with self.machine.lock:
            self._runner = InProcessRunner(replace(self._target, kernel=self.source))

    def compiled(self) -> scratch.Compiled:
        """What no other process of this kernel keeps."""
        assert not self.is_closed, "a process that has ended has no folder"
        return {f"{self.pid}.nbc": self.source.text}

    def bind(self, key: str, state: bytes, handicap: float | None = None) -> int:
        self._note("bind")
        self._runner.bind(key, state)
        self.handicaps[key] = handicap
        build_ns = self.machine.build_ns.get(self.text, BUILD_NS) + self._to_compile_ns
        self._to_compile_ns = 0
        self.machine.pass_time(build_ns)
        return build_ns

    def imitate(self, key: str, echo: wire.Echo) -> None:
        self._echo = key, echo

    def release(self, key: str) -> None:
        self._note("release")
        if self.text:
            self._runner.release(key)

    def run_window(self, window: wire.PackedWindow, *, is_announced: bool = True) -> FakeAnswers:
        assert not self.is_closed, "a window in a process that has ended"
        key, calls = window.plan.key, window.calls()
        if window.plan.is_one_by_one:
            self._note("run one by one")
            self.one_by_one_after.append(len(self.placements))
        else:
            self._note("run")
            self.placements.append(self.machine.together)
        each_ns = self.machine.call_ns.get(self.text, CALL_NS) + self._longer_ns
        if not is_announced:
            each_ns += self.machine.ahead_ns.get(self.text, 0)
        wall_ns = each_ns * len(calls)
        self.machine.pass_time(wall_ns)
        timed = Window(len(calls), wall_ns, wall_ns, 0, self.machine.stolen_ns)
        return FakeAnswers(timed, self._runner.run(key, calls).results if self.text else [])

    def share(self) -> None:
        assert self.shared is not None
        self._note("share")

    def forget_warm_up(self) -> None:
        self._note("forget")

    def peak_rss_bytes(self) -> int:
        assert not self.is_closed, "a process that has ended has no memory"
        self._note("peak")
        return self.machine.peak_bytes.get(self.text, PEAK_BYTES)

    def give_up(self) -> None:
        """It ends at once, and is closed afterwards."""

    def close(self) -> None:
        if not self.is_closed:
            self._note("close")
        self.is_closed = True

    def _note(self, what: str) -> None:
        with self.machine.lock:
            self.machine.events.append((self.text, what))


class FakeAnswers(KeptAnswers):
    """The answers of a window of a `FakeProcess`."""

    @property
    def early(self) -> tuple[int, Any]:
        return 0, self.results[0]

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
    monkeypatch.setattr(environment, "put_aside", machine.put_aside.append)
    return machine


@dataclass
class Compared:
    """A comparison of two kernels, and two of its cases."""

    target: Target
    processes: Processes
    rules: Rules = field(default_factory=lambda: Rules(pairs=2, blocks=2))
    handicap: Callable[[Case], measure.Handicap] = lambda _: measure.NO_HANDICAP
    turn: Callable[[float], AbstractContextManager[object]] = measurement.at_once
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
        what = self.target, self.baseline, self.both, self.rules
        self.comparison = Comparison(*what, self.processes, self.show, self.turn, self.handicap)

    def show(self, what: str, step: Step | None, speedup: Interval | None) -> None:
        self.shown.append((what, step, speedup))
        self.watch()

    def case(self, number: int) -> CaseTimes | None:
        """What the item of a case is told."""
        return self.comparison.measure_case(self.both[number], self.state_of, 1)

    def first(self) -> None:
        """The first look's measuring, which the first item asks for."""
        self.case(0)

    def again(self, extent: Extent | None = None, is_over: Callable[[], bool] = lambda: False) -> None:
        self.comparison.measure_again(1, extent, is_over)

    def state_of(self, case: Case) -> Any:
        return generate.make_state(self.target, case, 1)

    def measured(self) -> list[set[str]]:
        """The cases of each pair."""
        return [{block.case for block in pair.blocks} for pair in self.comparison.pairs()]


def surface(kind: type[Any]) -> set[str]:
    """What others may call."""
    return {name for name in vars(kind) if not name.startswith("_") and callable(getattr(kind, name))}
