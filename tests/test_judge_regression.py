"""The regression gate's verdicts: each by an example, and how often each is wrong, on drawn numbers."""

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
    pair,
    pairs_of_a_look,
    quick,
    shifted,
    spread,
)
from hypothesis import given
from hypothesis import strategies as st

from pytest_lance_autoresearch.records import (
    Building,
    BuildPrice,
    Cause,
    Evidence,
    Interval,
    Judgement,
    Pair,
    RegressionRules,
    Rules,
    Verdict,
)
from pytest_lance_autoresearch.verdict import judge, regression, stats, view

RULES = RegressionRules()
FLOOR = -math.log1p(RULES.slowdown_limit)
CASE_FLOOR = -math.log1p(RULES.case_limit)
EQUAL = everywhere(spread(0.0))
MB = 2**20
Ended = tuple[Verdict, Cause]


def evidence(*pairs: Pair, looks: int = 1, seconds: float = 60.0) -> Evidence:
    return Evidence(100, 100, pairs, looks=looks, seconds=seconds)


def judged(*ratios: Ratios, rules: Rules = RULES, looks: int | None = None, **options: Any) -> Judgement:
    """The last of as many looks as there are ratios, or of so many, each of several pairs of processes."""
    pairs = [one for of_look in ratios for one in pairs_of_a_look(of_look)]
    return judge.look(evidence(*pairs, looks=looks or len(ratios), **options), rules)


def look(*ratios: Ratios, **options: Any) -> Ended:
    found = judged(*ratios, **options)
    return found.verdict, found.cause


# Each cause


@pytest.mark.parametrize("gain", [-0.015, 0.0, 0.005, 0.3])
def test_what_is_shown_not_to_be_slower_passes_in_a_second_look_and_faster_is_no_condition(gain: float) -> None:
    same = everywhere(spread(gain))
    assert look(same) == (Verdict.UNDECIDED, Cause.NOT_SLOWER)
    assert look(same, same) == (Verdict.PASS, Cause.NOT_SLOWER)


def test_no_number_of_pairs_over_published_data_is_a_pass() -> None:
    assert look(EQUAL, EQUAL, EQUAL, looks=1) == (Verdict.UNDECIDED, Cause.NOT_SLOWER)


def test_what_is_fast_over_published_data_alone_does_not_pass() -> None:
    """As fast in the first look, and 3 % slower in those after it, whose data nobody could know."""
    slower = everywhere(spread(-0.03))
    assert look(EQUAL, slower)[0] is Verdict.UNDECIDED
    assert look(EQUAL, slower, slower, slower, slower)[0] is not Verdict.PASS


def test_what_is_shown_to_be_slower_than_the_limit_has_regressed_at_once() -> None:
    assert look(everywhere(spread(-0.03))) == (Verdict.REGRESSED, Cause.SLOWER)


def test_what_reaches_across_the_limit_is_looked_at_again() -> None:
    assert look(everywhere(spread(FLOOR))) == (Verdict.UNDECIDED, Cause.UNDECIDED)


def test_the_limit_is_the_rules_own() -> None:
    slower, faster = everywhere(spread(-0.03)), everywhere(spread(0.01))
    assert look(slower, slower, rules=replace(RULES, slowdown_limit=0.04))[0] is Verdict.PASS
    assert look(EQUAL, EQUAL, rules=replace(RULES, slowdown_limit=0.0))[0] is Verdict.UNDECIDED
    assert look(faster, faster, rules=replace(RULES, slowdown_limit=0.0))[0] is Verdict.PASS


def test_smaller_code_is_no_excuse() -> None:
    pairs = pairs_of_a_look(everywhere(spread(-0.03)))
    found = judge.look(Evidence(10, 100, tuple(pairs), looks=1), RULES)
    assert found.verdict is Verdict.REGRESSED


def test_one_case_that_is_slower_outweighs_a_gain_and_is_the_one_that_is_named() -> None:
    found = judged({**everywhere(spread(0.3)), CASES[1]: spread(-0.06)})
    assert (found.verdict, found.cause, found.worst_case) == (
        Verdict.REGRESSED,
        Cause.CASE_REGRESSED,
        CASES[1],
    )


@pytest.mark.parametrize("centre", [-0.03, -0.06])
def test_a_case_that_may_be_slower_holds_a_pass_up(centre: float) -> None:
    found = judged({**everywhere(spread(0.1)), CASES[1]: spread(centre, 0.12)})
    assert (found.verdict, found.cause) == (Verdict.UNDECIDED, Cause.UNDECIDED)


def test_a_case_may_be_slower_than_the_whole_may() -> None:
    slower = {**EQUAL, CASES[1]: spread(-0.04)}
    assert look(slower, slower)[0] is Verdict.PASS


def test_cpu_time_must_not_be_slower_either() -> None:
    """Equal in wall time: it finishes its work after its answers."""

    def by_cpu(slower: float, apart: float) -> Ended:
        pairs = [pair(EQUAL, cpu=shifted(EQUAL, slower + s)) for s in spread(0.0, apart, 8)]
        found = judge.look(evidence(*pairs, looks=2), RULES)
        return found.verdict, found.cause

    assert by_cpu(-0.03, 0.001) == (Verdict.REGRESSED, Cause.CPU_DISAGREES)
    assert by_cpu(-0.02, 0.02) == (Verdict.UNDECIDED, Cause.CPU_DISAGREES)
    assert by_cpu(-0.01, 0.001) == (Verdict.PASS, Cause.NOT_SLOWER)


def test_without_a_cpu_clock_the_wall_clock_decides_alone() -> None:
    pairs = [
        replace(one, blocks=tuple(each_window(block, lambda w: replace(w, cpu_ns=None)) for block in one.blocks))
        for one in pairs_of_a_look(EQUAL, count=8)
    ]
    found = judge.look(evidence(*pairs, looks=2), RULES)
    assert (found.verdict, found.cpu_speedup) == (Verdict.PASS, None)


def test_memory_beyond_its_guard_has_regressed_whatever_the_speed() -> None:
    first, *others = pairs_of_a_look(everywhere(spread(0.3)))
    larger = replace(first, candidate_peak_rss_bytes=RSS_BYTES + 33 * MB)
    found = judge.look(evidence(larger, *others), RULES)
    assert (found.verdict, found.cause) == (Verdict.REGRESSED, Cause.MEMORY)


def test_building_beyond_its_budget_has_regressed() -> None:
    pairs = [replace(one, building={CASES[0]: Building(1, 2 * 10**6, 1)}) for one in pairs_of_a_look(EQUAL)]
    found = judge.look(evidence(*pairs), RULES)
    assert (found.verdict, found.cause) == (Verdict.REGRESSED, Cause.BUILDING)


def test_what_costs_too_much_has_regressed_before_anything_is_timed() -> None:
    untimed = evidence(Pair((), {}, RSS_BYTES, RSS_BYTES + 33 * MB, building={CASES[0]: Building(1, 2, 3)}))
    assert judge.refusal(untimed, RULES) == Judgement(
        Verdict.REGRESSED,
        Cause.MEMORY,
        baseline_peak_rss_bytes=RSS_BYTES,
        candidate_peak_rss_bytes=RSS_BYTES + 33 * MB,
        building=BuildPrice(1, 2, CASES[0], 1, 2, 1e6),
    )
    assert judge.refusal(evidence(Pair((), {}, RSS_BYTES, RSS_BYTES)), RULES) is None


def test_a_kernel_that_is_its_baseline_passes_this_gate_and_not_the_other() -> None:
    assert (judge.unchanged(RULES), judge.unchanged(Rules())) == (Verdict.PASS, Verdict.DISCARD)


# The end of the time


def test_a_pass_and_a_regression_may_come_when_the_time_is_up() -> None:
    assert look(EQUAL, EQUAL, seconds=1e6)[0] is Verdict.PASS
    assert look(everywhere(spread(-0.03)), seconds=1e6)[0] is Verdict.REGRESSED


def test_what_only_lacks_its_second_look_when_the_time_is_up_needs_as_much_again() -> None:
    found = judge.look(evidence(*lasting(pairs_of_a_look(EQUAL)), seconds=700.0), RULES)
    assert (found.verdict, found.cause) == (Verdict.INCONCLUSIVE, Cause.BUDGET)
    assert found.doubt is not None
    assert (found.doubt.case, found.doubt.seconds) == (None, 12.0)


def test_what_is_open_when_the_time_is_up_is_inconclusive() -> None:
    open_one = everywhere(spread(FLOOR))
    assert look(open_one, seconds=599.9)[0] is Verdict.UNDECIDED
    assert look(open_one, seconds=600.0) == (Verdict.INCONCLUSIVE, Cause.BUDGET)
    assert look(open_one, looks=RULES.max_looks) == (Verdict.INCONCLUSIVE, Cause.UNDECIDED)


def lasting(pairs: Sequence[Pair]) -> list[Pair]:
    return [replace(one, seconds=12.0 / len(pairs)) for one in pairs]


def seconds_to_settle(pairs: Sequence[Pair]) -> tuple[str | None, float | None]:
    found = judge.look(evidence(*lasting(pairs), seconds=700.0), RULES)
    assert (found.verdict, found.doubt is None) == (Verdict.INCONCLUSIVE, False)
    assert found.doubt is not None
    return found.doubt.case, found.doubt.seconds


@pytest.mark.parametrize(("point", "chance"), [(FLOOR + 0.004, 0.01), (FLOOR - 0.004, 0.005)])
def test_a_doubt_about_the_whole_is_settled_on_whichever_side_of_the_limit_it_lies(
    point: float, chance: float
) -> None:
    """What a first look may be wrong in, and for saying that it is slower half of that."""
    case, seconds = seconds_to_settle(pairs_of_a_look(everywhere(spread(point)), apart=0.01))
    se = statistics.stdev(spread(0.0, 0.01, 4)) / 2
    reach = stats.student_quantile(1 - chance, 3) * se / 0.004
    assert case is None
    assert seconds == pytest.approx(12.0 * (reach**2 - 1), rel=1e-5)


def cpu_at(point: float) -> list[Pair]:
    return [pair(EQUAL, cpu=shifted(EQUAL, point + s)) for s in spread(0.0, 0.01, 4)]


def test_where_cpu_time_is_what_is_open_it_tells_how_much_more() -> None:
    se = statistics.stdev(spread(0.0, 0.01, 4)) / 2
    reach = stats.student_quantile(1 - 0.01, 3) * se / 0.004
    case, seconds = seconds_to_settle(cpu_at(FLOOR + 0.004))
    assert case is None
    assert seconds == pytest.approx(12.0 * (reach**2 - 1), rel=1e-4)


def test_the_cpu_time_of_several_threads_leaves_nothing_open() -> None:
    several = replace(evidence(*lasting(cpu_at(FLOOR + 0.004)), seconds=700.0), threads=2)
    found = judge.look(several, RULES)
    assert (found.cause, found.doubt and found.doubt.seconds) == (Cause.BUDGET, 12.0)


def test_a_doubt_about_a_case_names_it() -> None:
    wide = {**EQUAL, CASES[2]: spread(-0.06, 0.12)}
    assert seconds_to_settle(pairs_of_a_look(wide)) == (CASES[2], None)


def test_the_whole_gets_pairs_until_it_is_shown_not_to_be_slower_and_then_open_cases_get_blocks() -> None:
    def extent(overall_low: float) -> tuple[int, list[int]]:
        cases = {"open": Interval(0.9, 1.0, 1.1), **dict.fromkeys("abcdefghijk", Interval(0.99, 1.0, 1.01))}
        found = Judgement(Verdict.UNDECIDED, Cause.UNDECIDED, Interval(overall_low, 1.0, 1.1), cases)
        pairs, blocks = judge.next_look(found, RULES)
        return pairs, list(blocks.values())

    limit = math.exp(FLOOR)
    assert extent(limit + 1e-9) == (4, [14] + [2] * 11)
    assert extent(limit - 1e-9) == (8, [3] + [2] * 11)


# What may be wrong, and how often


def spent(looks: int, rules: Rules = RULES) -> float:
    """The chance that the overall interval of so many looks misses the truth on one side."""
    found = judged(EQUAL, looks=looks, rules=rules).speedup
    assert found is not None
    se = statistics.stdev(spread(0.0, 0.001, 4)) / 2
    return 1 - stats.student_cdf(math.log(found.high / found.point) / se, 3)


@pytest.mark.parametrize(("looks", "part"), [(1, 1), (2, 2), (3, 6), (4, 12), (10, 90)])
def test_a_bound_counts_on_one_side_and_a_later_look_may_be_wrong_less_often(looks: int, part: int) -> None:
    assert spent(looks) == pytest.approx(0.01 / part, rel=1e-4)


@pytest.mark.parametrize("confidence", [0.9, 0.99])
def test_all_looks_that_can_pass_spend_less_than_the_trial_may_and_all_that_can_convict_do_too(
    confidence: float,
) -> None:
    rules = replace(RULES, confidence=confidence)
    passed, convicted = 0.0, regression.TO_CONVICT * spent(1, rules)
    for looks in range(view.LEAST_LOOKS, 200):
        passed += spent(looks, rules)
        convicted += regression.TO_CONVICT * spent(looks, rules)
        assert passed == pytest.approx((1 - confidence) * (1 - 1 / looks), rel=1e-3)
        assert max(passed, convicted) < 1 - confidence


def test_that_the_whole_is_slower_must_be_surer_than_that_it_is_not() -> None:
    """Its upper bound at 1 % lies below the limit, and at 0.5 % beyond it: 4.541 and 5.841 standard errors."""
    se = statistics.stdev(spread(0.0, 0.01, 4)) / 2

    def at(standard_errors: float) -> tuple[Verdict, bool]:
        same = [FLOOR - standard_errors * se] * 16
        found = judge.look(evidence(*pairs_of_a_look(everywhere(same), apart=0.01)), RULES)
        assert found.speedup is not None
        return found.verdict, found.speedup.high < math.exp(FLOOR)

    assert at(4.5) == (Verdict.UNDECIDED, False)
    assert at(5.8) == (Verdict.UNDECIDED, True)
    assert at(5.9) == (Verdict.REGRESSED, True)


@pytest.mark.parametrize("cases", [1, 3])
def test_the_bound_of_a_case_is_as_sure_however_many_there_are(cases: int) -> None:
    """Of 16 values the third from each end is a bound that one side misses with 0.2 %, the fourth with 1.1 %."""
    values = spread(0.0, 0.01)
    found = judge.look(evidence(pair(everywhere(values, CASES[:cases]))), RULES).cases
    assert len(found) == cases
    assert math.log(found[CASES[0]].low) == pytest.approx(values[2], abs=1e-8)


def test_that_any_of_many_cases_is_slower_must_be_surer_than_that_one_is() -> None:
    """Two of 16 values lie above the limit: enough to convict the only case there is, and not one of 36."""
    values = [CASE_FLOOR - 0.02] * 14 + [CASE_FLOOR + 0.1] * 2
    many = tuple(f"case {number}" for number in range(36))
    assert look_of_a_pair({"only": values}) is Verdict.REGRESSED
    assert look_of_a_pair({**everywhere(spread(0.0), many), many[0]: values}) is Verdict.UNDECIDED


def look_of_a_pair(ratios: Ratios) -> Verdict:
    return judge.look(evidence(pair(ratios)), RULES).verdict


measured = st.tuples(*(st.lists(st.floats(-0.1, 0.1), min_size=8, max_size=14) for _ in CASES)).map(
    lambda lists: dict(zip(CASES, lists, strict=True))
)
looks_drawn = st.integers(1, 6)
times_drawn = st.sampled_from([1.0, 700.0])


@quick
@given(measured, st.floats(0.0, 0.01), looks_drawn, times_drawn)
def test_a_pass_has_every_lower_bound_above_its_limit_and_a_regression_some_upper_bound_below(
    ratios: Ratios, apart: float, looks: int, seconds: float
) -> None:
    narrow = {case: [value / 8 for value in values] for case, values in ratios.items()}
    for each in (ratios, narrow, shifted(narrow, -0.03), shifted(narrow, 0.03)):
        found = judge.look(evidence(*pairs_of_a_look(each, apart), looks=looks, seconds=seconds), RULES)
        assert found.speedup is not None
        assert found.cpu_speedup is not None
        lows = [found.speedup.low, found.cpu_speedup.low]
        is_shown = min(lows) > 1 / 1.02 and min(one.low for one in found.cases.values()) > 1 / 1.05
        is_pass = is_shown and looks >= view.LEAST_LOOKS
        assert (found.verdict is Verdict.PASS) == is_pass
        if found.verdict is Verdict.REGRESSED:
            highs = [found.speedup.high, found.cpu_speedup.high]
            assert min(highs) < 1 / 1.02 or min(one.high for one in found.cases.values()) < 1 / 1.05
        assert found.verdict not in (Verdict.KEEP, Verdict.DISCARD)


@quick
@given(measured, looks_drawn)
def test_swapping_the_sides_mirrors_every_interval_and_at_most_one_side_is_slower(
    ratios: Ratios, looks: int
) -> None:
    mirrored = {case: [-value for value in values] for case, values in ratios.items()}
    there, back = (judge.look(evidence(*pairs_of_a_look(each), looks=looks), RULES) for each in (ratios, mirrored))
    assert there.speedup is not None
    assert back.speedup is not None
    for one, other in [(there.speedup, back.speedup), *((there.cases[c], back.cases[c]) for c in CASES)]:
        assert one.low * other.high == pytest.approx(1, rel=1e-6)
    assert not (there.cause is Cause.SLOWER and back.cause is Cause.SLOWER)


# Whole trials on simulated hosts


def verdicts(
    simulate: ModuleType, host: Any, truth: Mapping[str, float], count: int = 200, rules: Rules = RULES
) -> Counter[Verdict]:
    random = np.random.default_rng(1)
    return Counter(simulate.trial(host, random, truth, rules).judgement.verdict for _ in range(count))


def most_hosts(simulate: ModuleType) -> list[Any]:
    """Quiet, as most are, and wide with heavy tails."""
    return [
        simulate.Host(0.0025),
        simulate.Host(0.0075, block_sd=dict.fromkeys(simulate.CASES, 0.02)),
        simulate.Host(0.013, is_heavy=True),
    ]


@pytest.mark.parametrize("number", range(3))
def test_a_kernel_against_itself_passes(simulate: ModuleType, number: int) -> None:
    found = verdicts(simulate, most_hosts(simulate)[number], simulate.slower(0.0))
    assert found[Verdict.PASS] >= 198


def test_where_pairs_differ_most_a_kernel_against_itself_passes_within_a_minute(simulate: ModuleType) -> None:
    """It was 96 % when open cases got the blocks that the whole would have needed as pairs."""
    host = simulate.Host(0.013, block_sd=dict.fromkeys(simulate.CASES, 0.02))
    assert simulate.soon(simulate.judged(host, simulate.slower(0.0), 200)) >= 98


@pytest.mark.parametrize("number", range(3))
def test_a_kernel_that_is_5_percent_slower_never_passes(simulate: ModuleType, number: int) -> None:
    found = verdicts(simulate, most_hosts(simulate)[number], simulate.slower(0.05))
    assert found == {Verdict.REGRESSED: 200}


@pytest.mark.parametrize("number", range(3))
def test_a_kernel_that_is_8_percent_slower_in_one_case_never_passes(simulate: ModuleType, number: int) -> None:
    truth = {**simulate.slower(0.0), simulate.CASES[0]: -math.log1p(0.08)}
    assert verdicts(simulate, most_hosts(simulate)[number], truth)[Verdict.PASS] == 0


def test_at_the_limit_itself_as_many_pass_as_the_trial_may_be_wrong_in(simulate: ModuleType) -> None:
    """Of 5 % in 30 looks, and as many have regressed: if each look spent what the first may, more would."""
    rules = replace(RULES, confidence=0.95, max_looks=30)
    host = simulate.Host(0.01, block_sd={"only": 0.0})
    found = verdicts(simulate, host, {"only": FLOOR}, 600, rules)
    assert 0 < found[Verdict.PASS] <= 30
    assert 0 < found[Verdict.REGRESSED] <= 30


def test_a_case_at_its_limit_passes_no_more_often_than_the_trial_may_be_wrong(simulate: ModuleType) -> None:
    """One case of nine, whose bound alone is in the way: the cases do not share what the look may spend."""
    rules = replace(RULES, confidence=0.95, max_looks=8)
    host = simulate.Host(1e-6)
    truth = {**simulate.slower(0.0), simulate.CASES[0]: CASE_FLOOR}
    assert 0 < verdicts(simulate, host, truth, 400, rules)[Verdict.PASS] <= 20
