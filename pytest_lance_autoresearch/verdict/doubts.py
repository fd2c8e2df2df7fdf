"""What keeps a verdict open, and how much more measuring would settle it."""

from __future__ import annotations

import math
from collections import Counter

from pytest_lance_autoresearch.records import Cause, Doubt, Verdict
from pytest_lance_autoresearch.verdict import stats
from pytest_lance_autoresearch.verdict.view import LEAST_LOOKS, View

_SHOWN = (Cause.FASTER, Cause.SIMPLER, Cause.NOT_SLOWER)
"""What speaks for a candidate: where it leaves a verdict undecided, its confirmation alone is missing."""


def about(seen: View, more_overall: float, decided: tuple[Verdict, Cause]) -> Doubt:
    """The case that needs most, or the overall speed-up where no case is open.

    That would need `more_overall` times what was measured. Nothing is settled in less than a look, nor before the
    looks are over that a keep or a pass lacks. `decided` is what the look says, whatever the time.
    """
    pairs, floor = seen.evidence.pairs, seen.case_floor
    measured_s = math.fsum(pair.seconds or 0.0 for pair in pairs)
    blocks = Counter(block.case for pair in pairs for block in pair.blocks)
    bounded = stats.values_for_bounds(seen.case_alpha)
    needs = {}
    for case, one in seen.cases.items():
        if one.low <= floor <= one.high:
            factor = more(one, floor) if one.low > -math.inf else max(0.0, bounded / blocks[case] - 1)
            needs[case] = measured_s * blocks[case] / blocks.total() * factor
    if needs:
        case = max(needs, key=lambda name: (needs[name], -seen.cases[name].low))
        return Doubt(case, seen.cases[case].ratio(), _whole_looks(seen, needs[case], measured_s))
    verdict, cause = decided
    is_unconfirmed = verdict is Verdict.UNDECIDED and cause in _SHOWN
    cpu = seen.cpu.ratio() if seen.cpu and cause is Cause.CPU_DISAGREES else None
    seconds = _whole_looks(seen, measured_s * more_overall, measured_s)
    return Doubt(None, seen.overall.ratio(), seconds, is_unconfirmed, cpu)


def more_of_cpu(seen: View, floor: float, aim: float) -> float:
    """How many times what was measured would show CPU time above `floor`, as a keep needs it, or below `aim`."""
    cpu = seen.deciding_cpu_estimate
    if cpu is None or cpu.low > floor or cpu.high < aim:
        return 0.0
    return more(cpu, floor) if cpu.point > floor else more(-cpu, -aim)


def more(estimate: stats.LogEstimate, limit: float) -> float:
    """How many times what was measured must be measured in addition, for the lower bound to pass the limit.

    The width of an interval falls with the square root of what was measured. Infinite where the point itself lies
    on the wrong side.
    """
    if estimate.point <= limit or math.isinf(estimate.low):
        return math.inf
    return max(0.0, ((estimate.point - estimate.low) / (estimate.point - limit)) ** 2 - 1)


def unconfirmed(seen: View) -> float:
    """How many times what was measured the looks are that a keep or a pass lacks, whatever they will show."""
    looks = seen.evidence.looks
    return max(0, LEAST_LOOKS - looks) / looks


def _whole_looks(seen: View, seconds: float, measured_s: float) -> float | None:
    """Those seconds, or as long as the fewest looks take that can settle anything; None where none can."""
    if seconds == 0 or math.isinf(seconds):
        return None if seconds else 0.0
    return max(seconds, measured_s * max(unconfirmed(seen), 1 / seen.evidence.looks))
