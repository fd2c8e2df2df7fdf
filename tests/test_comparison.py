"""The comparison of candidate and baseline: its pairs of processes, and what is told of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fake_workers
import psutil
import pytest
import toys
from fake_workers import BASELINE, CANDIDATE, Compared

from pytest_lance_autoresearch.bench import measure
from pytest_lance_autoresearch.bench.process import KernelProcess
from pytest_lance_autoresearch.bench.processes import Processes
from pytest_lance_autoresearch.errors import KernelCrashed, KernelIncorrect, TrialInvalid
from pytest_lance_autoresearch.records import Block, Case, Source
from pytest_lance_autoresearch.target_files import discover, generate, load


@pytest.fixture
def target(tmp_path: Path) -> load.Target:
    return load.load(discover.inspect(toys.write(tmp_path, text=CANDIDATE)))


@pytest.fixture
def compared(target: load.Target, machine: fake_workers.Machine) -> Compared:  # noqa: ARG001 - it runs on it
    return Compared(target, Processes(target, 60.0, in_process=False))


# Pairs of processes


class Noted(Processes):
    """Knows the id of every process that it started."""

    pids: tuple[int, ...] = ()

    def start(self, source: Source, *, checks_bounds: bool = False) -> KernelProcess:
        process = super().start(source, checks_bounds=checks_bounds)
        self.pids += (process.pid,)
        return process


def test_what_real_processes_measured_stays_when_they_are_gone(
    target: load.Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "WINDOW_NS", 100_000)
    processes = Noted(target, 60.0, in_process=False)
    compared = Compared(target, processes)
    compared.first()
    compared.again()
    assert [psutil.pid_exists(pid) for pid in processes.pids] == [False, False, True, True, True]
    before = compared.comparison.pairs()
    processes.clear()
    assert not any(map(psutil.pid_exists, processes.pids))
    assert compared.comparison.pairs() == before
    for pair in before:
        assert min(pair.baseline_peak_rss_bytes, pair.candidate_peak_rss_bytes) > 2**20
        assert pair.seconds is not None
        assert pair.seconds > 0
    assert [set(pair.call_overhead_ns) for pair in before] == [set(compared.ids)] * 2


def test_both_sides_run_each_in_a_process_of_its_own_for_all_cases(
    compared: Compared, machine: fake_workers.Machine
) -> None:
    compared.first()
    assert sorted(machine.texts()) == sorted([BASELINE, CANDIDATE, ""])
    assert compared.measured() == [set(compared.ids)]


def test_another_pair_is_of_fresh_processes_and_ends_the_one_before(
    compared: Compared, machine: fake_workers.Machine
) -> None:
    compared.first(compared.both[0])
    compared.again()
    texts = machine.texts()
    assert [set(texts[:2]), texts[2], set(texts[3:])] == [{BASELINE, CANDIDATE}, "", {BASELINE, CANDIDATE}]
    assert machine.running() == [False, False, True, True, True]
    assert compared.measured() == [{compared.ids[0]}, set(compared.ids)]


def test_which_side_is_started_first_is_left_to_chance(compared: Compared, machine: fake_workers.Machine) -> None:
    for _ in range(50):  # the same one each time: once in 2**49 runs of this test
        compared.comparison.measure_again([], 1)
    assert {machine.started[i].text for i in range(0, 100, 2)} == {BASELINE, CANDIDATE}


def test_the_windows_of_a_case_run_while_its_three_processes_share_a_core(
    compared: Compared, machine: fake_workers.Machine
) -> None:
    compared.first()
    sides = {process.text: process for process in machine.started}
    shared = sides[""].pid, sides[BASELINE].pid, sides[CANDIDATE].pid
    assert {placement for process in machine.started for placement in process.placements} == {shared}
    assert machine.together == ()


def test_each_pair_has_the_runners_cost_that_was_measured_beside_it(
    compared: Compared, machine: fake_workers.Machine
) -> None:
    first, second = compared.ids
    machine.call_ns[""] = 1000
    compared.first(compared.both[0])
    machine.call_ns[""] = 3000
    compared.first(compared.both[1])
    machine.call_ns[""] = 5000
    compared.again()
    costs = [pair.call_overhead_ns for pair in compared.comparison.pairs()]
    assert costs == [{first: 1000.0, second: 3000.0}, {first: 5000.0, second: 5000.0}]


def test_each_pair_has_the_peaks_of_its_own_two_processes(
    compared: Compared, machine: fake_workers.Machine
) -> None:
    compared.first()
    machine.peak_bytes = {BASELINE: 70, CANDIDATE: 80}
    compared.again()
    machine.peak_bytes = {BASELINE: 90, CANDIDATE: 60}
    compared.again()
    peaks = [(p.baseline_peak_rss_bytes, p.candidate_peak_rss_bytes) for p in compared.comparison.pairs()]
    assert peaks == [(fake_workers.PEAK_BYTES, fake_workers.PEAK_BYTES), (70, 80), (90, 60)]


def test_each_pair_has_the_time_from_its_start_to_the_end_of_its_last_block(
    compared: Compared, machine: fake_workers.Machine
) -> None:
    begun = machine.seconds()
    compared.first()
    first_over = machine.seconds()
    machine.now_ns += 10**12  # until another look is asked for
    begun_again = machine.seconds()
    compared.again()
    second_over = machine.seconds()
    machine.now_ns += 10**12
    seconds = [pair.seconds for pair in compared.comparison.pairs()]
    assert seconds == pytest.approx([first_over - begun, second_over - begun_again])
    assert second_over - begun_again > 2 * fake_workers.START_S


def test_reading_what_was_measured_asks_no_process(compared: Compared, machine: fake_workers.Machine) -> None:
    """A fake one that has ended says so, and the cost of measuring on is not counted."""
    compared.first()
    compared.again()
    before = compared.comparison.pairs()
    compared.processes.clear()
    machine.now_ns += 10**12
    machine.peak_bytes = {CANDIDATE: 1}
    assert compared.comparison.pairs() == before
    assert compared.comparison.evidence().pairs == before


def test_the_end_of_a_pair_keeps_what_it_measured_and_may_come_twice(
    compared: Compared, machine: fake_workers.Machine
) -> None:
    compared.comparison.end()
    assert compared.comparison.pairs() == ()
    compared.first()
    before = compared.comparison.pairs()
    compared.comparison.end()
    compared.comparison.end()
    assert compared.comparison.pairs() == before
    assert dict(zip(machine.texts(), machine.running(), strict=True)) == {
        BASELINE: False,
        CANDIDATE: False,
        "": True,
    }


def test_its_processes_are_needed_again_while_a_pair_runs(compared: Compared) -> None:
    assert not compared.comparison.goes_on()
    compared.first(compared.both[0])
    assert compared.comparison.goes_on()
    compared.again()
    assert compared.comparison.goes_on()
    compared.comparison.end()
    assert not compared.comparison.goes_on()


def test_a_pair_that_is_over_before_its_end_counts_for_nothing(compared: Compared) -> None:
    compared.first(compared.both[0])
    before = compared.comparison.pairs()
    compared.again(lambda: True)
    compared.again(iter([False, True]).__next__)
    assert compared.comparison.pairs() == before
    assert not compared.comparison.goes_on()
    compared.again()
    assert list(map(len, compared.measured())) == [1, 2]


# States, calls and answers


def test_every_further_pair_has_states_of_its_own(compared: Compared, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, made = compared.target.inputs, []

    def noted(*arguments: object) -> object:
        state = inputs.make_state(*arguments)
        made.append(state.weights[0])
        return state

    monkeypatch.setattr(inputs, "make_hidden_state", noted, raising=False)
    compared.first()
    assert made == []
    compared.again()
    compared.again()
    published = [generate.make_state(compared.target, case, 1).weights[0] for case in compared.both]
    assert len(made) == 4
    assert len({*made, *published}) == 6


def test_no_call_is_ever_given_twice(compared: Compared, monkeypatch: pytest.MonkeyPatch) -> None:
    make_call, made = compared.target.inputs.make_call, []

    def noted(*arguments: object) -> tuple[Any]:
        call = make_call(*arguments)
        made.append(call[0].tobytes())
        return (call[0],)

    monkeypatch.setattr(compared.target.inputs, "make_call", noted)
    compared.first()
    for _ in range(3):
        compared.again()
    assert len(set(made)) == len(made) > 100


def test_many_answers_are_verified_in_the_first_repetition(
    compared: Compared, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure_block, thoroughly = measure.measure_block, []

    def noted(*arguments: Any, thorough: bool) -> Block:
        thoroughly.append(thorough)
        return measure_block(*arguments, thorough=thorough)

    monkeypatch.setattr(measure, "measure_block", noted)
    compared.first()
    compared.again()
    compared.again()
    assert thoroughly == [False] * 4 + [True] * 4 + [False] * 4


def test_each_side_is_prolonged_by_what_the_case_is_to_be_prolonged_by(
    target: load.Target, machine: fake_workers.Machine
) -> None:
    def only_normal(case: Case) -> measure.Handicap:
        return measure.Handicap(0.0, 0.1) if case.distribution == "normal" else measure.NO_HANDICAP

    Compared(target, Processes(target, 60.0, in_process=False), handicap=only_normal).first()
    uniform, normal = "64x32-uniform", "64x32-normal"
    bound = {process.text: process.handicaps for process in machine.started if process.text}
    assert bound == {BASELINE: {uniform: None, normal: 0.0}, CANDIDATE: {uniform: None, normal: 0.1}}


def test_what_fails_is_the_candidates_unless_it_is_the_baseline_that_fails(
    compared: Compared, machine: fake_workers.Machine
) -> None:
    failure = KernelCrashed("kernels.py, while it was loaded: its process ended")
    machine.failures = {BASELINE: failure}
    with pytest.raises(TrialInvalid) as invalid:
        compared.first()
    assert str(invalid.value) == f"the baseline kernel failed: {failure}"
    machine.failures = {CANDIDATE: failure}
    with pytest.raises(KernelCrashed) as crashed:
        compared.first()
    assert crashed.value is failure


def test_a_wrong_answer_ends_the_measuring_of_its_case(tmp_path: Path, machine: fake_workers.Machine) -> None:
    wrong = load.load(discover.inspect(toys.write(tmp_path, "wrong", toys.kernel("return result + 1"))))
    compared = Compared(wrong, Processes(wrong, 60.0, in_process=False))
    with pytest.raises(KernelIncorrect, match=r"^64x32-uniform, warm-up call: result: 2048 of 2048 values differ"):
        compared.first()
    assert [pair.blocks for pair in compared.comparison.pairs()] == [()]
    assert machine.together == ()


# The candidate's own times


def test_the_candidates_windows_are_those_of_the_first_pair_and_its_peak_the_largest(
    compared: Compared, machine: fake_workers.Machine
) -> None:
    machine.call_ns |= {CANDIDATE: 250_000, "": 1000}
    returned = []
    for case in compared.both:
        compared.first(case)
        returned.append(compared.comparison.candidate().cases[-1])
    machine.call_ns |= {CANDIDATE: 900_000, "": 7000}
    machine.peak_bytes = {CANDIDATE: 2 * fake_workers.PEAK_BYTES}
    compared.again()
    machine.peak_bytes = {CANDIDATE: fake_workers.PEAK_BYTES // 2}
    compared.again()
    found = compared.comparison.candidate()
    assert found.cases == tuple(returned)
    assert found.peak_rss_bytes == 2 * fake_workers.PEAK_BYTES
    assert [(t.case, t.ops_per_call, t.call_overhead_ns) for t in found.cases] == [
        (case, 1, 1000.0) for case in compared.ids
    ]
    for times in found.cases:
        assert [window.wall_ns for window in times.windows] == [250_000 * times.windows[0].calls] * 4


def test_measuring_a_case_gives_the_candidates_windows_of_it(
    compared: Compared, machine: fake_workers.Machine
) -> None:
    machine.call_ns[CANDIDATE] = 250_000
    case = compared.both[0]
    times = compared.comparison.measure_case(case, generate.make_state(compared.target, case, 1), 1)
    (pair,) = compared.comparison.pairs()
    assert times.windows == tuple(window for block in pair.blocks for window in block.side("B"))
    assert compared.comparison.candidate().cases == (times,)
