"""What a log claims: that the kernel of a row is so much faster than another.

Owns which claims a log makes, in which order an audit goes through them, and the sentences about rows that claim
nothing. Measures nothing.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pytest_lance_autoresearch.errors import AutoresearchError, LogError
from pytest_lance_autoresearch.log import history, results
from pytest_lance_autoresearch.records import Cause, Interval, Status
from pytest_lance_autoresearch.verdict import stats

if TYPE_CHECKING:
    from pytest_lance_autoresearch.log.origins import Origins
    from pytest_lance_autoresearch.records import TrialRecord

_MEASURED = (Status.KEEP, Status.DISCARD, Status.PASS, Status.REGRESSED, Status.INCONCLUSIVE)
_NO_BASELINE = "the row of its baseline is missing"


@dataclass(frozen=True)
class Claim:
    """The speed-up of a row's kernel over another, as the log says it."""

    row: results.Row
    claimed: Interval
    baseline: str
    """sha256 of the other kernel."""
    against: int | None
    """The trial that had that kernel; None where that is unknown."""
    is_total: bool = False
    """Whether it is about all keeps since a baseline together."""
    is_gain: bool = True
    """False for a keep whose claim was equal speed with smaller code."""
    pair_s: float | None = None
    """Seconds that a pair of processes took in its trial, about; None where that was not noted."""
    fault: str = ""
    """Why it cannot be measured again, as far as the log alone tells."""

    @property
    def what(self) -> str:
        """What it is about, for whoever knows its target."""
        return (
            f"trial {self.row.trial} against trial {self.against}" if self.is_total else f"trial {self.row.trial}"
        )

    @property
    def whole_name(self) -> str:
        """What it is about, among the claims of a log."""
        return f"{self.row.target}, {self.what}" if self.is_total else self.what


def of_trial(origins: Origins, number: int) -> Claim:
    """That of one row, against the kernel that was its baseline; LogError where it makes none."""
    row = origins.row(number)
    if row.status is Status.BASELINE:
        raise LogError(f"trial {number} is a baseline and was compared with nothing; there is nothing to replay")
    if row.interval is None or row.status not in _MEASURED:
        raise LogError(f"trial {number} ended as '{row.status}' without a measurement; there is nothing to replay")
    record = history.record_of(origins.root, row)
    if record.baseline is None:
        raise LogError(f"trial {number}: its record names no baseline; the row was changed")
    is_gain = record.cause is not Cause.SIMPLER
    return Claim(
        row,
        _claimed(row),
        record.baseline,
        record.baseline_trial,
        is_gain=is_gain,
        pair_s=_pair_s(record, row),
    )


def of_keeps(origins: Origins, *, total_only: bool = False) -> list[Claim]:
    """Of every target since its newest baseline: all keeps together, and then each from the newest to the oldest.

    A single keep is all of them together.
    """
    totals, each = [], []
    for target in sorted({row.target for row in origins.rows}):
        chain = [row for row in origins.rows if row.target == target and row.status in results.KEPT]
        baselines = [i for i, row in enumerate(chain) if row.status == Status.BASELINE]
        if not baselines:
            totals += [Claim(row, _claimed(row), "", None, fault=_NO_BASELINE) for row in reversed(chain)]
            continue
        keeps = [_of_keep(origins, row) for row in reversed(chain[baselines[-1] + 1 :])]
        if len(keeps) > 1:
            totals.append(_total(keeps, chain[baselines[-1]]))
            each += keeps
        else:
            totals += keeps
    return totals if total_only else totals + each


def _of_keep(origins: Origins, row: results.Row) -> Claim:
    """One fault in a log ends no audit."""
    claimed = _claimed(row)
    try:
        return of_trial(origins, row.trial)
    except AutoresearchError as fault:
        return Claim(row, claimed, "", None, fault=fault.headline)


def _total(keeps: Sequence[Claim], first: results.Row) -> Claim:
    """That of the newest keep against the first kernel."""
    claimed = stats.product([keep.claimed for keep in keeps])
    is_gain = any(keep.is_gain for keep in keeps)
    total = replace(keeps[0], claimed=claimed, is_total=True, is_gain=is_gain, fault="")
    return replace(total, baseline=first.kernel, against=first.trial)


def _claimed(row: results.Row) -> Interval:
    """The speed-up that the row says, with its interval; LogError where it says none that could be."""
    claim = row.interval
    if claim is None or not claim.is_possible:
        raise LogError(f"trial {row.trial}: its speed-up does not lie in its interval; the row was changed")
    return claim


def _pair_s(record: TrialRecord, row: results.Row) -> float | None:
    """Of the pairs that were measured, or where that was not noted, of the whole trial."""
    pairs = record.evidence.pairs
    noted = [pair.seconds for pair in pairs if pair.seconds is not None]
    if noted:
        return statistics.fmean(noted)
    return row.seconds / len(pairs) if row.seconds and pairs else None
