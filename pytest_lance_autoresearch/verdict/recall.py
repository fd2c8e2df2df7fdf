"""How much of a kernel's approximate answers is right, beside its baseline's.

Owns what a kernel's recall must be shown to be: on every case, not lower than the baseline's by more than the
margin, and not below the floor that the target states. The bounds hold however often one looks, so that looks need
not share what they may spend. A pure function of what was measured and of the rules.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from pytest_lance_autoresearch.records import CaseRecall, Evidence, RecallRules, Rules
from pytest_lance_autoresearch.verdict import stats

UNKNOWN = CaseRecall(0.0, 0.0, 0.0, 1.0, -1.0, 1.0, 0)
"""Of a case of which nothing was measured yet."""


def by_case(evidence: Evidence, rules: Rules) -> dict[str, CaseRecall]:
    """The recall on each timed case; none where answers are exact.

    A lower bound is wrong with the trial's whole chance, since a keep needs those of all cases; an upper one with
    its share of that, since any case may be the one that is turned down.
    """
    if rules.recall is None:
        return {}
    alpha = 1 - rules.confidence
    calls: dict[str, Counter[tuple[float, float]]] = {case: Counter() for case in rules.recall.floors}
    for pair in evidence.pairs:
        for one in pair.recalled:
            calls[one.case][one.baseline, one.candidate] += one.calls
    return {case: _case(found, alpha, alpha / len(calls)) if found else UNKNOWN for case, found in calls.items()}


def _case(calls: Mapping[tuple[float, float], int], alpha_low: float, alpha_high: float) -> CaseRecall:
    baselines, candidates, changes = Counter[float](), Counter[float](), Counter[float]()
    for (baseline, candidate), count in calls.items():
        baselines[baseline] += count
        candidates[candidate] += count
        changes[(1 + candidate - baseline) / 2] += count
    own = stats.mean_bounds(candidates, alpha_low, alpha_high)
    change = stats.mean_bounds(changes, alpha_low, alpha_high)
    means = stats.weighted_mean(baselines), stats.weighted_mean(candidates)
    return CaseRecall(*means, *own, 2 * change.low - 1, 2 * change.high - 1, sum(calls.values()))


def too_low(cases: Mapping[str, CaseRecall], rules: Rules) -> str:
    """The case whose recall is shown to be too low, the lowest of them; '' where none is."""
    wanted = _wanted(rules)
    below = [
        case
        for case, one in cases.items()
        if one.change_high < -wanted.margin or one.candidate_high < wanted.floors[case]
    ]
    return min(below, key=lambda case: cases[case].change, default="")


def open_case(cases: Mapping[str, CaseRecall], rules: Rules) -> str:
    """The case whose recall is not shown to be high enough yet, the farthest from it; '' where all are."""
    wanted = _wanted(rules)
    lacking = {
        case: max(-wanted.margin - one.change_low, wanted.floors[case] - one.candidate_low)
        for case, one in cases.items()
    }
    worst = max(lacking, key=lambda case: lacking[case], default="")
    return worst if worst and lacking[worst] > 0 else ""


def _wanted(rules: Rules) -> RecallRules:
    assert rules.recall is not None, "answers may be approximate"
    return rules.recall
