"""The verdict: a pure function of what was measured and of the rules.

Owns the decision; the sentence about it is `report`'s, the measuring `trial`'s.

A keep needs, in this order: every case shown not to be slower than its limit, memory within its guard, an overall
interval that excludes 1 with a point of at least `min_effect`, wall and CPU time in agreement, and all of it
over two pairs of processes or more. The confidence is spent evenly over the looks (Bonferroni), so that looking
several times does not inflate false keeps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pytest_lance_autoresearch import aggregate, stats
from pytest_lance_autoresearch.records import Cause, Judgement, Kind, PairRecord, Rules

PAIRS_FOR_KEEP = 2
"""Pairs of worker processes that a keep needs at least."""


@dataclass(frozen=True)
class Evidence:
    """All that a look knows."""

    pairs: Sequence[PairRecord]
    overhead_ns: Mapping[str, float]
    """The runner's cost per call, by case; its keys are the timed cases."""
    baseline_code_size: int
    candidate_code_size: int
    looks: int
    """Looks taken so far, this one included."""
    seconds: float


def look(evidence: Evidence, rules: Rules) -> Judgement:
    """Judge the evidence: keep, discard, inconclusive, or what to measure next."""
    ratios = [aggregate.log_ratios(pair, evidence.overhead_ns) for pair in evidence.pairs]
    cpu = [aggregate.cpu_log_ratios(pair) for pair in evidence.pairs]
    alpha = (1 - rules.confidence) / rules.max_looks
    estimate = stats.overall(ratios, rules.process_sd)
    overall = estimate.interval(alpha)
    cpu_overall = None if None in cpu else stats.overall(list(filter(None, cpu)), rules.process_sd).interval(alpha)
    cases = {
        case: stats.median_interval([v for of_pair in ratios for v in of_pair[case]], alpha / len(ratios[0]))
        for case in ratios[0]
    }
    hopeless = estimate.interval(2 * rules.miss).high < math.log1p(rules.min_effect)
    kind, cause = _decide(evidence, rules, overall, cases, cpu_overall, hopeless=hopeless)
    kind, cause = _unless_over(evidence, rules, kind, cause)
    return Judgement(
        kind,
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


def _decide(
    evidence: Evidence,
    rules: Rules,
    overall: stats.LogEstimate,
    cases: Mapping[str, stats.LogEstimate],
    cpu: stats.LogEstimate | None,
    *,
    hopeless: bool,
) -> tuple[Kind, Cause]:
    floor = -math.log1p(rules.case_limit)
    effect, band = math.log1p(rules.min_effect), math.log1p(rules.noise_band)
    smaller = evidence.candidate_code_size < evidence.baseline_code_size
    if any(estimate.high < floor for estimate in cases.values()):
        return Kind.DISCARD, Cause.CASE_REGRESSED
    if overall.high < 0 and not (smaller and overall.high > -band):
        return Kind.DISCARD, Cause.SLOWER
    if not memory_allowed(evidence.pairs, rules):
        return Kind.DISCARD, Cause.MEMORY
    if not smaller and hopeless:
        return Kind.DISCARD, Cause.TOO_SMALL if overall.low > 0 else Cause.WITHIN_NOISE
    if any(estimate.low <= floor for estimate in cases.values()):
        return Kind.MORE, Cause.UNDECIDED
    if overall.low > 0 and overall.point >= effect:
        return _if_cpu_agrees(evidence, cpu, 0.0, effect, Cause.FASTER)
    if smaller and overall.low > -band and overall.high < max(band, effect):
        return _if_cpu_agrees(evidence, cpu, -band, 0.0, Cause.SIMPLER)
    return Kind.MORE, Cause.UNDECIDED


def memory_allowed(pairs: Sequence[PairRecord], rules: Rules) -> bool:
    """Whether the candidate's peak stays within both guards, the fraction and the bytes."""
    baseline = max(pair.baseline_peak_rss_bytes for pair in pairs)
    excess = max(pair.candidate_peak_rss_bytes for pair in pairs) - baseline
    return excess <= rules.memory_bytes and excess <= rules.memory_fraction * baseline


def _if_cpu_agrees(
    evidence: Evidence, cpu: stats.LogEstimate | None, floor: float, aim: float, cause: Cause
) -> tuple[Kind, Cause]:
    """A keep, if the CPU time's interval lies above `floor` too; a discard, if not and it lies below `aim`."""
    if cpu is not None and cpu.low <= floor:
        return (Kind.DISCARD if cpu.high < aim else Kind.MORE), Cause.CPU_DISAGREES
    return (Kind.KEEP if len(evidence.pairs) >= PAIRS_FOR_KEEP else Kind.MORE), cause


def _unless_over(evidence: Evidence, rules: Rules, kind: Kind, cause: Cause) -> tuple[Kind, Cause]:
    """Only a discard may come after the time budget, and only a decision after the last look."""
    if kind is not Kind.DISCARD and evidence.seconds >= rules.max_seconds:
        return Kind.INCONCLUSIVE, Cause.BUDGET
    if kind is Kind.MORE and evidence.looks >= rules.max_looks:
        return Kind.INCONCLUSIVE, cause
    return kind, cause


def _worst_case(cases: Mapping[str, stats.LogEstimate], cause: Cause) -> str:
    """The case with the lowest speed-up; for a regression, the one that is shown most clearly."""
    if cause is Cause.CASE_REGRESSED:
        return min(cases, key=lambda case: cases[case].high)
    return min(cases, key=lambda case: cases[case].point)
