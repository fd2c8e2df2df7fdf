"""The verdict: a pure function of what was measured and of the rules.

Owns a look's judgement, and what the next look is to measure. Which verdicts there are, and what each needs, is
the question's: `keeping` asks whether a candidate is worth keeping, `regression` whether it is slower.
The sentence about a verdict is `words.report`'s, the measuring `bench`'s.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Protocol

from pytest_lance_autoresearch.records import (
    CaseRecall,
    Cause,
    Doubt,
    Evidence,
    Extent,
    Judgement,
    Pair,
    RegressionRules,
    Rules,
    Verdict,
)
from pytest_lance_autoresearch.verdict import (
    aggregate,
    ahead,
    hosts,
    keeping,
    price,
    recall,
    regression,
    selection,
)
from pytest_lance_autoresearch.verdict.view import View

TIMES_PAIRS = 2
"""As many pairs in a look while the overall speed-up is open."""
SETTLED_BLOCKS = 2
"""Of a case that is not open, in a pair of a further look."""
TIMES_BLOCKS = 2
"""As many blocks at least of an open case, once nothing but cases is open."""
MOST_BLOCKS = 16
"""Of a single case in a pair."""
FAR = 2.0
"""Times as fast as its baseline, a candidate is far from any limit on a case."""
FAR_BLOCKS = 1
"""Of such a case, in the other pairs of a first look."""


_KEPT = (Verdict.KEEP, Verdict.PASS)
_OPEN_OR_KEPT = (*_KEPT, Verdict.UNDECIDED)
"""What a kernel that works ahead, or whose recall is too low, is turned down in place of."""


class _Answer(Protocol):
    """What answers a question about a candidate."""

    def view(self, evidence: Evidence, rules: Rules, /) -> View: ...
    def decide(self, seen: View, /) -> tuple[Verdict, Cause]: ...
    def doubt(self, seen: View, decided: tuple[Verdict, Cause], /) -> Doubt: ...


class _Question(_Answer, Protocol):
    """What is asked about it."""

    def is_settled(self, speedup_low: float, rules: Rules, /) -> bool: ...


def look(evidence: Evidence, rules: Rules) -> Judgement:
    """Judge the evidence: a verdict, or undecided, which asks for another look."""
    question = _answer(evidence, rules)
    seen = question.view(evidence, rules)
    cpu, recalls = seen.cpu, recall.by_case(evidence, rules)
    decided = _unless_recall_is_low(recalls, rules, *_unless_outrun(evidence, *question.decide(seen)))
    works_ahead = None
    if decided[0] in _OPEN_OR_KEPT and (works_ahead := ahead.shown(evidence)) is not None:
        decided = Verdict.REFUSED, Cause.WORKS_AHEAD
    verdict, cause = _unless_over(seen, *decided)
    is_open = verdict is Verdict.INCONCLUSIVE
    return Judgement(
        verdict,
        cause,
        seen.overall.ratio(),
        {case: estimate.ratio() for case, estimate in seen.cases.items()},
        cpu.ratio() if cpu else None,
        seen.clearest_regression() if cause is Cause.CASE_REGRESSED else seen.worst_case(),
        *price.peaks(seen.priced),
        evidence.baseline_code_size,
        evidence.candidate_code_size,
        price.build_price(seen.priced, rules),
        _doubt(question, seen, decided, recalls) if is_open else None,
        selection.race(evidence) if evidence.heat else None,
        seen.by_host(),
        works_ahead,
        recalls,
        recall.too_low(recalls, rules) if decided[1] is Cause.RECALL else "",
    )


def refusal(evidence: Evidence, rules: Rules) -> Judgement | None:
    """The verdict about a candidate that must not be timed, since it costs what it must not; None to go on."""
    cause = price.unaffordable(evidence.pairs, rules)
    if cause is None:
        return None
    baseline, candidate = price.peaks(evidence.pairs)
    return Judgement(
        _turned_down(rules),
        cause,
        baseline_peak_rss_bytes=baseline,
        candidate_peak_rss_bytes=candidate,
        building=price.build_price(evidence.pairs, rules),
    )


def unchanged(rules: Rules) -> Verdict:
    """The verdict about a kernel that is its baseline."""
    return Verdict.PASS if isinstance(rules, RegressionRules) else Verdict.DISCARD


def narrowed(blocks: Mapping[str, int], first: Collection[Pair]) -> Mapping[str, int]:
    """The blocks of each case in the other pairs of a first look, of which all candidates have their `first`.

    Where every block of a case says that all are far faster, few more can say nothing else. With those of a second
    look they are enough to show it. What is far slower is measured on: one look is enough to turn it down.
    """
    by_pair = list(map(aggregate.log_ratios, first))
    slowest = {case: min(min(one[case], default=0.0) for one in by_pair) for case in blocks}
    return {case: FAR_BLOCKS if slowest[case] > math.log(FAR) else each for case, each in blocks.items()}


def open_cases(judgement: Judgement, rules: Rules) -> list[str]:
    """The cases whose interval reaches across their limit, whichever side it points to."""
    limit = 1 / (1 + rules.case_limit)
    return [case for case, one in judgement.cases.items() if 0 < one.low <= limit <= one.high < math.inf]


def next_look(judgement: Judgement, rules: Rules) -> Extent:
    """How much the next look measures, after an undecided one.

    The overall speed-up is as sure as its pairs are many, a case as its blocks are. So while the former is open,
    there are more pairs; once it is settled, open cases get more blocks. A case that is not open gets few.
    """
    is_open = open_cases(judgement, rules)
    settled = min(rules.blocks, SETTLED_BLOCKS)
    pairs, each = rules.pairs, rules.blocks
    if _is_open_overall(judgement, rules):
        pairs *= TIMES_PAIRS
    elif is_open:
        spared = (rules.blocks - settled) * (len(judgement.cases) - len(is_open))
        each = min(MOST_BLOCKS, max(TIMES_BLOCKS * rules.blocks, rules.blocks + spared // len(is_open)))
    return Extent(pairs, {case: each if case in is_open else settled for case in judgement.cases})


def next_looks(judgement: Judgement, rules: Rules) -> list[Extent]:
    """The same for each host: the overall speed-up is open on all of them, a case on some."""
    if not judgement.hosts:
        return [next_look(judgement, rules)]
    return [next_look(replace(judgement, cases=host.cases), rules) for host in judgement.hosts]


def at_any_price(rules: Rules) -> Rules:
    """The same rules without a limit to memory or building, for whoever wants to know a speed-up all the same."""
    return replace(rules, memory_fraction=math.inf, memory_bytes=2**63, build_ms_per_mb=math.inf)


def _is_open_overall(judgement: Judgement, rules: Rules) -> bool:
    """Whether more must be known of the overall speed-up, by either clock, and not of single cases alone."""
    assert judgement.speedup is not None
    if judgement.cause is Cause.UNDECIDED:
        return not _question(rules).is_settled(judgement.speedup.low, rules)
    return judgement.cause is Cause.CPU_DISAGREES


def _question(rules: Rules) -> _Question:
    return regression if isinstance(rules, RegressionRules) else keeping


def _answer(evidence: Evidence, rules: Rules) -> _Answer:
    return hosts if len(evidence.hosts) > 1 else _question(rules)


def _unless_outrun(evidence: Evidence, verdict: Verdict, cause: Cause) -> tuple[Verdict, Cause]:
    """In a tournament's rounds nothing is kept: selection is no evidence."""
    if evidence.heat is None or verdict is Verdict.DISCARD:
        return verdict, cause
    if selection.is_outrun(evidence.pairs, evidence.heat):
        return Verdict.DISCARD, Cause.OUTRUN
    return Verdict.UNDECIDED, Cause.UNDECIDED


def _unless_recall_is_low(
    recalls: Mapping[str, CaseRecall], rules: Rules, verdict: Verdict, cause: Cause
) -> tuple[Verdict, Cause]:
    """Nothing is kept whose recall is not shown to be high enough."""
    if rules.recall is None or verdict not in _OPEN_OR_KEPT:
        return verdict, cause
    if recall.too_low(recalls, rules):
        return _turned_down(rules), Cause.RECALL
    if verdict in _KEPT and recall.open_case(recalls, rules):
        return Verdict.UNDECIDED, Cause.RECALL
    return verdict, cause


def _turned_down(rules: Rules) -> Verdict:
    return Verdict.REGRESSED if isinstance(rules, RegressionRules) else Verdict.DISCARD


def _doubt(
    question: _Answer, seen: View, decided: tuple[Verdict, Cause], recalls: Mapping[str, CaseRecall]
) -> Doubt:
    """What keeps an inconclusive verdict open, which without regard to the time is `decided`."""
    if decided == (Verdict.UNDECIDED, Cause.RECALL):
        case = recall.open_case(recalls, seen.rules)
        return Doubt(case, seen.cases[case].ratio(), None, recall=recalls[case])
    return question.doubt(seen, decided)


def _unless_over(seen: View, verdict: Verdict, cause: Cause) -> tuple[Verdict, Cause]:
    """No keep may come after the time budget, and nothing but a decision after the last look."""
    is_kept_or_open = verdict in (Verdict.KEEP, Verdict.UNDECIDED)
    if is_kept_or_open and seen.evidence.seconds >= seen.rules.max_seconds:
        return Verdict.INCONCLUSIVE, Cause.BUDGET
    if verdict is Verdict.UNDECIDED and seen.evidence.looks >= seen.rules.max_looks:
        return Verdict.INCONCLUSIVE, cause
    return verdict, cause
