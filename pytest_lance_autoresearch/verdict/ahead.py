"""Whether a candidate works on later calls of a window ahead of time.

Its calls are timed once more, each started by itself: in one window what the later ones will be can be known from
the start, in the other it cannot. Nothing else differs between the two, so that a kernel which keeps to the call
that it was asked takes as long in both, whatever it keeps in caches. Owns how much dearer calls may be where
nothing is known of later ones, and how sure that must be. A pure function of what was measured.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from pytest_lance_autoresearch.records import Ahead, Block, Evidence, Pair, Window
from pytest_lance_autoresearch.verdict import stats

LIMIT = 0.05
"""Of a call's time: what is less is not told from noise."""
CONFIDENCE = 0.999
LEAST_VALUES = 4
"""With fewer nothing is said."""


def shown(evidence: Evidence) -> Ahead | None:
    """By how much its calls are dearer there, where that is shown; None where it is not."""
    found = measured(evidence)
    return found if found is not None and found.least > LIMIT else None


def measured(evidence: Evidence) -> Ahead | None:
    """By how much its calls are dearer there; None where that was not measured often enough."""
    values = [value for pair in evidence.pairs for value in dearer(pair, evidence.threads)]
    return estimate(values) if len(values) >= LEAST_VALUES else None


def estimate(values: Sequence[float]) -> Ahead:
    """What such values of several cases and pairs come to.

    Each is a comparison of its own, which differs in nothing but chance from those of its pair and its case.
    """
    error = statistics.stdev(values) / math.sqrt(len(values))
    mean = stats.Mean(statistics.fmean(values), error, len(values) - 1)
    return Ahead(mean.point, mean.interval(2 * (1 - CONFIDENCE)).low)


def dearer(pair: Pair, threads: int) -> list[float]:
    """By case: what a call takes more where nothing is known of later ones, as a fraction of an ordinary call."""
    blocks: dict[str, list[Block]] = {}
    for block in pair.blocks:
        blocks.setdefault(block.case, []).append(block)
    found = []
    for one in pair.dealt:
        ordinary = [window for block in blocks[one.case] for window in block.side("B")]
        more, usual = _ns_per_call([one.dealt, one.announced], threads), _ns_per_call(ordinary, threads)
        found.append((more[0] - more[1]) / statistics.median(usual))
    return found


def _ns_per_call(windows: Sequence[Window], threads: int) -> list[float]:
    """By CPU time, which others' work prolongs least; by elapsed time where it is not counted, or has no say."""
    if threads == 1 and all(window.cpu_ns for window in windows):
        return [(window.cpu_ns or 0) / window.calls for window in windows]
    return [(window.wall_ns - (window.waited_ns or 0)) / window.calls for window in windows]
