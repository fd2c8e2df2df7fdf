"""The blocks of a comparison that count, and the looks at them until it is decided."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import fake_workers
import pytest
import toys
from builders import quick
from fake_workers import CANDIDATE, Compared
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_lance_autoresearch.bench import looks
from pytest_lance_autoresearch.bench.processes import Processes
from pytest_lance_autoresearch.records import Cause, Evidence, Extent, Rules, Verdict
from pytest_lance_autoresearch.target_files import discover, load
from pytest_lance_autoresearch.verdict import aggregate, judge

AGAIN = "measuring again in fresh processes"


@pytest.fixture
def target(tmp_path: Path) -> load.Target:
    return load.load(discover.inspect(toys.write(tmp_path, text=CANDIDATE)))


@pytest.fixture
def compared(target: load.Target, machine: fake_workers.Machine) -> Compared:  # noqa: ARG001 - it runs on it
    return Compared(target, Processes(target, 60.0, in_process=False))


# Blocks


def blocks_needed(disturbed: list[bool], wanted: int) -> int:
    """How many blocks it takes until as many as wanted are undisturbed; twice as many at most."""
    quiet = list(itertools.accumulate(int(not each) for each in disturbed))
    return min(quiet.index(wanted) + 1 if wanted in quiet else len(disturbed), 2 * wanted)


@settings(quick, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.booleans(), min_size=8, max_size=8), st.integers(1, 4))
def test_disturbed_blocks_are_measured_again_up_to_as_many_as_are_wanted(
    compared: Compared, machine: fake_workers.Machine, disturbed: list[bool], wanted: int
) -> None:
    compared.rules, compared.shown, plan = Rules(pairs=1, blocks=wanted), [], iter(disturbed)
    compared.both = compared.both[:1]

    def disturb() -> None:
        if compared.shown[-1][1] is not None:  # before a block
            machine.stolen_ns = int(next(plan))

    compared.watch = disturb
    compared.start_over()
    compared.first()
    machine.stolen_ns = 0
    (pair,) = compared.comparison.pairs()
    needed = blocks_needed(disturbed, wanted)
    assert list(map(aggregate.is_disturbed, pair.blocks)) == disturbed[:needed]
    undisturbed = [0, *itertools.accumulate(not each for each in disturbed[: needed - 1])]
    assert compared.shown == [(compared.ids[0], (done, wanted), None) for done in undisturbed]


# Looks


def decided(compared: Compared, seconds: Callable[[], float]) -> tuple[Verdict, Cause, Evidence]:
    """The end of a comparison whose first look is measured, and what its last look saw."""
    compared.start_over()
    compared.first()
    found = compared.comparison.decide(seconds, 1)
    return found.verdict, found.cause, compared.comparison.evidence()


@pytest.fixture
def judged(compared: Compared) -> Compared:
    """With as many pairs and blocks as the rules have."""
    compared.rules = Rules()
    return compared


def undecided(machine: fake_workers.Machine) -> None:
    """Let the candidate be faster in every second process only."""
    machine.uneven_ns = {CANDIDATE: 200_000}
    machine.call_ns |= {CANDIDATE: 250_000}


def test_before_the_first_look_none_is_counted(compared: Compared) -> None:
    compared.first()
    evidence = compared.comparison.evidence()
    sizes = compared.target.kernel.code_size, compared.baseline.code_size
    assert evidence == Evidence(*sizes, compared.comparison.pairs(), None, looks=0, seconds=0.0)


def test_a_gain_is_looked_at_twice(judged: Compared, machine: fake_workers.Machine) -> None:
    machine.call_ns |= {CANDIDATE: 200_000}
    asked = 1 + 2 * judged.rules.pairs + 1  # at each look, and in the second before each case of a pair
    verdict, cause, evidence = decided(judged, iter([11.0] * (asked - 1) + [22.0]).__next__)
    assert (verdict, cause) == (Verdict.KEEP, Cause.FASTER)
    assert (len(evidence.pairs), evidence.looks, evidence.seconds) == (2 * judged.rules.pairs, 2, 22.0)


def test_a_loss_is_looked_at_once(judged: Compared, machine: fake_workers.Machine) -> None:
    machine.call_ns |= {CANDIDATE: 800_000}
    verdict, cause, evidence = decided(judged, iter([11.0]).__next__)
    assert (verdict, cause) == (Verdict.DISCARD, Cause.CASE_REGRESSED)
    assert (len(evidence.pairs), evidence.looks, evidence.seconds) == (judged.rules.pairs, 1, 11.0)
    assert len(machine.started) == 2 + 2 * judged.rules.pairs + 1


def test_what_stays_undecided_is_measured_again_up_to_the_last_look(
    judged: Compared, machine: fake_workers.Machine
) -> None:
    undecided(machine)
    judged.rules = replace(Rules(), max_looks=3)
    verdict, cause, evidence = decided(judged, machine.seconds)
    assert (verdict, cause) == (Verdict.INCONCLUSIVE, Cause.UNDECIDED)
    assert evidence.looks == judged.rules.max_looks == 3
    assert len(evidence.pairs) == (1 + judge.TIMES_PAIRS + judge.TIMES_PAIRS) * judged.rules.pairs
    assert evidence.seconds == machine.seconds()


def test_what_stays_undecided_is_measured_again_until_the_time_is_over(
    judged: Compared, machine: fake_workers.Machine
) -> None:
    undecided(machine)
    judged.rules = replace(Rules(), max_seconds=60.0)
    verdict, cause, evidence = decided(judged, machine.seconds)
    assert (verdict, cause) == (Verdict.INCONCLUSIVE, Cause.BUDGET)
    assert 2 < evidence.looks < judged.rules.max_looks
    assert evidence.seconds == machine.seconds() >= 60.0


def test_the_next_look_has_as_many_pairs_and_blocks_as_the_judge_says(
    judged: Compared, machine: fake_workers.Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = judged.ids
    monkeypatch.setattr(judge, "next_look", lambda *_: Extent(6, {first: 1, second: 5}))
    machine.call_ns |= {CANDIDATE: 250_000}
    decided(judged, lambda: 1.0)
    pairs = judged.comparison.pairs()
    counts = [Counter(block.case for block in pair.blocks) for pair in pairs]
    even = {first: judged.rules.blocks, second: judged.rules.blocks}
    assert counts == [even] * judged.rules.pairs + [{first: 1, second: 5}] * 6


def test_what_is_far_faster_has_a_block_in_each_further_pair_of_the_first_look(
    judged: Compared, machine: fake_workers.Machine
) -> None:
    """Those of both looks are enough to keep it."""
    machine.call_ns |= {CANDIDATE: 150_000}
    verdict, cause, evidence = decided(judged, lambda: 1.0)
    assert (verdict, cause, evidence.looks) == (Verdict.KEEP, Cause.FASTER, 2)
    counts = [set(Counter(block.case for block in pair.blocks).values()) for pair in evidence.pairs]
    assert counts == [{3}, {1}, {1}, {1}, {2}, {2}, {2}, {2}]


@pytest.mark.parametrize(
    ("is_open", "said"),
    [
        ([], ""),
        (["b"], ", most of all b"),
        (["b", "a"], ", most of all b and 1 more"),
        (["b", "a", "c"], ", most of all b and 2 more"),
    ],
)
def test_whoever_watches_sees_for_which_cases_it_is_measured_again(
    judged: Compared,
    machine: fake_workers.Machine,
    monkeypatch: pytest.MonkeyPatch,
    is_open: list[str],
    said: str,
) -> None:
    """Named as the judge has them, the first of them by name."""
    monkeypatch.setattr(judge, "open_cases", lambda *_: is_open)
    monkeypatch.setattr(judge, "next_look", lambda *_: Extent(4, dict.fromkeys(judged.ids, 1)))
    machine.call_ns |= {CANDIDATE: 200_000}
    decided(judged, lambda: 1.0)
    assert [shown[0] for shown in judged.shown if shown[0].startswith(AGAIN)] == [AGAIN + said]


def test_whoever_watches_sees_the_speed_up_of_the_last_look(
    judged: Compared, machine: fake_workers.Machine
) -> None:
    machine.call_ns |= {CANDIDATE: 250_000}
    decided(judged, lambda: 0.0)
    first, second = (
        [(case, (done, count)) for case in judged.ids for done in range(count)] * judged.rules.pairs
        for count in (judged.rules.blocks, judge.SETTLED_BLOCKS)
    )
    assert [shown[:2] for shown in judged.shown] == [*first, (AGAIN, None), *second]
    speedups = [shown[2] for shown in judged.shown]
    assert speedups[: len(first)] == [None] * len(first)
    (known,) = set(speedups[len(first) :])
    assert known is not None
    assert (known.low, known.point, known.high) == pytest.approx((1.6, 1.6, 1.6))


def test_time_that_runs_out_in_a_pair_ends_it_at_the_last_look(
    judged: Compared, machine: fake_workers.Machine
) -> None:
    """One case of the second look is measured in time, and the next one would begin when it is over."""
    machine.call_ns |= {CANDIDATE: 200_000}
    limit = judged.rules.max_seconds
    verdict, cause, evidence = decided(judged, iter([10.0, limit - 0.1, limit, limit + 1]).__next__)
    assert (verdict, cause) == (Verdict.INCONCLUSIVE, Cause.BUDGET)
    assert (len(evidence.pairs), evidence.looks, evidence.seconds) == (judged.rules.pairs, 2, limit + 1)


def test_a_gain_that_does_not_come_again_is_not_kept(judged: Compared, machine: fake_workers.Machine) -> None:
    machine.call_ns |= {CANDIDATE: 200_000}

    def seconds() -> float:
        machine.call_ns |= {CANDIDATE: 800_000}  # from the second look on
        return 1.0

    verdict, _, evidence = decided(judged, seconds)
    assert verdict is Verdict.DISCARD
    assert evidence.looks > 1
    assert len(evidence.pairs) >= judged.rules.pairs * evidence.looks


def test_the_rules_are_those_it_was_given(judged: Compared, machine: fake_workers.Machine) -> None:
    machine.call_ns |= {CANDIDATE: 250_000}
    judged.rules = replace(Rules(), max_looks=1)
    verdict, cause, evidence = decided(judged, lambda: 0.0)
    assert (verdict, cause, evidence.looks) == (Verdict.INCONCLUSIVE, Cause.FASTER, 1)


@pytest.mark.parametrize("place", [0, 1, 2], ids=["before", "between", "behind"])
def test_calls_are_started_one_by_one_where_no_kernel_knows(
    compared: Compared, machine: fake_workers.Machine, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    """One that counts its calls. Where blocks follow, all sides are warmed up once more."""
    monkeypatch.setattr(
        looks, "_CHOICE", SimpleNamespace(randrange=lambda count: min(place, count - 1), sample=random.sample)
    )
    compared.both = compared.both[:1]
    compared.start_over()
    compared.first()
    compared.again(Extent(1, {compared.ids[0]: 2}))
    candidate = next(process for process in machine.started if process.one_by_one_after)
    before, *_ = candidate.one_by_one_after
    behind = len(candidate.placements) - before
    assert behind == (0 if place == 2 else 1 + 2 * (2 - place))  # a warm-up, and two windows of each block
    assert compared.comparison.pairs()[-1].dealt[0].case == compared.ids[0]
