"""What a look sees of the evidence: log-ratios, with what their estimates may be off by."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pytest_lance_autoresearch.records import Evidence, HostSpeedup, Pair, Rules
from pytest_lance_autoresearch.verdict import aggregate, stats

LEAST_LOOKS = 2
"""Looks that a keep or a pass needs at least: the first one sees published data only."""


def share(looks: int) -> float:
    """The part of a trial's chance to be wrong that the last of so many looks may spend.

    The second look may spend half, the third a sixth, the k-th 1 / (k (k - 1)): without end, they spend all of it.
    The first look neither keeps nor passes, and so takes nothing from them: in turning a candidate down, it may be
    wrong as often as they.
    """
    return 1 / max(1, looks * (looks - 1))


@dataclass(frozen=True)
class View:
    """The evidence of a look, estimated with the chance to be wrong that the look may spend, `alpha`."""

    evidence: Evidence
    rules: Rules
    alpha: float
    case_alpha: float
    """Of that, what each case's interval is allowed."""
    mean: stats.Mean
    """Of the overall log-ratio."""
    overall: stats.LogEstimate
    cases: Mapping[str, stats.LogEstimate]
    cpu_mean: stats.Mean | None
    """Of the overall log-ratio of CPU times; None where the system did not count them."""
    log_ratios: Mapping[str, Sequence[float]]
    """Of every block, by case, in order."""

    @classmethod
    def of(cls, evidence: Evidence, rules: Rules, alpha: float, *, cases_share: bool) -> View:
        """Each case's interval is allowed all of `alpha`, or where they share it, its part."""
        by_pair = [aggregate.log_ratios(pair) for pair in evidence.pairs]
        mean = stats.overall(by_pair)
        log_ratios = {case: sorted(value for of_pair in by_pair for value in of_pair[case]) for case in by_pair[0]}
        case_alpha = alpha / len(log_ratios) if cases_share else alpha
        return cls(
            evidence,
            rules,
            alpha,
            case_alpha,
            mean,
            mean.interval(alpha),
            {case: stats.median_interval(values, case_alpha) for case, values in log_ratios.items()},
            _cpu_mean(evidence.pairs),
            log_ratios,
        )

    @property
    def cpu(self) -> stats.LogEstimate | None:
        """The overall log-ratio of CPU times."""
        return self.cpu_mean.interval(self.alpha) if self.cpu_mean else None

    @property
    def deciding_cpu(self) -> stats.Mean | None:
        """The CPU times where they have a say: a kernel of several threads may spend more to be done sooner."""
        return self.cpu_mean if self.evidence.threads == 1 else None

    @property
    def deciding_cpu_estimate(self) -> stats.LogEstimate | None:
        """The same, as sure as the look's other intervals are."""
        return self.cpu if self.deciding_cpu else None

    @property
    def case_floor(self) -> float:
        """The log-ratio of a case that is slower by just its limit."""
        return -math.log1p(self.rules.case_limit)

    def worst_case(self) -> str:
        """The case with the lowest speed-up."""
        return min(self.cases, key=lambda case: self.cases[case].point)

    def clearest_regression(self) -> str:
        """The case that is shown most clearly to be slower."""
        return min(self.cases, key=lambda case: self.cases[case].high)

    @property
    def priced(self) -> Sequence[Pair]:
        """The pairs by which memory and building are told."""
        return self.evidence.pairs

    def by_host(self) -> tuple[HostSpeedup, ...]:
        """What each of several hosts came to; none where there was one."""
        return ()


def _cpu_mean(pairs: Sequence[Pair]) -> stats.Mean | None:
    ratios = []
    for pair in pairs:
        of_pair = aggregate.cpu_log_ratios(pair)
        if of_pair is None:
            return None
        ratios.append(of_pair)
    return stats.overall(ratios)
