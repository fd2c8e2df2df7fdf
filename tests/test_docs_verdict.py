"""The worked example of docs/verdict.md: every number on the page follows from the trial's windows.

Recomputed twice: from the digits that the page shows, as its reader does, and from the raw windows beside it. They
were taken from the trial's record in the archive like this:

    record = json.load(sys.stdin)
    names = ["wall_ns", "cpu_ns", "waited_ns", "stolen_ns"]
    of_look = "calls", "call_overhead_ns", "building"  # the same for all pairs of a look, or its first pair's
    pairs = record["evidence"]["pairs"]
    for pair in pairs:
        blocks, pair["blocks"] = pair["blocks"], {case: [] for case in pair["call_overhead_ns"]}
        pair["calls"] = {block["case"]: block["windows"][0]["calls"] for block in blocks}
        for block in blocks:
            windows = (window[name] for window in block["windows"] for name in names)
            pair["blocks"][block["case"]].append([block["order"], *windows])
    looks = [{name: four[0][name] for name in of_look} | {"pairs": four} for four in (pairs[:4], pairs[4:])]
    for pair in pairs:
        for name in of_look:
            del pair[name]
    kept = {name: record[name] for name in ("target", "host", "status", "reason")}
    kept |= {name: record["evidence"][name] for name in ("baseline_code_size", "candidate_code_size")}
    text = json.dumps(kept | {"window": names, "looks": looks}, indent=1)
    print(re.sub(r"\\[[^][{}]*\\]", lambda array: re.sub(r"\\s+", "", array[0]), text))
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from statistics import NormalDist, fmean, median, stdev
from typing import Any

import pytest

from pytest_lance_autoresearch.bench import measure
from pytest_lance_autoresearch.records import (
    Block,
    Building,
    CaseTimes,
    Cause,
    Evidence,
    Interval,
    Judgement,
    KernelTimes,
    Pair,
    RegressionRules,
    Rules,
    Verdict,
    Window,
)
from pytest_lance_autoresearch.runs import calibration
from pytest_lance_autoresearch.verdict import aggregate, judge, regression, stats, view
from pytest_lance_autoresearch.verdict.price import build_price
from pytest_lance_autoresearch.words import report, wording

DOCS = Path(__file__).parent.parent / "docs"
PAGE = (DOCS / "verdict.md").read_text()
TEXT = " ".join(PAGE.split())
TRIAL = json.loads((DOCS / "verdict-example.json").read_text())
RULES = Rules()
WINDOW_MS = measure.WINDOW_NS / 1e6
"""Read before a test's own windows are made shorter."""
ALPHA = 1 - RULES.confidence
"""The chance to be wrong of the first look, and of all that can keep, together."""
CASE = "96x8x256-uniform"
BLOCK = 1
"""The example's block, from 0."""
BUILT = "128x16x256-clustered"
"""The case whose building is nearest to its limit."""
OPEN = "96x8x256-clustered"
"""The case that is open after the first look."""


def block(case: str, calls: int, order: str, *numbers: int) -> Block:
    first, second, third, fourth = (
        Window(calls, **dict(zip(TRIAL["window"], numbers[at : at + 4], strict=True))) for at in range(0, 16, 4)
    )
    return Block(case, order, (first, second, third, fourth))


def pair(of_look: dict[str, Any], record: dict[str, Any]) -> Pair:
    building = of_look["building"] if record is of_look["pairs"][0] else {}
    return Pair(
        tuple(
            block(case, of_look["calls"][case], *numbers)
            for case, blocks in record["blocks"].items()
            for numbers in blocks
        ),
        of_look["call_overhead_ns"],
        record["baseline_peak_rss_bytes"],
        record["candidate_peak_rss_bytes"],
        record["seconds"],
        {case: Building(*numbers) for case, numbers in building.items()},
    )


LOOKS = [[pair(of_look, record) for record in of_look["pairs"]] for of_look in TRIAL["looks"]]
PAIRS = [*LOOKS[0], *LOOKS[1]]
RATIOS = list(map(aggregate.log_ratios, PAIRS))
CASES = sorted(RATIOS[0])
FOUR, EIGHT = RULES.pairs, 2 * RULES.pairs


def evidence(looks: int) -> Evidence:
    sizes = TRIAL["candidate_code_size"], TRIAL["baseline_code_size"]
    return Evidence(*sizes, tuple(PAIRS[: looks * FOUR]), looks=looks)


def look(number: int) -> Judgement:
    return judge.look(evidence(number), RULES)


def of_case(one: Pair, case: str = CASE) -> list[Block]:
    return [each for each in one.blocks if each.case == case]


def ratio(one: Pair, each: Block) -> str:
    return f"{math.exp(aggregate.log_ratio(each, one.call_overhead_ns[each.case])):.4f}"


def section(heading: str) -> str:
    below = PAGE[PAGE.index(f"\n### {heading}") :]
    return re.split(r"\n##+ ", below)[1]


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading of the example."""
    lines = re.findall(r"^\| (.+) \|$", section(heading), re.MULTILINE)
    return [[cell.strip("` ") for cell in line.split(" |")] for line in lines[1:]]


def shown_blocks(heading: str) -> dict[int, list[str]]:
    """By pair, those in brackets with their brackets."""
    lines = re.findall(r"^    pair (\d) +(.+)$", section(heading), re.MULTILINE)
    return {int(number): values.split() for number, values in lines}


def counting(blocks: Sequence[str]) -> list[float]:
    return [float(value) for value in blocks if not value.startswith("(")]


def said(interval: Interval | None) -> str:
    assert interval is not None
    return f"{interval.point:.4f} [{interval.low:.4f}, {interval.high:.4f}]"


def by_hand(means: Sequence[str]) -> tuple[str, str, str]:
    """The mean, standard deviation and standard error of shown logarithms, each from the digits before it."""
    values = list(map(float, means))
    sd = f"{stdev(values):.6f}"
    return f"{fmean(values):.6f}", sd, f"{float(sd) / math.sqrt(len(values)):.6f}"


def share_of(look: int) -> int:
    """The look's chance to be wrong is one part in so many of `ALPHA`."""
    return look * (look - 1) or 1


def reach_of(look: int) -> str:
    """Standard errors, of as many pairs as there are by that look."""
    return f"{stats.student_quantile(1 - ALPHA / share_of(look) / 2, look * FOUR - 1):.3f}"


def shown_means(kind: str = "wall") -> list[str]:
    (means,) = (row[1:] for row in rows("CPU time, memory, building") if row[0] == kind)
    return means


def test_the_shown_block_is_one_of_the_trials() -> None:
    measured, overhead_ns = of_case(PAIRS[0])[BLOCK], PAIRS[0].call_overhead_ns[CASE]
    calls = measured.windows[0].calls
    assert (
        f"second block of the case `{CASE}` in the first pair of processes, {calls} calls in each window" in TEXT
    )
    assert f"{overhead_ns:,.1f} ns per call, measured with a kernel that does nothing, times {calls}." in TEXT
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
    found = math.sqrt(round(halves[0], 4) * round(halves[1], 4))
    assert f"the square root of {halves[0]:.4f} x {halves[1]:.4f}, **{found:.4f}**" in TEXT
    assert ratio(PAIRS[0], of_case(PAIRS[0])[BLOCK]) == f"{found:.4f}"
    assert f"would have said {clock[0] / clock[1]:.2f} and {clock[2] / clock[3]:.2f}.)" in TEXT


def test_the_cases_blocks_are_the_trials_and_those_set_aside_are_in_brackets() -> None:
    shown = shown_blocks("Three blocks") | shown_blocks("Eight pairs")
    assert shown == {
        number: [
            f"({ratio(one, each)})" if aggregate.is_disturbed(each) else ratio(one, each) for each in of_case(one)
        ]
        for number, one in enumerate(PAIRS, 1)
    }
    assert [len(counting(values)) for values in shown.values()] == [RULES.blocks] * FOUR + [2] * FOUR


def test_a_block_is_set_aside_for_its_waiting_alone() -> None:
    one, ((case, other),) = (
        PAIRS[2],
        [
            (each.case, number)
            for number, found in enumerate(PAIRS, 1)
            for each in found.blocks
            if aggregate.is_disturbed(each) and each.case != CASE
        ],
    )
    (aside,) = (each for each in of_case(one) if aggregate.is_disturbed(each))
    limit = f"{100 * aggregate.MAX_WAITED_SHARE:g} %"
    assert (
        f"it has a window that waited for a core for more than {limit} of its time. It is the third, one of the"
        in TEXT
    )
    long, counts = aside.windows[2], aggregate.kernel_ns(aside.windows[2], one.call_overhead_ns[CASE])
    assert long.waited_ns is not None
    assert aside.order[2] == "B"
    assert (counts, aggregate.MIN_KERNEL_SHARE) == (long.wall_ns / 4, 1 / 4)
    share = f"{100 * long.waited_ns / long.wall_ns:.0f} %"
    assert f"Of {long.wall_ns:,} ns on the clock, {long.waited_ns:,} were counted as waiting, or {share}," in TEXT
    assert f"this one counts as {counts:,.0f} ns, half of what the candidate takes otherwise." in TEXT
    otherwise = median(
        aggregate.kernel_ns(window, one.call_overhead_ns[CASE])
        for each in of_case(one)
        for window in each.side("B")
    )
    assert 0.45 < counts / otherwise < 0.55
    assert f"in pair {other} of `{case}`: the hypervisor took time" in TEXT
    (stolen,) = (each for each in of_case(PAIRS[other - 1], case) if aggregate.is_disturbed(each))
    assert any(window.stolen_ns for window in stolen.windows)
    assert not any(
        (window.waited_ns or 0) > aggregate.MAX_WAITED_SHARE * window.wall_ns for window in stolen.windows
    )


def test_three_blocks_give_the_cases_ratio_in_a_pair() -> None:
    _, middle, _ = sorted(counting(shown_blocks("Three blocks")[1]))
    exact = median(RATIOS[0][CASE])
    assert f"{math.exp(exact):.4f}" == f"{middle:.4f}"
    assert f"the middle one, in pair 1 **{middle:.4f}**." in TEXT
    assert f"unrounded, the {middle:.4f} has the ln {exact:.6f}." in TEXT


def test_two_blocks_give_it_too() -> None:
    low, high = sorted(counting(shown_blocks("Eight pairs")[5]))
    found = f"{math.sqrt(low * high):.4f}"
    assert found == f"{math.exp(median(RATIOS[4][CASE])):.4f}"
    assert f"in pair 5, the square root of {low:.4f} x {high:.4f}, {found}." in TEXT


@pytest.mark.parametrize(("number", "heading"), [(1, "Twelve cases"), (2, "Eight pairs")])
def test_the_table_of_cases_is_the_trials(number: int, heading: str) -> None:
    new, so_far, judged = RATIOS[(number - 1) * FOUR : number * FOUR], RATIOS[: number * FOUR], look(number).cases
    *of_cases, means = rows(heading)
    assert of_cases == [
        [
            case,
            *(f"{median(each[case]):.6f}" for each in new),
            str(sum(len(each[case]) for each in so_far)),
            f"{judged[case].low:.4f} to {judged[case].high:.4f}",
        ]
        for case in CASES
    ]
    assert means[1 : 1 + FOUR] == [f"{stats.pair_point(each):.6f}" for each in new]
    columns = list(zip(*(row[1 : 1 + FOUR] for row in of_cases), strict=True))
    of_shown = [fmean(map(float, column)) for column in columns]
    assert list(map(float, means[1 : 1 + FOUR])) == pytest.approx(of_shown, abs=1e-6)


def test_the_means_of_the_cases_are_the_ratios_of_the_first_pairs() -> None:
    means = rows("Twelve cases")[-1][1 : 1 + FOUR]
    first, *others = (f"{math.exp(float(mean)):.4f}" for mean in means)
    assert f"That of pair 1 is {means[0]}, and e^{means[0]} = **{first}**" in TEXT
    assert f"was {first} times as fast in the first pair of processes, and {others[0]}, {others[1]} and" in TEXT
    assert f"{others[2]} times in the others." in TEXT


def test_four_pairs_give_the_overall_ratio_of_the_first_look() -> None:
    means = rows("Twelve cases")[-1][1 : 1 + FOUR]
    mean, sd, se = by_hand(means)
    exact, interval = stats.overall(RATIOS[:FOUR]), look(1).speedup
    assert interval is not None
    assert (mean, se, exact.df) == (f"{exact.point:.6f}", f"{exact.se:.6f}", FOUR - 1)
    assert f"({' + '.join(means)}) / 4 = {mean}, and e^{mean} = **{math.exp(float(mean)):.4f}**." in TEXT
    *first, last = (f"{float(each) - float(mean):.6f}" for each in means)
    assert f"They differ from their mean by {', '.join(first)} and {last}." in TEXT
    squares = [float(each) ** 2 for each in (*first, last)]
    assert f"{math.sqrt(sum(squares) / 3):.6f}" == sd
    assert (
        f"divided by 3 (one less than there are pairs), is the square of their **standard deviation**, {sd}."
        in TEXT
    )
    assert f"divided by the square root of 4: {se}." in TEXT

    assert f"The first look may be wrong 1 time in {1 / ALPHA:.0f};" in TEXT
    assert f"the answer would be {NormalDist().inv_cdf(1 - ALPHA / 2):.3f}." in TEXT
    reach = reach_of(1)
    assert f"With 4 - 1 = 3 **degrees of freedom** the answer is {reach} (in a spreadsheet" in TEXT
    assert f"`=T.INV.2T({ALPHA:.2f}, 3)`" in TEXT
    bounds = shown_bounds(mean, reach, se)
    assert bounds == (f"{interval.low:.4f}", f"{interval.high:.4f}")
    assert f"Overall, at the first look: **{said(interval)}**." in TEXT


def shown_bounds(mean: str, reach: str, se: str) -> tuple[str, str]:
    """Worked out from these digits; the page has both lines."""
    half = float(reach) * float(se)
    low, high = (f"{math.exp(float(mean) + sign * half):.4f}" for sign in (-1, 1))
    assert f"e^({mean} - {reach} x {se}) = {low} e^({mean} + {reach} x {se}) = {high}" in TEXT
    return low, high


def test_twelve_blocks_bound_the_case() -> None:
    shown = [value for blocks in shown_blocks("Three blocks").values() for value in counting(blocks)]
    assert len(shown) == 12
    assert f"No single case may become slower by more than {100 * RULES.case_limit:g} %." in TEXT
    assert f"are bounds: **{min(shown):.4f} to {max(shown):.4f}**." in TEXT
    judged = look(1).cases[CASE]
    assert (f"{judged.low:.4f}", f"{judged.high:.4f}") == (f"{min(shown):.4f}", f"{max(shown):.4f}")
    assert f"a chance of 2 / 2^12 = {2 / 2**12:.5f}" in TEXT
    assert f"a chance of 2 x (1 + 12) / 2^12 = {2 * (1 + 12) / 2**12:.5f}" in TEXT
    alpha, cases = ALPHA / len(CASES), len(CASES)
    assert (
        f"the {ALPHA:.2f} of this look, over {cases} cases, leaves {ALPHA:.2f} / {cases} = {alpha:.5f} for" in TEXT
    )
    assert 2 / 2**12 < alpha < 2 * (1 + 12) / 2**12


def test_the_first_look_asks_for_another() -> None:
    first = look(1)
    floor = 1 / (1 + RULES.case_limit)
    assert (first.verdict, first.cause) == (Verdict.UNDECIDED, Cause.UNDECIDED)
    limit, effect = f"{100 * RULES.case_limit:g} %", 1 + RULES.min_effect
    assert f"slower than {limit}? Its upper bound would lie below 1 / 1.05 = {floor:.4f}." in TEXT
    assert f"within {limit}? Its lower bound would lie below {floor:.4f}." in TEXT
    bounds = [row[-1].split(" to ") for row in rows("Twelve cases")[:-1]]
    assert f"The lowest upper bound is {min(high for _, high in bounds)}: no." in TEXT
    low = min(low for low, _ in bounds)
    assert low == f"{first.cases[OPEN].low:.4f}"
    assert f"That of `{OPEN}` is {low}: yes, so **look again**." in TEXT
    peaks = first.candidate_peak_rss_bytes / 2**20, first.baseline_peak_rss_bytes / 2**20
    assert (
        f"Its peak is {peaks[0]:.1f} MiB beside {peaks[1]:.1f} MiB, and {RULES.memory_bytes // 2**20} MiB" in TEXT
    )
    assert RULES.memory_bytes < RULES.memory_fraction * first.baseline_peak_rss_bytes
    price = first.building
    assert price is not None
    assert price.case == BUILT
    takes = f"{price.case_candidate_ns / 1e6:.2f} ms of CPU time where {price.budget_ns / 1e6:.2f} ms is allowed"
    assert f"Nearest to its limit is `{BUILT}`, with {takes}: no." in TEXT
    mean, _, se = by_hand(rows("Twelve cases")[-1][1 : 1 + FOUR])
    reach = f"{stats.student_quantile(1 - RULES.miss, 3):.3f}"
    bound = f"{math.exp(float(mean) + float(reach) * float(se)):.4f}"
    exact = stats.overall(RATIOS[:FOUR]).interval(2 * RULES.miss).high
    assert bound == f"{math.exp(exact):.4f}"
    one_sided = f"The one-sided {100 * (1 - RULES.miss):g} % bound is e^({mean} + {reach} x {se}) = {bound}"
    assert f"gain of {100 * RULES.min_effect:g} % unlikely? {one_sided}, far above {effect:g}: no." in TEXT
    assert f"({reach} is Student's t again, `=T.INV({1 - RULES.miss:g}, 3)`.)" in TEXT
    assert first.speedup is not None
    assert (
        f"At least {math.floor(100 * (first.speedup.low - 1))} % faster, beyond doubt, and still no keep." in TEXT
    )


def test_the_next_look_measures_the_case_in_doubt() -> None:
    outlier, second, *_, highest = sorted(ratio(one, each) for one in LOOKS[0] for each in of_case(one, OPEN))
    assert f"One of the twelve blocks of `{OPEN}` said {outlier}, for no reason that showed as waiting;" in TEXT
    assert f"the others said {second} to {highest}." in TEXT
    assert judge.open_cases(look(1), RULES) == [OPEN]
    extent = judge.next_look(look(1), RULES)
    assert extent.pairs == FOUR
    more, *others = sorted(set(extent.blocks.values()), reverse=True)
    assert others == [judge.SETTLED_BLOCKS]
    assert f"{more} blocks of it in a pair instead of {RULES.blocks}. The overall interval lies above 1" in TEXT
    assert f"the other cases do with {others[0]} instead of {RULES.blocks}." in TEXT
    counts = [len(one.blocks) for one in LOOKS[1]]
    assert counts == [len(CASES) * RULES.blocks] * FOUR
    assert f"(In all that is {counts[0]} blocks in a pair, as many as before.)" in TEXT


def test_the_looks_share_the_chance_to_be_wrong() -> None:
    table = rows("How the looks share")
    expected = []
    for number in (1, 2, 3, 4, 10):
        share = share_of(number)
        chance = f"{ALPHA:g}" if share == 1 else f"{ALPHA:g} / {share} = {ALPHA / share:.5f}"
        expected.append([str(number), chance, str(number * FOUR - 1), reach_of(number)])
    assert table == expected
    assert f"may be wrong 1 time in {1 / ALPHA:.0f} together." in TEXT
    assert [share_of(number) for number in (2, 3, 4)] == [2, 6, 12]
    assert (
        "the second may spend a half, the third a sixth, the fourth a twelfth, the k-th 1 / (k x (k - 1))." in TEXT
    )


def test_the_second_look_is_over_other_data_on_a_machine_as_busy() -> None:
    waited = [100 * (aggregate.disturbance(one).waited or 0.0) for one in LOOKS]
    seconds = [sum(one.seconds or 0.0 for one in pairs) for pairs in LOOKS]
    as_busy = (
        f"{waited[1]:.0f} % of the windows' time was spent waiting, after {waited[0]:.0f} % in the first look,"
    )
    assert f"{as_busy} and the four pairs took {seconds[1]:.0f} s, after {seconds[0]:.0f}." in TEXT
    sizes = [pairs[0].building[BUILT].state_bytes for pairs in LOOKS]
    assert f"(The data of `{BUILT}` take {sizes[1]:,} bytes instead of {sizes[0]:,}.)" in TEXT


def test_eight_pairs_give_the_overall_ratio_of_the_second_look() -> None:
    means = [mean for heading in ("Twelve cases", "Eight pairs") for mean in rows(heading)[-1][1 : 1 + FOUR]]
    assert means == shown_means()
    mean, sd, se = by_hand(means)
    exact, interval = stats.overall(RATIOS), look(2).speedup
    assert interval is not None
    assert (mean, se, exact.df) == (f"{exact.point:.6f}", f"{exact.se:.6f}", EIGHT - 1)
    assert f"The mean of their means is {mean}; their standard deviation is {sd}, so" in TEXT
    assert f"the standard error is {sd} / square root of 8 = {se}." in TEXT
    reach = reach_of(2)
    assert (
        f"with 8 - 1 = 7 degrees of freedom is {reach} (`=T.INV.2T({ALPHA:.2f}/2, 7)`), less than it was:" in TEXT
    )
    assert float(reach) < float(reach_of(1))
    assert shown_bounds(mean, reach, se) == (f"{interval.low:.4f}", f"{interval.high:.4f}")
    assert f"Overall, at the second look: **{said(interval)}**, less than half as wide" in TEXT
    before = look(1).speedup
    assert before is not None
    assert interval.high - interval.low < (before.high - before.low) / 2


def test_twenty_blocks_bound_the_case() -> None:
    blocks = shown_blocks("Three blocks") | shown_blocks("Eight pairs")
    shown = sorted(value for of_pair in blocks.values() for value in counting(of_pair))
    assert f"The example's case has {len(shown)} blocks by now, 12 above and 8 more:" in TEXT
    assert f"largest of the {len(shown)}: **{shown[2]:.4f} to {shown[-3]:.4f}**." in TEXT
    judged = look(2).cases[CASE]
    assert (f"{judged.low:.4f}", f"{judged.high:.4f}") == (f"{shown[2]:.4f}", f"{shown[-3]:.4f}")
    assert "That at most two of 20 coins show heads, or at most two tails, has a chance of 2 x" in TEXT
    ways = [math.comb(20, heads) for heads in range(4)]
    alpha, chance = ALPHA / 2 / len(CASES), 2 * sum(ways[:3]) / 2**20
    less = f"less than {ALPHA / 2:g} / {len(CASES)} = {alpha:.5f};"
    assert f"2 x ({' + '.join(f'{way:,}' for way in ways[:3])}) / 2^20 = {chance:.5f}, {less}" in TEXT
    assert chance < alpha < 2 * sum(ways) / 2**20


def test_many_blocks_bound_the_case_that_was_open() -> None:
    shown = sorted(ratio(one, each) for one in PAIRS for each in of_case(one, OPEN))
    rank = next(rank for rank in range(len(shown)) if shown[rank] == f"{look(2).cases[OPEN].low:.4f}") + 1
    bounds = f"{shown[rank - 1]} to {shown[-rank]}"
    assert f"The open case has {len(shown)} blocks, and its bounds are the {rank}th smallest" in TEXT
    assert f"smallest and the {rank}th largest of them: **{bounds}**." in TEXT
    assert bounds == {row[0]: row[-1] for row in rows("Eight pairs")}[OPEN]


def test_cpu_time_memory_and_building_agree() -> None:
    second = look(2)
    ratios = [aggregate.cpu_log_ratios(one) or {} for one in PAIRS]
    means = shown_means("CPU")
    assert means == [f"{stats.pair_point(each):.6f}" for each in ratios]
    found = []
    for number in (FOUR, EIGHT):
        mean, _, se = by_hand(means[:number])
        half = float(reach_of(number // FOUR)) * float(se)
        low, point, high = (math.exp(float(mean) + offset) for offset in (-half, 0.0, half))
        found.append(said(Interval(low, point, high)))
    assert found == [said(look(1).cpu_speedup), said(second.cpu_speedup)]
    assert f"The first four means of CPU time give {found[0]}, all eight {found[1]}." in TEXT

    peaks = second.candidate_peak_rss_bytes / 2**20, second.baseline_peak_rss_bytes / 2**20
    assert f"in any pair: {peaks[0]:.1f} MiB beside the baseline's {peaks[1]:.1f} MiB." in TEXT

    price, prices = second.building, [pairs[0].building[BUILT].candidate_ns for pairs in LOOKS]
    assert price is not None
    assert price.case == BUILT
    both = price.candidate_ns / 1e6, price.baseline_ns / 1e6
    assert f"over all cases the candidate takes {both[0]:.1f} ms, and the baseline {both[1]:.1f} ms." in TEXT
    assert f"Nearest to its limit is `{BUILT}` again." in TEXT
    middle = sum(prices) / 2
    assert middle == price.case_candidate_ns
    assert (
        f"candidate took {prices[0]:,} ns in the first look and {prices[1]:,} ns in the second; half-way" in TEXT
    )
    assert f"between them lies {middle:,.0f} ns, and {price.budget_ns:,.0f} ns is allowed." in TEXT


def test_the_second_look_keeps() -> None:
    second = look(2)
    assert (second.verdict, second.cause) == (Verdict.KEEP, Cause.FASTER)
    bounds = [row[-1].split(" to ") for row in rows("Eight pairs")[:-1]]
    assert f"The lowest lower bound of a case is {min(low for low, _ in bounds)}, so that" in TEXT
    assert f"shown to be within {100 * RULES.case_limit:g} %." in TEXT
    assert f"its point is {1 + RULES.min_effect:g} or more, and CPU time agrees. There were two looks." in TEXT
    disturbed = report.disturbed(aggregate.disturbance(PAIRS))
    reason = f"reason: {TRIAL['reason']} disturbed: {disturbed}"
    assert f"speedup: {said(second.speedup)} verdict: {TRIAL['status']} {reason}" in TEXT
    share = f"{100 * (aggregate.disturbance(PAIRS).waited or 0.0):.0f} %"
    assert f"{share} of the time of its windows was spent waiting for a core." in TEXT


def test_the_reason_follows_from_the_windows_of_the_first_look() -> None:
    windows = {
        case: [w for one in LOOKS[0] for each in of_case(one, case) for w in each.side("B")] for case in CASES
    }
    overhead_ns = LOOKS[0][0].call_overhead_ns
    times = [CaseTimes(case, 1, overhead_ns[case], tuple(windows[case])) for case in CASES]
    figures = aggregate.figures("query", KernelTimes(tuple(times), None))
    assert report.judged_reason(look(2), figures, RULES) == TRIAL["reason"]


def test_the_rules_have_the_codes_own_numbers() -> None:
    first = RULES.blocks + judge.FAR_BLOCKS * (RULES.pairs - 1)
    effect, case = f"{100 * RULES.min_effect:g} %", f"{100 * RULES.case_limit:g} %"
    band = f"{100 * RULES.noise_band:g} %"
    guards = f"{100 * RULES.memory_fraction:g} %", f"{RULES.memory_bytes // 2**20} MiB"
    waited = f"{100 * aggregate.MAX_WAITED_SHARE:g} %"
    others = RULES.blocks - judge.SETTLED_BLOCKS
    for sentence in (
        f"planned to last {WINDOW_MS:g} ms, timed by pytest's process",
        f"more than {measure.LONGEST} times as long, all have fewer calls, down to a third",
        f"Then {RULES.blocks} blocks of every case are measured, case by case.",
        f"waited for a core for more than {waited} of its time. The block's result plays no part",
        f"more than twice as fast has {judge.FAR_BLOCKS} block in each of the other three pairs of the first look",
        f"Its {first} blocks have no bounds yet; with the second look's {judge.SETTLED_BLOCKS * RULES.pairs} they",
        f"a window has {measure.DEALT_CALLS} calls at most, somewhere where those of an ordinary one lie.",
        f"**Look.** {RULES.pairs} pairs, one after the other, and then one reading of everything measured so far.",
        f"It may exceed the baseline's by {guards[0]} and by {guards[1]} at most.",
        f"must lie above 1 too (for a smaller code, above 1 / {1 + RULES.noise_band:g}).",
        f"where even its upper bound lies below {1 + RULES.min_effect:g} (for a smaller code, below 1),",
        f"no other limit (but {RULES.max_looks} of them, which take longer than the time).",
        f"The confidence of the whole trial is {100 * RULES.confidence:g} %.",
        f"Of the {100 * ALPHA:g} % that is left, the second look may spend a half, the third a sixth,",
        f"| a case is shown to be slower than {case} | discard |",
        f"the interval reaches to within {band}) | discard |",
        f"| peak memory is more than {guards[0]} or {guards[1]} over the baseline's | discard |",
        "| building a case takes longer than its budget | discard |",
        f"| a gain of {effect} is unlikely: the one-sided {100 * (1 - RULES.miss):g} % bound lies below it",
        f"| some case is not yet shown to be within {case} | look again |",
        f"its point is {1 + RULES.min_effect:g} or more, and CPU time agrees | keep after two looks,",
        f"the interval lies within {band}, and CPU time agrees | keep (simpler) after two looks,",
        f"the next look takes {judge.TIMES_PAIRS * RULES.pairs} pairs instead of {RULES.pairs}, with",
        f"{RULES.blocks} blocks of an open case and {judge.SETTLED_BLOCKS} of any other.",
        f"open cases get {judge.TIMES_BLOCKS * RULES.blocks} blocks instead of {RULES.blocks}, the others",
        f"give up {others} of their {RULES.blocks}, and the open ones share these where that makes more than "
        f"{judge.TIMES_BLOCKS * RULES.blocks}, up to {judge.MOST_BLOCKS} each.",
        f"after {RULES.max_seconds:g} s (`--autoresearch-max-seconds`) only a discard may still come",
        f"slowed by {wording.percent(calibration.INJECTED)}, {calibration.RUNS} times each",
    ):
        assert sentence in TEXT
    assert view.LEAST_LOOKS == 2


def test_not_slower_has_the_codes_own_numbers() -> None:
    rules = RegressionRules()
    alpha, page = 1 - rules.confidence, PAGE[PAGE.index("\n## Not slower\n") :].split("\n## ")[1]
    text = " ".join(page.split())
    overall, case = f"{100 * rules.slowdown_limit:g} %", f"{100 * rules.case_limit:g} %"
    for sentence in (
        f"is {overall} overall (`--autoresearch-max-slowdown`) and {case} in a case.",
        f"| a case is shown to be slower than {case} | regressed |",
        f"| overall it is shown to be slower than {overall} | regressed |",
        f"| some case is not yet shown to be within {case}, or the whole within {overall} | look again |",
        f"| anything else | pass after {'two' * (view.LEAST_LOOKS == 2)} looks, else look again |",
        f"as in the keep gate: the second look may spend a half of the trial's {100 * alpha:g} %,",
    ):
        assert sentence in text
    shown = re.findall(r"^\| (\d+) \| (\d+) \| (.+) \| (.+) \|$", page, re.MULTILINE)
    assert [int(row[0]) for row in shown] == [1, 2, 3, 4, 10]
    for look, df, to_pass, to_convict in shown:
        assert int(df) == int(look) * FOUR - 1
        bound = regression.view(Evidence(1, 1, tuple(PAIRS), looks=int(look)), rules).alpha / 2
        passes, convicts = (
            f"{chance:.5f}: {stats.student_quantile(1 - chance, int(df)):.3f}"
            for chance in (bound, bound * regression.TO_CONVICT)
        )
        assert (to_pass, to_convict) == ("none" if int(look) < view.LEAST_LOOKS else passes, convicts)


@pytest.mark.parametrize(
    ("building", "budget_ms"),
    [
        (Building(baseline_ns=300_000, candidate_ns=1, state_bytes=10), 1.5),
        (Building(baseline_ns=1, candidate_ns=1, state_bytes=3_000_000), 3.0),
        (Building(baseline_ns=1, candidate_ns=1, state_bytes=10), 1.0),
    ],
    ids=["five-times", "per-megabyte", "free"],
)
def test_the_budget_of_building_is_the_codes_own(building: Building, budget_ms: float) -> None:
    price = build_price([Pair((), {}, 1, 1, None, {"a": building})], RULES)
    assert price is not None
    assert price.budget_ns / 1e6 == budget_ms
    assert "Otherwise it is five times what the baseline takes, or 1 ms per megabyte where that is more." in TEXT
    assert "1 ms is always free" in TEXT
