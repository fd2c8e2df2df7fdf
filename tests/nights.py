"""Nights made by hand: trials whose rows and digests say what a test needs, without windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pytest_lance_autoresearch.log import results
from pytest_lance_autoresearch.log.night import Night, Trial
from pytest_lance_autoresearch.records import CaseDigest, Cause, Digest, DoubtDigest, Status

CASES = ("2x3-flat", "2x3-sorted", "50x1-flat")
DIGEST = Digest(
    status=Status.DISCARD,
    reason="judged",
    cause=None,
    baseline_trial=1,
    looks=2,
    pairs=8,
    cases={},
    cpu_speedup=1.0,
    waited=0.004,
    windows_s=3.0,
    pairs_s=9.0,
    waited_s=0.0,
    building=None,
    baseline_peak_rss_bytes=0,
    candidate_peak_rss_bytes=0,
    speedup=None,
    version="1.0",
    min_effect=0.01,
    case_limit=0.05,
    max_seconds=600.0,
)
TIMES = {"2x3-flat": 800.0, "2x3-sorted": 1000.0, "50x1-flat": 1250.0}


def cases(speedups: Mapping[str, float | None]) -> dict[str, CaseDigest]:
    """Bounds lie 1 % to each side."""
    return {
        case: CaseDigest(one, one and one * 0.99, one and one * 1.01, TIMES[case], 24, 0)
        for case, one in speedups.items()
    }


def trial(
    number: int,
    status: Status,
    speedup: float | None = None,
    cause: Cause | None = None,
    *,
    speedups: Mapping[str, float] | None = None,
    recorded: bool = True,
    digest: Mapping[str, Any] | None = None,
    **row: Any,
) -> Trial:
    """A row with its digest, if it is recorded; every case is as fast as the whole unless `speedups` says more."""
    has_times = speedup is not None or status is Status.BASELINE
    by_case = dict.fromkeys(CASES, speedup) | dict(speedups or {}) if has_times else {}
    known = {
        "status": status,
        "speedup": speedup,
        "reason": f"{status}: judged",
        "cause": cause,
        "cases": cases(by_case),
        **(digest or {}),
    }
    found = replace(DIGEST, **known)
    columns = {
        "trial": number,
        "target": "toy",
        "status": status,
        "speedup": speedup,
        "ci_low": speedup and speedup * 0.99,
        "ci_high": speedup and speedup * 1.01,
        "seconds": 30.0,
        "kernel": f"{number:064x}",
        "description": f"idea {number}",
        "digest": f"{number:016x}",
        "worst_case": "50x1-flat",
        **row,
    }
    fault = "" if recorded else "the log has no archive"
    return Trial(results.Row(**columns), found if recorded else None, fault, 1.0, None)


def night(*trials: Trial) -> Night:
    return Night("toy", trials)


BASELINE = trial(1, Status.BASELINE)
KEEP = trial(2, Status.KEEP, 1.2, Cause.FASTER, speedups={"50x1-flat": 1.05, "2x3-flat": 1.4})


def discards(
    count: int, speedup: float = 0.99, first: int = 3, cause: Cause = Cause.WITHIN_NOISE
) -> Sequence[Trial]:
    return [trial(number, Status.DISCARD, speedup, cause) for number in range(first, first + count)]


def doubtful(number: int, seconds: float | None, case: str | None = "50x1-flat", **row: Any) -> Trial:
    """An inconclusive trial that so many seconds more would settle."""
    doubt = DoubtDigest(case, 0.97, 0.94, 1.0, seconds)
    return trial(number, Status.INCONCLUSIVE, 1.02, Cause.BUDGET, digest={"doubt": doubt}, **row)
