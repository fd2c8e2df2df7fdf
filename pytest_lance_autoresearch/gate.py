"""The gate of one target: its baseline before the trial, its row after it.

Owns where the baseline comes from (the log's newest keep, and that row's source) and what a judged trial leaves
behind (archived kernel, archived windows, one row). Decides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_lance_autoresearch import archive, clocks, environment, git, load, log, report, wording
from pytest_lance_autoresearch.errors import LogError, Overtaken
from pytest_lance_autoresearch.records import Status

if TYPE_CHECKING:
    from pytest_lance_autoresearch.load import Target
    from pytest_lance_autoresearch.records import Outcome, Source


@dataclass(frozen=True)
class Gate:
    """Against what a trial is judged.

    No `row`: the log knows no kernel of the target, the first one becomes the baseline. A row without a
    `baseline` comes with the sentence `invalid` about why there can be no verdict.
    """

    root: Path
    """The folder that holds the log's archive."""
    log_path: Path
    row: log.Row | None = None
    baseline: Source | None = None
    invalid: str = ""
    unlogged: str = ""
    """Why there can be no verdict, and no row about it either."""
    note: str = ""
    """What a reader of a first baseline should know."""
    newest: int | None = None
    """The trial that was the target's baseline when the gate was opened, even where it is not judged against."""

    def identical(self, candidate: Source) -> str:
        """Why the candidate need not be measured: it is the baseline's code; '' when it is not."""
        if self.row is None or self.baseline is None or self.baseline.code_sha256 != candidate.code_sha256:
            return ""
        same_bytes = self.baseline.sha256 == candidate.sha256
        return report.identical_reason(self.row.trial, self.baseline.sha256, same_bytes=same_bytes)


def open_gate(
    target: Target, root: Path, log_path: Path, *, rebaseline: bool = False, require_baseline: bool = False
) -> Gate:
    """Find the baseline of a target; `root` is the session's."""
    root = archive.home(log_path, root)
    try:
        rows = log.read(log_path)
    except LogError as error:
        return Gate(root, log_path, unlogged=report.log_unusable(str(error)))
    if fault := log.unwritable(log_path):
        return Gate(root, log_path, unlogged=report.log_unusable(fault))
    row = log.baseline(rows, target.name)
    if row is None and require_baseline:
        return Gate(root, log_path, unlogged=report.baseline_missing(log_path, target.name))
    if row is None or rebaseline:
        note = report.renamed(_other_names(rows, target)) if row is None else ""
        return Gate(root, log_path, note=note, newest=row.trial if row else None)
    if row.harness != target.fingerprint:
        changed = _changed_files(row.harness, target.fingerprint)
        return Gate(root, log_path, row, invalid=report.harness_changed(changed, row.trial), newest=row.trial)
    text = archive.find_kernel(root, row.kernel, target.layout.kernel_path, [row.commit])
    if text is None:
        lost = report.baseline_lost(row.trial, row.kernel, git.searched(target.layout.directory))
        return Gate(root, log_path, row, invalid=lost, newest=row.trial)
    return Gate(root, log_path, row, load.make_source(text, target.layout.kernel_path), newest=row.trial)


def _other_names(rows: Sequence[log.Row], target: Target) -> tuple[str, ...]:
    """The targets of the log whose files are this one's: it was renamed, or copied."""
    if any(row.target == target.name for row in rows):
        return ()
    return tuple(sorted({row.target for row in rows if row.harness == target.fingerprint}))


def write(gate: Gate, target: Target, outcome: Outcome, evidence: dict[str, Any], description: str) -> Outcome:
    """Archive the kernel and the evidence, append the row; returns the outcome with its trial number.

    A keep over a baseline that another trial has replaced meanwhile is no verdict, and logged as invalid.
    """
    archive.give_room_back(gate.root)
    try:
        return _write(gate, target, outcome, evidence, description)
    except Overtaken as other:
        overtaken = replace(outcome, status=Status.INVALID, reason=report.overtaken(str(other)), judgement=None)
        return _write(gate, target, overtaken, evidence, description)


def _write(gate: Gate, target: Target, outcome: Outcome, evidence: dict[str, Any], description: str) -> Outcome:
    record = {
        "target": target.name,
        "status": outcome.status,
        "reason": outcome.reason,
        "cause": outcome.judgement.cause if outcome.judgement else None,
        "candidate": target.kernel.sha256,
        "candidate_code_size": target.kernel.code_size,
        "baseline": gate.baseline.sha256 if gate.baseline else None,
        "baseline_code_size": gate.baseline.code_size if gate.baseline else None,
        "baseline_trial": outcome.baseline_trial,
        "harness": target.fingerprint,
        "host": environment.host(),
        "versions": environment.versions(),
        **evidence,
    }
    try:
        kernel = archive.store_kernel(gate.root, target.kernel.text)
        digest = archive.store_trial(gate.root, target.name, record)
        row = _row(outcome, target, kernel, digest, description)
        row = log.append(gate.log_path, row, partial(_refuse_overtaken, gate, row))
    except Overtaken:
        raise
    except LogError as error:
        raise LogError(f"{error}; what it would have said: {outcome.reason}") from error
    return replace(outcome, trial=row.trial, log=gate.log_path)


def _refuse_overtaken(gate: Gate, row: log.Row, rows: Sequence[log.Row]) -> None:
    """Another trial's keep since the gate was opened makes this one's a comparison with the wrong kernel."""
    newest = log.baseline(rows, row.target)
    if row.status in log.KEPT and newest is not None and newest.trial != gate.newest:
        raise Overtaken(f"trial {newest.trial} became the baseline meanwhile")


def _row(outcome: Outcome, target: Target, kernel: str, record: str, description: str) -> log.Row:
    judgement, figures = outcome.judgement, outcome.figures
    speedup = judgement.speedup if judgement else None
    worst = judgement.worst_case if judgement else None
    return log.Row(
        time=clocks.utc(),
        target=outcome.target,
        status=outcome.status or "",
        speedup=f"{speedup.point:.5f}" if speedup else "",
        ci_low=f"{speedup.low:.5f}" if speedup else "",
        ci_high=f"{speedup.high:.5f}" if speedup else "",
        worst_case=worst or "",
        worst_speedup=f"{judgement.cases[worst].point:.5f}" if judgement and worst else "",
        geomean_ns=wording.ns(figures.geomean_ns_per_op) if figures else "",
        unit=outcome.unit,
        peak_rss_mb=f"{figures.peak_rss_bytes / wording.MB:.1f}" if figures else "",
        windows=str(outcome.windows),
        seconds=f"{outcome.seconds:.1f}",
        kernel=kernel,
        commit=git.commit(target.layout.kernel_path, target.kernel.sha256),
        harness=target.fingerprint,
        host=environment.host(),
        description=description or outcome.reason,
        record=record,
    )


def _changed_files(before: str, now: str) -> str:
    old = dict(part.split(":") for part in before.split(",") if ":" in part)
    new = dict(part.split(":") for part in now.split(","))
    return ", ".join(f"{stem}.py" for stem in new if old.get(stem) != new[stem])
