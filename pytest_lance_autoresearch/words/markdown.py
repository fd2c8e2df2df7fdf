"""What trials came to, as a table in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_lance_autoresearch.records import Outcome
from pytest_lance_autoresearch.words import report, wording

_HEAD = ("target", "verdict", "speed-up", "time", "memory", "why")


def table(outcomes: Sequence[Outcome], faults: Sequence[str]) -> str:
    """A row for each target, the notes of each below, and what kept others from having a row."""
    rows = [_HEAD, ("---",) * len(_HEAD), *map(_row, outcomes)]
    lines = [f"| {' | '.join(map(_cell, row))} |" for row in rows] if outcomes else []
    notes = [f"- {outcome.target}: {note}" for outcome in outcomes for note in outcome.notes]
    notes += [f"- {fault}" for fault in faults]
    return "\n".join([*lines, *([""] if lines and notes else []), *map(_text, notes)]) + "\n"


def _row(outcome: Outcome) -> tuple[str, ...]:
    figures, judgement = outcome.figures, outcome.judgement
    speedup = judgement.speedup if judgement else None
    return (
        outcome.target,
        f"**{report.verdict_word(outcome)}**",
        wording.interval(speedup) if speedup else "",
        f"{wording.time(figures.geomean_ns_per_op)}/{figures.unit}" if figures else "",
        f"{figures.peak_rss_bytes / wording.MB:.0f} MB" if figures and figures.peak_rss_bytes else "",
        outcome.reason,
    )


def _cell(text: str) -> str:
    return _text(text).replace("|", "\\|")


def _text(text: str) -> str:
    """On one line, with nothing in it that Markdown would take for HTML."""
    return " ".join(text.split()).replace("<", "&lt;")
