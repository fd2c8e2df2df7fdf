"""The verbs that measure claims of a log again. They keep what they measured, and change no log.

Owns how they are told what to measure.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from pytest_lance_autoresearch.command import audit_report, reading, trial_number
from pytest_lance_autoresearch.command.terminal import Live, state, tell
from pytest_lance_autoresearch.command.verb import Verb
from pytest_lance_autoresearch.log import archive, results
from pytest_lance_autoresearch.log.origins import Origins
from pytest_lance_autoresearch.runs.replay import Auditor, Replayed


def replay(arguments: argparse.Namespace) -> int:
    """Measure one trial's kernel against its baseline again."""
    rows = reading.read(arguments.log)
    root = reading.own_archive(arguments, rows)
    with closing(Live()) as live:
        found = _auditor(arguments, rows, root, live).replay(arguments.trial)
    _say(found)
    return 0 if found.replicates else reading.FOUND


def audit(arguments: argparse.Namespace) -> int:
    """Measure every keep since the baseline again, all of them together first, beside what the log claims."""
    rows, found = reading.read(arguments.log), list[Replayed]()
    if not rows:
        state(results.no_trial(arguments.log))
        return 0
    root = arguments.root or archive.root_of(arguments.log)  # git may have the kernels of another one
    with closing(Live()) as live:
        auditor = _auditor(arguments, rows, root, live)
        plan = auditor.plan(total_only=arguments.total_only, again=arguments.again)
        for line in audit_report.beforehand(plan, auditor.pairs, auditor.expected_s(plan)):
            tell(line)
        try:
            for one in auditor.audit(plan):
                found.append(one)  # first: an interrupt may come while it is told
                live.take_back()
                _say(one)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(audit_report.broken_off(found, len(plan))) from None
    state(audit_report.audited(found))
    return 0 if all(one.replicates for one in found) else reading.FOUND


def _say(found: Replayed) -> None:
    state(audit_report.replayed(found))
    if found.unkept:
        tell(audit_report.unkept(found))


def _auditor(arguments: argparse.Namespace, rows: Sequence[results.Row], root: Path, live: Live) -> Auditor:
    return Auditor(Origins(arguments.log, rows, root, reading.globs(arguments)), arguments.pairs, live)


def _add_pairs(parser: argparse.ArgumentParser) -> None:
    reading.add_archive(parser)
    parser.add_argument("--pairs", type=_at_least_2, default=4, metavar="K", help="pairs of processes (4)")
    reading.add_targets(parser)


def _add_row(parser: argparse.ArgumentParser) -> None:
    _add_pairs(parser)
    trial_number.add_trial(parser, "the trial's number", is_required=True)


def _add_audit(parser: argparse.ArgumentParser) -> None:
    _add_pairs(parser)
    parser.add_argument("--total-only", action="store_true", help="only all keeps together")
    parser.add_argument("--again", action="store_true", help="measure what was measured before, too")


def _at_least_2(text: str) -> int:
    if not text.isdecimal() or int(text) < 2:
        raise argparse.ArgumentTypeError(f"{text}: expected 2 or more; one pair of processes is not enough")
    return int(text)


VERBS: Mapping[str, Verb] = {"replay": Verb(replay, _add_row), "audit": Verb(audit, _add_audit)}
