"""The verdict: a pure function of what was measured and of the rules.

Owns the decision; the sentence about it is `report`'s, the measuring `bench`'s.

A keep needs, in this order: every case shown not to be slower than its limit, memory within its guard, an overall
interval that excludes 1 with a point of at least `min_effect`, wall and CPU time in agreement, and all of it
over two pairs of processes or more. The confidence is spent evenly over the looks (Bonferroni), so that looking
several times does not inflate false keeps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from pytest_lance_autoresearch.records import Cause, Evidence, Judgement, Pair, Rules, Verdict
from pytest_lance_autoresearch.verdict import aggregate, stats

PAIRS_FOR_KEEP = 2
"""Pairs of worker processes that a keep needs at least."""


def look(evidence: Evidence, rules: Rules) -> Judgement:
    """Judge the evidence: keep, discard, inconclusive, or undecided, which asks for another pair."""
    ratios = [aggregate.log_ratios(pair) for pair in evidence.pairs]
    alpha = (1 - rules.confidence) / rules.max_looks
    estimate = stats.overall(ratios, rules.process_sd)
    overall = estimate.interval(alpha)
    cpu_overall = _cpu_overall(evidence.pairs, rules, alpha)
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
        max(pair.baseline_peak_rss_bytes for pair in evidence.pairs),
        max(pair.candidate_peak_rss_bytes for pair in evidence.pairs),
        evidence.baseline_code_size,
        evidence.candidate_code_size,
    )


def _cpu_overall(pairs: Sequence[Pair], rules: Rules, alpha: float) -> stats.LogEstimate | None:
    """The overall interval of the CPU time; None where the system did not count it."""
    ratios = []
    for pair in pairs:
        of_pair = aggregate.cpu_log_ratios(pair)
        if of_pair is None:
            return None
        ratios.append(of_pair)
    return stats.overall(ratios, rules.process_sd).interval(alpha)


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
    smaller = evidence.candidate_code_size < (evidence.baseline_code_size or 0)
    if any(estimate.high < floor for estimate in cases.values()):
        return Verdict.DISCARD, Cause.CASE_REGRESSED
    if overall.high < 0 and not (smaller and overall.high > -band):
        return Verdict.DISCARD, Cause.SLOWER
    if not memory_allowed(evidence.pairs, rules):
        return Verdict.DISCARD, Cause.MEMORY
    if not smaller and hopeless:
        return Verdict.DISCARD, Cause.TOO_SMALL if overall.low > 0 else Cause.WITHIN_NOISE
    if any(estimate.low <= floor for estimate in cases.values()):
        return Verdict.UNDECIDED, Cause.UNDECIDED
    if overall.low > 0 and overall.point >= effect:
        return _if_cpu_agrees(evidence, cpu, 0.0, effect, Cause.FASTER)
    if smaller and overall.low > -band and overall.high < max(band, effect):
        return _if_cpu_agrees(evidence, cpu, -band, 0.0, Cause.SIMPLER)
    return Verdict.UNDECIDED, Cause.UNDECIDED


def memory_allowed(pairs: Sequence[Pair], rules: Rules) -> bool:
    """Whether the candidate's peak stays within both guards, the fraction and the bytes."""
    baseline = max(pair.baseline_peak_rss_bytes for pair in pairs)
    excess = max(pair.candidate_peak_rss_bytes for pair in pairs) - baseline
    return excess <= rules.memory_bytes and excess <= rules.memory_fraction * baseline


def _if_cpu_agrees(
    evidence: Evidence, cpu: stats.LogEstimate | None, floor: float, aim: float, cause: Cause
) -> tuple[Verdict, Cause]:
    """A keep, if the CPU time's interval lies above `floor` too; a discard, if not and it lies below `aim`."""
    if cpu is not None and cpu.low <= floor:
        return (Verdict.DISCARD if cpu.high < aim else Verdict.UNDECIDED), Cause.CPU_DISAGREES
    return (Verdict.KEEP if len(evidence.pairs) >= PAIRS_FOR_KEEP else Verdict.UNDECIDED), cause


def _unless_over(evidence: Evidence, rules: Rules, verdict: Verdict, cause: Cause) -> tuple[Verdict, Cause]:
    """Only a discard may come after the time budget, and only a decision after the last look."""
    if verdict is not Verdict.DISCARD and evidence.seconds >= rules.max_seconds:
        return Verdict.INCONCLUSIVE, Cause.BUDGET
    if verdict is Verdict.UNDECIDED and evidence.looks >= rules.max_looks:
        return Verdict.INCONCLUSIVE, cause
    return verdict, cause


def _worst_case(cases: Mapping[str, stats.LogEstimate], cause: Cause) -> str:
    """The case with the lowest speed-up; for a regression, the one that is shown most clearly."""
    if cause is Cause.CASE_REGRESSED:
        return min(cases, key=lambda case: cases[case].high)
    return min(cases, key=lambda case: cases[case].point)
