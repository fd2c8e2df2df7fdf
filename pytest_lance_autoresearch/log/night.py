"""One target's trials in order: what each came to, and where it stands by what the log claims.

Owns the figures of a night: which trial is the best, what is claimed of it and of every other (speed-ups over the
newest baseline, overall and by case), and how wide the intervals are. Measures nothing, writes no words.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from pytest_lance_autoresearch.errors import LogError
from pytest_lance_autoresearch.log import digests, history, results
from pytest_lance_autoresearch.records import Cause, Digest, Interval, Status
from pytest_lance_autoresearch.verdict import stats
from pytest_lance_autoresearch.words import report


@dataclass(frozen=True)
class Trial:
    """One row of a log, with what its record comes to."""

    row: results.Row
    digest: Digest | None
    """None where the record cannot be had, ..."""
    fault: str
    """... for this reason; '' where it can."""
    best: float | None
    """The claimed speed-up, over the baseline of its time, of the best kernel after this trial; None where there
    is no baseline, and where a row that bears on it was changed or is missing."""
    reached: Interval | None
    """That of this trial's own kernel, as wide as the trial alone makes it, over what it was compared with where
    there is no baseline; None where it was not measured, or stands on a best kernel that is not known."""
    is_changed: bool = False
    """Whether the row says something else than its record, which then is not believed to be this row's."""
    is_broken: bool = False
    """Whether the row after it follows from another one."""

    @property
    def is_damaged(self) -> bool:
        """Whether what the row says is not to be believed: by its record, by the row after it, or by itself."""
        one = self.row.interval
        return self.is_changed or self.is_broken or (one is not None and not one.is_possible)

    @property
    def is_simpler(self) -> bool:
        """Whether it was kept for smaller code: a keep whose interval shows no gain can have no other reason."""
        if self.row.status is not Status.KEEP:
            return False
        if self.digest:
            return self.digest.cause is Cause.SIMPLER
        one = self.row.interval
        return one is not None and one.is_possible and one.low <= 1

    @property
    def status_word(self) -> str:
        """Its status, and of a keep whether it was kept for smaller code, where that is known."""
        return report.status_word(self.row.status, Cause.SIMPLER if self.is_simpler else None)

    @property
    def marked_status(self) -> str:
        """The same, with a mark where the row is not to be believed."""
        return f"{self.status_word} (changed)" if self.is_damaged else self.status_word

    @property
    def tried(self) -> str:
        """What whoever edited the kernel said of it; '' where nobody did, and the row repeats its reason."""
        return "" if self._repeats_its_reason else self.row.description

    @property
    def reason(self) -> str:
        """Why it ended as it did, as a sentence; '' where that is not known."""
        if self.digest:
            return self.digest.reason
        return self.row.description if self._repeats_its_reason else ""

    @property
    def _repeats_its_reason(self) -> bool:
        """Whether the row's description is the sentence of its verdict, which begins with that."""
        return self.row.description.startswith((f"{self.row.status}: ", f"{self.row.status} (simpler): "))

    @property
    def is_kept(self) -> bool:
        return self.row.status in results.KEPT


@dataclass(frozen=True)
class Night:
    """The trials of one target, oldest first."""

    target: str
    trials: tuple[Trial, ...]
    damaged: int | None = None
    """The first trial since the newest baseline that was changed or is missing: then nothing is known of what is
    claimed."""

    @property
    def current(self) -> tuple[Trial, ...]:
        """The newest baseline and what came after it; all trials where the log has no baseline."""
        starts = [i for i, trial in enumerate(self.trials) if trial.row.status is Status.BASELINE]
        return self.trials[starts[-1] if starts else 0 :]

    @property
    def changed(self) -> tuple[Trial, ...]:
        """The trials whose rows say something else than their records."""
        return tuple(trial for trial in self.trials if trial.is_changed)

    @property
    def kept(self) -> int:
        """How many keeps there are in all, whatever baseline they began from."""
        return sum(trial.row.status is Status.KEEP for trial in self.trials)

    @property
    def keeps(self) -> tuple[Trial, ...]:
        """The keeps since the newest baseline."""
        return tuple(trial for trial in self.current if trial.row.status is Status.KEEP)

    @property
    def best(self) -> Trial | None:
        """The last keep or baseline; None where nothing was kept yet."""
        return next((trial for trial in reversed(self.trials) if trial.is_kept), None)

    @property
    def since_best(self) -> tuple[Trial, ...]:
        """The trials since the last keep or baseline."""
        kept = [i for i, trial in enumerate(self.trials) if trial.is_kept]
        return self.trials[kept[-1] + 1 if kept else 0 :]

    @property
    def claimed(self) -> Interval | None:
        """The speed-up of the best kernel over the newest baseline, by the product of its keeps.

        None where a row that bears on it is damaged.
        """
        if self.damaged is not None:
            return None
        claims = (trial.row.interval for trial in self.keeps)
        return stats.product([claim for claim in claims if claim and claim.is_possible])

    @property
    def noise(self) -> float | None:
        """The median half width of the intervals of the overall speed-up, as a fraction; None without one."""
        found = (trial.row.interval for trial in self.trials)
        widths = [(one.high - one.low) / 2 / one.point for one in found if one and one.is_possible]
        return statistics.median(widths) if widths else None

    @property
    def waited(self) -> float | None:
        """The median share of a trial's windows in which others had the core; None where no record tells."""
        known = (trial.digest.waited for trial in self.trials if trial.digest)
        shares = [share for share in known if share is not None]
        return statistics.median(shares) if shares else None

    def claimed_cases(self) -> dict[str, Interval]:
        """The same of every case; of none where a keep's record is missing, or left a case without bounds."""
        if self.damaged is not None:
            return {}
        found: dict[str, list[Interval]] = {}
        for trial in self.keeps:
            for case, one in (trial.digest.cases if trial.digest else {}).items():
                if one.speedup is None or one.low is None or one.high is None:
                    continue
                claim = Interval(one.low, one.speedup, one.high)
                if claim.is_possible:
                    found.setdefault(case, []).append(claim)
        return {case: stats.product(ones) for case, ones in found.items() if len(ones) == len(self.keeps)}


def nights(rows: Sequence[results.Row], root: Path | None, lacking: str = "the log has no archive") -> list[Night]:
    """The night of every target in the log, by name.

    Without digests where the log has no archive, `root`; `lacking` is the sentence about that.
    """
    return [_night(target, rows, root, lacking) for target in sorted({row.target for row in rows})]


def _night(target: str, rows: Sequence[results.Row], root: Path | None, lacking: str) -> Night:
    """Baseline by baseline, since each begins the claims anew; what comes before the first is a part, too."""
    starts = [i for i, row in enumerate(rows) if row.target == target and row.status is Status.BASELINE]
    trials: list[Trial] = []
    damaged = None
    broken_rows = {row.digest for row, after in pairwise(rows) if history.is_changed(row, after)}

    def digested(row: results.Row) -> tuple[Digest | None, str, bool]:
        return _digest(root, row) if root else (None, lacking, False)

    for first, end in pairwise([0, *starts, len(rows)]):
        read = [(row, *digested(row)) for row in rows[first:end] if row.target == target]
        changed = [row.trial for row, *_, is_changed in read if is_changed]
        broken = history.first_damaged(rows, target, end)
        damaged = min([*changed, *([] if broken is None else [broken])], default=None)
        trials += _since_baseline(read, damaged)
    trials = [replace(trial, is_broken=trial.row.digest in broken_rows) for trial in trials]
    return Night(target, tuple(trials), damaged)


def _since_baseline(
    read: Sequence[tuple[results.Row, Digest | None, str, bool]], damaged: int | None
) -> Iterator[Trial]:
    """The trials from one baseline to the next: from the first damaged one on, nothing is known of the best."""
    best: float | None = None
    is_known = True
    for row, digest, fault, is_changed in read:
        is_known = is_known and (damaged is None or row.trial < damaged)
        own = row.interval if row.interval and row.interval.is_possible else None
        if row.status is Status.BASELINE:
            best, own = 1.0, Interval(1.0, 1.0, 1.0)
        if not is_known:
            best, own = None, None
        over = 1.0 if best is None else best
        reached = Interval(over * own.low, over * own.point, over * own.high) if own else None
        if row.status is Status.KEEP and reached and best is not None:
            best = reached.point
        yield Trial(row, digest, fault, best, reached, is_changed)


def _digest(root: Path, row: results.Row) -> tuple[Digest | None, str, bool]:
    """What the row's record comes to, or why that cannot be had, and whether the row contradicts it."""
    try:
        found = digests.of_row(root, row)
    except LogError as fault:
        return None, str(fault), False
    disagreement = digests.disagreement(row, found)
    return None if disagreement else found, disagreement, bool(disagreement)
