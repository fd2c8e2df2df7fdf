"""Which candidates of a tournament go on to its next round, and which to its final.

Owns the rule, a race as F-Race is one (Birattari et al. 2010; Lopez-Ibanez et al. 2016): after each round those
leave who are shown to be slower than the leader, by a paired t-test over the rounds. Selection is no evidence: who
is left is judged afterwards, over data that had no part in the choice.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace

from pytest_lance_autoresearch.records import Evidence, Heat, Pair, Race, Rules
from pytest_lance_autoresearch.verdict import aggregate, stats

FINALISTS = 2
"""Most candidates that the gate judges."""
LEAST_ROUNDS = 2
"""Before anybody leaves: a single round tells nothing about how much rounds differ."""
MOST_ROUNDS = 6
"""After which the fastest are the finalists, whatever is shown."""
CONFIDENCE = 0.95
"""One-sided, that one who leaves before that is slower than the leader."""


def is_over(rounds: int, left: int) -> bool:
    """Whether no further round is needed."""
    is_decided = left <= FINALISTS and rounds >= LEAST_ROUNDS
    return left <= 1 or is_decided or rounds >= MOST_ROUNDS


def speed(pairs: Sequence[Pair]) -> float:
    """A candidate's log-ratio to the baseline over its rounds; above 0 is faster."""
    return statistics.fmean(_points(pairs))


def ranking(speeds: Mapping[str, float]) -> list[str]:
    """The candidates, by the sha256 of their kernels, the fastest first."""
    return sorted(speeds, key=lambda sha256: (-speeds[sha256], sha256))


def is_outrun(pairs: Sequence[Pair], heat: Heat) -> bool:
    """Whether a candidate leaves that came to these pairs."""
    lag = speed(heat.pairs) - speed(pairs)  # as they are ranked, to the last bit
    if heat.is_last:
        return lag >= 0
    behind = [ahead - own for ahead, own in zip(_points(heat.pairs), _points(pairs), strict=True)]
    if len(behind) < LEAST_ROUNDS:
        return False
    limit = stats.student_quantile(CONFIDENCE, len(behind) - 1) * statistics.stdev(behind) / math.sqrt(len(behind))
    return lag > limit


def race(evidence: Evidence) -> Race:
    """Where a candidate stood."""
    heat = evidence.heat
    assert heat is not None, "it was in the rounds of a tournament"
    slower = math.expm1(speed(heat.pairs) - speed(evidence.pairs))
    return Race(heat.candidates, len(evidence.pairs), slower, heat.is_last)


def final_rules(rules: Rules, finalists: int) -> Rules:
    """Those by which each finalist is judged: all of them together may be wrong as often as a single trial."""
    return replace(rules, confidence=1 - (1 - rules.confidence) / finalists)


def _points(pairs: Sequence[Pair]) -> list[float]:
    return [stats.pair_point(aggregate.log_ratios(pair)) for pair in pairs]
