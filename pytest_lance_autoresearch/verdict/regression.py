"""The regression gate's decision: whether a candidate is slower than its baseline.

A pass needs it shown that the candidate is not slower than `slowdown_limit` overall, by wall and by CPU time, and
in no case slower than `case_limit`, and memory and building within what they may cost, all of it over two looks or
more, of which the later ones see data that nobody could know. A regression needs one of the opposites shown. Being
faster is no condition of either.
"""

from __future__ import annotations

import math

from pytest_lance_autoresearch.records import Cause, Doubt, Evidence, RegressionRules, Rules, Verdict
from pytest_lance_autoresearch.verdict import doubts, price, stats
from pytest_lance_autoresearch.verdict.view import LEAST_LOOKS, View, share

TO_CONVICT = 0.5
"""Of a look's chance to be wrong, what it may spend on saying that a candidate is slower.

The first look may say so too, and all of them together must not be wrong more often than those that can pass.
"""


def view(evidence: Evidence, rules: Rules) -> View:
    """What a look sees; every bound is wrong in one direction only, so intervals are of twice the chance.

    The cases do not share it, since a pass needs all of them: one that is too slow passes only if its own bound is
    wrong (an intersection-union test: Berger, Technometrics 24, 1982).
    """
    return View.of(evidence, rules, 2 * (1 - rules.confidence) * share(evidence.looks), cases_share=False)


def decide(seen: View) -> tuple[Verdict, Cause]:
    """Pass, regressed or undecided, and why."""
    floor = _floor(seen.rules)
    if any(bound < seen.case_floor for bound in _upper_bounds(seen)):
        return Verdict.REGRESSED, Cause.CASE_REGRESSED
    if _is_slower(seen, seen.mean):
        return Verdict.REGRESSED, Cause.SLOWER
    if (cause := price.unaffordable(seen.evidence.pairs, seen.rules)) is not None:
        return Verdict.REGRESSED, cause
    if any(estimate.low <= seen.case_floor for estimate in seen.cases.values()) or seen.overall.low <= floor:
        return Verdict.UNDECIDED, Cause.UNDECIDED
    cpu = seen.deciding_cpu
    if cpu is not None and cpu.interval(seen.alpha).low <= floor:
        return (Verdict.REGRESSED if _is_slower(seen, cpu) else Verdict.UNDECIDED), Cause.CPU_DISAGREES
    return (Verdict.PASS if seen.evidence.looks >= LEAST_LOOKS else Verdict.UNDECIDED), Cause.NOT_SLOWER


def doubt(seen: View, decided: tuple[Verdict, Cause]) -> Doubt:
    """What keeps an inconclusive verdict open, which without regard to the time is `decided`."""
    return doubts.about(seen, _more_overall(seen), decided)


def _more_overall(seen: View) -> float:
    """How many times what was measured would settle, by both clocks, whether the candidate is slower overall."""
    clocks = (seen.mean, seen.deciding_cpu or seen.mean)
    return max(doubts.unconfirmed(seen), *(_more(seen, clock) for clock in clocks))


def is_settled(speedup_low: float, rules: Rules) -> bool:
    """Whether nothing but single cases is open, as far as the lower bound of the overall speed-up tells."""
    return speedup_low > math.exp(_floor(rules))


def _is_slower(seen: View, clock: stats.Mean) -> bool:
    """Whether a clock shows the whole to be slower than its limit."""
    return clock.interval(TO_CONVICT * seen.alpha).high < _floor(seen.rules)


def _more(seen: View, clock: stats.Mean) -> float:
    """How many times what was measured would show it by this clock, or the opposite."""
    floor = _floor(seen.rules)
    if clock.point > floor:
        return doubts.more(clock.interval(seen.alpha), floor)
    return doubts.more(-clock.interval(TO_CONVICT * seen.alpha), -floor)


def _floor(rules: Rules) -> float:
    """The overall log-ratio of a candidate that is slower by just the limit."""
    assert isinstance(rules, RegressionRules), "the question is whether it is slower"
    return -math.log1p(rules.slowdown_limit)


def _upper_bounds(seen: View) -> list[float]:
    """Of every case's log-ratio. Any case may be the one that is slower: they share what the look may spend."""
    alpha = TO_CONVICT * seen.case_alpha / len(seen.cases)
    return [stats.median_interval(values, alpha).high for values in seen.log_ratios.values()]
