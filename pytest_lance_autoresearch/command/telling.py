"""The verbs that tell of a log's trials: all of them, one of them, and where they have led. They change nothing.

Owns what is read for them, and how several logs are told.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_lance_autoresearch.command import log_report, reading, status_report, trial_number, trial_report
from pytest_lance_autoresearch.command.terminal import columns, say, wrapped
from pytest_lance_autoresearch.command.verb import NOT_DONE, Verb
from pytest_lance_autoresearch.errors import LogError
from pytest_lance_autoresearch.log import archive, history, night, origins, results, standing
from pytest_lance_autoresearch.log.night import Night, Trial
from pytest_lance_autoresearch.records import Status
from pytest_lance_autoresearch.words import wording


@dataclass(frozen=True)
class Log:
    """A log that is there, and what its archive tells of its rows."""

    path: Path
    rows: tuple[results.Row, ...]
    root: Path | None
    """The folder that holds its archive; None where it has none, ..."""
    lacking: str
    """... and the sentence about that, where there would be something in it; '' otherwise."""
    nights: tuple[Night, ...]
    faults: tuple[str, ...]
    """What does not hold together in its rows, and what a crash left of its end."""

    @property
    def name(self) -> str:
        return wording.shown(self.path)

    @property
    def trials(self) -> list[Trial]:
        """Of all targets, as they stand in the log."""
        found = {one.row.digest: one for each in self.nights for one in each.trials}
        return [found[row.digest] for row in self.rows]


def show_log(arguments: argparse.Namespace) -> int:
    """Show the rows of a log as a table, and a summary of each target."""
    logs, code = _logs(arguments)
    if not logs:
        return code
    if arguments.json:
        _say_json(
            {
                "targets": [
                    {"log": log.name, **log_report.summary_json(one)} for log in logs for one in log.nights
                ],
                "rows": [{"log": log.name, **log_report.row_json(one)} for log in logs for one in log.trials],
                "faults": _faults(logs),
            }
        )
        return code
    for number, log in enumerate(logs):
        heading = [*([""] if number else []), f"{log.name}:"] if len(arguments.logs) > 1 else []
        table = log_report.log_table(log.trials, None if arguments.wide else columns())
        summaries = map(log_report.summary_line, log.nights)
        below = wrapped([*summaries, *log_report.first_fault(log.faults), *filter(None, [log.lacking])])
        said = [*(table or [results.no_trial(log.path)]), *(["", *below] if below else [])]
        say(*heading, *said)
    return code


def status(arguments: argparse.Namespace) -> int:
    """Say where each target stands, in twenty lines: what a keep needs, what failed and why, what is next."""
    logs, code = _logs(arguments)
    if not logs:
        return code
    found = [(log, standing.of(one)) for log in logs for one in log.nights]
    if arguments.json:
        told = [status_report.as_json(log.name, where, log.faults, arguments.root) for log, where in found]
        _say_json({"targets": told, "faults": _faults(logs)})
        return code
    for log in logs:
        if not log.nights:
            say(status_report.no_trial(log.path), *log.faults)
    for number, (log, where) in enumerate(found):
        say(*([""] if number else []), *status_report.lines(log.name, where, log.faults, arguments.root))
    return code


def show(arguments: argparse.Namespace) -> int:
    """Show one trial: every case, what kept its verdict open, and the difference of its kernel to its baseline."""
    log = _log(arguments.log, arguments.root)
    root = log.root or archive.home(log.path, Path.cwd())
    found = origins.Origins(log.path, log.rows, root, reading.globs(arguments))
    number = found.row(arguments.trial).trial
    trial = next(one for one in log.trials if one.row.trial == number)
    baseline = _baseline(log, trial)
    difference = trial_report.difference(found, trial.row, baseline)
    if arguments.json:
        _say_json({**trial_report.as_json(log.name, trial, baseline, difference), "faults": list(log.faults)})
        return 0
    table = trial_report.cases(trial.digest)
    said = [*trial_report.sentences(trial, baseline), *log_report.first_fault(log.faults)]
    say(*wrapped(said), "", *table, *([""] if table else []))
    if difference.lines:
        say(*trial_report.shown(difference.lines, whole=arguments.diff), paint=trial_report.colour)
    else:
        say(*wrapped([difference.said]))
    return 0


def _baseline(log: Log, trial: Trial) -> results.Row | None:
    """The row whose kernel the trial was compared with, by its record or else by the rows before it."""
    rows, row = log.rows, trial.row
    before = rows[: rows.index(row)]
    if trial.digest is None:
        return None if row.status is Status.BASELINE else results.baseline(before, row.target)
    return next((one for one in before if one.trial == trial.digest.baseline_trial), None)


def _logs(arguments: argparse.Namespace) -> tuple[list[Log], int]:
    """Those of the named logs that can be read, and the exit code."""
    found, faults = reading.each(arguments.logs, lambda path: _log(path, arguments.root))
    return list(found.values()), NOT_DONE if faults else 0


def _log(path: Path, root: Path | None) -> Log:
    rows, own, lacking = reading.read(path), None, ""
    try:
        own = origins.own_archive(path, rows, root)
    except LogError as fault:
        lacking = str(fault) if rows else ""
    nights = tuple(night.nights(rows, own, lacking))
    changed = (trial.fault for one in nights for trial in one.changed)
    faults = (*history.chain_faults(rows), *changed, *filter(None, [results.cut_off(path)]))
    return Log(path, rows, own, lacking, nights, faults)


def _faults(logs: list[Log]) -> list[str]:
    return [fault for log in logs for fault in log.faults]


def _say_json(told: Mapping[str, Any]) -> None:
    say(*json.dumps(told, indent=2).splitlines())


def _add_logs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "logs", type=Path, nargs="+", metavar="LOG", help="the log, such as targets/pq-l2/results.tsv; or several"
    )
    reading.add_root(parser)
    parser.add_argument("--json", action="store_true", help="as JSON, for programs")


def _add_table(parser: argparse.ArgumentParser) -> None:
    _add_logs(parser)
    parser.add_argument("--wide", action="store_true", help="every column whole, however narrow the terminal is")


def _add_trial(parser: argparse.ArgumentParser) -> None:
    reading.add_archive(parser)
    reading.add_targets(parser)
    trial_number.add_trial(parser, "the trial's number", is_required=True)
    parser.add_argument("--diff", action="store_true", help="all of the difference, however long")
    parser.add_argument("--json", action="store_true", help="as JSON, for programs")


VERBS: Mapping[str, Verb] = {
    "log": Verb(show_log, _add_table),
    "show": Verb(show, _add_trial),
    "status": Verb(status, _add_logs),
}
