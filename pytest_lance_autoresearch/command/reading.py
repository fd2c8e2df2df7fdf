"""The verbs that check a log: whether it holds, and what other thresholds would say. They measure nothing.

Owns how a log, its archive and its targets are named on the command line, and how long something may take.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

from pytest_lance_autoresearch.command import log_report
from pytest_lance_autoresearch.command.terminal import state, tell_fault
from pytest_lance_autoresearch.command.verb import Verb
from pytest_lance_autoresearch.errors import LogError
from pytest_lance_autoresearch.log import history, origins, results
from pytest_lance_autoresearch.target_files import discover
from pytest_lance_autoresearch.words import report

Found = TypeVar("Found")
FOUND = 1
"""The exit code of a verb that found something: a fault, a verdict that would change, a gain that is gone."""


def verify(arguments: argparse.Namespace) -> int:
    """Check a log: every row's hashes, its place in the chain, its verdict computed again from raw windows."""
    rows = read(arguments.log)
    checked = list(history.check(rows, own_archive(arguments, rows))) if rows else []
    faults = [fault for one in checked for fault in one.faults]
    faults += filter(None, [results.cut_off(arguments.log)])
    judged_again = sum(one.is_judged_again for one in checked)
    foreign = report.of_other_versions([one.judged_by for one in checked if one.judged_by])
    checks = log_report.verified(len(rows), judged_again, len(faults)) if rows else results.no_trial(arguments.log)
    state(*faults, *foreign, checks)
    return FOUND if faults else 0


def rejudge(arguments: argparse.Namespace) -> int:
    """Judge every trial that was measured again, by other thresholds and without measuring."""
    rows = read(arguments.log)
    if not rows:
        state(results.no_trial(arguments.log))
        return 0
    root = own_archive(arguments, rows)
    changes, foreign = 0, []
    for row in (row for row in rows if row.interval is not None):
        record = history.record_of(root, row)
        if record.rules is None:
            foreign.append(record.judged_by)
            continue
        rules = history.changed(
            record.rules,
            min_effect=arguments.min_effect,
            case_limit=arguments.case_limit,
            confidence=arguments.confidence,
        )
        judgement = history.judged_again(record, row, rules)
        changes += judgement.verdict.value != row.status
        state(log_report.rejudged(row.trial, row.target, row.status, judgement))
    state(*report.of_other_versions(foreign), log_report.rejudged_total(changes, is_of_all=not foreign))
    return FOUND if changes else 0


def read(log: Path) -> tuple[results.Row, ...]:
    """The rows of a log that is there."""
    if log.is_dir():
        raise LogError(f"{log}: is a folder; expected a log, such as {log / 'results.tsv'}")
    if not log.is_file():
        raise LogError(f"{log}: there is no such log")
    return results.read(log)


def each(logs: Sequence[Path], read_one: Callable[[Path], Found]) -> tuple[dict[Path, Found], tuple[str, ...]]:
    """What `read_one` makes of each log, and a sentence about each that cannot be read, which is told at once."""
    found: dict[Path, Found] = {}
    faults = []
    for log in logs:
        try:
            found[log] = read_one(log)
        except LogError as fault:
            tell_fault(fault)
            faults.append(str(fault))
    return found, tuple(faults)


def own_archive(arguments: argparse.Namespace, rows: Sequence[results.Row]) -> Path:
    """The folder that holds the log's own archive, which must be there."""
    return origins.own_archive(arguments.log, rows, arguments.root)


def globs(arguments: argparse.Namespace) -> tuple[str, ...]:
    return tuple(arguments.targets or discover.DEFAULT_GLOBS)


def add_log(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("log", type=Path, metavar="LOG", help="the log, such as targets/pq-l2/results.tsv")


def add_archive(parser: argparse.ArgumentParser) -> None:
    add_log(parser)
    add_root(parser)


def add_root(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--root", type=Path, help="the folder that holds .autoresearch (the nearest above)")


def add_targets(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--targets",
        action="append",
        metavar="GLOB",
        help="where the targets are, from the root or the current folder (targets/*)",
    )


def seconds(text: str) -> float:
    """How long something may take."""
    with suppress(ValueError):
        if 0 < float(text) < math.inf:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text}: expected a number of seconds, more than 0")


def _add_rules(parser: argparse.ArgumentParser) -> None:
    add_archive(parser)
    for option, example in {"--min-effect": 0.01, "--case-limit": 0.05, "--confidence": 0.99}.items():
        fraction = partial(_fraction, example)
        parser.add_argument(option, type=fraction, metavar="FRACTION", help="instead of the trial's own")


def _fraction(example: float, text: str) -> float:
    with suppress(ValueError):
        if 0 < float(text) < 1:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text}: expected a fraction such as {example}")


VERBS: Mapping[str, Verb] = {
    "verify": Verb(verify, add_archive),
    "rejudge": Verb(rejudge, _add_rules),
}
