"""The comparison of candidate and baseline: its pairs of processes, and what is told of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fake_workers
import psutil
import pytest
import toys
from fake_workers import BASELINE, BUILD_NS, CANDIDATE, START_S, Compared

from pytest_lance_autoresearch.bench import looks, measure
from pytest_lance_autoresearch.bench.process import KernelProcess
from pytest_lance_autoresearch.bench.processes import Processes
from pytest_lance_autoresearch.errors import KernelCrashed, KernelIncorrect, TrialInvalid
from pytest_lance_autoresearch.records import BuildPrice, Case, Cause, Extent, Rules, Source, Verdict
from pytest_lance_autoresearch.target_files import discover, generate, load
from pytest_lance_autoresearch.verdict import judge

PAIRS = 2
LOOKS = 6
LOOK = 2 * PAIRS
"""Processes with a kernel in one look; the first look has as many more as compile."""


@pytest.fixture
def target(tmp_path: Path) -> load.Target:
    return load.load(discover.inspect(toys.write(tmp_path, text=CANDIDATE)))


@pytest.fixture
def compared(target: load.Target, machine: fake_workers.Machine) -> Compared:  # noqa: ARG001 - it runs on it
    return Compared(
        target, Processes(target, 60.0, in_process=False), Rules(pairs=PAIRS, blocks=2, max_looks=LOOKS)
    )


def pairs_of(
    machine: fake_workers.Machine, *others: fake_workers.FakeProcess
) -> list[list[fake_workers.FakeProcess]]:
    """The processes with a kernel besides the others, two by two as they were started."""
    kernels = [process for process in machine.started if process.text and process not in others]
    return [kernels[i : i + 2] for i in range(0, len(kernels), 2)]


# Pairs of processes


def test_kernels_compile_while_something_else_is_done(compared: Compared, machine: fake_workers.Machine) -> None:
    """The first look takes over what they kept, and no further process compiles."""
    compared.comparison.prepare(compared.state_of, seed=1)
    compiling = list(machine.started)
    assert sorted(process.text for process in compiling) == sorted((BASELINE, CANDIDATE))
    assert machine.windows() == 0
    compared.first()
    kernels = [process for process in machine.started if process.text]
    assert len(kernels) == 2 + LOOK
    assert not any(process.was_given for process in compiling)
    assert all(process.was_given for process in kernels[2:])
    assert not any(process.placements != [()] * 2 for process in compiling)


def test_what_compiled_ahead_may_be_gone_when_it_is_needed(
    compared: Compared, machine: fake_workers.Machine
) -> None:
    """As where a check ended all processes of the trial."""
    compared.comparison.prepare(compared.state_of, seed=1)
    compared.processes.clear()
    assert machine.running() == [False, False]
    compared.first()
    assert len([process for process in machine.started if process.text]) == 2 + 2 + LOOK


def test_a_failure_of_what_compiles_ahead_is_told_when_it_is_needed(
    compared: Compared, machine: fake_workers.Machine
) -> None:
    machine.failures = {CANDIDATE: KernelCrashed("kernels.py, while it was loaded: its process ended")}
    compared.comparison.prepare(compared.state_of, seed=1)
    with pytest.raises(KernelCrashed, match=r"^kernels.py, while it was loaded: its process ended$"):
        compared.first()
    assert not any(machine.running())


class Noted(Processes):
    """Knows the id of every process that it started."""

    pids: tuple[int, ...] = ()

    def spawn(self, source: Source, **options: Any) -> KernelProcess:
        process = super().spawn(source, **options)
        self.pids += (process.pid,)
        return process


def test_what_real_processes_measured_stays_when_they_are_gone(
    target: load.Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "WINDOW_NS", 100_000)
    processes = Noted(target, 60.0, in_process=False)
    compared = Compared(target, processes, Rules(pairs=PAIRS, blocks=1))
    compared.first()
    assert len(processes.pids) == 2 + LOOK + 1
    assert sum(map(psutil.pid_exists, processes.pids)) == 1  # the one without a kernel
    before = compared.comparison.pairs()
    processes.clear()
    assert not any(map(psutil.pid_exists, processes.pids))
    assert compared.comparison.pairs() == before
    for pair in before:
        assert min(pair.baseline_peak_rss_bytes, pair.candidate_peak_rss_bytes) > 2**20
        assert pair.seconds is not None
        assert pair.seconds > 0
    assert [set(pair.call_overhead_ns) for pair in before] == [set(compared.ids)] * PAIRS
    assert [set(pair.building) for pair in before] == [set(compared.ids), set()]


def test_a_look_is_pairs_of_fresh_processes_for_all_cases(
    compared: Compared, machine: fake_workers.Machine
) -> None:
    """The first one of all compiles, and measures nothing."""
    compared.first()
    assert [{process.text for process in pair} for pair in pairs_of(machine)] == [{BASELINE, CANDIDATE}] * 3
    assert machine.texts().count("") == 1
    assert compared.measured() == [set(compared.ids)] * PAIRS
    compared.again()
    assert len(pairs_of(machine)) == 1 + PAIRS + PAIRS
    assert compared.measured() == [set(compared.ids)] * 2 * PAIRS


def test_a_pair_ends_before_the_next_one_starts(compared: Compared, machine: fake_workers.Machine) -> None:
    compared.first()
    compared.again()
    alive = {BASELINE: 0, CANDIDATE: 0}
    for text, what in machine.events:
        if text and what in ("spawn", "close"):
            alive[text] += 1 if what == "spawn" else -1
            assert max(alive.values()) <= 1
    assert alive == {BASELINE: 0, CANDIDATE: 0}


def test_which_side_is_started_first_is_left_to_chance(compared: Compared, machine: fake_workers.Machine) -> None:
    compared.rules = Rules(pairs=50, blocks=1)
    compared.start_over()
    compared.again()  # the same one each time: once in 2**49 runs of this test
    assert {pair[0].text for pair in pairs_of(machine)} == {BASELINE, CANDIDATE}


def test_what_happens_to_one_side_happens_to_the_other_as_often(
    compared: Compared, machine: fake_workers.Machine
) -> None:
    """Over a whole look with hidden states, too; which side it happens to first is left to chance."""
    compared.rules = Rules(pairs=20, blocks=3)
    compared.start_over()
    compared.first()
    compared.again()
    of = {text: [what for each, what in machine.events if each == text] for text in (BASELINE, CANDIDATE)}
    for what in ("spawn", "introduce", "bind", "release", "run", "forget", "close"):
        assert of[BASELINE].count(what) == of[CANDIDATE].count(what) > 0, what
    for process, other in pairs_of(machine):
        assert len(process.placements) == len(other.placements)
        assert process.checks_bounds is other.checks_bounds is False
    for what in ("spawn", "release", "run"):
        happened = [text for text, each in machine.events if each == what and text]
        in_turn = [happened[i : i + 2] for i in range(0, len(happened), 2)]
        if what != "run":  # the first calls of both run side by side
            assert all(set(both) == {BASELINE, CANDIDATE} for both in in_turn)
        if what != "release":  # once in a look for each case: too seldom to tell chance from habit
            assert {both[0] for both in in_turn} == {BASELINE, CANDIDATE}


def test_compiled_code_goes_from_the_first_pair_to_the_same_side_of_every_later_one(
    compared: Compared, machine: fake_workers.Machine
) -> None:
    """And nothing that a later process has kept goes anywhere, nor what the one that checks has."""
    compared.processes.checker()
    compared.first()
    compared.again()
    checker, *_ = machine.started
    (first, second), *later = pairs_of(machine, checker)
    assert checker.was_given == first.was_given == second.was_given == {}
    kept = {process.text: {f"{process.pid}.nbc": process.source.text} for process in (first, second)}
    for pair in later:
        assert {process.text: process.was_given for process in pair} == kept
    assert [process.was_given for process in machine.started if not process.text] == [{}]


def test_the_windows_of_a_pair_run_while_its_three_processes_share_a_core(
    compared: Compared, machine: fake_workers.Machine
) -> None:
    """But for the first calls, and those that tell what building takes, none of which are timed."""
    compared.first()
    (null,) = (process for process in machine.started if not process.text)
    compiling, *measuring = pairs_of(machine)
    assert {placement for process in compiling for placement in process.placements} == {()}
    for number, pair in enumerate(measuring):
        together = {null.pid, *(process.pid for process in pair)}
        for process in pair:
            first_calls = len(compared.ids) * (3 if number == 0 else 1)
            assert {*process.placements[:first_calls]} == {()}
            assert {frozenset(pids) for pids in process.placements[first_calls:]} == {frozenset(together)}
    assert machine.together == ()


def test_all_looks_have_their_windows_size_and_the_runners_cost_from_the_first_pair(
    compared: Compared, machine: fake_workers.Machine
) -> None:
    machine.call_ns[""] = 1000
    compared.first()
    machine.call_ns[""] = 5000
    compared.again()
    costs = [pair.call_overhead_ns for pair in compared.comparison.pairs()]
    assert costs == [dict.fromkeys(compared.ids, 1000.0)] * 2 * PAIRS


def test_each_pair_has_the_peaks_of_its_own_two_processes(
    compared: Compared, machine: fake_workers.Machine
) -> None:
    compared.first()
    machine.peak_bytes = {BASELINE: 70, CANDIDATE: 80}
    compared.again()
    peaks = [(p.baseline_peak_rss_bytes, p.candidate_peak_rss_bytes) for p in compared.comparison.pairs()]
    assert peaks == [(fake_workers.PEAK_BYTES, fake_workers.PEAK_BYTES)] * PAIRS + [(70, 80)] * PAIRS


def test_the_time_of_pairs_begins_with_the_turn_and_is_all_that_they_take(
    compared: Compared, machine: fake_workers.Machine
) -> None:
    """Compiling, starting the first pair and waiting for the turn are no part of it."""
    begun: list[float] = []

    @contextmanager
    def turn(_seconds: float) -> Iterator[None]:
        machine.pass_time(10**12)  # until it comes
        begun.append(machine.seconds())
        yield
        begun.append(machine.seconds())

    compared.turn = turn
    compared.start_over()
    compared.first()
    compared.again()
    seconds = [pair.seconds or 0.0 for pair in compared.comparison.pairs()]
    assert sum(seconds[:PAIRS]) == pytest.approx(begun[1] - begun[0])
    assert sum(seconds[PAIRS:]) == pytest.approx(begun[3] - begun[2])
    assert seconds[1] - seconds[0] > 0  # the second pair starts its processes within the turn
    assert seconds[1] > 2 * START_S


def test_a_turn_is_told_about_how_long_it_lasts(compared: Compared) -> None:
    asked: list[float] = []

    @contextmanager
    def turn(seconds: float) -> Iterator[None]:
        asked.append(seconds)
        yield

    compared.turn = turn
    compared.start_over()
    compared.first()
    compared.again(Extent(3, dict(zip(compared.ids, (1, 4), strict=True))))
    window_s = measure.WINDOW_NS / 1e9
    assert asked == pytest.approx([2.5 * 4 * window_s * blocks for blocks in (PAIRS * (2 + 2), 3 * (1 + 4))])


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


def test_a_pair_that_is_over_before_its_end_counts_for_nothing(
    compared: Compared, machine: fake_workers.Machine
) -> None:
    """The pairs before it do; and its processes are ended like any others."""
    compared.first()
    before = compared.comparison.pairs()
    compared.again(is_over=lambda: True)
    compared.again(is_over=iter([False, True]).__next__)
    assert compared.comparison.pairs() == before
    compared.again(is_over=iter([False, False, False, True]).__next__)
    assert compared.comparison.pairs()[: len(before)] == before
    assert list(map(len, compared.measured())) == [2] * (PAIRS + 1)
    assert not any(process.text and not process.is_closed for process in machine.started)


@pytest.mark.parametrize(("pairs", "blocks"), [(PAIRS, (2, 2)), (3, (1, 3))], ids=["as the first", "as told"])
def test_another_look_has_as_many_pairs_and_blocks_of_each_case_as_it_is_told(
    compared: Compared, pairs: int, blocks: tuple[int, int]
) -> None:
    extent = Extent(pairs, dict(zip(compared.ids, blocks, strict=True)))
    compared.again(None if pairs == PAIRS else extent)
    counted = [Counter(block.case for block in pair.blocks) for pair in compared.comparison.pairs()]
    assert counted == [extent.blocks] * pairs


# What a candidate must not cost


def test_building_is_priced_in_the_first_pair_of_a_look_once_all_is_compiled(
    compared: Compared, machine: fake_workers.Machine
) -> None:
    machine.build_ns = {BASELINE: 300_000, CANDIDATE: 400_000}
    compared.first()
    compared.again()
    prices = [pair.building for pair in compared.comparison.pairs()]
    for look in (prices[:PAIRS], prices[PAIRS:]):
        assert [*look[0]] == [*compared.ids]
        assert {one[:2] for one in look[0].values()} == {(300_000, 400_000)}
        assert look[1:] == [{}] * (PAIRS - 1)
    state = generate.pickled(compared.target, compared.state_of(compared.both[0]))
    assert prices[0][compared.ids[0]].state_bytes == len(state)


def test_a_candidate_whose_building_takes_too_long_is_refused_before_anything_is_timed(
    compared: Compared, machine: fake_workers.Machine
) -> None:
    machine.build_ns = {CANDIDATE: 10 * BUILD_NS}
    assert [compared.case(number) for number in (0, 1)] == [None, None]
    assert machine.windows() == 0
    refusal = compared.comparison.refusal
    assert refusal is not None
    assert (refusal.verdict, refusal.cause) == (Verdict.DISCARD, Cause.BUILDING)
    assert refusal.building == BuildPrice(
        2 * BUILD_NS, 20 * BUILD_NS, compared.ids[0], BUILD_NS, 10 * BUILD_NS, 1e6
    )
    assert compared.comparison.decide(lambda: 1.0, 1) is refusal
    assert [pair.blocks for pair in compared.comparison.evidence().pairs] == [()]
    assert compared.comparison.candidate().cases == ()
    assert not any(process.text and not process.is_closed for process in machine.started)


def test_a_candidate_with_too_much_memory_is_refused_before_anything_is_timed(
    compared: Compared, machine: fake_workers.Machine
) -> None:
    machine.peak_bytes = {CANDIDATE: 2 * fake_workers.PEAK_BYTES}
    compared.first()
    assert machine.windows() == 0
    refusal = compared.comparison.decide(lambda: 1.0, 1)
    assert (refusal.verdict, refusal.cause) == (Verdict.DISCARD, Cause.MEMORY)
    assert (refusal.baseline_peak_rss_bytes, refusal.candidate_peak_rss_bytes) == (
        fake_workers.PEAK_BYTES,
        2 * fake_workers.PEAK_BYTES,
    )
    assert compared.comparison.candidate().peak_rss_bytes == 2 * fake_workers.PEAK_BYTES


def test_what_compiling_takes_is_charged_to_nobody(
    compared: Compared, machine: fake_workers.Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the processes take that compile: they are gone before memory and building are looked at."""
    compiled = fake_workers.FakeProcess.compiled
    machine.peak_bytes = {CANDIDATE: 10 * fake_workers.PEAK_BYTES}
    machine.build_ns = {CANDIDATE: 1000 * BUILD_NS}

    def cheap_from_now_on(process: fake_workers.FakeProcess) -> Any:
        machine.peak_bytes, machine.build_ns = {}, {}
        return compiled(process)

    monkeypatch.setattr(fake_workers.FakeProcess, "compiled", cheap_from_now_on)
    compared.first()
    assert compared.comparison.refusal is None


# States, calls and answers


def undecided(machine: fake_workers.Machine) -> None:
    """Let the candidate be faster by more than anyone can be sure of, in any of six looks."""
    machine.uneven_ns = {CANDIDATE: 100_000}
    machine.call_ns |= {CANDIDATE: 300_000}


def test_every_further_look_has_states_of_its_own(
    compared: Compared, machine: fake_workers.Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    undecided(machine)
    inputs, made = compared.target.inputs, []

    def noted(*arguments: object) -> object:
        state = inputs.make_state(*arguments)
        made.append(state.weights[0])
        return state

    monkeypatch.setattr(inputs, "make_hidden_state", noted, raising=False)
    compared.first()
    assert made == []
    compared.comparison.decide(lambda: 1.0, 1)
    published = [generate.make_state(compared.target, case, 1).weights[0] for case in compared.both]
    assert len(made) == 2 * (LOOKS - 1)
    assert len({*made, *published}) == len(made) + 2


def test_no_call_is_ever_given_twice(
    compared: Compared, machine: fake_workers.Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    undecided(machine)
    make_call, made = compared.target.inputs.make_call, []

    def noted(*arguments: object) -> tuple[Any]:
        call = make_call(*arguments)
        made.append(call[0].tobytes())
        return (call[0],)

    monkeypatch.setattr(compared.target.inputs, "make_call", noted)
    compared.first()
    compared.comparison.decide(lambda: 1.0, 1)
    assert len(set(made)) == len(made) > 100


def test_many_answers_are_verified_in_the_second_look(
    compared: Compared, machine: fake_workers.Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure_blocks, thoroughly = measure.measure_blocks, []

    def noted(*arguments: Any, thorough: bool) -> measure.Measured:
        thoroughly.append((compared.comparison.evidence().looks, thorough))
        return measure_blocks(*arguments, thorough=thorough)

    monkeypatch.setattr(measure, "measure_blocks", noted)
    undecided(machine)
    compared.first()
    compared.comparison.decide(lambda: 1.0, 1)
    assert set(thoroughly) == {(looks, looks == 1) for looks in range(LOOKS)}


@pytest.mark.parametrize("most", [48, 3])
def test_in_the_second_look_both_sides_are_asked_one_call_at_a_time(
    compared: Compared, machine: fake_workers.Machine, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """On every case in each pair, where that is not more often than is needed; else on some, left to chance."""
    monkeypatch.setattr(looks, "_DEALT", most)
    undecided(machine)
    compared.first()
    compared.comparison.decide(lambda: 1.0, 1)
    first, second = compared.rules.pairs, judge.TIMES_PAIRS * compared.rules.pairs
    cases = set(compared.ids)
    dealt = [{one.case for one in pair.dealt} for pair in compared.comparison.pairs()]
    assert not any(dealt[:first] + dealt[first + second :])
    assert sum(map(len, dealt)) == min(most, second * len(cases))
    assert set().union(*dealt) <= cases
    for text in (CANDIDATE, BASELINE):
        events = [what for whose, what in machine.events if whose == text]
        assert events.count("run one by one") == 2 * sum(map(len, dealt))


def test_a_candidate_that_works_ahead_is_refused(compared: Compared, machine: fake_workers.Machine) -> None:
    machine.call_ns |= {CANDIDATE: 200_000}
    machine.ahead_ns |= {CANDIDATE: 100_000}
    compared.first()
    found = compared.comparison.decide(lambda: 1.0, 1)
    assert (found.verdict, found.cause) == (Verdict.REFUSED, Cause.WORKS_AHEAD)
    assert found.ahead is not None
    assert found.ahead.dearer == pytest.approx(0.5)


def test_each_side_is_prolonged_by_what_the_case_is_to_be_prolonged_by(
    target: load.Target, machine: fake_workers.Machine
) -> None:
    def only_normal(case: Case) -> measure.Handicap:
        return measure.Handicap(0.0, 0.1) if case.distribution == "normal" else measure.NO_HANDICAP

    Compared(target, Processes(target, 60.0, in_process=False), handicap=only_normal).first()
    uniform, normal = "64x32-uniform", "64x32-normal"
    bound = {process.text: process.handicaps for process in machine.started if process.text}
    assert bound == {BASELINE: {uniform: None, normal: 0.0}, CANDIDATE: {uniform: None, normal: 0.1}}


# Failures


def test_what_fails_is_the_candidates_unless_it_is_the_baseline_that_fails(
    compared: Compared, machine: fake_workers.Machine
) -> None:
    failure = KernelCrashed("kernels.py, while it was loaded: its process ended")
    machine.failures = {BASELINE: failure}
    with pytest.raises(TrialInvalid) as invalid:
        compared.first()
    assert str(invalid.value) == f"the baseline kernel failed: {failure}"
    machine.failures = {CANDIDATE: failure}
    compared.start_over()
    with pytest.raises(KernelCrashed) as crashed:
        compared.first()
    assert crashed.value is failure
    assert machine.windows() == 0
    assert not any(machine.running())


def test_a_failure_that_is_about_no_case_is_every_items(compared: Compared, machine: fake_workers.Machine) -> None:
    """And nothing is tried again."""
    machine.failures = {CANDIDATE: KernelCrashed("kernels.py, while it was loaded: its process ended")}
    for number in (0, 1, 0):
        with pytest.raises(KernelCrashed, match=r"^kernels\.py, while it was loaded"):
            compared.case(number)
    assert len(machine.started) == 2


def wrong_on_normal(tmp_path: Path, sooner: str = "True") -> Compared:
    """A kernel that is wrong on the second of the cases, if so in the first call already."""
    setup = "calls = []"
    body = f"calls.append(0)\nreturn result + (x[0] < 0 and ({sooner}))"
    text = toys.kernel(body, setup)
    inputs = toys.INPUTS.replace(
        "    return (scale", '    scale = -1.0 if distribution == "normal" else scale\n    return (scale'
    )
    folder = toys.write(tmp_path, "wrong", text, inputs=inputs)
    wrong = load.load(discover.inspect(folder))
    return Compared(wrong, Processes(wrong, 60.0, in_process=False))


@pytest.mark.parametrize(("sooner", "where"), [("True", "warm-up call"), ("len(calls) > 20", "timed call")])
def test_a_wrong_answer_belongs_to_its_case_and_the_others_have_no_times(
    tmp_path: Path, machine: fake_workers.Machine, sooner: str, where: str
) -> None:
    compared = wrong_on_normal(tmp_path, sooner)
    assert compared.case(0) is None
    with pytest.raises(KernelIncorrect, match=rf"^64x32-normal, {where}.*: result: 2048 of 2048 values differ"):
        compared.case(1)
    failure = compared.comparison.failure
    assert failure is not None
    assert failure.case == "64x32-normal"
    assert compared.comparison.pairs() == ()
    assert machine.together == ()
    assert (machine.windows() == 0) == (where == "warm-up call")
    assert not any(process.text and not process.is_closed for process in machine.started)


# The candidate's own times


def test_the_candidates_windows_are_those_of_the_first_look_and_its_peak_the_largest(
    compared: Compared, machine: fake_workers.Machine
) -> None:
    machine.call_ns |= {CANDIDATE: 250_000, "": 1000}
    returned = [compared.case(number) for number in (0, 1)]
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
        assert [window.wall_ns for window in times.windows] == [250_000 * times.windows[0].calls] * (4 * PAIRS)


def test_measuring_a_case_gives_the_candidates_windows_of_it(
    compared: Compared, machine: fake_workers.Machine
) -> None:
    machine.call_ns[CANDIDATE] = 250_000
    times = compared.case(0)
    assert times is not None
    blocks = [block for pair in compared.comparison.pairs() for block in pair.blocks]
    own = [block for block in blocks if block.case == compared.ids[0]]
    assert times.windows == tuple(window for block in own for window in block.side("B"))
    assert compared.comparison.candidate().cases[0] == times


def test_before_anything_is_measured_there_is_nothing(compared: Compared) -> None:
    found = compared.comparison.candidate()
    assert (found.cases, found.peak_rss_bytes) == ((), None)
