"""What stands on the page, in the order in which a maintainer asks; nothing of how it looks.

Owns which facts are shown and in which words. All texts of a log are foreign: whoever draws them spells out what
is no plain character.
"""

from __future__ import annotations

import re
import shlex
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pytest_lance_autoresearch.log import archive
from pytest_lance_autoresearch.log.night import Night, Trial
from pytest_lance_autoresearch.page import belief, differences, palette
from pytest_lance_autoresearch.page.facts import Facts
from pytest_lance_autoresearch.records import BuildPrice, Digest, Interval, Replay, Status
from pytest_lance_autoresearch.words import report, wording

MOST_KEEPS = 12
"""Columns of the table of cases, the newest."""
MOST_DIFFERENCES = 30
"""The newest."""


@dataclass(frozen=True)
class Cases:
    """Speed-ups over the newest baseline, by case."""

    keeps: tuple[Trial, ...]
    """Those with a column, the oldest first."""
    left_out: int
    """Older keeps without one."""
    rows: tuple[CaseRow, ...]
    """The overall one first."""
    has_audit: bool

    @property
    def scale(self) -> palette.Scale:
        """Of the grounds of all speed-ups in it."""
        return palette.scale(one for one in self._speedups() if one is not None)

    @property
    def has_gap(self) -> bool:
        """Whether one of them is not known."""
        return None in self._speedups()

    def _speedups(self) -> Iterator[float | None]:
        for row in self.rows:
            yield row.claimed.point if row.claimed else None
            if self.has_audit:
                yield row.audited.point if row.audited else None
            yield from row.after


@dataclass(frozen=True)
class CaseRow:
    """One case, or all of them."""

    name: str
    claimed: Interval | None
    """None where a keep's record is missing, or left the case without bounds."""
    audited: Interval | None
    after: tuple[float | None, ...]
    """After each keep that has a column."""


class Spent(NamedTuple):
    """Where the wall time of one trial went, in seconds."""

    windows: float
    pairs: float
    """Around and between the windows: processes, warming up, inputs."""
    items: float
    """All else of the trial: correctness items, compiling, the verdict."""
    waited: float
    """For its turn; no part of the trial's seconds."""
    unknown: float
    """Of a trial without a record."""


@dataclass(frozen=True)
class TrialRow:
    """One line of the table of trials."""

    trial: Trial
    anchor: str
    mark: palette.Mark
    date: str
    clock: str
    change: str
    seconds: str
    looks: str
    waited: str
    load: str
    worst: str
    """The case with the least speed-up, ..."""
    worst_change: str
    """... and its change of time."""
    why: str
    """The sentence of the verdict, or why there is none to be had."""
    audit: str


@dataclass(frozen=True)
class Change:
    """A kept kernel beside the one before it."""

    title: str
    about: str
    difference: differences.Difference | None
    fault: str
    """Why there is no difference to show; '' where there is one."""
    whole: str
    """The command that shows all of it; '' where that cannot be."""


@dataclass(frozen=True)
class PriceRow:
    """What a kept kernel costs besides time."""

    anchor: str
    trial: int
    build: str
    nearest: str
    """The case that is nearest to its budget."""
    memory: str


@dataclass(frozen=True)
class Section:
    """All that the page says of one target."""

    facts: Facts
    name: str
    """The target's, with its log where the page has several of it."""
    anchor: str
    headline: str
    remarks: tuple[belief.Remark, ...]
    summary: str
    audit: Replay | None
    cases: Cases | None
    """None where nothing was kept."""
    spent: tuple[Spent, ...]
    totals: tuple[tuple[str, str, str], ...]
    """Of what was spent: what, how long, which share."""
    trials: tuple[TrialRow, ...]
    tried: tuple[TrialRow, ...]
    causes: str
    changes: tuple[Change, ...]
    older_changes: int
    prices: tuple[PriceRow, ...]
    host: tuple[tuple[str, str], ...]
    lessons: tuple[str, ...]

    @property
    def night(self) -> Night:
        return self.facts.night

    @property
    def first(self) -> str:
        """What the newest claim counts from."""
        return first(self.night)


def sections(found: Iterable[Facts]) -> tuple[Section, ...]:
    """A section for each target of each log; two of one name have anchors of their own, and say their logs."""
    taken: Counter[str] = Counter()
    made, facts_of_all = [], list(found)
    named = Counter(facts.night.target for facts in facts_of_all)
    for facts in facts_of_all:
        anchor = re.sub(r"[^A-Za-z0-9_-]+", "-", facts.night.target) or "target"
        taken[anchor] += 1
        target = facts.night.target
        name = target if named[target] == 1 else f"{target} ({facts.log})"
        made.append(section(facts, name, anchor if taken[anchor] == 1 else f"{anchor}--{taken[anchor]}"))
    return tuple(made)


def section(facts: Facts, name: str, anchor: str) -> Section:
    night, remarks = facts.night, belief.remarks(facts)
    spent = tuple(map(_spent, night.trials))
    trials = tuple(_trial_rows(facts, anchor))
    tried = {trial.row.trial for trial in night.since_best}
    return Section(
        facts,
        name,
        anchor,
        headline(facts),
        remarks,
        belief.summary(remarks),
        belief.audit_of(facts),
        _cases(facts) if night.keeps else None,
        spent,
        tuple(_totals(spent)),
        trials,
        tuple(row for row in trials if row.trial.row.trial in tried),
        _causes(night.since_best),
        tuple(_changes(facts)),
        max(0, len(night.keeps) - MOST_DIFFERENCES),
        tuple(_prices(night, anchor)),
        tuple(_host(facts)),
        tuple(facts.lessons.decode("utf-8", "replace").splitlines()),
    )


def trial_anchor(anchor: str, trial: int) -> str:
    return f"{anchor}-trial-{trial}"


def headline(facts: Facts) -> str:
    """What the night came to: how many trials, how many of which were kept, and what the best one gained."""
    night, audit = facts.night, belief.audit_of(facts)
    trials = wording.many(len(night.trials), "trial")
    if not baselines(night):
        unknown = night.damaged and f". What is claimed is {report.claim_not_known(night.damaged)}."
        return f"{trials}, no baseline among them{unknown or ': nothing is claimed.'}"
    counted, claimed = _counted(night), night.claimed
    if claimed is None:
        audited = f" Audited: {_audited(audit)}." if audit else " It was not audited."
        return f"{counted} What is claimed is {report.claim_not_known(night.damaged)}.{audited}"
    if not night.keeps:
        return f"{counted} The {first(night)} is still the best."
    times = (audit.speedup if audit else claimed).point
    audited = f"audited {_audited(audit)}" if audit else "not audited"
    return (
        f"{counted} The best kernel is {times:.2f} times as fast as the {first(night)} "
        f"(claimed {_bounds(claimed)}; {audited})."
    )


def _counted(night: Night) -> str:
    """How many trials there are, how many of them count for what is claimed, and how many of those were kept."""
    trials, after = wording.many(len(night.trials), "trial"), len(night.current) - 1
    kept = f"{len(night.keeps) or 'none'} {'were' if len(night.keeps) > 1 else 'was'} kept"
    if len(night.current) == len(night.trials):
        return f"{trials}: the baseline{f' and {after} after it, of which {kept}' if after else ''}."
    newest = f"the {'newest ' if baselines(night) > 1 else ''}baseline, {belief.of_trial(night.current[0])}"
    if not after:
        return f"{trials}; the last is {newest}."
    return f"{trials}, of which {after} came after {newest}; of these, {kept}."


def first(night: Night) -> str:
    """What the newest claim counts from."""
    start = night.current[0] if baselines(night) > 1 else None
    return f"kernel of {belief.of_trial(start)}" if start else "first kernel"


def baselines(night: Night) -> int:
    """How many there are."""
    return sum(trial.row.status is Status.BASELINE for trial in night.trials)


def title(night: Night) -> str:
    """What is claimed, in a few words."""
    others = sum(trial.row.status is not Status.BASELINE for trial in night.current)
    claimed = f"{night.claimed.point:.2f} times as fast is claimed, " if night.keeps and night.claimed else ""
    if night.claimed is None:
        claimed = "what is claimed is not known, "
    return f"A night on {night.target}: {claimed}{len(night.keeps)} of {others} kept"


def _audited(audit: Replay) -> str:
    return f"{_bounds(audit.speedup)} on {audit.time[:10]}"


def _bounds(speedup: Interval) -> str:
    return f"{speedup.point:.3f} [{speedup.low:.3f}, {speedup.high:.3f}]"


def _cases(facts: Facts) -> Cases:
    night, audit = facts.night, belief.audit_of(facts)
    claimed, measured = night.claimed_cases(), audit.cases if audit else {}
    shown = night.keeps[-MOST_KEEPS:]
    after = tuple(trial.best for trial in shown)
    overall = CaseRow("all cases", night.claimed, audit.speedup if audit else None, after)
    names = dict.fromkeys(name for trial in night.keeps if trial.digest for name in trial.digest.cases)
    rows = [CaseRow(name, claimed.get(name), measured.get(name), _after(night, name)) for name in names]
    return Cases(shown, len(night.keeps) - len(shown), (overall, *rows), audit is not None)


def _after(night: Night, case: str) -> tuple[float | None, ...]:
    """The case's speed-up after each of the newest keeps; None from the first that does not tell."""
    found: list[float | None] = []
    so_far: float | None = 1.0
    for trial in night.keeps:
        one = trial.digest.cases.get(case) if trial.digest else None
        so_far = so_far * one.speedup if so_far and trial.best and one and one.speedup else None
        found.append(so_far)
    return tuple(found[-MOST_KEEPS:])


def _spent(trial: Trial) -> Spent:
    digest, seconds = trial.digest, trial.row.seconds or 0.0
    if digest is None:
        return Spent(0.0, 0.0, 0.0, 0.0, seconds)
    windows = min(digest.windows_s, seconds)
    pairs = max(0.0, min(digest.pairs_s, seconds) - windows)
    return Spent(windows, pairs, max(0.0, seconds - windows - pairs), digest.waited_s, 0.0)


SPENT = ("windows", "around the windows", "items, compiling, the rest", "waiting for its turn", "not known")
"""What each part of `Spent` is called."""


def _totals(spent: Sequence[Spent]) -> Iterator[tuple[str, str, str]]:
    sums = [sum(part) for part in zip(*spent, strict=True)]
    for name, seconds in zip(SPENT, sums, strict=True):
        if seconds:
            yield name, wording.span(seconds), f"{seconds / sum(sums) * 100:.0f} %"


def _trial_rows(facts: Facts, anchor: str) -> Iterator[TrialRow]:
    baseline: Trial | None = None
    taken: Counter[int] = Counter()
    for trial in facts.night.trials:
        row, digest = trial.row, trial.digest
        taken[row.trial] += 1
        again = "" if taken[row.trial] == 1 else f"--{taken[row.trial]}"  # a log may have been edited
        audit = belief.audit_between(facts, row, baseline.row) if baseline and row.interval else None
        yield TrialRow(
            trial,
            trial_anchor(anchor, row.trial) + again,
            palette.mark_of(row.status),
            row.time[:10],
            row.time[11:16],
            wording.change_of_time(row.interval) if row.interval else "",
            "" if row.seconds is None else f"{row.seconds:.0f}",
            str(digest.looks) if digest and digest.looks else "",
            f"{digest.waited_s:.0f}" if digest and digest.waited_s >= 1 else "",
            f"{digest.waited * 100:.1f} %" if digest and digest.waited is not None and digest.windows_s else "",
            row.worst_case,
            wording.change(row.worst_speedup) if row.worst_speedup else "",
            digest.reason if digest else f"The verdict's sentence is not known: {trial.fault}.",
            wording.change_of_time(audit.speedup) if audit else "",
        )
        baseline = trial if trial.is_kept else baseline


def _causes(tried: Sequence[Trial]) -> str:
    """How the trials ended, the most frequent first."""
    ends = Counter(end(trial) for trial in tried)
    return ", ".join(f"{one} {count}" for one, count in ends.most_common())


def end(trial: Trial) -> str:
    """How a trial ended, and why, where that is known and says more."""
    cause = trial.digest.cause if trial.digest else None
    return f"{trial.row.status}{f' ({cause})' if cause else ''}"


def _changes(facts: Facts) -> Iterator[Change]:
    """Of the newest keeps, the newest first, and at the end of all of them in one."""
    chain = [trial for trial in facts.night.current if trial.is_kept]
    steps = list(zip(chain[:0:-1], chain[-2::-1], strict=True))
    for after, before in steps[:MOST_DIFFERENCES]:
        typed = belief.typed("show", facts, str(after.row.trial), "--diff")
        yield _change(facts, before, after, after.row.description, f"; {typed} looks for it in git too")
    if len(steps) > 1:
        yield _change(facts, chain[0], chain[-1], "All that was kept, in one.", "")


def _change(facts: Facts, before: Trial, after: Trial, about: str, elsewhere: str) -> Change:
    """`elsewhere`: where else a kernel may be that is not in the archive."""
    kernels = facts.kernels or {}
    title = f"trial {before.row.trial} to trial {after.row.trial}"
    sources = [kernels.get(trial.row.kernel) for trial in (before, after)]
    for trial, source in zip((before, after), sources, strict=True):
        if source is None:
            fault = f"The kernel of {belief.of_trial(trial)} is not in the archive{elsewhere}."
            return Change(title, about, None, fault, "")
    assert facts.root is not None
    old, new = sources
    assert old is not None
    assert new is not None
    found = differences.between(old, new)
    paths = [str(archive.kernel_place(facts.root, trial.row.kernel)) for trial in (before, after)]
    fault = "" if found else "One of the two kernels is too long to be compared here."
    return Change(title, about, found, fault, f"diff -u {shlex.join(paths)}")


def _prices(night: Night, anchor: str) -> Iterator[PriceRow]:
    for trial in night.keeps:
        digest = trial.digest
        if digest is not None:
            yield PriceRow(
                trial_anchor(anchor, trial.row.trial),
                trial.row.trial,
                _build(digest.building),
                _nearest(digest.building),
                _memory(digest),
            )


def _build(price: BuildPrice | None) -> str:
    return f"{price.baseline_ns / 1e6:.1f} → {price.candidate_ns / 1e6:.1f} ms" if price else ""


def _nearest(price: BuildPrice | None) -> str:
    if price is None:
        return ""
    return f"{price.case}: {price.case_candidate_ns / 1e6:.1f} of {price.budget_ns / 1e6:.1f} ms"


def _memory(digest: Digest) -> str:
    if not digest.candidate_peak_rss_bytes:
        return ""
    before, after = digest.baseline_peak_rss_bytes / wording.MB, digest.candidate_peak_rss_bytes / wording.MB
    return f"{before:.1f} → {after:.1f} MB"


def _host(facts: Facts) -> Iterator[tuple[str, str]]:
    for host in dict.fromkeys(trial.row.host for trial in facts.night.trials):
        yield "host", host or "unknown"
    for calibration in facts.calibrations:
        yield "calibration", report.calibration_note(calibration)
    if facts.root is not None and not facts.calibrations:
        name = facts.night.target
        yield "calibration", f"none; 'pytest --autoresearch={name} --autoresearch-calibrate' makes one"
    told = {_listed(one.found): one.trial for one in facts.versions}
    for versions, trial in told.items():
        yield "versions" if len(told) == 1 else f"versions, trial {trial}", versions
    intervals = [trial.row.interval for trial in facts.night.trials]
    widths = [(one.high - one.low) / 2 / one.point for one in intervals if one and one.is_bounded]
    if widths:
        yield "intervals", f"half of them are narrower than +-{statistics.median(widths) * 100:.2f} %"


def _listed(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())
