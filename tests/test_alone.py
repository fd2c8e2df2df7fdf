"""The measuring of a kernel that has no baseline: its windows, its figures, and where it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import fake_workers
import pytest
import toys
from fake_workers import CANDIDATE

from pytest_lance_autoresearch.bench.alone import WINDOWS, WINDOWS_BRIEF, Alone
from pytest_lance_autoresearch.bench.measurement import Measurement
from pytest_lance_autoresearch.bench.processes import Processes
from pytest_lance_autoresearch.errors import KernelIncorrect
from pytest_lance_autoresearch.records import CaseTimes, Evidence, Interval, KernelTimes, Step
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

    def __post_init__(self) -> None:
        self.timed = [case for case in contract.cases_of(self.target) if case.timed]
        total = len(self.timed)
        self.alone: Measurement = Alone(self.target, self.processes, total, self._show, brief=self.brief)

    def case(self, number: int) -> CaseTimes:
        case = self.timed[number]
        return self.alone.measure_case(case, generate.make_state(self.target, case, 1), 1)

    def _show(self, what: str, step: Step | None, speedup: Interval | None) -> None:
        self.shown.append((what, step, speedup))


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


@either
def test_the_figures_are_those_of_every_case_so_far(
    begin: Begin, machine: fake_workers.Machine, brief: bool
) -> None:
    measured = begin(brief=brief)
    found = []
    for number, call_ns in enumerate([300_000, 500_000, 200_000]):
        machine.call_ns[CANDIDATE] = call_ns
        found.append(measured.case(number))
        assert measured.alone.candidate().cases == tuple(found)
    figures = aggregate.figures("product", measured.alone.candidate())
    first, second, third = (case.id for case in measured.timed[:3])
    assert figures.ns_per_op == {first: 150_000.0, second: 250_000.0, third: 100_000.0}
    assert (figures.slowest_case, figures.fastest_case) == (second, third)


@either
def test_before_a_case_is_measured_there_is_nothing(begin: Begin, brief: bool) -> None:
    measured = begin(brief=brief)
    assert measured.alone.candidate() == KernelTimes((), 0)


@either
def test_the_peak_is_the_largest_of_all_cases(begin: Begin, machine: fake_workers.Machine, brief: bool) -> None:
    """Cases may run in processes of their own, each with its own peak."""
    measured = begin(brief=brief)
    for number, peak in enumerate([3000, 9000, 5000]):
        machine.peak_bytes[CANDIDATE] = peak
        measured.case(number)
        measured.processes.clear()
    assert measured.alone.candidate().peak_rss_bytes == 9000


def test_it_runs_in_a_process_of_its_own_beside_the_one_that_checks(
    begin: Begin, machine: fake_workers.Machine
) -> None:
    measured = begin()
    measured.processes.checker()
    measured.case(0)
    measured.case(1)
    assert machine.texts() == [CANDIDATE, CANDIDATE, ""]
    checker, timed, null = machine.started
    assert checker.placements == []
    assert set(timed.placements) == set(null.placements) == {(null.pid, timed.pid)}
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
    assert machine.running() == [False, False]
    assert measured.alone.evidence() == before
    second = measured.case(1)
    assert measured.alone.candidate().cases == (first, second)


@either
def test_whoever_watches_sees_which_case_of_how_many_it_is(begin: Begin, brief: bool) -> None:
    measured = begin(brief=brief)
    measured.case(0)
    measured.case(1)
    assert measured.shown == [(case.id, (number, 9), None) for number, case in enumerate(measured.timed[:2], 1)]


@either
def test_there_is_nothing_to_decide(begin: Begin, machine: fake_workers.Machine, brief: bool) -> None:
    """Nobody asks for the time, and nothing is started."""
    measured = begin(brief=brief)
    measured.case(0)
    started = machine.texts()
    assert measured.alone.decide(measured.timed, iter(()).__next__, 1) is None
    assert machine.texts() == started


@either
def test_the_archive_is_given_the_times_and_no_pair(begin: Begin, brief: bool) -> None:
    measured = begin(brief=brief)
    measured.case(0)
    found = measured.alone.evidence()
    size = measured.target.kernel.code_size
    assert found == Evidence(size, None, (), measured.alone.candidate(), looks=0, seconds=0.0)
    assert aggregate.count_windows(found) == (WINDOWS_BRIEF if brief else WINDOWS)


@either
def test_each_case_could_have_a_process_of_its_own(begin: Begin, brief: bool) -> None:
    measured = begin(brief=brief)
    assert not measured.alone.goes_on()
    measured.case(0)
    assert not measured.alone.goes_on()


@either
def test_a_case_with_a_wrong_answer_has_no_time(begin: Begin, machine: fake_workers.Machine, brief: bool) -> None:
    """Its first call is right, which is the one of the warm-up that is verified."""
    wrong = toys.kernel("calls.append(0); return result + (len(calls) > 1)", "calls = []")
    measured = begin(wrong, brief=brief)
    sentence = r"^64x32-uniform, timed call [123] of 3: result: 2048 of 2048 values differ"
    with pytest.raises(KernelIncorrect, match=sentence):
        measured.case(0)
    assert measured.alone.candidate() == KernelTimes((), 0)
    assert machine.together == ()
