"""The measuring of a kernel that has no baseline: its windows, its figures, and where it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import fake_workers
import pytest
import toys
from fake_workers import CANDIDATE

from pytest_lance_autoresearch.bench import measure
from pytest_lance_autoresearch.bench.alone import WINDOWS, WINDOWS_BRIEF, Alone
from pytest_lance_autoresearch.bench.measurement import Measurement
from pytest_lance_autoresearch.bench.processes import Processes
from pytest_lance_autoresearch.errors import KernelIncorrect
from pytest_lance_autoresearch.records import Case, CaseTimes, Evidence, Interval, KernelTimes, Step
from pytest_lance_autoresearch.target_files import contract, discover, generate, load
from pytest_lance_autoresearch.verdict import aggregate

TWO_PRODUCTS = toys.TARGET.replace("return 1", "return 2")


@dataclass
class Measured:
    """The measuring of a toy kernel, and its timed cases."""

    target: load.Target
    processes: Processes
    brief: bool
    shown: list[tuple[str, Step | None, Interval | None]] = field(default_factory=list)
    watch: Callable[..., None] = lambda *_: None
    """Called whenever something is shown, as before the windows of every case."""

    def __post_init__(self) -> None:
        self.timed = [case for case in contract.cases_of(self.target) if case.timed]
        what = self.target, self.timed, self.processes
        self.alone: Measurement = Alone(*what, self._show, self._turn, brief=self.brief)
        self.turns: list[float] = []

    def case(self, number: int) -> CaseTimes:
        times = self.alone.measure_case(self.timed[number], self._state_of, 1)
        assert times is not None
        return times

    def _state_of(self, case: Case) -> Any:
        return generate.make_state(self.target, case, 1)

    @contextmanager
    def _turn(self, seconds: float) -> Iterator[None]:
        self.turns.append(seconds)
        yield

    def _show(self, what: str, step: Step | None, speedup: Interval | None) -> None:
        self.shown.append((what, step, speedup))
        self.watch(what)


Begin = Callable[..., Measured]
"""Takes a kernel's text, and whether it is measured briefly."""


@pytest.fixture
def begin(tmp_path: Path, machine: fake_workers.Machine) -> Begin:  # noqa: ARG001 - it runs on it
    def begun(text: str = CANDIDATE, *, brief: bool = False) -> Measured:
        target = load.load(discover.inspect(toys.write(tmp_path, text=text, target=TWO_PRODUCTS)))
        return Measured(target, Processes(target, 60.0, in_process=False), brief)

    return begun


either = pytest.mark.parametrize("brief", [False, True])


@pytest.mark.parametrize(("brief", "count"), [(False, WINDOWS), (True, WINDOWS_BRIEF)])
def test_every_case_has_as_many_windows(
    begin: Begin, machine: fake_workers.Machine, brief: bool, count: int
) -> None:
    machine.call_ns |= {CANDIDATE: 250_000, "": 1000}
    measured = begin(brief=brief)
    for number, case in enumerate(measured.timed):
        times = measured.case(number)
        assert (times.case, times.ops_per_call, times.call_overhead_ns) == (case.id, 2, 1000.0)
        assert [window.wall_ns for window in times.windows] == [250_000 * times.windows[0].calls] * count


def test_the_first_case_that_is_asked_for_has_all_of_them_measured_in_one_turn(
    begin: Begin, machine: fake_workers.Machine
) -> None:
    measured = begin()
    first = measured.case(3)
    count = len(measured.timed)
    assert measured.turns == pytest.approx([2.5 * WINDOWS * count * measure.WINDOW_NS / 1e9])
    assert [times.case for times in measured.alone.candidate().cases] == [case.id for case in measured.timed]
    before = machine.now_ns
    assert [measured.case(number) for number in range(count)] == list(measured.alone.candidate().cases)
    assert measured.case(3) is first
    assert machine.now_ns == before


def test_a_sign_of_life_is_one_case_at_a_time_and_waits_for_no_turn(begin: Begin) -> None:
    measured = begin(brief=True)
    found = []
    for number in range(3):
        found.append(measured.case(number))
        assert measured.alone.candidate().cases == tuple(found)
    assert measured.turns == []


@either
def test_the_figures_are_those_of_every_case(begin: Begin, machine: fake_workers.Machine, brief: bool) -> None:
    measured = begin(brief=brief)
    speeds = iter([300_000, 500_000, *[400_000] * 6, 200_000])

    def next_speed(*_: object) -> None:
        machine.call_ns[CANDIDATE] = next(speeds)

    measured.watch = next_speed
    for number in range(len(measured.timed)):
        measured.case(number)
    figures = aggregate.figures("product", measured.alone.candidate())
    first, second, *_, last = (case.id for case in measured.timed)
    assert (figures.ns_per_op[first], figures.ns_per_op[second]) == (150_000.0, 250_000.0)
    assert (figures.slowest_case, figures.fastest_case) == (second, last)


@either
def test_before_a_case_is_measured_there_is_nothing(begin: Begin, brief: bool) -> None:
    measured = begin(brief=brief)
    assert measured.alone.candidate() == KernelTimes((), 0)


@either
def test_the_peak_is_the_largest_of_all_cases(begin: Begin, machine: fake_workers.Machine, brief: bool) -> None:
    measured = begin(brief=brief)
    peaks = iter([3000, 9000, *[5000] * 7])

    def next_peak(*_: object) -> None:
        machine.peak_bytes[CANDIDATE] = next(peaks)

    measured.watch = next_peak
    for number in range(len(measured.timed)):
        measured.case(number)
    assert measured.alone.candidate().peak_rss_bytes == 9000


def test_it_runs_in_a_process_of_its_own_beside_the_one_that_checks(
    begin: Begin, machine: fake_workers.Machine
) -> None:
    measured = begin()
    measured.processes.checker()
    measured.case(0)
    measured.case(1)
    assert sorted(machine.texts()) == ["", *[CANDIDATE] * 3]
    checker, *others = machine.started
    null, compiling, timed = sorted(others, key=lambda process: (process.text, process.pid))
    assert (compiling.was_given, [*timed.was_given]) == ({}, [f"{compiling.pid}.nbc"])
    assert (checker.placements, {*compiling.placements}) == ([], {()})
    assert {*timed.placements} - {()} == {*null.placements} == {(null.pid, timed.pid)}
    assert machine.together == ()


def test_a_sign_of_life_runs_where_correctness_does_wherever_the_system_puts_it(
    begin: Begin, machine: fake_workers.Machine
) -> None:
    measured = begin(brief=True)
    measured.processes.checker()
    measured.case(0)
    measured.case(1)
    assert machine.texts() == [CANDIDATE, ""]
    assert {placement for process in machine.started for placement in process.placements} == {()}


@either
def test_what_was_measured_stays_when_its_process_is_gone(
    begin: Begin, machine: fake_workers.Machine, brief: bool
) -> None:
    measured = begin(brief=brief)
    first = measured.case(0)
    before = measured.alone.evidence()
    measured.processes.clear()
    assert not any(machine.running())
    assert measured.alone.evidence() == before
    second = measured.case(1)
    assert measured.alone.candidate().cases[:2] == (first, second)


@either
def test_whoever_watches_sees_which_case_of_how_many_it_is(begin: Begin, brief: bool) -> None:
    measured = begin(brief=brief)
    measured.case(0)
    measured.case(1)
    steps = [(case.id, (number, 9), None) for number, case in enumerate(measured.timed, 1)]
    assert measured.shown == (steps[:2] if brief else steps)


@either
def test_there_is_nothing_to_decide(begin: Begin, machine: fake_workers.Machine, brief: bool) -> None:
    """Nobody asks for the time, and nothing is started."""
    measured = begin(brief=brief)
    measured.case(0)
    started = machine.texts()
    assert measured.alone.decide(iter(()).__next__, 1) is None
    assert machine.texts() == started


@either
def test_the_archive_is_given_the_times_and_no_pair(begin: Begin, brief: bool) -> None:
    measured = begin(brief=brief)
    measured.case(0)
    found = measured.alone.evidence()
    size = measured.target.kernel.code_size
    assert found == Evidence(size, None, (), measured.alone.candidate(), looks=0, seconds=0.0)
    assert aggregate.count_windows(found) == (WINDOWS_BRIEF if brief else len(measured.timed) * WINDOWS)


@either
def test_a_case_with_a_wrong_answer_has_no_time(begin: Begin, machine: fake_workers.Machine, brief: bool) -> None:
    """Its first call is right, which is the one of the warm-up that is verified."""
    count = "self.calls = getattr(self, 'calls', 0) + 1"
    wrong = toys.kernel(f"{count}; return result + (self.calls > 1)")
    measured = begin(wrong, brief=brief)
    sentence = r"^64x32-uniform, timed call [123] of 3: result: 2048 of 2048 values differ"
    with pytest.raises(KernelIncorrect, match=sentence):
        measured.case(0)
    assert measured.alone.candidate() == KernelTimes((), 0)
    assert machine.together == ()


def test_a_failure_belongs_to_its_case_and_the_others_have_no_times(begin: Begin) -> None:
    """Even those that were measured before it: without the rest there is no figure."""
    wrong = toys.kernel("return result + (len(self.weights) > 2048)")
    measured = begin(wrong)
    ask = partial(measured.alone.measure_case, state_of=measured._state_of, seed=1)
    assert ask(measured.timed[0]) is None
    sentence = r"^128x32-uniform, warm-up call: result: 4096 of 4096 values differ"
    with pytest.raises(KernelIncorrect, match=sentence):
        ask(measured.timed[3])
    assert ask(measured.timed[8]) is None
    failure = measured.alone.failure
    assert failure is not None
    assert failure.case == measured.timed[3].id == "128x32-uniform"
