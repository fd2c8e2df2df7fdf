"""Every verdict is reached by an example, and no verdict moves with what should not matter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from builders import (
    CASES,
    RSS_BYTES,
    Ratios,
    each_window,
    everywhere,
    no_overhead,
    on_a_slower_clock,
    pair,
    quick,
    spread,
)
from hypothesis import given
from hypothesis import strategies as st

from pytest_lance_autoresearch.records import Cause, Evidence, Judgement, Pair, Rules, Verdict
from pytest_lance_autoresearch.verdict import judge

RULES = Rules()
MB = 2**20
FASTER = everywhere(spread(0.05))
EQUAL = everywhere(spread(0.0))


def evidence(*pairs: Pair, smaller: bool = False, looks: int = 1, seconds: float = 60.0) -> Evidence:
    return Evidence(90 if smaller else 100, 100, pairs, looks=looks, seconds=seconds)


def look(*ratios: Ratios, smaller: bool = False, looks: int = 1, seconds: float = 60.0) -> tuple[Verdict, Cause]:
    """One look at as many pairs of processes as there are ratios, under the default rules."""
    found = judge.look(evidence(*map(pair, ratios), smaller=smaller, looks=looks, seconds=seconds), RULES)
    return found.verdict, found.cause


def but(ratios: Ratios, case: str, values: Sequence[float]) -> dict[str, Sequence[float]]:
    return {**ratios, case: values}


# Each cause


def test_a_gain_is_confirmed_in_a_second_pair_before_it_is_kept() -> None:
    assert look(FASTER) == (Verdict.UNDECIDED, Cause.FASTER)
    assert look(FASTER, FASTER) == (Verdict.KEEP, Cause.FASTER)


def test_equal_speed_with_smaller_code_is_kept_after_a_second_pair() -> None:
    assert look(EQUAL, smaller=True) == (Verdict.UNDECIDED, Cause.SIMPLER)
    assert look(EQUAL, EQUAL, smaller=True) == (Verdict.KEEP, Cause.SIMPLER)


def test_a_loss_within_the_noise_band_is_the_price_of_smaller_code() -> None:
    slightly = everywhere(spread(-0.005, 0.001))
    assert look(*[slightly] * 4, smaller=True) == (Verdict.KEEP, Cause.SIMPLER)
    assert look(*[slightly] * 4) == (Verdict.DISCARD, Cause.SLOWER)


def test_a_shown_loss_beyond_the_noise_band_is_slower_even_with_smaller_code() -> None:
    slower = everywhere(spread(-0.03))
    assert look(slower) == (Verdict.DISCARD, Cause.SLOWER)
    assert look(slower, smaller=True) == (Verdict.DISCARD, Cause.SLOWER)


def test_equal_speed_with_equal_code_is_within_noise() -> None:
    assert look(EQUAL) == (Verdict.DISCARD, Cause.WITHIN_NOISE)


def test_a_shown_gain_below_the_smallest_effect_is_too_small() -> None:
    found = [pair(everywhere(spread(0.005, 0.001)))] * 4
    assert judge.look(evidence(*found), RULES).cause is Cause.TOO_SMALL


def test_one_regressed_case_discards_a_large_gain() -> None:
    assert look(but(FASTER, CASES[1], spread(-0.06))) == (Verdict.DISCARD, Cause.CASE_REGRESSED)


@pytest.mark.parametrize(("centre", "width"), [(-0.02, 0.05), (-0.06, 0.05)])
def test_a_case_that_may_have_regressed_holds_a_gain_up(centre: float, width: float) -> None:
    assert look(but(FASTER, CASES[1], spread(centre, width))) == (Verdict.UNDECIDED, Cause.UNDECIDED)


def test_a_case_may_lose_less_than_its_limit() -> None:
    assert look(but(everywhere(spread(0.1)), CASES[1], spread(-0.04))) == (Verdict.UNDECIDED, Cause.FASTER)


@pytest.mark.parametrize(
    ("excess_bytes", "kind"),
    [(32 * MB, Verdict.UNDECIDED), (32 * MB + 1, Verdict.DISCARD), (-RSS_BYTES // 2, Verdict.UNDECIDED)],
)
def test_memory_beyond_its_guard_discards_a_gain(excess_bytes: int, kind: Verdict) -> None:
    found = judge.look(evidence(pair(FASTER, candidate_rss_bytes=RSS_BYTES + excess_bytes)), RULES)
    assert (found.verdict, found.cause) == (kind, Cause.MEMORY if kind is Verdict.DISCARD else Cause.FASTER)
    assert found.baseline_peak_rss_bytes == RSS_BYTES
    assert found.candidate_peak_rss_bytes == RSS_BYTES + excess_bytes


def test_both_memory_guards_count_and_so_does_the_largest_peak_of_each_side() -> None:
    def pair_of(baseline: int, candidate: int) -> Pair:
        return Pair((), {}, baseline * MB, candidate * MB)

    assert judge.memory_allowed([pair_of(40, 50)], RULES)
    assert not judge.memory_allowed([pair_of(40, 51)], RULES)
    assert not judge.memory_allowed([pair_of(1000, 1033)], RULES)
    assert judge.memory_allowed([pair_of(40, 40), pair_of(100, 120)], RULES)
    assert not judge.memory_allowed([pair_of(100, 150), pair_of(100, 100)], RULES)


def test_a_gain_that_the_cpu_clock_rules_out_is_discarded() -> None:
    found = judge.look(evidence(pair(FASTER, cpu=EQUAL)), RULES)
    assert (found.verdict, found.cause) == (Verdict.DISCARD, Cause.CPU_DISAGREES)
    assert found.cpu_speedup is not None
    assert found.cpu_speedup.point == pytest.approx(1.0, abs=1e-6)


def test_a_gain_that_the_cpu_clock_neither_shows_nor_rules_out_needs_more() -> None:
    found = judge.look(evidence(pair(FASTER, cpu=everywhere(spread(0.02, 0.2)))), RULES)
    assert (found.verdict, found.cause) == (Verdict.UNDECIDED, Cause.CPU_DISAGREES)


def test_smaller_code_that_only_seems_as_fast_is_not_kept() -> None:
    """Equal in wall time, 3 % slower in CPU time: it finished its work after its answers."""
    pairs = [pair(EQUAL, cpu=everywhere(spread(-0.03)))] * 2
    found = judge.look(evidence(*pairs, smaller=True), RULES)
    assert (found.verdict, found.cause) == (Verdict.DISCARD, Cause.CPU_DISAGREES)


def test_without_a_cpu_clock_the_wall_clock_decides_alone() -> None:
    blocks = (each_window(block, lambda window: replace(window, cpu_ns=None)) for block in pair(FASTER).blocks)
    found = judge.look(evidence(Pair(tuple(blocks), no_overhead(), 1, 1)), RULES)
    assert (found.verdict, found.cause, found.cpu_speedup) == (Verdict.UNDECIDED, Cause.FASTER, None)


def test_a_gain_that_only_one_of_two_pairs_shows_is_not_kept() -> None:
    assert look(FASTER, EQUAL)[0] is Verdict.UNDECIDED
    assert look(FASTER, EQUAL, looks=6)[0] is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("pairs", range(1, 6))
def test_a_gain_that_only_the_first_of_many_pairs_shows_is_never_kept(pairs: int) -> None:
    assert look(everywhere(spread(0.3)), *[EQUAL] * pairs)[0] is not Verdict.KEEP


def test_a_gain_that_one_pair_shows_needs_a_second() -> None:
    assert look(FASTER, looks=5) == (Verdict.UNDECIDED, Cause.FASTER)
    assert look(FASTER, looks=6) == (Verdict.INCONCLUSIVE, Cause.FASTER)


def test_a_gain_of_the_least_effect_is_given_up_when_it_is_unlikely_enough() -> None:
    """At 5 %, one-sided: 1.645 standard errors of 0.3 %."""
    limit = math.log1p(0.01) - 1.645 * 0.003
    assert look(everywhere([limit - 1e-5] * 16)) == (Verdict.DISCARD, Cause.WITHIN_NOISE)
    assert look(everywhere([limit + 1e-5] * 16)) == (Verdict.UNDECIDED, Cause.UNDECIDED)
    patient = judge.look(evidence(pair(everywhere([limit - 1e-5] * 16))), replace(RULES, miss=0.01))
    assert patient.verdict is Verdict.UNDECIDED


def test_what_stays_open_after_the_last_look_is_undecided() -> None:
    unclear = everywhere(spread(0.02, 0.15))
    assert look(unclear) == (Verdict.UNDECIDED, Cause.UNDECIDED)
    assert look(unclear, looks=5) == (Verdict.UNDECIDED, Cause.UNDECIDED)
    assert look(unclear, looks=6) == (Verdict.INCONCLUSIVE, Cause.UNDECIDED)


@pytest.mark.parametrize("ratios", [FASTER, everywhere(spread(0.02, 0.15))])
def test_what_is_open_when_the_time_is_up_ends_for_that(ratios: Ratios) -> None:
    assert look(ratios, seconds=599.9)[0] is Verdict.UNDECIDED
    assert look(ratios, seconds=600.0) == (Verdict.INCONCLUSIVE, Cause.BUDGET)


def test_a_shown_loss_is_a_discard_even_when_the_time_is_up() -> None:
    assert look(everywhere(spread(-0.03)), seconds=1e6, looks=6) == (Verdict.DISCARD, Cause.SLOWER)


def test_a_keep_after_the_time_budget_is_no_keep() -> None:
    assert look(FASTER, FASTER, seconds=601.0) == (Verdict.INCONCLUSIVE, Cause.BUDGET)


def test_smaller_code_is_not_punished_for_being_a_little_faster() -> None:
    rules = Rules(min_effect=0.05)
    slightly_faster = [pair(everywhere(spread(0.03)))] * 2
    assert judge.look(evidence(*slightly_faster, smaller=True), rules).verdict is Verdict.KEEP


def test_the_runners_cost_in_the_cpu_time_does_not_set_the_clocks_against_each_other() -> None:
    """Half of each window is the runner's: a gain of 1.6 % shows as 0.8 % in both clocks alike."""
    raw = -math.log((1 + math.exp(-0.016)) / 2)
    half = dict.fromkeys(CASES, 5e7)  # 100 calls, 10 s
    pairs = [pair(everywhere(spread(raw, 0.0005)))] * 3
    found = judge.look(evidence(*(replace(one, call_overhead_ns=half) for one in pairs)), RULES)
    assert found.speedup is not None
    assert found.speedup.point == pytest.approx(1.016, abs=2e-4)
    assert (found.verdict, found.cause) == (Verdict.KEEP, Cause.FASTER)


def test_the_case_that_was_shown_to_regress_is_the_one_that_is_named() -> None:
    unclear, shown = spread(-0.09, 0.3), spread(-0.07)
    found = judge.look(evidence(pair({CASES[0]: spread(0.05), CASES[1]: unclear, CASES[2]: shown})), RULES)
    assert found.cause is Cause.CASE_REGRESSED
    assert found.cases[CASES[1]].high > 1
    assert found.worst_case == CASES[2]


# The numbers that come with a verdict


def test_a_judgement_carries_the_numbers_behind_it() -> None:
    ratios = but(FASTER, CASES[2], spread(0.01))
    found = judge.look(evidence(pair(ratios, cpu=everywhere(spread(0.04))), smaller=True), RULES)
    assert found.speedup is not None
    assert found.cpu_speedup is not None
    assert found.speedup.low < found.speedup.point < found.speedup.high
    assert found.speedup.point == pytest.approx(math.exp((0.05 + 0.05 + 0.01) / 3))
    assert found.cpu_speedup.point == pytest.approx(math.exp(0.04))
    assert found.worst_case == CASES[2]
    assert {case: round(math.log(i.point), 6) for case, i in found.cases.items()} == {
        CASES[0]: 0.05,
        CASES[1]: 0.05,
        CASES[2]: 0.01,
    }
    assert (found.baseline_code_size, found.candidate_code_size) == (100, 90)


def test_the_confidence_is_shared_by_looks_and_by_cases() -> None:
    """16 values at 95 %, six looks and three cases: the second from each end; for one look, the third."""
    values = spread(0.05, 0.01)
    cases = judge.look(evidence(pair(everywhere(values))), Rules(confidence=0.95)).cases
    assert math.log(cases[CASES[0]].low) == pytest.approx(values[1], abs=1e-8)
    cases = judge.look(evidence(pair(everywhere(values))), Rules(confidence=0.95, max_looks=1)).cases
    assert math.log(cases[CASES[0]].low) == pytest.approx(values[2], abs=1e-8)


# Properties

ratio_lists = st.lists(st.floats(-0.3, 0.3), min_size=1, max_size=20)
measured = st.tuples(*(ratio_lists for _ in CASES)).map(lambda lists: dict(zip(CASES, lists, strict=True)))


@quick
@given(measured, st.integers(2, 1000), st.booleans())
def test_a_slower_clock_changes_nothing(ratios: Ratios, factor: int, smaller: bool) -> None:
    record = pair(ratios)
    blocks = tuple(on_a_slower_clock(block, factor) for block in record.blocks)
    scaled = replace(record, blocks=blocks)
    first = judge.look(evidence(record, smaller=smaller), RULES)
    second = judge.look(evidence(scaled, smaller=smaller), RULES)
    assert (first.verdict, first.cause, first.worst_case) == (second.verdict, second.cause, second.worst_case)
    assert numbers(second) == pytest.approx(numbers(first), rel=1e-9)


@quick
@given(measured)
def test_swapping_the_sides_mirrors_every_interval(ratios: Ratios) -> None:
    mirrored = {case: [-value for value in values] for case, values in ratios.items()}
    there = judge.look(evidence(pair(ratios)), RULES)
    back = judge.look(evidence(pair(mirrored)), RULES)
    assert there.speedup is not None
    assert back.speedup is not None
    for one, other in [(there.speedup, back.speedup), *((there.cases[c], back.cases[c]) for c in CASES)]:
        assert other.point == pytest.approx(1 / one.point, rel=1e-8)
        assert other.low == pytest.approx(1 / one.high, rel=1e-8)
        assert one.low == pytest.approx(1 / other.high, rel=1e-8)
    assert not (there.cause is Cause.FASTER and back.cause is Cause.FASTER)


@quick
@given(
    st.floats(0.0, 1.0),
    st.floats(-1.0, -0.052),
    st.floats(0, 0.001),
    st.sampled_from(CASES),
    st.integers(1, 3),
    st.booleans(),
)
def test_a_case_worse_than_its_limit_is_never_kept(
    gain: float, loss: float, width: float, case: str, pairs: int, smaller: bool
) -> None:
    ratios = but(everywhere(spread(gain)), case, spread(loss, width))
    assert look(*[ratios] * pairs, smaller=smaller) == (Verdict.DISCARD, Cause.CASE_REGRESSED)


@quick
@given(measured, measured, st.booleans(), st.integers(1, 6), st.floats(0, 1200))
def test_nothing_is_kept_without_a_bounded_interval_of_every_case(
    first: Ratios, second: Ratios, smaller: bool, looks: int, seconds: float
) -> None:
    found = judge.look(evidence(pair(first), pair(second), smaller=smaller, looks=looks, seconds=seconds), RULES)
    if found.verdict is Verdict.KEEP:
        assert min(interval.low for interval in found.cases.values()) > 1 / 1.05
        assert not any(interval.high == math.inf for interval in found.cases.values())


@pytest.mark.parametrize("missing", [CASES, CASES[:1]])
@pytest.mark.parametrize("pairs", [1, 2])
def test_no_data_is_an_error_and_no_verdict(missing: Sequence[str], pairs: int) -> None:
    some = {case: values for case, values in FASTER.items() if case not in missing}
    with pytest.raises(ValueError, match="needs at least one log-ratio of every case"):
        judge.look(evidence(*[replace(pair(some), call_overhead_ns=no_overhead())] * pairs), RULES)


def test_no_pairs_are_an_error() -> None:
    with pytest.raises(ValueError, match="needs at least one log-ratio of every case"):
        look()


def test_a_pair_that_measured_nothing_confirms_nothing() -> None:
    with pytest.raises(ValueError, match="needs at least one log-ratio of every case"):
        look(FASTER, {})


@pytest.mark.parametrize("blocks", [(1,), (9,), (1, 1), (4, 5)])
def test_a_huge_gain_in_nine_blocks_or_fewer_is_not_kept(blocks: tuple[int, ...]) -> None:
    assert look(*(everywhere([3.0] * count) for count in blocks)) == (Verdict.UNDECIDED, Cause.UNDECIDED)


def numbers(judgement: Judgement) -> list[float]:
    assert judgement.speedup is not None
    intervals = [judgement.speedup, *judgement.cases.values()]
    return [bound for i in intervals for bound in (i.low, i.point, i.high)]


# Whole trials on a simulated machine


def simulated_pair(random: np.random.Generator, gain: float, blocks: int = 16) -> dict[str, list[float]]:
    """Blocks of four windows with 2 % of noise, one window in twenty 30 % slower; processes differ."""
    sides = np.array([1, -1, -1, 1]) / 2
    found = {}
    shift = random.normal(0, RULES.process_sd)
    for case in CASES:
        logs = random.normal(0, 0.02, (blocks, 4)) + math.log(1.3) * (random.random((blocks, 4)) < 0.05)
        found[case] = [math.log1p(gain) + shift + float(value) for value in logs @ sides]
    return found


def simulated_trial(random: np.random.Generator, gain: float) -> Judgement:
    """What `comparison` does: look, measure another pair, look again."""
    pairs: list[Pair] = []
    while True:
        pairs.append(pair(simulated_pair(random, gain)))
        judgement = judge.look(evidence(*pairs, looks=len(pairs)), RULES)
        if judgement.verdict is not Verdict.UNDECIDED:
            return judgement


def test_a_kernel_against_itself_is_never_kept() -> None:
    random = np.random.default_rng(1)
    kinds = [simulated_trial(random, 0.0).verdict for _ in range(200)]
    assert kinds.count(Verdict.KEEP) == 0
    assert kinds.count(Verdict.DISCARD) > 150


def test_a_true_gain_of_3_percent_is_nearly_always_kept() -> None:
    random = np.random.default_rng(2)
    kinds = [simulated_trial(random, 0.03).verdict for _ in range(60)]
    assert kinds.count(Verdict.KEEP) > 56


def test_a_true_loss_of_3_percent_is_never_kept() -> None:
    random = np.random.default_rng(3)
    kinds = [simulated_trial(random, -0.03).verdict for _ in range(60)]
    assert kinds.count(Verdict.DISCARD) == 60
