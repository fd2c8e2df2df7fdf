"""The keep gate's decision: whether a candidate is worth keeping.

A keep needs, in this order: every case shown not to be slower than its limit, memory and building within what they
may cost, an overall interval that excludes 1 with a point of at least `min_effect`, wall and CPU time in
agreement, and all of it over two looks or more, of which the later ones see data that nobody could know. What each
look may spend of the chance to be wrong adds up to that of the trial, however many looks there are (Bonferroni).
"""

from __future__ import annotations

import math

from pytest_lance_autoresearch.records import Cause, Doubt, Evidence, Rules, Verdict
from pytest_lance_autoresearch.verdict import doubts, price, stats
from pytest_lance_autoresearch.verdict.view import LEAST_LOOKS, View, share


def view(evidence: Evidence, rules: Rules) -> View:
    """What a look sees. Any case may be the one that is slower: they share what the look may spend."""
    return View.of(evidence, rules, (1 - rules.confidence) * share(evidence.looks), cases_share=True)


def decide(seen: View) -> tuple[Verdict, Cause]:
    """Keep, discard or undecided, and why."""
    effect, band = math.log1p(seen.rules.min_effect), math.log1p(seen.rules.noise_band)
    overall, smaller = seen.overall, _is_smaller(seen.evidence)
    if any(estimate.high < seen.case_floor for estimate in seen.cases.values()):
        return Verdict.DISCARD, Cause.CASE_REGRESSED
    if overall.high < allowed(seen):
        return Verdict.DISCARD, Cause.SLOWER
    if (cause := price.unaffordable(seen.evidence.pairs, seen.rules)) is not None:
        return Verdict.DISCARD, cause
    if not smaller and _one_sided(seen).high < effect:
        return Verdict.DISCARD, Cause.TOO_SMALL if overall.low > 0 else Cause.WITHIN_NOISE
    if any(estimate.low <= seen.case_floor for estimate in seen.cases.values()):
        return Verdict.UNDECIDED, Cause.UNDECIDED
    if overall.low > 0 and overall.point >= effect:
        return _if_cpu_agrees(seen, 0.0, effect, Cause.FASTER)
    if smaller and overall.low > -band and overall.high < max(band, effect):
        return _if_cpu_agrees(seen, -band, 0.0, Cause.SIMPLER)
    return Verdict.UNDECIDED, Cause.UNDECIDED


def doubt(seen: View, decided: tuple[Verdict, Cause]) -> Doubt:
    """What keeps an inconclusive verdict open, which without regard to the time is `decided`."""
    return doubts.about(seen, _more_overall(seen), decided)


def _more_overall(seen: View) -> float:
    """How many times what was measured would settle a verdict about the overall speed-up.

    Of whichever kind its point lies nearest to.
    """
    effect, band = math.log1p(seen.rules.min_effect), math.log1p(seen.rules.noise_band)
    unconfirmed, overall = doubts.unconfirmed(seen), seen.overall
    if overall.point >= effect:
        return max(unconfirmed, doubts.more(overall, 0.0), doubts.more_of_cpu(seen, 0.0, effect))
    if _is_smaller(seen.evidence):
        wall = doubts.more(overall, -band), doubts.more(-overall, -max(band, effect))
        return max(unconfirmed, *wall, doubts.more_of_cpu(seen, -band, 0.0))
    return max(unconfirmed, doubts.more(-_one_sided(seen), -effect))


def is_settled(speedup_low: float, _rules: Rules) -> bool:
    """Whether nothing but single cases is open, as far as the lower bound of the overall speed-up tells."""
    return speedup_low > 1


def allowed(seen: View) -> float:
    """The overall log-ratio below which a candidate is slower: a smaller one may be so by a little."""
    return -math.log1p(seen.rules.noise_band) if _is_smaller(seen.evidence) else 0.0


def _one_sided(seen: View) -> stats.LogEstimate:
    """The interval of which the upper bound alone counts, missed with the probability `miss`."""
    return seen.mean.interval(2 * seen.rules.miss)


def _is_smaller(evidence: Evidence) -> bool:
    return evidence.candidate_code_size < (evidence.baseline_code_size or 0)


def _if_cpu_agrees(seen: View, floor: float, aim: float, cause: Cause) -> tuple[Verdict, Cause]:
    """A keep, if the CPU time's interval lies above `floor` too; a discard, if not and it lies below `aim`."""
    cpu = seen.deciding_cpu_estimate
    if cpu is not None and cpu.low <= floor:
        return (Verdict.DISCARD if cpu.high < aim else Verdict.UNDECIDED), Cause.CPU_DISAGREES
    return (Verdict.KEEP if seen.evidence.looks >= LEAST_LOOKS else Verdict.UNDECIDED), cause
