"""What a candidate may cost beside its time: memory, and what is built beforehand.

Owns both limits. A pure function of what was measured and of the rules.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from pytest_lance_autoresearch.records import Building, BuildPrice, Cause, Pair, Rules

FREE_BUILDING_NS = 1e6
TIMES_BASELINE = 5.0
NS_PER_BYTE = 1.0
"""A millisecond per megabyte."""


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
    baseline, candidate = peaks(pairs)
    excess = candidate - baseline
    return excess <= rules.memory_bytes and excess <= rules.memory_fraction * baseline


def peaks(pairs: Sequence[Pair]) -> tuple[int, int]:
    """The largest of the baseline's processes and of the candidate's, in bytes."""
    return max(pair.baseline_peak_rss_bytes for pair in pairs), max(
        pair.candidate_peak_rss_bytes for pair in pairs
    )
