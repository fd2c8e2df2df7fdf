"""The worked example of docs/verdict.md: every number on the page follows from the trial's windows.

Recomputed twice: from the digits that the page shows, as its reader does, and from the raw windows beside it.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any

import pytest

from pytest_lance_autoresearch.records import (
    Block,
    Cause,
    Evidence,
    Interval,
    Judgement,
    Pair,
    Rules,
    Verdict,
    Window,
)
from pytest_lance_autoresearch.verdict import aggregate, judge, stats

DOCS = Path(__file__).parent.parent / "docs"
PAGE = (DOCS / "verdict.md").read_text()
TEXT = " ".join(PAGE.split())
TRIAL = json.loads((DOCS / "verdict-example.json").read_text())
OVERHEAD_NS: dict[str, float] = TRIAL["overhead_ns"]
RULES = Rules()
ALPHA = (1 - RULES.confidence) / RULES.max_looks
CASE = "128x16x256-clustered"
BLOCK = 1
"""The example's block, from 0."""


def block(case: str, calls: int, order: str, *windows: list[int]) -> Block:
    first, second, third, fourth = (
        Window(calls, **dict(zip(TRIAL["window"], values, strict=True))) for values in windows
    )
    return Block(case, order, (first, second, third, fourth))


def pair(record: dict[str, Any]) -> Pair:
    return Pair(
        tuple(block(case["case"], case["calls"], *each) for case in record["cases"] for each in case["blocks"]),
        OVERHEAD_NS,
        record["baseline_peak_rss_bytes"],
        record["candidate_peak_rss_bytes"],
    )


PAIRS = [pair(record) for record in TRIAL["pairs"]]
RATIOS = list(map(aggregate.log_ratios, PAIRS))


def look(number: int) -> Judgement:
    sizes = TRIAL["candidate_code_size"], TRIAL["baseline_code_size"]
    return judge.look(Evidence(*sizes, tuple(PAIRS[: number * RULES.pairs]), looks=number), RULES)


def of_look(number: int, case: str) -> list[float]:
    """The log-ratios of a case in all pairs up to that look."""
    return [value for ratios in RATIOS[: number * RULES.pairs] for value in ratios[case]]


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading of the example."""
    below = PAGE[PAGE.index(f"\n### {heading}") :]
    lines = re.findall(r"^\| (.+) \|$", below.split("\n### ", 2)[1], re.MULTILINE)
    return [[cell.strip("` ") for cell in line.split(" | ")] for line in lines[1:]]


def shown_blocks() -> list[float]:
    line = re.search(r"^    ((?:\d\.\d{4} ?){16})$", PAGE, re.MULTILINE)
    assert line is not None
    return [float(value) for value in line[1].split()]


def said(interval: Interval | None) -> str:
    assert interval is not None
    return f"{interval.point:.4f} [{interval.low:.4f}, {interval.high:.4f}]"


def test_the_shown_block_is_one_of_the_trials() -> None:
    measured = [each for each in PAIRS[0].blocks if each.case == CASE][BLOCK]
    calls, overhead_ns = measured.windows[0].calls, OVERHEAD_NS[CASE]
    assert f"the second block of the case `{CASE}`, {calls} calls in each window" in TEXT
    assert f"{overhead_ns:,.0f} ns per call, measured with a kernel that does nothing, times {calls}." in TEXT
    table = rows("One block")
    assert [row[1] for row in table] == [{"A": "baseline", "B": "candidate"}[letter] for letter in measured.order]
    assert [row[2:] for row in table] == [
        [
            f"{number:,.0f}"
            for number in (
                window.wall_ns,
                window.waited_ns,
                calls * overhead_ns,
                aggregate.kernel_ns(window, overhead_ns),
            )
        ]
        for window in measured.windows
    ]


def test_the_shown_block_gives_the_shown_ratio() -> None:
    clock, waited, runner, left = (
        [int(row[column].replace(",", "")) for row in rows("One block")] for column in (2, 3, 4, 5)
    )
    assert left == [c - w - r for c, w, r in zip(clock, waited, runner, strict=True)]
    halves = [left[0] / left[1], left[2] / left[3]]
    assert f"{left[0]:,} / {left[1]:,} = {halves[0]:.4f}" in TEXT
    assert f"{left[2]:,} / {left[3]:,} = {halves[1]:.4f}" in TEXT
    ratio = math.sqrt(round(halves[0], 4) * round(halves[1], 4))
    assert f"the square root of {halves[0]:.4f} x {halves[1]:.4f}, **{ratio:.4f}**" in TEXT
    assert f"{math.exp(RATIOS[0][CASE][BLOCK]):.4f}" == f"{ratio:.4f}"
    assert f"would have said {clock[0] / clock[1]:.2f} and {clock[2] / clock[3]:.2f}.)" in TEXT


def test_the_sixteen_blocks_give_the_cases_ratio_and_its_interval() -> None:
    shown = shown_blocks()
    assert shown == [round(math.exp(value), 4) for value in RATIOS[0][CASE]]
    *_, eighth, ninth = sorted(shown)[:9]
    alpha = ALPHA / len(OVERHEAD_NS)
    by_hand = stats.median_interval([math.log(value) for value in shown], alpha).ratio()
    assert said(by_hand) == said(stats.median_interval(RATIOS[0][CASE], alpha).ratio())
    assert (by_hand.low, by_hand.high) == pytest.approx((min(shown), max(shown)))
    assert f"the eighth is {eighth:.4f} and the ninth {ninth:.4f}; half-way between them" in TEXT
    assert f"lies **{by_hand.point:.4f}**" in TEXT
    assert f"**{by_hand.low:.4f} to {by_hand.high:.4f}**" in TEXT
    assert f"a chance of 2 / 2^16 = {2 / 2**16:.5f}" in TEXT
    assert f"a chance of 34 / 2^16 = {2 * (1 + 16) / 2**16:.5f}" in TEXT
    chances = len(OVERHEAD_NS) * RULES.max_looks
    assert f"1 time in {1 / (1 - RULES.confidence):.0f}, over {len(OVERHEAD_NS)} cases and up to" in TEXT
    assert f"up to {RULES.max_looks} looks, which leaves 0.01 / {chances} = {alpha:.5f} for each" in TEXT


def test_the_table_of_cases_is_the_trials() -> None:
    looks = [look(number).cases for number in (1, 2)]
    medians = [{case: median(values) for case, values in each.items()} for each in RATIOS]
    assert {row[0]: row[1:] for row in rows("Twelve cases")} == {
        case: [
            cell
            for of_pair, cases in zip(medians, looks, strict=True)
            for cell in (
                f"{math.exp(of_pair[case]):.4f}",
                f"{of_pair[case]:.5f}",
                f"{cases[case].low:.4f} to {cases[case].high:.4f}",
            )
        ]
        for case in OVERHEAD_NS
    }


@pytest.mark.parametrize("number", [1, 2])
def test_the_pairs_give_the_overall_ratio_of_either_look(number: int) -> None:
    """The mean of the pairs' mean logarithms, their standard deviation, and Student's t."""
    points = [fmean(median(values) for values in ratios.values()) for ratios in RATIOS[: number * RULES.pairs]]
    assert " ".join(f"{point:.5f}" for point in points) in TEXT
    mean, sd = fmean(points), stdev(points)
    error = sd / math.sqrt(len(points))
    assert f"mean {mean:.5f}, standard deviation {sd:.5f}" in TEXT
    assert f"{sd:.5f} / {math.sqrt(len(points)):.3f} = {error:.6f}" in TEXT
    reach = stats.student_quantile(1 - ALPHA / 2, len(points) - 1)
    assert f"with {len(points)} pairs reaches {reach:.3f} standard errors to each side" in TEXT
    overall = stats.LogEstimate(mean - reach * error, mean, mean + reach * error).ratio()
    assert said(overall) == said(look(number).speedup)
    assert f"**{said(overall)}**" in TEXT


def test_the_first_look_asks_for_another() -> None:
    first = look(1)
    floor = 1 / (1 + RULES.case_limit)
    assert (first.verdict, first.cause) == (Verdict.UNDECIDED, Cause.UNDECIDED)
    limit, effect = f"{100 * RULES.case_limit:g} %", 1 + RULES.min_effect
    assert f"slower than {limit}? Its upper bound would lie below 1 / 1.05 = {floor:.4f}." in TEXT
    assert f"within {limit}? Its lower bound lies below {floor:.4f}." in TEXT
    assert f"The lowest upper bound is {min(case.high for case in first.cases.values()):.4f}: no." in TEXT
    peaks = first.candidate_peak_rss_bytes / 2**20, first.baseline_peak_rss_bytes / 2**20
    assert f"{peaks[0]:.1f} MiB beside {peaks[1]:.1f} MiB" in TEXT
    estimate = stats.overall(RATIOS[: RULES.pairs])
    reach = stats.student_quantile(1 - RULES.miss, estimate.df)
    bound = estimate.interval(2 * RULES.miss).high
    assert (
        f"Is a gain of {100 * RULES.min_effect:g} % unlikely? The one-sided {100 * (1 - RULES.miss):g} % bound is"
        in TEXT
    )
    line = f"e^({estimate.point:.5f} + {reach:.3f} x {estimate.se:.6f}) = {math.exp(bound):.4f}"
    assert f"{line}, far above {effect:g}: no." in TEXT
    open_cases = {name: case.low for name, case in first.cases.items() if case.low <= floor}
    (one, low), (other, lower) = sorted(open_cases.items(), key=lambda item: item[1])
    assert f"for two of them: `{one}` with {low:.4f} and `{other}` with {lower:.4f}." in TEXT


def test_the_second_look_keeps() -> None:
    second = look(2)
    assert (second.verdict, second.cause) == (Verdict.KEEP, Cause.FASTER)
    assert f"The lowest lower bound is {min(case.low for case in second.cases.values()):.4f}" in TEXT
    assert f"shown to be within {100 * RULES.case_limit:g} %." in TEXT
    assert f"its point is {1 + RULES.min_effect:g} or more" in TEXT
    assert f"agrees: {said(second.cpu_speedup)}." in TEXT
    assert f"speedup: {said(second.speedup)} verdict: {TRIAL['status']} reason: {TRIAL['reason']}" in TEXT
    ordered = sorted(of_look(2, CASE))
    assert f"The cases now have {len(ordered)} blocks each." in TEXT
    assert (second.cases[CASE].low, second.cases[CASE].high) == pytest.approx(
        (math.exp(ordered[5]), math.exp(ordered[-6]))
    )
    waited = [aggregate.disturbance([each]).waited or 0.0 for each in PAIRS]
    shares = f"{100 * waited[1]:.1f} % of the windows' time was spent waiting, instead of {100 * waited[0]:.0f} %"
    assert shares in TEXT


def test_the_rules_have_the_codes_own_numbers() -> None:
    effect, case = f"{100 * RULES.min_effect:g} %", f"{100 * RULES.case_limit:g} %"
    memory = f"{100 * RULES.memory_fraction:g} % or {RULES.memory_bytes // 2**20} MiB"
    for sentence in (
        f"in them {RULES.blocks} blocks of every case are measured. Every look adds {RULES.pairs} pairs.",
        f"There are {RULES.max_looks} at most. The confidence of the whole trial is {100 * RULES.confidence:g} %",
        f"| a case is shown to be slower than {case} | discard |",
        f"the interval reaches to within {100 * RULES.noise_band:g} %) | discard |",
        f"| peak memory is more than {memory} over the baseline's | discard |",
        f"| a gain of {effect} is unlikely: the one-sided {100 * (1 - RULES.miss):g} % bound lies below it",
        f"| some case is not yet shown to be within {case} | look again |",
        f"its point is {1 + RULES.min_effect:g} or more, and CPU time agrees | keep after two looks,",
        f"the interval lies within {100 * RULES.noise_band:g} %, and CPU time agrees | keep (simpler)",
    ):
        assert sentence in TEXT
