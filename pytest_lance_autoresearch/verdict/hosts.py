"""The keep gate's decision where a candidate was measured on several hosts.

A keep needs what it needs on one host, and of every host: that no case is slower than its limit is shown on each,
and none shows the whole to be slower. The overall gain is the mean over hosts, each of which is one number: how
much they differ is how far the mean may be off (Student's t). So it is a claim about hosts like these, not about
these alone. Two hosts tell next to nothing; from three on it can be shown.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pytest_lance_autoresearch.records import Cause, Doubt, Evidence, HostSpeedup, Pair, Rules, Verdict
from pytest_lance_autoresearch.verdict import doubts, keeping, price, stats
from pytest_lance_autoresearch.verdict.view import LEAST_LOOKS, View, share

WITHIN_SHARE = 0.1
"""Of the variance between hosts, as much may come from the measuring on each: less of that would change little."""


@dataclass(frozen=True)
class OverHosts(View):
    """The evidence of several hosts.

    The estimate of a case reaches from the lowest bound on any host to the highest.
    """

    names: tuple[str, ...]
    hosts: tuple[View, ...]

    def clearest_regression(self) -> str:
        return min(self.cases, key=lambda case: min(view.cases[case].high for view in self.hosts))

    @property
    def priced(self) -> Sequence[Pair]:
        """Those of the first host where the candidate costs too much, or else of the first."""
        dear = (host.priced for host in self.hosts if price.unaffordable(host.priced, self.rules))
        return next(dear, self.hosts[0].priced)

    def by_host(self) -> tuple[HostSpeedup, ...]:
        return tuple(
            HostSpeedup(
                name,
                host.overall.ratio(),
                {case: estimate.ratio() for case, estimate in host.cases.items()},
                len(host.evidence.pairs),
            )
            for name, host in zip(self.names, self.hosts, strict=True)
        )


def split(evidence: Evidence) -> list[Evidence]:
    """That of each host, as if there were no other."""
    found, start = [], 0
    for host in evidence.hosts:
        found.append(replace(evidence, pairs=evidence.pairs[start : start + host.pairs], hosts=()))
        start += host.pairs
    return found


def first(evidence: Evidence) -> tuple[Pair, ...]:
    """The pairs of the first host, whose nanoseconds are shown: those of several are never put together."""
    return evidence.pairs[: evidence.hosts[0].pairs] if evidence.hosts else evidence.pairs


def view(evidence: Evidence, rules: Rules) -> OverHosts:
    """What a look sees. Any host may be the one that is slower: they share what the look may spend on each."""
    parts = split(evidence)
    each = replace(rules, confidence=1 - (1 - rules.confidence) / len(parts))
    hosts = tuple(keeping.view(part, each) for part in parts)
    alpha = (1 - rules.confidence) * share(evidence.looks)
    mean = stats.mean([host.mean.point for host in hosts])
    cpu = [host.cpu_mean.point for host in hosts if host.cpu_mean]
    return OverHosts(
        evidence,
        rules,
        alpha,
        hosts[0].case_alpha,
        mean,
        mean.interval(alpha),
        {case: _reaching([host.cases[case] for host in hosts]) for case in hosts[0].cases},
        stats.mean(cpu) if len(cpu) == len(hosts) else None,
        _log_ratios(hosts),
        tuple(one.host for one in evidence.hosts),
        hosts,
    )


def _reaching(estimates: Sequence[stats.LogEstimate]) -> stats.LogEstimate:
    return stats.LogEstimate(
        min(one.low for one in estimates),
        statistics.fmean(one.point for one in estimates),
        max(one.high for one in estimates),
    )


def _log_ratios(hosts: Sequence[View]) -> Mapping[str, Sequence[float]]:
    return {case: sorted(value for host in hosts for value in host.log_ratios[case]) for case in hosts[0].cases}


def decide(seen: View) -> tuple[Verdict, Cause]:
    """Keep, discard or undecided, and why; inconclusive where no more measuring would tell."""
    assert isinstance(seen, OverHosts), "it is about several hosts"
    if any(estimate.high < seen.case_floor for host in seen.hosts for estimate in host.cases.values()):
        return Verdict.DISCARD, Cause.CASE_REGRESSED
    if (cause := price.unaffordable(seen.priced, seen.rules)) is not None:
        return Verdict.DISCARD, cause
    verdict, cause = keeping.decide(seen)
    if verdict is Verdict.DISCARD:
        return verdict, cause
    if any(host.overall.high < keeping.allowed(host) for host in seen.hosts):
        return Verdict.DISCARD, Cause.HOST_REGRESSED
    if cause is Cause.UNDECIDED and _is_for_more_hosts(seen):
        return Verdict.INCONCLUSIVE, Cause.HOSTS_DIFFER
    return verdict, cause


def _is_for_more_hosts(seen: OverHosts) -> bool:
    """Whether nothing but the overall gain is open, and it is known as well as these hosts can tell."""
    is_case_open = any(estimate.low <= seen.case_floor for estimate in seen.cases.values())
    if is_case_open or seen.evidence.looks < LEAST_LOOKS:
        return False
    within = statistics.fmean(host.mean.se**2 for host in seen.hosts)
    between = len(seen.hosts) * seen.mean.se**2
    return within <= WITHIN_SHARE * between


def doubt(seen: View, decided: tuple[Verdict, Cause]) -> Doubt:
    """The case that may be slowest, on the host where it may be, or the overall speed-up where none is open.

    How long it would take to settle that is not said: it depends on hosts that nobody has measured on.
    """
    assert isinstance(seen, OverHosts), "it is about several hosts"
    by_low = min(
        (host.cases[case].low, -host.cases[case].high, case, number)
        for number, host in enumerate(seen.hosts)
        for case in host.cases
    )
    low, _, case, number = by_low
    if low <= seen.case_floor:
        return Doubt(case, seen.hosts[number].cases[case].ratio(), None, host=seen.names[number])
    about = doubts.about(seen, math.inf, decided)
    return replace(about, seconds=None)
