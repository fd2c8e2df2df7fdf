"""What trials came to, as a table in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_lance_autoresearch.records import Outcome
from pytest_lance_autoresearch.words import report, wording

_HEAD = ("target", "verdict", "speed-up", "time", "memory", "why")
_PLAIN = str.maketrans({character: f"\\{character}" for character in "\\`*_[<|&"})
"""What Markdown would take for more than a character, in sentences of which a kernel may have made a part."""


def table(outcomes: Sequence[Outcome], faults: Sequence[str], notes: Sequence[str] = ()) -> str:
    """A row for each target, the notes of each and of all below, and what kept others from having a row."""
    rows = [_HEAD, ("---",) * len(_HEAD), *map(_row, outcomes)]
    lines = [f"| {' | '.join(row)} |" for row in rows] if outcomes else []
    of_targets = [f"{outcome.target}: {note}" for outcome in outcomes for note in outcome.notes]
    points = [f"- {_plain(text)}" for text in (*of_targets, *notes, *faults)]
    return "\n".join([*lines, *([""] if lines and points else []), *points]) + "\n"


def _row(outcome: Outcome) -> tuple[str, ...]:
    figures, judgement = outcome.figures, outcome.judgement
    speedup = judgement.speedup if judgement else None
    return (
        _plain(outcome.target),
        f"**{report.verdict_word(outcome)}**",
        wording.interval(speedup) if speedup else "",
        _plain(f"{wording.time(figures.geomean_ns_per_op)}/{figures.unit}") if figures else "",
        f"{figures.peak_rss_bytes / wording.MB:.0f} MB" if figures and figures.peak_rss_bytes else "",
        _plain(outcome.reason),
    )


def _plain(text: str) -> str:
    """On one line, and shown as it is."""
    return wording.printable(" ".join(text.split())).translate(_PLAIN)
