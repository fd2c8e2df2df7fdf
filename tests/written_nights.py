"""Nights for tests: logs with archives in which trials ended in every way, written without measuring anything."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from builders import CASES, everywhere, evidence, pairs_of_a_look, spread

from pytest_lance_autoresearch.log import archive, digests, results
from pytest_lance_autoresearch.records import (
    CaseTimes,
    Cause,
    Evidence,
    Interval,
    KernelTimes,
    Replay,
    Rules,
    Status,
    TrialRecord,
    Window,
)
from pytest_lance_autoresearch.verdict import judge

HARNESS = "inputs:1,reference:2,target:3"
MEASURED = (Status.KEEP, Status.DISCARD, Status.INCONCLUSIVE, Status.PASS, Status.REGRESSED)
CAUSES = {
    Status.KEEP: Cause.FASTER,
    Status.DISCARD: Cause.WITHIN_NOISE,
    Status.INCONCLUSIVE: Cause.UNDECIDED,
    Status.PASS: Cause.NOT_SLOWER,
    Status.REGRESSED: Cause.SLOWER,
}
HOSTILE = "<script>alert(1)</script> \"'&amp; \u202eevil\u202c \x1b[31m \u00fcber \u6f22\u5b57 " + "x" * 260
"""What a description may hold."""


@dataclass
class Written:
    """A log that is being written, of one target or several."""

    root: Path
    log: Path
    archived: bool = True
    kept: dict[str, results.Row] = field(default_factory=dict)

    def add(
        self,
        status: Status,
        gain: float = 0.0,
        *,
        target: str = "toy",
        host: str = "vm (one)",
        description: str = "an idea",
        kernel: str = "",
        cases: Sequence[str] = CASES,
    ) -> results.Row:
        """One more trial; `gain` is the log-ratio that was measured, where anything was."""
        rows = results.read(self.log)
        number = len(rows) + 1
        text = (kernel or f'"""A kernel."""\n\nNUMBER = {number}\n').encode()
        baseline = self.kept.get(target)
        seen = _seen(status, gain, cases)
        judgement = judge.look(seen, Rules()) if seen.pairs else None
        record = TrialRecord(
            target,
            status,
            f"{status}: what trial {number} came to",
            CAUSES.get(status),
            hashlib.sha256(text).hexdigest(),
            baseline.kernel if baseline else None,
            baseline.trial if baseline else None,
            HARNESS,
            host,
            {"numpy": "2.0"},
            "1",
            Rules(),
            seen,
        )
        digest = archive.store_trial(self.root, record) if self.archived else "0" * 64
        if self.archived:
            archive.store_kernel(self.root, text)
            archive.store_digest(self.root, target, digest, digests.of(record))
        speedup = judgement.speedup if judgement else None
        row = results.append(
            self.log,
            results.Row(
                time=f"2026-11-26T{number % 24:02}:00:00+00:00",
                target=target,
                status=status,
                speedup=speedup.point if speedup else None,
                ci_low=speedup.low if speedup else None,
                ci_high=speedup.high if speedup else None,
                worst_case=judgement.worst_case or "" if judgement else "",
                worst_speedup=judgement.cases[judgement.worst_case].point
                if judgement and judgement.worst_case
                else None,
                geomean_ns=1000.0 if seen.pairs or seen.alone else None,
                unit="query",
                seconds=30.0,
                kernel=record.candidate,
                harness=HARNESS,
                host=host,
                description=description,
                record=digest,
            ),
        )
        if status in results.KEPT:
            self.kept[target] = row
        return row

    def audit(self, candidate: results.Row, baseline: results.Row, speedup: Interval) -> None:
        """Note that one kernel was measured again against another."""
        archive.store_replay(
            self.root,
            Replay(
                candidate.target,
                candidate.trial,
                baseline.trial,
                candidate.kernel,
                baseline.kernel,
                HARNESS,
                candidate.host,
                "2026-11-27T06:00:00+00:00",
                {"numpy": "2.0"},
                4,
                0.95,
                speedup,
                dict.fromkeys(CASES[:2], speedup),
                12.0,
            ),
        )


def begun(root: Path, *, archived: bool = True) -> Written:
    """An empty log below `root`, in the folder of a target."""
    log = root / "targets/toy/results.tsv"
    log.parent.mkdir(parents=True)
    return Written(root, log, archived)


def eventful(root: Path) -> Written:
    """Trials that ended in every way, in between a new baseline and another host, described in every way."""
    written = begun(root)
    written.add(Status.BASELINE, description="the first")
    written.add(Status.KEEP, 0.2, description="unrolled")
    written.add(Status.DISCARD, -1.5, description=HOSTILE)
    for status in (Status.INCORRECT, Status.CRASH, Status.TIMEOUT, Status.REFUSED, Status.INVALID):
        written.add(status, description=f"ended as {status}")
    written.add(Status.BASELINE, description="recorded anew")
    written.add(Status.INCONCLUSIVE, 0.01, host="vm (two)", description="")
    written.add(Status.KEEP, 0.1, host="vm (two)", kernel="def f():\n\treturn '<b>' # \x1b \u202e\n")
    written.add(Status.KEEP, 0.05)
    written.add(Status.DISCARD, 0.0, description="the last")
    return written


def _seen(status: Status, gain: float, cases: Sequence[str]) -> Evidence:
    if status in MEASURED:
        pairs = pairs_of_a_look(everywhere(spread(gain), cases)) * 2
        return evidence(*pairs, looks=2, seconds=25.0)
    if status is Status.BASELINE:
        times = tuple(CaseTimes(case, 1.0, 0.0, (Window(100, 10**6, None),)) for case in cases)
        return Evidence(100, alone=KernelTimes(times))
    return Evidence(100)
