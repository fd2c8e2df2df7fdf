"""The verdict: a pure function of what was measured and of the rules.

Owns the decision; the sentence about it is `report`'s, the measuring `bench`'s.

A keep needs, in this order: every case shown not to be slower than its limit, memory and building within what they
may cost, an overall interval that excludes 1 with a point of at least `min_effect`, wall and CPU time in
agreement, and all of it over two looks or more, of which the later ones see data that nobody could know. What each
look may spend of the chance to be wrong adds up to that of the trial, however many looks there are (Bonferroni).
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from pytest_lance_autoresearch.records import (
    Building,
    BuildPrice,
    Cause,
    Doubt,
    Evidence,
    Judgement,
    Pair,
    Rules,
    Verdict,
)
from pytest_lance_autoresearch.verdict import aggregate, stats

LOOKS_FOR_KEEP = 2
"""Looks that a keep needs at least: the first one sees published data only."""
SETTLED_BLOCKS = 2
"""Of each case in a pair, where nothing but other cases is open."""
MOST_BLOCKS = 16
"""Of a single case in a pair."""
FREE_BUILDING_NS = 1e6
TIMES_BASELINE = 5.0
NS_PER_BYTE = 1.0
"""A millisecond per megabyte."""


def look(evidence: Evidence, rules: Rules) -> Judgement:
    """Judge the evidence: keep, discard, inconclusive, or undecided, which asks for another look."""
    ratios = [aggregate.log_ratios(pair) for pair in evidence.pairs]
    alpha = _alpha(evidence, rules)
    estimate = stats.overall(ratios)
    overall = estimate.interval(alpha)
    cpu_overall = _cpu_overall(evidence.pairs, alpha)
    cases = {
        case: stats.median_interval([v for of_pair in ratios for v in of_pair[case]], alpha / len(ratios[0]))
        for case in ratios[0]
    }
    one_sided = estimate.interval(2 * rules.miss)  # its upper bound alone, missed with the probability `miss`
    hopeless = one_sided.high < math.log1p(rules.min_effect)
    verdict, cause = _decide(evidence, rules, overall, cases, cpu_overall, hopeless=hopeless)
    verdict, cause = _unless_over(evidence, rules, verdict, cause)
    return Judgement(
        verdict,
        cause,
        overall.ratio(),
        {case: estimate.ratio() for case, estimate in cases.items()},
        cpu_overall.ratio() if cpu_overall else None,
        _worst_case(cases, cause),
        *_peaks(evidence.pairs),
        evidence.baseline_code_size,
        evidence.candidate_code_size,
        build_price(evidence.pairs, rules),
        _doubt(evidence, rules, overall, one_sided, cases) if verdict is Verdict.INCONCLUSIVE else None,
    )


def refusal(evidence: Evidence, rules: Rules) -> Judgement | None:
    """The verdict about a candidate that must not be timed, since it costs what a gain must not; None to go on."""
    cause = unaffordable(evidence.pairs, rules)
    if cause is None:
        return None
    baseline, candidate = _peaks(evidence.pairs)
    return Judgement(
        Verdict.DISCARD,
        cause,
        baseline_peak_rss_bytes=baseline,
        candidate_peak_rss_bytes=candidate,
        building=build_price(evidence.pairs, rules),
    )


def open_cases(judgement: Judgement, rules: Rules) -> list[str]:
    """The cases whose interval reaches across their limit, whichever side it points to."""
    limit = 1 / (1 + rules.case_limit)
    return [case for case, one in judgement.cases.items() if 0 < one.low <= limit <= one.high < math.inf]


def next_blocks(judgement: Judgement, rules: Rules) -> dict[str, int]:
    """How many blocks of each case the pairs of the next look measure, after an undecided one.

    Open cases get what the others do not need: as much as they need for the overall speed-up, or where that is
    settled, little.
    """
    assert judgement.speedup is not None
    is_open = open_cases(judgement, rules)
    if not is_open:
        return dict.fromkeys(judgement.cases, rules.blocks)
    others = min(rules.blocks, SETTLED_BLOCKS) if judgement.speedup.low > 1 else rules.blocks
    spared = (rules.blocks - others) * (len(judgement.cases) - len(is_open))
    each = min(MOST_BLOCKS, max(2 * rules.blocks, rules.blocks + spared // len(is_open)))
    return {case: each if case in is_open else others for case in judgement.cases}


def at_any_price(rules: Rules) -> Rules:
    """The same rules without a limit to memory or building, for whoever wants to know a speed-up all the same."""
    return replace(rules, memory_fraction=math.inf, memory_bytes=2**63, build_ms_per_mb=math.inf)


def _cpu_overall(pairs: Sequence[Pair], alpha: float) -> stats.LogEstimate | None:
    """The overall interval of the CPU time; None where the system did not count it."""
    ratios = []
    for pair in pairs:
        of_pair = aggregate.cpu_log_ratios(pair)
        if of_pair is None:
            return None
        ratios.append(of_pair)
    return stats.overall(ratios).interval(alpha)


def _decide(
    evidence: Evidence,
    rules: Rules,
    overall: stats.LogEstimate,
    cases: Mapping[str, stats.LogEstimate],
    cpu: stats.LogEstimate | None,
    *,
    hopeless: bool,
) -> tuple[Verdict, Cause]:
    floor = -math.log1p(rules.case_limit)
    effect, band = math.log1p(rules.min_effect), math.log1p(rules.noise_band)
    smaller = _is_smaller(evidence)
    if any(estimate.high < floor for estimate in cases.values()):
        return Verdict.DISCARD, Cause.CASE_REGRESSED
    if overall.high < 0 and not (smaller and overall.high > -band):
        return Verdict.DISCARD, Cause.SLOWER
    if (cause := unaffordable(evidence.pairs, rules)) is not None:
        return Verdict.DISCARD, cause
    if not smaller and hopeless:
        return Verdict.DISCARD, Cause.TOO_SMALL if overall.low > 0 else Cause.WITHIN_NOISE
    if any(estimate.low <= floor for estimate in cases.values()):
        return Verdict.UNDECIDED, Cause.UNDECIDED
    if overall.low > 0 and overall.point >= effect:
        return _if_cpu_agrees(evidence, cpu, 0.0, effect, Cause.FASTER)
    if smaller and overall.low > -band and overall.high < max(band, effect):
        return _if_cpu_agrees(evidence, cpu, -band, 0.0, Cause.SIMPLER)
    return Verdict.UNDECIDED, Cause.UNDECIDED


def _is_smaller(evidence: Evidence) -> bool:
    return evidence.candidate_code_size < (evidence.baseline_code_size or 0)


def unaffordable(pairs: Sequence[Pair], rules: Rules) -> Cause | None:
    """What a gain must not cost and does: memory, or building."""
    if not memory_allowed(pairs, rules):
        return Cause.MEMORY
    price = build_price(pairs, rules)
    return Cause.BUILDING if price is not None and not price.is_allowed else None


def build_price(pairs: Sequence[Pair], rules: Rules) -> BuildPrice | None:
    """What building takes, and which case is nearest to its budget; None where it was not measured."""
    by_case: dict[str, list[Building]] = {}
    for pair in pairs:
        for name, one in pair.building.items():
            by_case.setdefault(name, []).append(one)
    if not by_case:
        return None
    found = {
        name: Building(
            round(statistics.median(one.baseline_ns for one in ones)),
            round(statistics.median(one.candidate_ns for one in ones)),
            max(one.state_bytes for one in ones),
        )
        for name, ones in by_case.items()
    }
    budget_ns = {name: _build_budget_ns(one, rules) for name, one in found.items()}
    case = max(found, key=lambda name: found[name].candidate_ns / budget_ns[name])
    return BuildPrice(
        sum(one.baseline_ns for one in found.values()),
        sum(one.candidate_ns for one in found.values()),
        case,
        found[case].baseline_ns,
        found[case].candidate_ns,
        budget_ns[case],
    )


def _build_budget_ns(one: Building, rules: Rules) -> float:
    """The longest building of a candidate over that state that a keep may have."""
    if rules.build_ms_per_mb is not None:
        size = max(1, one.state_bytes)  # so that a budget without a limit is one over nothing, too
        return max(FREE_BUILDING_NS, rules.build_ms_per_mb * size)
    return max(FREE_BUILDING_NS, TIMES_BASELINE * one.baseline_ns, NS_PER_BYTE * one.state_bytes)


def memory_allowed(pairs: Sequence[Pair], rules: Rules) -> bool:
    """Whether the candidate's peak stays within both guards, the fraction and the bytes."""
    baseline, candidate = _peaks(pairs)
    excess = candidate - baseline
    return excess <= rules.memory_bytes and excess <= rules.memory_fraction * baseline


def _peaks(pairs: Sequence[Pair]) -> tuple[int, int]:
    """The largest of the baseline's processes and of the candidate's, in bytes."""
    return max(pair.baseline_peak_rss_bytes for pair in pairs), max(
        pair.candidate_peak_rss_bytes for pair in pairs
    )


def _alpha(evidence: Evidence, rules: Rules) -> float:
    """What this look may spend of the trial's chance to be wrong.

    The second look may spend half, the third a sixth, the k-th 1 / (k (k - 1)): without end, they spend all of it.
    The first look keeps nothing, and so takes nothing from them: in discarding, it may be wrong as often as they.
    """
    shares = evidence.looks * (evidence.looks - 1)
    return (1 - rules.confidence) / max(1, shares)


def _if_cpu_agrees(
    evidence: Evidence, cpu: stats.LogEstimate | None, floor: float, aim: float, cause: Cause
) -> tuple[Verdict, Cause]:
    """A keep, if the CPU time's interval lies above `floor` too; a discard, if not and it lies below `aim`."""
    if cpu is not None and cpu.low <= floor:
        return (Verdict.DISCARD if cpu.high < aim else Verdict.UNDECIDED), Cause.CPU_DISAGREES
    return (Verdict.KEEP if evidence.looks >= LOOKS_FOR_KEEP else Verdict.UNDECIDED), cause


def _unless_over(evidence: Evidence, rules: Rules, verdict: Verdict, cause: Cause) -> tuple[Verdict, Cause]:
    """Only a discard may come after the time budget, and only a decision after the last look."""
    if verdict is not Verdict.DISCARD and evidence.seconds >= rules.max_seconds:
        return Verdict.INCONCLUSIVE, Cause.BUDGET
    if verdict is Verdict.UNDECIDED and evidence.looks >= rules.max_looks:
        return Verdict.INCONCLUSIVE, cause
    return verdict, cause


def _doubt(
    evidence: Evidence,
    rules: Rules,
    overall: stats.LogEstimate,
    one_sided: stats.LogEstimate,
    cases: Mapping[str, stats.LogEstimate],
) -> Doubt:
    """What keeps the verdict open: the case that needs most, or the overall speed-up where no case is open."""
    floor = -math.log1p(rules.case_limit)
    measured_s = math.fsum(pair.seconds or 0.0 for pair in evidence.pairs)
    blocks = Counter(block.case for pair in evidence.pairs for block in pair.blocks)
    bounded = stats.values_for_bounds(_alpha(evidence, rules) / len(cases))
    needs = {}
    for case, one in cases.items():
        if one.low <= floor <= one.high:
            more = _more(one, floor) if one.low > -math.inf else max(0.0, bounded / blocks[case] - 1)
            needs[case] = measured_s * blocks[case] / blocks.total() * more
    if needs:
        case = max(needs, key=lambda name: (needs[name], -cases[name].low))
        return Doubt(case, cases[case].ratio(), _finite(needs[case]))
    unconfirmed = max(0, LOOKS_FOR_KEEP - evidence.looks) / evidence.looks
    more = max(unconfirmed, _more_overall(evidence, rules, overall, one_sided))
    return Doubt(None, overall.ratio(), _finite(measured_s * more))


def _more_overall(
    evidence: Evidence, rules: Rules, overall: stats.LogEstimate, one_sided: stats.LogEstimate
) -> float:
    """As `_more`, for a verdict about the overall speed-up: of whichever kind its point lies nearest to."""
    effect, band = math.log1p(rules.min_effect), math.log1p(rules.noise_band)
    if overall.point >= effect:
        return _more(overall, 0.0)
    if _is_smaller(evidence):
        return max(_more(overall, -band), _more(-overall, -max(band, effect)))
    return _more(-one_sided, -effect)


def _more(estimate: stats.LogEstimate, limit: float) -> float:
    """How many times what was measured must be measured in addition, for the lower bound to pass the limit.

    The width of an interval falls with the square root of what was measured. Infinite where the point itself lies
    on the wrong side.
    """
    if estimate.point <= limit or math.isinf(estimate.low):
        return math.inf
    return max(0.0, ((estimate.point - estimate.low) / (estimate.point - limit)) ** 2 - 1)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _worst_case(cases: Mapping[str, stats.LogEstimate], cause: Cause) -> str:
    """The case with the lowest speed-up; for a regression, the one that is shown most clearly."""
    if cause is Cause.CASE_REGRESSED:
        return min(cases, key=lambda case: cases[case].high)
    return min(cases, key=lambda case: cases[case].point)
