"""The gate of one target: its baseline before the trial, its row after it.

Owns where the baseline comes from (the log's newest keep and that row's source, a revision of the repository, or a
source that the caller has)
and what a judged trial leaves behind (archived kernel, archived windows, one row). Decides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_lance_autoresearch.errors import LogError, Overtaken, RevisionUnknown
from pytest_lance_autoresearch.log import archive, digests, git, results, revision
from pytest_lance_autoresearch.log.revision import Revision
from pytest_lance_autoresearch.machine import clocks, environment
from pytest_lance_autoresearch.records import Evidence, Rules, Status, TrialRecord
from pytest_lance_autoresearch.target_files import load, sources
from pytest_lance_autoresearch.words import report, wording

if TYPE_CHECKING:
    from pytest_lance_autoresearch.records import Outcome, Source
    from pytest_lance_autoresearch.target_files.load import Target


@dataclass(frozen=True)
class Measured:
    """What a trial hands over for the archive."""

    evidence: Evidence
    rules: Rules
    """By which the verdict was reached."""
    seed: int
    """Of the secret inputs."""


@dataclass(frozen=True)
class Gate:
    """Against what a trial is judged.

    No `row`: the log knows no kernel of the target, the first one becomes the baseline. A row without a
    `baseline` comes with the sentence `invalid` about why there can be no verdict. Against a revision there is no
    row, and a log only if one was named.
    """

    root: Path
    """The folder that holds the log's archive."""
    log_path: Path | None
    row: results.Row | None = None
    revision: Revision | None = None
    baseline: Source | None = None
    invalid: str = ""
    unlogged: str = ""
    """Why there can be no verdict, and no row about it either."""
    notes: tuple[str, ...] = ()
    """What a reader should know of the baseline, whatever was done with it."""
    given: str = ""
    """What the baseline is called where the caller gave it, and neither a log nor a revision."""
    newest: int | None = None
    """The trial that was the target's baseline when the gate was opened, even where it is not judged against."""

    def identical(self, candidate: Source) -> str:
        """What makes the candidate the baseline's code, so that it need not be measured; '' when it is not."""
        others_changed = self.revision is not None and self.revision.imports_changed
        if self.baseline is None or self.baseline.code_sha256 != candidate.code_sha256 or others_changed:
            return ""
        same_bytes = self.baseline.sha256 == candidate.sha256
        return report.identical_reason(self._where, self.baseline.sha256, same_bytes=same_bytes)

    def notes_on(self, kernels: int) -> tuple[str, ...]:
        """What a reader should know of the baseline, after as many of the two kernels as that have run."""
        found = self.revision
        if found is None:
            return self.notes
        changed = [
            report.changed_since(str(found), found.changed, kernels) if found.changed else "",
            report.imports_changed(str(found), kernels) if found.imports_changed else "",
        ]
        return (*filter(None, changed), *self.notes)

    @property
    def is_new(self) -> bool:
        """Whether the target is not there at the revision."""
        return self.revision is not None and self.revision.kernel is None

    @property
    def _where(self) -> str:
        """The baseline, for a sentence."""
        if self.revision is not None:
            return str(self.revision)
        if self.given:
            return self.given
        assert self.row is not None, "a baseline is a trial's, a revision's or the caller's"
        return f"trial {self.row.trial}"


def against_source(root: Path, baseline: Source) -> Gate:
    """The gate whose baseline is a source that the caller has; nothing is logged."""
    return Gate(root, None, baseline=baseline, given=report.given(baseline.path))


def against_revision(target: Target, root: Path, name: str, log_path: Path | None = None) -> Gate:
    """The gate whose baseline is the kernel at a revision; `root` is the session's."""
    root = archive.home(log_path, root) if log_path else root
    try:
        found = revision.find(target, name)
    except RevisionUnknown as unknown:
        return Gate(root, log_path, unlogged=report.revision_unusable(str(unknown)))
    if log_path and (fault := unusable(log_path)):
        return Gate(root, log_path, unlogged=report.log_unusable(fault))
    return Gate(root, log_path, None, found, found.kernel, notes=_notes_of(found, target))


def unusable(log_path: Path) -> str:
    """Why the log cannot take a row; '' where it can, and where there is none yet."""
    try:
        results.read(log_path)
    except LogError as error:
        return str(error)
    return results.unwritable(log_path)


def _notes_of(found: Revision, target: Target) -> tuple[str, ...]:
    files = [*([] if found.is_committed else ["the kernel"]), *found.uncommitted]
    notes = [
        report.moved(str(found), found.moved_from, target.name) if found.moved_from else "",
        report.uncommitted(files) if files else "",
    ]
    return tuple(filter(None, notes))


def open_gate(
    target: Target, root: Path, log_path: Path, *, rebaseline: bool = False, require_baseline: bool = False
) -> Gate:
    """Find the baseline of a target; `root` is the session's."""
    root = archive.home(log_path, root)
    if fault := unusable(log_path):
        return Gate(root, log_path, unlogged=report.log_unusable(fault))
    rows = results.read(log_path)
    row = results.baseline(rows, target.name)
    if row is None and require_baseline:
        return Gate(root, log_path, unlogged=report.baseline_missing(log_path, target.name))
    if row is None or rebaseline:
        notes = report.renamed(_other_names(rows, target)) if row is None else ()
        return Gate(root, log_path, notes=notes, newest=row.trial if row else None)
    if row.harness != target.fingerprint:
        changed = _changed_files(row.harness, target.fingerprint)
        return Gate(root, log_path, row, invalid=report.harness_changed(changed, row.trial), newest=row.trial)
    text = archive.find_kernel(root, row.kernel, target.layout.kernel_path, [row.commit])
    if text is None:
        lost = report.baseline_lost(row.trial, row.kernel, git.searched(target.layout.directory))
        return Gate(root, log_path, row, invalid=lost, newest=row.trial)
    baseline = sources.make(text, target.layout.kernel_path, target.kernel.home)
    return Gate(root, log_path, row, baseline=baseline, newest=row.trial)


def _other_names(rows: Sequence[results.Row], target: Target) -> tuple[str, ...]:
    """The targets of the log whose files are this one's: it was renamed, or copied."""
    if any(row.target == target.name for row in rows):
        return ()
    return tuple(sorted({row.target for row in rows if row.harness == target.fingerprint}))


def write(gate: Gate, target: Target, outcome: Outcome, measured: Measured, description: str) -> Outcome:
    """Archive the kernel and what was measured, append the row; returns the outcome with its trial number.

    A keep over a baseline that another trial has replaced in the meantime is logged as invalid.
    """
    archive.give_room_back(gate.root)
    try:
        return _write(gate, target, outcome, measured, description)
    except Overtaken as other:
        overtaken = replace(outcome, status=Status.INVALID, reason=report.overtaken(str(other)), judgement=None)
        return _write(gate, target, overtaken, measured, description)


def _write(gate: Gate, target: Target, outcome: Outcome, measured: Measured, description: str) -> Outcome:
    assert gate.log_path is not None, "against a revision nothing is logged"
    try:
        record = _record(gate, target, outcome, measured)
        kernel, sha256 = _archived(gate, target, record)
        row = _row(outcome, target, kernel, record, sha256, description)
        row = results.append(gate.log_path, row, partial(_refuse_overtaken, gate, row))
    except Overtaken:
        raise
    except LogError as error:
        raise LogError(f"{error}; what it would have said: {outcome.reason}") from error
    return replace(outcome, trial=row.trial, log=gate.log_path)


def _archived(gate: Gate, target: Target, record: TrialRecord) -> tuple[str, str]:
    """The sha256 of the kernel and of the record, which the archive has from now on."""
    try:
        kernel = archive.store_kernel(gate.root, target.kernel.text)
        sha256 = archive.store_trial(gate.root, record)
    except LogError as error:
        raise LogError(f"{error}; nothing was logged") from error
    archive.store_digest(gate.root, target.name, sha256, digests.of(record))
    return kernel, sha256


def _record(gate: Gate, target: Target, outcome: Outcome, measured: Measured) -> TrialRecord:
    assert outcome.status is not None, "only a judged trial is logged"
    return TrialRecord(
        target=target.name,
        status=outcome.status,
        reason=outcome.reason,
        cause=outcome.judgement.cause if outcome.judgement else None,
        candidate=target.kernel.sha256,
        baseline=gate.baseline.sha256 if gate.baseline else None,
        baseline_trial=outcome.baseline_trial,
        harness=target.fingerprint,
        host=report.hosts([one.host for one in measured.evidence.hosts]) or environment.host(),
        versions=environment.versions(),
        seed=str(measured.seed),
        rules=measured.rules,
        evidence=measured.evidence,
    )


def _refuse_overtaken(gate: Gate, row: results.Row, rows: Sequence[results.Row]) -> None:
    """Another trial's keep since the gate was opened makes this one's a comparison with the wrong kernel."""
    newest = results.baseline(rows, row.target)
    if row.status in results.KEPT and newest is not None and newest.trial != gate.newest:
        raise Overtaken(f"trial {newest.trial} became the baseline meanwhile")


def _row(
    outcome: Outcome, target: Target, kernel: str, record: TrialRecord, sha256: str, description: str
) -> results.Row:
    assert outcome.status is not None, "only a judged trial is logged"
    judgement, figures = outcome.judgement, outcome.figures
    claims = judgement is not None and judgement.race is None
    speedup = judgement.speedup if judgement and claims else None
    worst = judgement.worst_case if judgement and claims else None
    peak = figures.peak_rss_bytes if figures else None
    return results.Row(
        time=clocks.utc(),
        target=outcome.target,
        status=outcome.status,
        speedup=speedup.point if speedup else None,
        ci_low=speedup.low if speedup else None,
        ci_high=speedup.high if speedup else None,
        worst_case=worst or "",
        worst_speedup=judgement.cases[worst].point if judgement and worst else None,
        geomean_ns=figures.geomean_ns_per_op if figures else None,
        unit=outcome.unit,
        peak_rss_mb=peak / wording.MB if peak is not None else None,
        windows=outcome.windows,
        seconds=outcome.seconds,
        kernel=kernel,
        commit=git.commit(target.layout.kernel_path, target.kernel.sha256),
        harness=target.fingerprint,
        host=record.host,
        description=f"{description}{report.recall_clause(judgement)}" if description else outcome.reason,
        record=sha256,
    )


def _changed_files(before: str, now: str) -> str:
    old = dict(part.split(":") for part in before.split(",") if ":" in part)
    new = dict(part.split(":") for part in now.split(","))
    changed = [stem for stem in new if old.get(stem) != new[stem]]
    return ", ".join("what the kernel imports" if stem == load.IMPORTS else f"{stem}.py" for stem in changed)
