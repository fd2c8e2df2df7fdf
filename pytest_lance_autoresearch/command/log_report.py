"""The words about a log: its rows, and whether it holds.

Owns every sentence of the command line that reads logs. Decides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pytest_lance_autoresearch.records import Judgement
from pytest_lance_autoresearch.words.wording import change, change_of_time, many, printable, time

if TYPE_CHECKING:
    from pytest_lance_autoresearch.log.history import Summary
    from pytest_lance_autoresearch.log.results import Row

CELL_WIDTH = 60


def log_table(rows: Sequence[Row]) -> list[str]:
    """The rows of a log, short enough to read."""
    head = ("trial", "time", "target", "status", "change of time", "geomean", "description")
    body = [
        (
            str(row.trial),
            row.time[:16].replace("T", " "),
            row.target,
            row.status,
            change(row.speedup) if row.speedup is not None else "",
            f"{time(row.geomean_ns)}/{row.unit}" if row.geomean_ns is not None else "",
            row.description,
        )
        for row in rows
    ]
    lines = [head, *(tuple(map(_short, map(printable, line))) for line in body)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]


def _short(cell: str) -> str:
    return cell if len(cell) <= CELL_WIDTH else f"{cell[: CELL_WIDTH - 3]}..."


def summary_line(summary: Summary) -> str:
    """A target's history in one line."""
    best = f"best is trial {summary.best_trial}" if summary.best_trial else "nothing kept yet"
    noise = f", intervals of +-{summary.noise * 100:.2f} %" if summary.noise is not None else ""
    return (
        f"{summary.target}: {many(summary.trials, 'trial')}, {many(summary.keeps, 'keep')}, {best}, "
        f"claimed {summary.claimed_speedup:.3f}x since its baseline, "
        f"{many(summary.plateau, 'trial')} without a keep{noise}"
    )


def verified(rows: int, judged_again: int, faults: int) -> str:
    """The end of a check of a log."""
    found = "no fault" if faults == 0 else many(faults, "fault")
    return f"{found}: {many(rows, 'row')}, {many(judged_again, 'verdict')} computed again from raw windows"


def rejudged(trial: int, target: str, status: str, judgement: Judgement) -> str:
    """One trial under other thresholds."""
    word = judgement.verdict.value
    same = "as before" if word == status else f"was {status}"
    return f"trial {trial}, {target}: {word} ({judgement.cause}), {same}, {change_of_time(judgement.speedup)}"


def rejudged_total(changes: int) -> str:
    return "every verdict stays" if changes == 0 else f"{many(changes, 'verdict')} would change"
