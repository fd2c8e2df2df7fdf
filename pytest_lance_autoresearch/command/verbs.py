"""`python -m pytest_lance_autoresearch VERB LOG`: what a log says, and whether it holds.

Owns the command line of these verbs. Exit codes: 0 all is well, 1 something was found (a fault, a verdict that
would change, a gain that does not replicate), 2 the log cannot be read, its reader left, or the command is wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TextIO

from pytest_lance_autoresearch.command import log_report
from pytest_lance_autoresearch.errors import AutoresearchError
from pytest_lance_autoresearch.log import archive, history, results
from pytest_lance_autoresearch.runs import replay
from pytest_lance_autoresearch.target_files import discover
from pytest_lance_autoresearch.words import wording

FOUND, UNREADABLE = 1, 2


def show_log(arguments: argparse.Namespace, rows: Sequence[results.Row]) -> int:
    """The rows as a table, and each target's summary."""
    summaries = history.summaries(rows)
    if arguments.json:
        told = {"targets": list(map(asdict, summaries)), "rows": list(map(asdict, rows))}
        _say(*json.dumps(told, indent=2).splitlines())
        return 0
    _say(*log_report.log_table(rows), "", *map(log_report.summary_line, summaries))
    return 0


def verify(arguments: argparse.Namespace, rows: Sequence[results.Row]) -> int:
    """Every row's hashes, its place in the chain, and its verdict computed again from the raw windows."""
    checked = list(history.check(rows, arguments.root))
    faults = [fault for one in checked for fault in one.faults]
    faults += filter(None, [results.cut_off(arguments.log)])
    judged_again = sum(one.is_judged_again for one in checked)
    _say(*faults, log_report.verified(len(rows), judged_again, len(faults)))
    return FOUND if faults else 0


def rejudge(arguments: argparse.Namespace, rows: Sequence[results.Row]) -> int:
    """Every measured verdict under other thresholds, without measuring."""
    changes = 0
    for row in (row for row in rows if row.interval is not None):
        record = history.record_of(arguments.root, row)
        rules = history.changed(
            history.rules_of(record, row),
            min_effect=arguments.min_effect,
            case_limit=arguments.case_limit,
            confidence=arguments.confidence,
        )
        judgement = history.judged_again(record, row, rules)
        changes += judgement.verdict.value != row.status
        _say(log_report.rejudged(row.trial, row.target, row.status, judgement))
    _say(log_report.rejudged_total(changes))
    return FOUND if changes else 0


def replay_row(arguments: argparse.Namespace, rows: Sequence[results.Row]) -> int:
    """One trial's kernel against its baseline again, measured now."""
    found = _auditor(arguments, rows).replay(arguments.trial)
    _say(log_report.replayed(found))
    return 0 if found.replicates else FOUND


def audit(arguments: argparse.Namespace, rows: Sequence[results.Row]) -> int:
    """Every keep since the baseline, and all of them together, measured now beside what the log claims."""
    found = []
    for one in _auditor(arguments, rows).audit():
        _say(log_report.replayed(one))
        found.append(one)
    _say(log_report.audited(found))
    return 0 if all(one.replicates for one in found) else FOUND


def _auditor(arguments: argparse.Namespace, rows: Sequence[results.Row]) -> replay.Auditor:
    globs = tuple(arguments.targets or discover.DEFAULT_GLOBS)
    return replay.Auditor(rows, arguments.root, arguments.pairs, globs, _tell)


def _say(*lines: str) -> None:
    _write(sys.stdout, lines)


def _tell(line: str) -> None:
    _write(sys.stderr, [line])


def _write(stream: TextIO, lines: Iterable[str]) -> None:
    """Write lines as the stream can show them: a foreign log may hold anything, a stream take ASCII only."""
    text = "\n".join(map(wording.printable, lines))
    encoding = stream.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), file=stream, flush=True)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m pytest_lance_autoresearch", description="Read a log of judged trials."
    )
    verbs = made.add_subparsers(required=True, metavar="VERB")
    for name, verb in VERBS.items():
        one = verbs.add_parser(name, help=(verb.__doc__ or "").rstrip("."), description=verb.__doc__)
        one.set_defaults(verb=verb)
        one.add_argument("log", type=Path, metavar="LOG", help="the log, such as targets/pq-l2/results.tsv")
        if verb is show_log:
            one.add_argument("--json", action="store_true", help="for programs")
            continue
        one.add_argument("--root", type=Path, help="the folder that holds .autoresearch (default: found upwards)")
        if verb is replay_row:
            one.add_argument("trial", type=int, metavar="N", help="the trial's number")
        if verb in (replay_row, audit):
            one.add_argument("--pairs", type=_at_least_2, default=4, metavar="K", help="pairs of processes (4)")
            one.add_argument(
                "--targets",
                action="append",
                metavar="GLOB",
                help="where the targets are, from the root or the current folder (targets/*)",
            )
        if verb is rejudge:
            for option in ("--min-effect", "--case-limit", "--confidence"):
                one.add_argument(option, type=_fraction, metavar="FRACTION", help="instead of the trial's own")
    return made


def _at_least_2(text: str) -> int:
    if not text.isdecimal() or int(text) < 2:
        raise argparse.ArgumentTypeError(f"{text}: expected 2 or more; one pair of processes is not enough")
    return int(text)


def _fraction(text: str) -> float:
    with suppress(ValueError):
        if 0 < float(text) < 1:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text}: expected a fraction such as 0.01")


VERBS = {"log": show_log, "verify": verify, "rejudge": rejudge, "replay": replay_row, "audit": audit}


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    try:
        if not arguments.log.is_file():
            raise AutoresearchError(f"{arguments.log}: there is no such log")
        if getattr(arguments, "root", "") is None:
            arguments.root = archive.root_of(arguments.log)
        found: int = arguments.verb(arguments, results.read(arguments.log))
    except AutoresearchError as error:
        _tell(f"ERROR: {error}")
        return UNREADABLE
    except BrokenPipeError:  # as before 'head'; what is still buffered goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNREADABLE
    return found
