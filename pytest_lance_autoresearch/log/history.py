"""What a log and its archive tell afterwards: a check of every row, verdicts under other rules.

Owns reading trials back from the archive and computing their verdicts again. Measures nothing, writes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_lance_autoresearch.errors import LogError
from pytest_lance_autoresearch.log import archive, codec, results
from pytest_lance_autoresearch.records import Judgement, Rules, Status, TrialRecord
from pytest_lance_autoresearch.verdict import judge
from pytest_lance_autoresearch.words import wording


@dataclass(frozen=True)
class Checked:
    """What the check of one row found."""

    faults: tuple[str, ...]
    """Every way in which the row and its archive do not hold together, one sentence each."""
    is_judged_again: bool
    """Whether its verdict was computed again from raw windows."""
    judged_by: str = ""
    """The version whose thresholds are not known here, so that it was not; '' otherwise, which is no fault."""


def check(rows: Sequence[results.Row], root: Path) -> Iterator[Checked]:
    """Whether each row follows from the one before it, and is what the archive says."""
    for before, row in zip((None, *rows), rows, strict=False):
        faults, is_judged_again = [*_chain_faults(before, row), *_kernel_faults(row, root)], False
        judged_by = ""
        try:
            record = record_of(root, row)
            faults += _record_faults(row, record)
            if row.interval is not None or record.evidence.heat is not None:
                if record.rules is None:
                    judged_by = record.judged_by
                else:
                    faults += _verdict_faults(row, judged_again(record, row, record.rules))
                    is_judged_again = True
        except LogError as fault:
            faults.append(str(fault))
        yield Checked(tuple(faults), is_judged_again, judged_by)


def unrecorded_faults(rows: Sequence[results.Row], root: Path | None) -> Iterator[tuple[str, ...]]:
    """What `check` finds of each row without its record: by the chain and by the kernel's hash in the archive.

    Where there is no archive, by the chain alone.
    """
    for before, row in zip((None, *rows), rows, strict=False):
        faults = list(_chain_faults(before, row))
        if root is not None:
            faults += _kernel_faults(row, root)
        yield tuple(faults)


def record_of(root: Path, row: results.Row) -> TrialRecord:
    """A trial's archived record; LogError when it is missing, unreadable, or not the one that the row names."""
    return record_in(record_text(root, row), root, row)


def record_in(text: bytes, root: Path, row: results.Row) -> TrialRecord:
    """The record that those bytes hold, which are the row's; LogError where they hold none."""
    try:
        return codec.trial_from_json(text)
    except ValueError as error:
        raise LogError(f"{_place_of_record(root, row)} cannot be read: {error}") from error


def record_text(root: Path, row: results.Row) -> bytes:
    """The bytes that the row's hash is of; LogError where they are not there."""
    try:
        text = archive.trial_path(root, row.target, row.record).read_bytes()
    except FileNotFoundError:
        raise LogError(f"{_place_of_record(root, row)} is missing") from None
    except OSError as error:
        raise LogError(f"{_place_of_record(root, row)} cannot be read: {error.strerror}") from error
    except ValueError as error:  # a NUL in a foreign row
        raise LogError(f"{_place_of_record(root, row)} cannot be read: {error}") from error
    if hashlib.sha256(text).hexdigest() != row.record:
        raise LogError(f"{_place_of_record(root, row)} was changed; its sha256 is not the row's")
    return text


def _place_of_record(root: Path, row: results.Row) -> str:
    return f"trial {row.trial}: its record {wording.shown(archive.trial_path(root, row.target, row.record))}"


def judged_again(record: TrialRecord, row: results.Row, rules: Rules) -> Judgement:
    """The verdict of the trial's last look, from its raw windows, under `rules`.

    Only the windows that were measured can be judged: under stricter rules the result may be that more would
    have been needed.
    """
    if not record.evidence.pairs:
        raise LogError(
            f"trial {row.trial}: says speedup {row.speedup}, its record holds no windows of a baseline beside it"
        )
    return judge.look(record.evidence, rules)


def changed(
    rules: Rules, *, min_effect: float | None, case_limit: float | None, confidence: float | None
) -> Rules:
    """The rules with those thresholds that are given."""
    return replace(
        rules,
        min_effect=rules.min_effect if min_effect is None else min_effect,
        case_limit=rules.case_limit if case_limit is None else case_limit,
        confidence=rules.confidence if confidence is None else confidence,
    )


def chain_faults(rows: Sequence[results.Row]) -> Iterator[str]:
    """What the rows alone tell: of their numbers, and of whether each follows from the one before it."""
    for before, row in zip((None, *rows), rows, strict=False):
        yield from _chain_faults(before, row)


def first_damaged(rows: Sequence[results.Row], target: str, end: int | None = None) -> int | None:
    """The first trial since the target's newest baseline that was changed, or is missing; None where all hold.

    With `end`, of the rows before that one alone. A row that is missing may have been any target's. One that was
    changed counts where it names this one: whatever it says now, it may have been a keep.
    """
    looked_at = rows[:end]
    starts = [i for i, row in enumerate(looked_at) if row.target == target and row.status is Status.BASELINE]
    first = starts[-1] if starts else 0
    for i, row in enumerate(looked_at[first:], first):
        before, after = rows[i - 1] if i else None, rows[i + 1] if i + 1 < len(rows) else None
        number = before.trial + 1 if before else 1
        if row.trial != number and (i > first or not starts):
            return min(number, row.trial)
        if row.target == target and (is_changed(row, after) or not _claims_what_can_be(row)):
            return row.trial
    return None


def is_changed(row: results.Row, after: results.Row | None) -> bool:
    """Whether the row that came next followed from another one; a missing row is no change of this one."""
    return after is not None and after.trial == row.trial + 1 and after.previous != row.digest


def _claims_what_can_be(row: results.Row) -> bool:
    """Whether a keep has a speed-up that lies in its interval; other rows claim nothing."""
    return row.status is not Status.KEEP or (row.interval is not None and row.interval.is_possible)


def _chain_faults(before: results.Row | None, row: results.Row) -> Iterator[str]:
    wanted = before.digest if before else ""
    number = before.trial + 1 if before else 1
    if row.trial != number:
        yield f"trial {row.trial}: stands where trial {number} should; a row is missing or out of order"
    elif row.previous != wanted:
        yield f"trial {row.trial}: does not follow from the row before it; one of the two was changed"
    one = row.interval
    if one is not None and not 0 <= one.low <= one.point <= one.high:
        yield (
            f"trial {row.trial}: its speed-up {one.point:g} does not lie in its interval, {one.low:g} to "
            f"{one.high:g}; the row was changed"
        )
    elif not _claims_what_can_be(row):
        yield f"trial {row.trial}: is a keep without a speed-up that can have been measured; the row was changed"


def _kernel_faults(row: results.Row, root: Path) -> Iterator[str]:
    if archive.kernel(root, row.kernel) is None:
        yield f"trial {row.trial}: its kernel (sha256 {row.kernel[:12]}) is not in the archive, or was changed"


def _record_faults(row: results.Row, record: TrialRecord) -> Iterator[str]:
    if (record.status, record.candidate, record.harness) != (row.status, row.kernel, row.harness):
        yield f"trial {row.trial}: status, kernel or harness of the row is not that of its record"


def _verdict_faults(row: results.Row, judgement: Judgement) -> Iterator[str]:
    assert judgement.speedup is not None
    now = None if judgement.race else round(judgement.speedup.point, results.SPEEDUP_DECIMALS)
    if judgement.verdict.value != row.status:
        yield f"trial {row.trial}: says '{row.status}', its windows say '{judgement.verdict}' ({judgement.cause})"
    elif now != row.speedup:
        yield f"trial {row.trial}: says speedup {row.speedup}, its windows say {now}"
