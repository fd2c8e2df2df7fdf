"""The verb that says why a kernel takes the time that it takes.

Owns how the target and the case are named on the command line.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from pytest_lance_autoresearch.command import explain_report, reading
from pytest_lance_autoresearch.command.terminal import Live, columns, say
from pytest_lance_autoresearch.command.verb import Verb
from pytest_lance_autoresearch.records import ANSWER_TIMEOUT_S
from pytest_lance_autoresearch.runs import explanation
from pytest_lance_autoresearch.target_files import discover, load


def explain(arguments: argparse.Namespace) -> int:
    """Say why a kernel takes the time it takes: where it spends it, what its hot loops hold, what limits it."""
    (layout,) = discover.select([arguments.target], Path.cwd(), reading.globs(arguments))
    with closing(Live()) as live:
        found = explanation.explain(load.load(layout), arguments.case, live, arguments.timeout)
    say(*explain_report.lines(found, columns()), *(explain_report.assembly(found) if arguments.asm else ()))
    return 0


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="TARGET", help="its name, such as pq-l2")
    parser.add_argument("case", metavar="CASE", nargs="?", help="such as 96x8x256-sparse (the slowest timed one)")
    parser.add_argument("--asm", action="store_true", help="the machine code of the hot loops, too")
    parser.add_argument(
        "--timeout",
        type=reading.seconds,
        metavar="S",
        help=f"longest time for one answer of the kernel, compiling included ({explanation.ANSWER_S:g}; "
        f"{ANSWER_TIMEOUT_S:g} while the slowest case is looked for)",
    )
    reading.add_targets(parser)


VERBS: Mapping[str, Verb] = {"explain": Verb(explain, _add_arguments)}
