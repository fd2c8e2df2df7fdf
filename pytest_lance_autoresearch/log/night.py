"""One target's trials in order: what each came to, and where it stands by what the log claims.

Owns the figures of a night: which trial is the best, what is claimed of it and of every other (speed-ups over the
newest baseline, overall and by case), and how wide the intervals are. Measures nothing, writes no words.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_lance_autoresearch.errors import LogError
from pytest_lance_autoresearch.log import digests, history, results
from pytest_lance_autoresearch.records import Digest, Interval, Status
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
    best: float
    """The claimed speed-up over the newest baseline of the best kernel after this trial."""
    reached: Interval | None
    """That of this trial's own kernel, as wide as the trial alone makes it; None where it was not measured."""
    is_changed: bool = False
    """Whether the row says something else than its record, which then is not believed to be this row's."""

    @property
    def status_word(self) -> str:
        """Its status, and of a keep whether it was kept for smaller code, where that is known."""
        return report.status_word(self.row.status, self.digest.cause if self.digest else None)

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
    trials, best = [], 1.0
    for row in (row for row in rows if row.target == target):
        own = row.interval if row.interval and row.interval.is_possible else None
        if row.status is Status.BASELINE:
            best, own = 1.0, Interval(1.0, 1.0, 1.0)
        reached = Interval(best * own.low, best * own.point, best * own.high) if own else None
        if row.status is Status.KEEP and reached:
            best = reached.point
        digest, fault, is_changed = _digest(root, row) if root else (None, lacking, False)
        trials.append(Trial(row, digest, fault, best, reached, is_changed))
    found = Night(target, tuple(trials), history.first_damaged(rows, target))
    changed = (trial.row.trial for trial in found.current if trial.is_changed)
    return replace(found, damaged=min((one for one in (found.damaged, *changed) if one is not None), default=None))


def _digest(root: Path, row: results.Row) -> tuple[Digest | None, str, bool]:
    """What the row's record comes to, or why that cannot be had, and whether the row contradicts it."""
    try:
        found = digests.of_row(root, row)
    except LogError as fault:
        return None, str(fault), False
    disagreement = digests.disagreement(row, found)
    return None if disagreement else found, disagreement, bool(disagreement)
