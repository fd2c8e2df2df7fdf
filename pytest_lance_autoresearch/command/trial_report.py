"""The words about one trial of a log: its cases, what kept its verdict open, the difference to its baseline.

Owns how sources are compared and how much of that is shown. Decides nothing.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_lance_autoresearch.errors import LogError
from pytest_lance_autoresearch.records import Status
from pytest_lance_autoresearch.words import wording

if TYPE_CHECKING:
    from pytest_lance_autoresearch.command.terminal import Colour
    from pytest_lance_autoresearch.log.night import Trial
    from pytest_lance_autoresearch.log.origins import Origins
    from pytest_lance_autoresearch.log.results import Row
    from pytest_lance_autoresearch.records import CaseDigest, Digest, DoubtDigest

MOST_LINES = 60
_MS = 1e6


class Difference(NamedTuple):
    """Of a kernel to its baseline's."""

    lines: tuple[str, ...]
    """As `diff -u` writes them."""
    said: str
    """What there is to say in place of them; '' where there are lines."""


def sentences(trial: Trial, baseline: Row | None) -> list[str]:
    """What is told before the cases and the difference."""
    row, digest = trial.row, trial.digest
    beside = f" beside trial {baseline.trial}" if baseline and row.interval else ""
    change = f", {wording.change_of_time(row.interval)}{beside}" if row.interval else ""
    told = [f"trial {row.trial} of {row.target}: {trial.status_word}{change}"]
    told += [f"{key}: {text}" for key, text in (("tried", trial.tried), ("reason", trial.reason)) if text]
    told.append(f"when: {row.time}, {_length(trial)}")
    told.append(f"kernel: {row.kernel[:12]}{f', at commit {row.commit}' if row.commit else ''}")
    return [*told, *(_costs(digest) if digest else [f"cases: not known: {trial.fault}"])]


def difference(origins: Origins, row: Row, baseline: Row | None) -> Difference:
    """Of the row's kernel to its baseline's."""
    if baseline is None:
        why = "it is a baseline itself" if row.status is Status.BASELINE else "the log has no baseline of it"
        return Difference((), f"no difference to show: {why}")
    if baseline.kernel == row.kernel:
        return Difference((), f"no difference to show: the kernel is trial {baseline.trial}'s, byte for byte")
    try:
        before, after = (_source(origins, one) for one in (baseline, row))
    except LogError as fault:
        return Difference((), f"no difference to show: {fault}")
    names = [f"trial {one.trial}  {one.kernel[:12]}" for one in (baseline, row)]
    return Difference(tuple(difflib.unified_diff(before, after, names[0], names[1], lineterm="")), "")


def shown(lines: Sequence[str], *, whole: bool) -> list[str]:
    """The lines of a difference, or as many of them as are read at a glance."""
    rest = 0 if whole else len(lines) - MOST_LINES
    return (
        [*lines[:MOST_LINES], f"... {wording.many(rest, 'more line')}; --diff shows all of them"]
        if rest > 0
        else [*lines]
    )


def colour(line: str) -> Colour | None:
    """That of a line of the difference."""
    if line.startswith(("+++", "---")):
        return "bold"
    return _COLOURS.get(line[:1])


_COLOURS: dict[str, Colour] = {"+": "green", "-": "red", "@": "magenta"}


def as_json(log: str, trial: Trial, baseline: Row | None, found: Difference) -> dict[str, Any]:
    """The same as plain JSON values; a number that does not exist is null."""
    return {
        "log": log,
        "row": asdict(trial.row),
        "baseline_trial": baseline.trial if baseline else None,
        "record": asdict(trial.digest) if trial.digest else None,
        "record_fault": trial.fault or None,
        "difference": list(found.lines),
        "no_difference": found.said or None,
    }


def _length(trial: Trial) -> str:
    row, digest = trial.row, trial.digest
    told = [f"{row.seconds:.0f} s"] if row.seconds is not None else []
    if digest and digest.looks:
        told.append(f"{wording.many(digest.looks, 'look')} at {wording.many(digest.pairs, 'pair')} of processes")
    if digest and digest.waited_s >= 1:
        told.append(f"waited {digest.waited_s:.0f} s for its turn before")
    return ", ".join([*told, f"on {row.host}"])


def _costs(digest: Digest) -> list[str]:
    doubt = doubt_of(digest)
    told = [f"open: {doubt.case or 'the whole'}, {doubt_sentence(doubt)}"] if doubt else []
    if digest.cpu_speedup is not None:
        told.append(f"CPU time: {wording.change(digest.cpu_speedup)}")
    if digest.waited is not None:
        told.append(f"waiting for a core: {digest.waited * 100:.1f} % of the windows' time, taken off")
    if digest.candidate_peak_rss_bytes:
        peaks = (digest.baseline_peak_rss_bytes, digest.candidate_peak_rss_bytes)
        before, after = (peak / wording.MB for peak in peaks)
        told.append(f"peak RSS: {before:.1f} -> {after:.1f} MB")
    if price := digest.building:
        before, after = price.baseline_ns / _MS, price.candidate_ns / _MS
        told.append(f"building: {before:.1f} -> {after:.1f} ms of CPU, over all cases")
    return told


def doubt_of(digest: Digest) -> DoubtDigest | None:
    """What kept its verdict open, by the trial's own rules; None where these are not known: its reason has it."""
    return digest.doubt if digest.min_effect is not None else None


def doubt_sentence(doubt: DoubtDigest) -> str:
    """What is known of that which kept a verdict open, and what would settle it."""
    if doubt.seconds is None:
        settling = "no measuring would settle it"
    elif doubt.seconds == 0:
        settling = "only the time was too short"
    else:
        settling = f"{wording.about(doubt.seconds)} more would settle it"
    return f"{wording.change(doubt.speedup)} ({_bounds(doubt.low, doubt.high)}); {settling}"


def cases(digest: Digest | None) -> list[str]:
    """A line for each case, the one that gained least first, or that takes longest where none is compared."""
    if digest is None or not digest.cases:
        return []
    order = sorted(digest.cases.items(), key=lambda item: (item[1].speedup or 0.0, -item[1].ns_per_call))
    rows = [("case", "change", "interval", "a call", "blocks", "aside"), *(_case(*item) for item in order)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(_aligned(row, widths)).rstrip() for row in rows]


def _case(name: str, one: CaseDigest) -> tuple[str, ...]:
    compared = ("", "") if one.speedup is None else (wording.change(one.speedup), _bounds(one.low, one.high))
    blocks = (str(one.blocks), str(one.set_aside)) if one.blocks else ("", "")
    return name, *compared, wording.time(one.ns_per_call), *blocks


def _bounds(low: float | None, high: float | None) -> str:
    """Of a speed-up, as changes of time."""
    return "too few blocks" if low is None or high is None else f"{wording.change(high)} to {wording.change(low)}"


def _aligned(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Names to the left, numbers to the right."""
    return [row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]


def _source(origins: Origins, row: Row) -> list[str]:
    return origins.own_kernel(row).decode("utf-8", "replace").splitlines()
