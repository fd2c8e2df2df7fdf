"""The words about a log: its rows, and whether it holds.

Owns every sentence of the command line that reads logs. Decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pytest_lance_autoresearch.records import Judgement
from pytest_lance_autoresearch.words import report, wording
from pytest_lance_autoresearch.words.wording import change, change_of_time, many, printable

if TYPE_CHECKING:
    from pytest_lance_autoresearch.log.night import Night, Trial

DESCRIPTION = "description"
LEAST_DESCRIPTION = 24
"""Columns that are left to it where others have to go."""
_LEFT_OUT = ("target", "time", "kernel", "waited", "looks")
"""Which columns go, and in which order, where there is no room for all."""
_OF_RECORDS = ("looks", "waited")
"""Columns that are left out where no record tells of any."""
_NUMBERS = ("trial", "change", "seconds", "looks", "waited")


def log_table(trials: Sequence[Trial], columns: int | None) -> list[str]:
    """The rows of a log, in so many columns of a terminal; None for a reader that has no need of an end.

    Nothing where there is no row.
    """
    if not trials:
        return []
    told = {name: cells for name, cells in _table(trials).items() if any(cells) or name not in _OF_RECORDS}
    table = {name: list(map(printable, cells)) for name, cells in told.items()}
    widths = {name: max(map(len, (name, *cells))) for name, cells in table.items()}
    if columns is not None:
        widths = _narrowed(widths, columns)
    cells = [[_cell(name, text, width) for text in (name, *table[name])] for name, width in widths.items()]
    return ["  ".join(line).rstrip() for line in zip(*cells, strict=True)]


def _table(trials: Sequence[Trial]) -> dict[str, list[str]]:
    """Cells by column; those of `_OF_RECORDS` are empty where no record tells of them."""
    rows, found = [trial.row for trial in trials], [trial.digest for trial in trials]
    return {
        "trial": [str(row.trial) for row in rows],
        "time": [row.time[:16].replace("T", " ") for row in rows],
        "target": [row.target for row in rows],
        "status": [trial.marked_status for trial in trials],
        "change": [change(row.speedup) if row.speedup is not None else "" for row in rows],
        "seconds": [f"{row.seconds:.0f}" if row.seconds is not None else "" for row in rows],
        "looks": [str(one.looks) if one and one.looks else "" for one in found],
        "waited": [f"{one.waited_s:.0f}" if one else "" for one in found],
        "kernel": [row.kernel[:12] for row in rows],
        DESCRIPTION: [row.description for row in rows],
    }


def _narrowed(widths: Mapping[str, int], columns: int) -> dict[str, int]:
    """The widths of the columns that remain; the last one, the description, has what the others leave."""
    kept, gaps = dict(widths), 2
    for name in (name for name in _LEFT_OUT if name in kept):
        others = sum(width + gaps for column, width in kept.items() if column != DESCRIPTION)
        if columns - others >= min(LEAST_DESCRIPTION, kept[DESCRIPTION]):
            break
        del kept[name]
    others = sum(width + gaps for column, width in kept.items() if column != DESCRIPTION)
    return {**kept, DESCRIPTION: max(len("..."), columns - others)}


def _cell(name: str, text: str, width: int) -> str:
    shown = wording.cut(text, width)
    return shown.rjust(width) if name in _NUMBERS else shown.ljust(width)


def row_json(trial: Trial) -> dict[str, Any]:
    """A row with what its record tells beside; null where that cannot be had."""
    digest = trial.digest
    return {
        **asdict(trial.row),
        "looks": digest.looks if digest else None,
        "waited_s": digest.waited_s if digest else None,
        "record_fault": trial.fault or None,
    }


def summary_json(night: Night) -> dict[str, Any]:
    """A target's history in a few numbers."""
    best = night.best
    return {
        "target": night.target,
        "trials": len(night.trials),
        "keeps": night.kept,
        "best_trial": best.row.trial if best else None,
        "claimed_speedup": night.claimed.point if best and night.claimed else None,
        "plateau": len(night.since_best),
        "noise": night.noise,
        "tried": [trial.tried for trial in night.since_best if trial.tried],
    }


def summary_line(night: Night) -> str:
    """A target's history in one line."""
    best = f"best is trial {night.best.row.trial}" if night.best else "nothing kept yet"
    claimed = f", claimed {night.claimed.point:.3f}x since its baseline" if night.claimed and night.keeps else ""
    unknown = f"; claimed {report.claim_not_known(night.damaged)}" if not night.claimed and night.damaged else ""
    plateau = many(len(night.since_best), "trial")
    noise = f", intervals of +-{night.noise * 100:.2f} %" if night.noise is not None else ""
    return (
        f"{night.target}: {many(len(night.trials), 'trial')}, {many(night.kept, 'keep')}, {best}{claimed}, "
        f"{plateau} without a keep{noise}{unknown}"
    )


def first_fault(faults: Sequence[str]) -> list[str]:
    """The first of what is wrong with a log, in one line; none where nothing is."""
    more = f"; verify tells of {many(len(faults) - 1, 'more fault')}" if len(faults) > 1 else ""
    return [f"{fault}{more}" for fault in faults[:1]]


def verified(rows: int, judged_again: int, faults: int) -> str:
    """The end of a check of a log."""
    found = "no fault" if faults == 0 else many(faults, "fault")
    return f"{found}: {many(rows, 'row')}, {many(judged_again, 'verdict')} computed again from raw windows"


def rejudged(trial: int, target: str, status: str, judgement: Judgement) -> str:
    """One trial under other thresholds."""
    word = judgement.verdict.value
    same = "as before" if word == status else f"was {status}"
    return f"trial {trial}, {target}: {word} ({judgement.cause}), {same}, {change_of_time(judgement.speedup)}"


def rejudged_total(changes: int, *, is_of_all: bool) -> str:
    """The end of judging a log again; some verdicts may have been left out."""
    if changes:
        return f"{many(changes, 'verdict')} would change"
    return "every verdict stays" if is_of_all else "every other verdict stays"
