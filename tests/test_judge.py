"""Every verdict is reached by an example, and no verdict moves with what should not matter."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any

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
    pairs_of_a_look,
    quick,
    shifted,
    spread,
)
from hypothesis import assume, given
from hypothesis import strategies as st

from pytest_lance_autoresearch.records import (
    Building,
    BuildPrice,
    Cause,
    Doubt,
    Evidence,
    Extent,
    Interval,
    Judgement,
    Pair,
    RegressionRules,
    Rules,
    Verdict,
)
from pytest_lance_autoresearch.verdict import judge, keeping, price, stats, view

RULES = Rules()
MB = 2**20
FASTER = everywhere(spread(0.05))
EQUAL = everywhere(spread(0.0))


def evidence(*pairs: Pair, smaller: bool = False, looks: int = 1, seconds: float = 60.0) -> Evidence:
    return Evidence(90 if smaller else 100, 100, pairs, looks=looks, seconds=seconds)


def judged(*ratios: Ratios, rules: Rules = RULES, looks: int | None = None, **options: Any) -> Judgement:
    """The last of as many looks as there are ratios, or of so many, each of several pairs of processes."""
    pairs = [one for of_look in ratios for one in pairs_of_a_look(of_look)]
    return judge.look(evidence(*pairs, looks=looks or len(ratios), **options), rules)


def look(*ratios: Ratios, **options: Any) -> tuple[Verdict, Cause]:
    found = judged(*ratios, **options)
    return found.verdict, found.cause


def but(ratios: Ratios, case: str, values: Sequence[float]) -> dict[str, Sequence[float]]:
    return {**ratios, case: values}


# Each cause


def test_a_gain_is_confirmed_in_a_second_look_before_it_is_kept() -> None:
    assert look(FASTER) == (Verdict.UNDECIDED, Cause.FASTER)
    assert look(FASTER, FASTER) == (Verdict.KEEP, Cause.FASTER)


def test_equal_speed_with_smaller_code_is_kept_after_a_second_look() -> None:
    assert look(EQUAL, smaller=True) == (Verdict.UNDECIDED, Cause.SIMPLER)
    assert look(EQUAL, EQUAL, smaller=True) == (Verdict.KEEP, Cause.SIMPLER)


def test_one_pair_shows_nothing_overall() -> None:
    found = judge.look(evidence(pair(FASTER)), RULES).speedup
    assert found is not None
    assert (found.low, found.high) == (0.0, math.inf)
    assert found.point == pytest.approx(math.exp(0.05))


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
    slightly = everywhere(spread(0.005, 0.001))
    assert look(slightly, slightly) == (Verdict.DISCARD, Cause.TOO_SMALL)


def test_one_regressed_case_discards_a_large_gain() -> None:
    assert look(but(FASTER, CASES[1], spread(-0.06))) == (Verdict.DISCARD, Cause.CASE_REGRESSED)


@pytest.mark.parametrize(("centre", "width"), [(-0.02, 0.12), (-0.06, 0.12)])
def test_a_case_that_may_have_regressed_holds_a_gain_up(centre: float, width: float) -> None:
    assert look(but(FASTER, CASES[1], spread(centre, width))) == (Verdict.UNDECIDED, Cause.UNDECIDED)


def test_a_case_may_lose_less_than_its_limit() -> None:
    assert look(but(everywhere(spread(0.1)), CASES[1], spread(-0.04))) == (Verdict.UNDECIDED, Cause.FASTER)


@pytest.mark.parametrize(
    ("excess_bytes", "kind"),
    [(32 * MB, Verdict.UNDECIDED), (32 * MB + 1, Verdict.DISCARD), (-RSS_BYTES // 2, Verdict.UNDECIDED)],
)
def test_memory_beyond_its_guard_discards_a_gain(excess_bytes: int, kind: Verdict) -> None:
    first, *others = pairs_of_a_look(FASTER)
    larger = replace(first, candidate_peak_rss_bytes=RSS_BYTES + excess_bytes)
    found = judge.look(evidence(larger, *others), RULES)
    assert (found.verdict, found.cause) == (kind, Cause.MEMORY if kind is Verdict.DISCARD else Cause.FASTER)
    assert found.baseline_peak_rss_bytes == RSS_BYTES
    assert found.candidate_peak_rss_bytes == RSS_BYTES + max(0, excess_bytes)


def test_both_memory_guards_count_and_so_does_the_largest_peak_of_each_side() -> None:
    def pair_of(baseline: int, candidate: int) -> Pair:
        return Pair((), {}, baseline * MB, candidate * MB)

    assert price.memory_allowed([pair_of(40, 50)], RULES)
    assert not price.memory_allowed([pair_of(40, 51)], RULES)
    assert not price.memory_allowed([pair_of(1000, 1033)], RULES)
    assert price.memory_allowed([pair_of(40, 40), pair_of(100, 120)], RULES)
    assert not price.memory_allowed([pair_of(100, 150), pair_of(100, 100)], RULES)


def test_a_gain_that_the_cpu_clock_rules_out_is_discarded() -> None:
    pairs = [pair(FASTER, cpu=shifted(EQUAL, shift)) for shift in spread(0.0, 0.001, 4)]
    found = judge.look(evidence(*pairs), replace(RULES, miss=1e-9))
    assert (found.verdict, found.cause) == (Verdict.DISCARD, Cause.CPU_DISAGREES)
    assert found.cpu_speedup is not None
    assert found.cpu_speedup.point == pytest.approx(1.0, abs=1e-6)


def test_the_cpu_clock_is_told_and_has_no_say_about_kernels_of_several_threads() -> None:
    pairs = [pair(FASTER, cpu=shifted(EQUAL, shift)) for shift in spread(-0.5, 0.001, 8)]
    one = evidence(*pairs, looks=2)
    assert judge.look(one, RULES).cause is Cause.CPU_DISAGREES
    assert judge.look(one, RegressionRules()).cause is Cause.CPU_DISAGREES
    several = replace(one, threads=2)
    found = judge.look(several, RULES)
    assert (found.verdict, found.cause) == (Verdict.KEEP, Cause.FASTER)
    assert judge.look(several, RegressionRules()).verdict is Verdict.PASS
    assert found.cpu_speedup is not None
    assert found.cpu_speedup.high < 1


def test_a_gain_that_the_cpu_clock_neither_shows_nor_rules_out_needs_more() -> None:
    pairs = [pair(FASTER, cpu=shifted(EQUAL, shift)) for shift in spread(0.02, 0.02, 4)]
    found = judge.look(evidence(*pairs), RULES)
    assert (found.verdict, found.cause) == (Verdict.UNDECIDED, Cause.CPU_DISAGREES)


def test_smaller_code_that_only_seems_as_fast_is_not_kept() -> None:
    """Equal in wall time, 3 % slower in CPU time: it finished its work after its answers."""
    pairs = [pair(EQUAL, cpu=shifted(EQUAL, shift)) for shift in spread(-0.03, 0.001, 8)]
    found = judge.look(evidence(*pairs, smaller=True, looks=2), RULES)
    assert (found.verdict, found.cause) == (Verdict.DISCARD, Cause.CPU_DISAGREES)


def test_without_a_cpu_clock_the_wall_clock_decides_alone() -> None:
    pairs = [
        replace(one, blocks=tuple(each_window(block, lambda w: replace(w, cpu_ns=None)) for block in one.blocks))
        for one in pairs_of_a_look(FASTER)
    ]
    found = judge.look(evidence(*pairs), RULES)
    assert (found.verdict, found.cause, found.cpu_speedup) == (Verdict.UNDECIDED, Cause.FASTER, None)


def test_a_gain_that_only_one_of_two_looks_shows_is_not_kept() -> None:
    assert look(FASTER, EQUAL)[0] is Verdict.UNDECIDED
    assert look(FASTER, EQUAL, rules=replace(RULES, max_looks=2))[0] is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("others", range(1, 6))
def test_a_gain_that_only_the_first_of_many_looks_shows_is_never_kept(others: int) -> None:
    assert look(everywhere(spread(0.3)), *[EQUAL] * others)[0] is not Verdict.KEEP


def test_no_number_of_pairs_in_one_look_is_a_keep() -> None:
    assert look(FASTER, FASTER, FASTER, looks=1) == (Verdict.UNDECIDED, Cause.FASTER)
    only = replace(RULES, max_looks=1)
    assert look(FASTER, FASTER, FASTER, looks=1, rules=only) == (Verdict.INCONCLUSIVE, Cause.FASTER)


def test_a_gain_of_the_least_effect_is_given_up_when_it_is_unlikely_enough() -> None:
    """At 5 %, one-sided, with three degrees of freedom: 2.353363 standard errors."""
    apart = 0.004
    se = statistics.stdev(spread(0.0, apart, 4)) / 2
    limit = math.log1p(0.01) - 2.353363 * se

    def at(point: float, rules: Rules = RULES) -> tuple[Verdict, Cause]:
        found = judge.look(evidence(*pairs_of_a_look(everywhere([point] * 16), apart)), rules)
        return found.verdict, found.cause

    assert at(limit - 1e-5) == (Verdict.DISCARD, Cause.WITHIN_NOISE)
    assert at(limit + 1e-5) == (Verdict.UNDECIDED, Cause.UNDECIDED)
    assert at(limit - 1e-5, replace(RULES, miss=0.01))[0] is Verdict.UNDECIDED


UNCLEAR = everywhere(spread(0.02, 0.3))


def test_what_stays_open_after_the_last_look_is_undecided() -> None:
    assert look(UNCLEAR) == (Verdict.UNDECIDED, Cause.UNDECIDED)
    assert look(UNCLEAR, looks=RULES.max_looks - 1) == (Verdict.UNDECIDED, Cause.UNDECIDED)
    assert look(UNCLEAR, looks=RULES.max_looks) == (Verdict.INCONCLUSIVE, Cause.UNDECIDED)


@pytest.mark.parametrize("ratios", [FASTER, UNCLEAR])
def test_what_is_open_when_the_time_is_up_ends_for_that(ratios: Ratios) -> None:
    assert look(ratios, seconds=599.9)[0] is Verdict.UNDECIDED
    assert look(ratios, seconds=600.0) == (Verdict.INCONCLUSIVE, Cause.BUDGET)


def test_a_shown_loss_is_a_discard_even_when_the_time_is_up() -> None:
    assert look(everywhere(spread(-0.03)), seconds=1e6, looks=6) == (Verdict.DISCARD, Cause.SLOWER)


def test_a_keep_after_the_time_budget_is_no_keep() -> None:
    assert look(FASTER, FASTER, seconds=601.0) == (Verdict.INCONCLUSIVE, Cause.BUDGET)


def test_smaller_code_is_not_punished_for_being_a_little_faster() -> None:
    slightly_faster = everywhere(spread(0.03))
    rules = Rules(min_effect=0.05)
    assert look(slightly_faster, slightly_faster, smaller=True, rules=rules) == (Verdict.KEEP, Cause.SIMPLER)


def test_the_runners_cost_in_the_cpu_time_does_not_set_the_clocks_against_each_other() -> None:
    """Half of each window is the runner's: a gain of 1.6 % shows as 0.8 % in both clocks alike."""
    raw = -math.log((1 + math.exp(-0.016)) / 2)
    half = dict.fromkeys(CASES, 5e7)  # 100 calls, 10 s
    pairs = pairs_of_a_look(everywhere(spread(raw, 0.0005)), apart=0.0005, count=8)
    found = judge.look(evidence(*(replace(one, call_overhead_ns=half) for one in pairs), looks=2), RULES)
    assert found.speedup is not None
    assert found.speedup.point == pytest.approx(1.016, abs=2e-4)
    assert (found.verdict, found.cause) == (Verdict.KEEP, Cause.FASTER)


def test_the_case_that_was_shown_to_regress_is_the_one_that_is_named() -> None:
    unclear, shown = spread(-0.09, 0.6), spread(-0.07)
    found = judged({CASES[0]: spread(0.05), CASES[1]: unclear, CASES[2]: shown})
    assert found.cause is Cause.CASE_REGRESSED
    assert found.cases[CASES[1]].high > 1
    assert found.worst_case == CASES[2]


# The numbers that come with a verdict


def test_a_judgement_carries_the_numbers_behind_it() -> None:
    ratios = but(FASTER, CASES[2], spread(0.01))
    pairs = [pair(shifted(ratios, shift), cpu=everywhere(spread(0.04 + shift))) for shift in spread(0.0, 0.001, 4)]
    found = judge.look(evidence(*pairs, smaller=True), RULES)
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


@pytest.mark.parametrize(("looks", "cases", "outer"), [(1, 3, 2), (2, 3, 2), (3, 3, 1), (3, 1, 2)])
def test_a_case_may_spend_its_share_of_what_the_look_may(looks: int, cases: int, outer: int) -> None:
    """Of 5 %. Of 16 values the third from each end is a bound at 99.6 %, the second at 99.95 %."""
    values = spread(0.05, 0.01)
    ratios = everywhere(values, CASES[:cases])
    found = judge.look(evidence(pair(ratios), looks=looks), Rules(confidence=0.95)).cases
    assert len(found) == cases
    assert math.log(found[CASES[0]].low) == pytest.approx(values[outer], abs=1e-8)


def reach(looks: int, rules: Rules = RULES) -> float:
    """How many standard errors the overall interval reaches to each side, at four pairs."""
    found = judged(FASTER, looks=looks, rules=rules).speedup
    assert found is not None
    se = statistics.stdev(spread(0.0, 0.001, 4)) / 2
    return math.log(found.high / found.point) / se


def spent(looks: int, rules: Rules = RULES) -> float:
    """The chance that the overall interval of so many looks misses the truth."""
    return 2 * (1 - stats.student_cdf(reach(looks, rules), 3))


@pytest.mark.parametrize(
    ("looks", "share", "standard_errors"),
    [(1, 1, 5.841), (2, 2, 7.453), (3, 6, 10.869), (4, 12, 13.745), (5, 20, 16.326), (100, 9900, 129.719)],
)
def test_a_later_look_may_be_wrong_less_often(looks: int, share: int, standard_errors: float) -> None:
    """Of 1 %, two-sided, with three degrees of freedom."""
    assert spent(looks) == pytest.approx(0.01 / share, rel=1e-4)
    assert reach(looks) == pytest.approx(standard_errors, abs=0.001)


@pytest.mark.parametrize("confidence", [0.9, 0.99])
def test_all_looks_that_can_keep_spend_less_than_the_trial_may(confidence: float) -> None:
    """The k-th look spends 1 / (k - 1) - 1 / k of it, so that each takes a part of what those before it left."""
    rules, so_far = replace(RULES, confidence=confidence), 0.0
    for looks in range(view.LEAST_LOOKS, 200):
        so_far += spent(looks, rules)
        assert so_far == pytest.approx((1 - confidence) * (1 - 1 / looks), rel=1e-3)
        assert so_far < 1 - confidence


# What a gain must not cost, before anything is timed


def untimed(*building: Building, peaks: tuple[int, int] = (RSS_BYTES, RSS_BYTES)) -> Evidence:
    """What is known of a pair before its first block; a case for each building."""
    return evidence(Pair((), {}, *peaks, building=dict(zip(CASES, building, strict=False))))


def test_a_candidate_that_costs_nothing_more_is_timed() -> None:
    assert judge.refusal(untimed(), RULES) is None
    assert judge.refusal(untimed(Building(500_000, 900_000, 0)), RULES) is None


def test_memory_is_refused_before_anything_is_timed() -> None:
    found = judge.refusal(untimed(Building(1, 2, 3), peaks=(RSS_BYTES, RSS_BYTES + 33 * MB)), RULES)
    assert found == Judgement(
        Verdict.DISCARD,
        Cause.MEMORY,
        baseline_peak_rss_bytes=RSS_BYTES,
        candidate_peak_rss_bytes=RSS_BYTES + 33 * MB,
        building=BuildPrice(1, 2, CASES[0], 1, 2, 1e6),
    )


def test_building_is_refused_by_the_case_that_is_farthest_beyond_its_budget() -> None:
    fine, beyond, farther = Building(10**6, 10**6, MB), Building(10**6, 6 * 10**6, MB), Building(1, 9 * 10**6, MB)
    found = judge.refusal(untimed(fine, beyond, farther), RULES)
    assert found is not None
    assert (found.verdict, found.cause, found.speedup) == (Verdict.DISCARD, Cause.BUILDING, None)
    assert found.building == BuildPrice(2 * 10**6 + 1, 16 * 10**6, CASES[2], 1, 9 * 10**6, MB)


@pytest.mark.parametrize(
    ("ms_per_mb", "baseline_ns", "state_bytes", "budget_ns"),
    [
        (None, 0, 0, 1_000_000),  # a millisecond is free
        (None, 100_000, 1000, 1_000_000),
        (None, 3_000_000, 1000, 15_000_000),  # five times the baseline's
        (None, 100_000, 40_000_000, 40_000_000),  # a millisecond per megabyte
        (0.0, 3_000_000, 40_000_000, 1_000_000),
        (0.5, 3_000_000, 40_000_000, 20_000_000),
        (20.0, 0, 1_000_000, 20_000_000),
    ],
)
def test_the_budget_of_building(
    ms_per_mb: float | None, baseline_ns: int, state_bytes: int, budget_ns: int
) -> None:
    rules = replace(RULES, build_ms_per_mb=ms_per_mb)
    within, beyond = (untimed(Building(baseline_ns, budget_ns + more, state_bytes)) for more in (0, 1))
    assert judge.refusal(within, rules) is None
    found = judge.refusal(beyond, rules)
    assert found is not None
    assert found.building is not None
    assert (found.cause, found.building.budget_ns) == (Cause.BUILDING, budget_ns)


def test_building_counts_as_the_median_over_pairs_and_over_the_largest_state() -> None:
    pairs = [
        Pair((), {}, 1, 1, building={"a": one})
        for one in (Building(1, 10, 100), Building(3, 5 * 10**9, 300), Building(2, 20, 200))
    ]
    found = price.build_price(pairs, replace(RULES, build_ms_per_mb=1e6))
    assert found == BuildPrice(2, 20, "a", 2, 20, 3e8)
    assert price.build_price([Pair((), {}, 1, 1)], RULES) is None


def test_a_price_that_later_looks_show_discards_a_gain_too() -> None:
    pairs = [replace(one, building={CASES[0]: Building(1, 2 * 10**6, 1)}) for one in pairs_of_a_look(FASTER)]
    found = judge.look(evidence(*pairs), RULES)
    assert (found.verdict, found.cause) == (Verdict.DISCARD, Cause.BUILDING)


# What the next look measures

LIMIT = -math.log1p(RULES.case_limit)
half_widths = st.floats(0.001, 0.3)
about_the_limit = st.one_of(
    st.tuples(st.floats(-0.2, 0.2), half_widths).map(
        lambda drawn: (LIMIT + drawn[0] - drawn[1], LIMIT + drawn[0], LIMIT + drawn[0] + drawn[1])
    ),
    st.just((-math.inf, 0.0, math.inf)),
)
cases_drawn = st.lists(about_the_limit, min_size=1, max_size=20)
overall_lows = st.sampled_from([0.97, 1.02])


def undecided(cases: Sequence[tuple[float, float, float]], overall_low: float = 0.97) -> Judgement:
    ratios = {f"case {i}": stats.LogEstimate(*bounds).ratio() for i, bounds in enumerate(cases)}
    return Judgement(Verdict.UNDECIDED, Cause.UNDECIDED, Interval(overall_low, 1.05, 1.1), ratios)


@quick
@given(cases_drawn, overall_lows)
def test_which_side_of_the_limit_a_case_lies_on_gives_it_no_blocks(
    cases: list[tuple[float, float, float]], overall_low: float
) -> None:
    assume(all(abs(bound - LIMIT) > 1e-9 for low, _, high in cases for bound in (low, high)))
    mirrored = [(2 * LIMIT - high, 2 * LIMIT - point, 2 * LIMIT - low) for low, point, high in cases]
    found, other = (judge.next_look(undecided(each, overall_low), RULES) for each in (cases, mirrored))
    assert found == other


@quick
@given(cases_drawn, overall_lows, st.integers(1, 8))
def test_every_case_gets_a_block_and_none_too_many(
    cases: list[tuple[float, float, float]], overall_low: float, blocks: int
) -> None:
    found = judge.next_look(undecided(cases, overall_low), replace(RULES, blocks=blocks)).blocks
    assert list(found) == [f"case {i}" for i in range(len(cases))]
    assert all(1 <= count <= judge.MOST_BLOCKS for count in found.values())


OPEN, SHOWN, REGRESSED, UNBOUNDED = (
    (LIMIT - 0.1, LIMIT + 0.03, LIMIT + 0.2),
    (LIMIT + 0.01, 0.0, 0.02),
    (LIMIT - 0.3, LIMIT - 0.2, LIMIT - 0.1),
    (-math.inf, 0.0, math.inf),
)


@pytest.mark.parametrize(
    ("cases", "overall_low", "pairs", "blocks"),
    [
        ([SHOWN] * 3, 1.02, 4, [2, 2, 2]),
        ([UNBOUNDED] * 3, 1.02, 4, [2, 2, 2]),  # too few blocks so far to tell which is open
        ([OPEN, SHOWN, REGRESSED], 1.02, 4, [6, 2, 2]),
        ([OPEN] + [SHOWN] * 11, 1.02, 4, [14] + [2] * 11),  # what the others do not need
        ([OPEN] + [SHOWN] * 19, 1.02, 4, [16] + [2] * 19),
        ([OPEN] * 2 + [SHOWN] * 10, 1.02, 4, [8] * 2 + [2] * 10),
        ([OPEN] * 3, 1.02, 4, [6] * 3),
        ([SHOWN] * 3, 0.97, 8, [2, 2, 2]),  # what the whole needs is pairs
        ([UNBOUNDED] * 3, 0.97, 8, [2, 2, 2]),
        ([OPEN, SHOWN, REGRESSED], 0.97, 8, [3, 2, 2]),
        ([OPEN] + [SHOWN] * 11, 0.97, 8, [3] + [2] * 11),
        ([OPEN] * 3, 0.97, 8, [3] * 3),
    ],
)
def test_the_whole_gets_pairs_and_then_open_cases_get_what_the_others_do_not_need(
    cases: list[tuple[float, float, float]], overall_low: float, pairs: int, blocks: list[int]
) -> None:
    found = judge.next_look(undecided(cases, overall_low), RULES)
    assert (found.pairs, list(found.blocks.values())) == (pairs, blocks)


@pytest.mark.parametrize("overall_low", [0.97, 1.02])
def test_what_only_lacks_its_confirmation_gets_as_many_pairs_again_and_short_ones(overall_low: float) -> None:
    for cause in (Cause.FASTER, Cause.SIMPLER, Cause.NOT_SLOWER):
        found = judge.next_look(replace(undecided([SHOWN] * 2, overall_low), cause=cause), RULES)
        assert found == Extent(4, {"case 0": 2, "case 1": 2})


def test_where_cpu_time_is_what_is_open_the_whole_is() -> None:
    found = judge.next_look(replace(undecided([SHOWN] * 2, 1.02), cause=Cause.CPU_DISAGREES), RULES)
    assert found == Extent(8, {"case 0": 2, "case 1": 2})


def test_a_pair_of_few_blocks_has_no_fewer_while_the_whole_is_open() -> None:
    assert judge.next_look(undecided([OPEN, SHOWN]), replace(RULES, blocks=1)).blocks == {"case 0": 1, "case 1": 1}


def test_what_is_far_faster_in_each_block_of_a_first_pair_has_fewer_in_the_others() -> None:
    """In both of several candidates; what is far slower has as many, for one look is to turn it down."""
    faster, as_fast = math.log(judge.FAR) + 1e-9, math.log(judge.FAR) - 1e-9
    far, *others = CASES
    ratios = {case: [faster] * 3 for case in CASES} | {
        others[0]: [faster, as_fast, faster],
        others[-1]: [-2.0] * 3,
    }
    blocks = dict.fromkeys(CASES, 3)
    narrowed = {case: 3 if case in (others[0], others[-1]) else 1 for case in CASES}
    assert judge.narrowed(blocks, [pair(ratios)]) == narrowed
    assert judge.narrowed(blocks, [pair(ratios), pair(ratios | {far: [0.0] * 3})]) == narrowed | {far: 3}
    assert judge.narrowed(blocks, [replace(pair(ratios), blocks=())]) == blocks


def test_the_blocks_of_two_looks_at_what_is_far_faster_show_it_beside_thirty_others() -> None:
    count = RULES.blocks + judge.FAR_BLOCKS * (RULES.pairs - 1) + judge.SETTLED_BLOCKS * RULES.pairs
    alpha = (1 - RULES.confidence) * view.share(view.LEAST_LOOKS) / 30
    assert stats.median_interval([math.log(judge.FAR)] * count, alpha).low > 0


@pytest.mark.parametrize(
    ("case", "is_open"),
    [
        (OPEN, True),
        ((LIMIT - 0.2, LIMIT - 0.1, LIMIT + 0.01), True),  # its point lies beyond the limit
        ((LIMIT, LIMIT + 0.1, LIMIT + 0.2), True),
        ((LIMIT - 0.2, LIMIT - 0.1, LIMIT), True),
        (SHOWN, False),
        (REGRESSED, False),
        (UNBOUNDED, False),
    ],
)
def test_a_case_is_open_while_its_interval_reaches_across_its_limit(
    case: tuple[float, float, float], is_open: bool
) -> None:
    exact = Interval(*(1 / (1 + RULES.case_limit) if bound == LIMIT else math.exp(bound) for bound in case))
    found = replace(undecided([SHOWN, OPEN]), cases={"one": exact})
    assert judge.open_cases(found, RULES) == (["one"] if is_open else [])


def test_open_cases_come_in_the_order_of_the_cases_and_by_the_limit_of_the_rules() -> None:
    found = undecided([OPEN, SHOWN, REGRESSED, OPEN])
    assert judge.open_cases(found, RULES) == ["case 0", "case 3"]
    assert judge.open_cases(found, replace(RULES, case_limit=0.25)) == ["case 2"]
    assert judge.open_cases(Judgement(Verdict.DISCARD, Cause.MEMORY), RULES) == []


# At any price


@pytest.mark.parametrize("rules", [RULES, replace(RULES, build_ms_per_mb=0.5, memory_bytes=1)])
@pytest.mark.parametrize("state_bytes", [0, 1, 10**9])
def test_at_any_price_nothing_is_refused(rules: Rules, state_bytes: int) -> None:
    dear = untimed(Building(1, 10**12, state_bytes), peaks=(RSS_BYTES, 1000 * RSS_BYTES))
    assert judge.refusal(dear, rules) is not None
    assert judge.refusal(dear, judge.at_any_price(rules)) is None


def test_at_any_price_all_other_rules_are_the_same() -> None:
    rules = Rules(min_effect=0.02, pairs=2, blocks=7)
    found = judge.at_any_price(rules)
    costs = {name: getattr(rules, name) for name in ("memory_fraction", "memory_bytes", "build_ms_per_mb")}
    assert found != rules
    assert replace(found, **costs) == rules


# What keeps a verdict open

TWO_LOOKS = replace(RULES, max_looks=2)


def last(*pairs: Pair, **options: Any) -> Doubt:
    found = judge.look(evidence(*pairs, looks=2, **options), TWO_LOOKS)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.doubt is not None
    return found.doubt


def lasting(pairs: Sequence[Pair], seconds: float = 12.0) -> list[Pair]:
    return [replace(one, seconds=seconds / len(pairs)) for one in pairs]


def test_a_verdict_that_is_reached_leaves_no_doubt() -> None:
    for found in (judged(FASTER), judged(FASTER, FASTER), judged(EQUAL)):
        assert found.doubt is None


def test_the_doubt_is_about_the_case_that_needs_most() -> None:
    wide, wider = spread(-0.01, 0.15), spread(0.0, 0.3)
    found = last(*lasting(pairs_of_a_look({CASES[0]: spread(0.3), CASES[1]: wide, CASES[2]: wider})))
    cases = judged({CASES[0]: spread(0.3), CASES[1]: wide, CASES[2]: wider}, looks=2).cases
    assert (found.case, found.speedup) == (CASES[2], cases[CASES[2]])
    reach = math.log(found.speedup.point / found.speedup.low) / (math.log(found.speedup.point) - LIMIT)
    assert found.seconds == pytest.approx(12.0 / 3 * (reach**2 - 1))  # a third of the blocks are the case's


def test_a_case_beyond_its_limit_cannot_be_settled_in_favour_and_is_named_first() -> None:
    beyond, wide = spread(-0.07, 0.2), spread(0.0, 0.2)
    found = last(*lasting(pairs_of_a_look({CASES[0]: spread(0.3), CASES[1]: beyond, CASES[2]: wide})))
    assert (found.case, found.seconds) == (CASES[1], None)


def test_a_case_with_too_few_blocks_for_any_bound_needs_another_look() -> None:
    """0.5 % over three cases: 11 blocks; there are 8. Three more would take 1.5 s, and no look is so short."""
    found = last(*lasting(pairs_of_a_look(everywhere([0.05, 0.06]))))
    assert (found.case, found.speedup.low, found.speedup.high) == (CASES[0], 0.0, math.inf)
    assert found.seconds == pytest.approx(12.0 / 2)


def test_where_no_case_is_open_the_doubt_is_about_the_overall_speed_up() -> None:
    found = last(*lasting(pairs_of_a_look(everywhere(spread(0.02)), apart=0.01)))
    seen = evidence(*pairs_of_a_look(everywhere(spread(0.02)), apart=0.01), looks=2)
    bounds = judge.look(seen, RULES).speedup
    assert (found.case, found.speedup) == (None, bounds)
    reach = (0.02 - math.log(found.speedup.low)) / 0.02
    assert found.seconds == pytest.approx(12.0 * (reach**2 - 1), rel=1e-6)


def test_a_gain_below_the_least_effect_is_settled_when_it_is_shown_to_be() -> None:
    """Its bound above comes down to 1 %: 2.353 standard errors now, for what a gain of 1 % is given up with."""
    se = statistics.stdev(spread(0.0, 0.01, 4)) / 2
    found = last(*lasting(pairs_of_a_look(everywhere(spread(0.004)), apart=0.01)))
    reach = 2.353363 * se / (math.log1p(0.01) - 0.004)
    assert found.case is None
    assert found.seconds == pytest.approx(12.0 * (reach**2 - 1), rel=1e-5)


def test_smaller_code_is_settled_when_both_bounds_are_near_enough() -> None:
    found = last(*lasting(pairs_of_a_look(everywhere(spread(0.004)), apart=0.01)), smaller=True)
    reach = (math.log(found.speedup.high) - 0.004) / (math.log1p(0.01) - 0.004)
    assert found.case is None
    assert found.seconds == pytest.approx(12.0 * (reach**2 - 1), rel=1e-6)
    slower = last(*lasting(pairs_of_a_look(everywhere(spread(-0.011)), apart=0.01)), smaller=True)
    assert slower.seconds is None


def test_a_gain_that_only_lacks_its_confirmation_needs_another_look() -> None:
    found = judge.look(evidence(*lasting(pairs_of_a_look(FASTER)), seconds=700.0), RULES)
    assert found.cause is Cause.BUDGET
    assert found.doubt is not None
    assert (found.doubt.case, found.doubt.seconds, found.doubt.is_unconfirmed) == (None, 12.0, True)


def test_a_gain_that_is_confirmed_too_late_lacks_nothing_but_time() -> None:
    pairs = lasting(pairs_of_a_look(FASTER)) + lasting(pairs_of_a_look(FASTER))
    found = judge.look(evidence(*pairs, looks=2, seconds=700.0), RULES)
    assert found.cause is Cause.BUDGET
    assert found.doubt is not None
    assert (found.doubt.seconds, found.doubt.is_unconfirmed, found.doubt.cpu_speedup) == (0.0, False, None)


@pytest.mark.parametrize("of_cpu", [0.002, -0.002, 0.02])
def test_where_cpu_time_is_open_the_doubt_is_about_that(of_cpu: float) -> None:
    """It ends where that is shown to agree, or not to."""
    wall = [everywhere([value] * 16) for value in spread(0.02, 0.001, RULES.pairs)]
    cpu = [everywhere([value] * 16) for value in spread(of_cpu, 0.02, RULES.pairs)]
    pairs = lasting([pair(one, other) for one, other in zip(wall, cpu, strict=True)])
    found = judge.look(evidence(*pairs, looks=2, seconds=700.0), RULES)
    assert found.cause is Cause.BUDGET
    assert found.doubt is not None
    assert (found.doubt.case, found.doubt.cpu_speedup) == (None, found.cpu_speedup)
    assert found.doubt.seconds is not None
    assert found.doubt.seconds > 0


# Properties

ratio_lists = st.lists(st.floats(-0.3, 0.3), min_size=1, max_size=20)
measured = st.tuples(*(ratio_lists for _ in CASES)).map(lambda lists: dict(zip(CASES, lists, strict=True)))
several = st.lists(measured, min_size=2, max_size=3)


@quick
@given(several, st.integers(2, 1000), st.booleans())
def test_a_slower_clock_changes_nothing(ratios: list[Ratios], factor: int, smaller: bool) -> None:
    pairs = list(map(pair, ratios))
    scaled = [
        replace(one, blocks=tuple(on_a_slower_clock(block, factor) for block in one.blocks)) for one in pairs
    ]
    first = judge.look(evidence(*pairs, smaller=smaller), RULES)
    second = judge.look(evidence(*scaled, smaller=smaller), RULES)
    assert (first.verdict, first.cause, first.worst_case) == (second.verdict, second.cause, second.worst_case)
    assert numbers(second) == pytest.approx(numbers(first), rel=1e-9)


@quick
@given(several)
def test_swapping_the_sides_mirrors_every_interval(ratios: list[Ratios]) -> None:
    mirrored = [{case: [-value for value in values] for case, values in one.items()} for one in ratios]
    there, back = (judge.look(evidence(*map(pair, each)), RULES) for each in (ratios, mirrored))
    assert there.speedup is not None
    assert back.speedup is not None
    for one, other in [(there.speedup, back.speedup), *((there.cases[c], back.cases[c]) for c in CASES)]:
        assert other.point == pytest.approx(1 / one.point, rel=1e-7)
        assert other.low * one.high == pytest.approx(1, rel=1e-6) or (other.low, one.high) == (0, math.inf)
        assert one.low * other.high == pytest.approx(1, rel=1e-6) or (one.low, other.high) == (0, math.inf)
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
    found = judge.look(evidence(*[pair(ratios)] * pairs, smaller=smaller, looks=pairs), RULES)
    assert (found.verdict, found.cause) == (Verdict.DISCARD, Cause.CASE_REGRESSED)


def test_nothing_is_kept_without_everything_that_a_keep_needs() -> None:
    random, keeps = np.random.default_rng(5), 0
    for _ in range(300):
        gain, loss, noise, apart = random.uniform((0, 0, 0, 0), (0.08, 0.07, 0.02, 0.005))
        ratios = but(everywhere(spread(gain, noise)), CASES[1], spread(gain - loss, noise))
        cpu = shifted(ratios, -random.choice([0, 0.02]))
        pairs = [
            pair(shifted(ratios, s), shifted(cpu, s), RSS_BYTES + int(random.choice([0] * 9 + [40 * MB])))
            for s in spread(0.0, apart, 4)
        ]
        seen = evidence(*pairs, looks=int(random.integers(1, 7)), seconds=float(random.uniform(0, 700)))
        found = judge.look(seen, RULES)
        if found.verdict is Verdict.KEEP:
            keeps += 1
            assert found.speedup is not None
            assert found.cpu_speedup is not None
            assert min(interval.low for interval in found.cases.values()) > 1 / 1.05
            assert found.speedup.low > 1
            assert found.speedup.point >= 1.01
            assert found.cpu_speedup.low > 1
            assert found.candidate_peak_rss_bytes == found.baseline_peak_rss_bytes
            assert seen.looks >= view.LEAST_LOOKS
            assert seen.seconds < RULES.max_seconds
    assert keeps > 20


@pytest.mark.parametrize("missing", [CASES, CASES[:1]])
@pytest.mark.parametrize("pairs", [1, 2])
def test_no_data_is_an_error_and_no_verdict(missing: Sequence[str], pairs: int) -> None:
    some = {case: values for case, values in FASTER.items() if case not in missing}
    with pytest.raises(ValueError, match="needs at least one log-ratio of every case"):
        judge.look(evidence(*[replace(pair(some), call_overhead_ns=no_overhead())] * pairs), RULES)


def test_no_pairs_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"^an overall speed-up needs at least one pair$"):
        judge.look(evidence(), RULES)


def test_a_pair_that_measured_nothing_confirms_nothing() -> None:
    with pytest.raises(ValueError, match="needs at least one log-ratio of every case"):
        judge.look(evidence(pair(FASTER), pair({}), looks=2), RULES)


@pytest.mark.parametrize("blocks", [(1,), (9,), (1, 1), (4, 5)])
def test_a_huge_gain_in_nine_blocks_or_fewer_is_not_kept(blocks: tuple[int, ...]) -> None:
    pairs = [pair(everywhere([3.0] * count)) for count in blocks]
    found = judge.look(evidence(*pairs, looks=5), RULES)
    assert (found.verdict, found.cause) == (Verdict.UNDECIDED, Cause.UNDECIDED)


def numbers(judgement: Judgement) -> list[float]:
    assert judgement.speedup is not None
    intervals = [judgement.speedup, *judgement.cases.values()]
    return [bound for i in intervals for bound in (i.low, i.point, i.high)]


# Whole trials on simulated hosts


def trials(
    simulate: ModuleType, host: Any, truth: Mapping[str, float], count: int, rules: Rules = RULES, **options: Any
) -> list[Judgement]:
    random = np.random.default_rng(1)
    return [simulate.trial(host, random, truth, rules, **options).judgement for _ in range(count)]


def keeps(judgements: Sequence[Judgement]) -> int:
    return sum(one.verdict is Verdict.KEEP for one in judgements)


def kept_within(simulate: ModuleType, looks: int, rules: Rules) -> int:
    """Of 400 kernels that are as fast as their baseline, how many are kept; none is discarded but for a loss."""
    host = simulate.Host(0.01, block_sd={"only": 0.0})
    endless = replace(rules, max_looks=looks, min_effect=1e-9, miss=1e-9, case_limit=9.0)
    found = trials(simulate, host, {"only": 0.0}, 400, endless)
    assert {one.cause for one in found} <= {Cause.FASTER, Cause.SLOWER, Cause.UNDECIDED}
    return keeps(found)


def test_many_looks_at_no_gain_keep_no_more_often_than_the_trial_may_be_wrong(
    simulate: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gain is one side of what the trial may be wrong in, 5 % of 10 %; and 30 looks are many: if each spent 5 %,
    more would be kept than that."""
    rules = replace(RULES, confidence=0.9)
    allowed = 400 * (1 - rules.confidence) / 2
    assert 0 < kept_within(simulate, 30, rules) <= allowed
    monkeypatch.setattr(keeping, "share", lambda _: 1 / 2)
    assert kept_within(simulate, 30, rules) > allowed


@pytest.mark.parametrize("is_heavy", [False, True], ids=["normal", "heavy tails"])
@pytest.mark.parametrize("spread_of_pairs", [0.001, 0.003, 0.007, 0.013])
def test_a_kernel_against_itself_is_hardly_ever_kept_whatever_the_host(
    simulate: ModuleType, spread_of_pairs: float, is_heavy: bool
) -> None:
    host = simulate.Host(spread_of_pairs, is_heavy)
    found = trials(simulate, host, simulate.everywhere(0.0), 200)
    assert keeps(found) <= 1
    assert sum(one.verdict is Verdict.DISCARD for one in found) > 150


@pytest.mark.parametrize("spread_of_pairs", [0.0035, 0.0075])
def test_a_true_gain_of_2_percent_is_nearly_always_kept(simulate: ModuleType, spread_of_pairs: float) -> None:
    found = trials(simulate, simulate.Host(spread_of_pairs), simulate.everywhere(0.02), 200)
    assert keeps(found) >= 196


def test_a_true_loss_of_3_percent_is_always_discarded(simulate: ModuleType) -> None:
    found = trials(simulate, simulate.Host(0.0075), simulate.everywhere(-0.03), 200)
    assert all(one.verdict is Verdict.DISCARD for one in found)


def noisy_host(simulate: ModuleType) -> tuple[Any, str]:
    """A host on which the blocks of one case have six times the noise of the others, and that case."""
    noisy = simulate.CASES[0]
    return simulate.Host(0.0035, block_sd={**dict.fromkeys(simulate.CASES, 0.015), noisy: 0.09}), noisy


def same_for_all(judgement: Judgement, rules: Rules) -> Extent:
    """As if nothing were open."""
    return Extent(rules.pairs, dict.fromkeys(judgement.cases, rules.blocks))


def test_blocks_for_open_cases_keep_more_gains_and_no_more_regressions(simulate: ModuleType) -> None:
    host, noisy = noisy_host(simulate)
    gain, rules = simulate.everywhere(0.05), replace(RULES, max_looks=6)
    worse = {**gain, noisy: -math.log1p(0.06)}
    equal = {**gain, noisy: 0.0}
    assert keeps(trials(simulate, host, worse, 300, rules)) <= 2
    assert keeps(trials(simulate, host, worse, 300, rules, allot=same_for_all)) <= 2
    more = keeps(trials(simulate, host, equal, 150, rules))
    fewer = keeps(trials(simulate, host, equal, 150, rules, allot=same_for_all))
    assert more > fewer + 50


def test_as_much_more_as_a_doubt_names_settles_it_in_most_trials(simulate: ModuleType) -> None:
    host, noisy = noisy_host(simulate)
    truth, random = {**simulate.everywhere(0.05), noisy: 0.0}, np.random.default_rng(2)
    rules, settled = TWO_LOOKS, list[bool]()
    while len(settled) < 100:
        ended = simulate.trial(host, random, truth, rules)
        doubt = ended.judgement.doubt
        if doubt is None or doubt.seconds is None or doubt.seconds > 200:
            continue
        assert doubt.case == noisy
        blocks = Counter(block.case for one in ended.evidence.pairs for block in one.blocks)
        rate = sum(one.seconds for one in ended.evidence.pairs) / blocks.total()
        more = math.ceil(doubt.seconds / rate)
        further = host.pair(random, truth, {**dict.fromkeys(truth, 1), noisy: more})
        pairs = (*ended.evidence.pairs, further)
        case = judge.look(replace(ended.evidence, pairs=pairs), rules).cases[noisy]
        settled.append(case.low > 1 / 1.05)
    assert sum(settled) > 60
