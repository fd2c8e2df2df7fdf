"""The verb that tries many candidates of a target at once.

Owns how they are named on the command line.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from pytest_lance_autoresearch.command import reading, tournament_report, writing
from pytest_lance_autoresearch.command.terminal import Live, columns, say, wrapped
from pytest_lance_autoresearch.command.verb import Verb
from pytest_lance_autoresearch.errors import AutoresearchError
from pytest_lance_autoresearch.interface import trials
from pytest_lance_autoresearch.target_files import discover


def tournament(arguments: argparse.Namespace) -> int:
    """Many candidates of a target: all are checked, rounds choose the fastest, and the gate judges these."""
    candidates = list(dict.fromkeys(_files(arguments.candidates)))
    (layout,) = discover.select([arguments.target], Path.cwd(), reading.globs(arguments))
    log = arguments.log or layout.log_path
    if arguments.json:
        writing.refuse(arguments.json, [log], "tournament.json")
    with closing(Live()) as live:
        try:
            found = trials.tournament(
                trials.load(layout.directory),
                candidates,
                log=log,
                max_seconds=arguments.max_seconds,
                watch=live,
                ray=arguments.ray,
            )
        except OSError as error:
            raise AutoresearchError(f"{error.filename}: cannot be read: {error.strerror or error}") from error
    room = columns()
    below = [*tournament_report.cut_short(found, room), tournament_report.ended(found, log)]
    say(*tournament_report.table(found, room), *wrapped(below))
    if arguments.json:
        text = json.dumps(tournament_report.as_json(layout.name, found), indent=2) + "\n"
        writing.write(arguments.json, text.encode())
    return found.exit_code


def _files(named: Sequence[Path]) -> Iterator[Path]:
    """The candidates: a file is one, a folder every module in it."""
    for path in named:
        if not path.is_dir():
            if path.exists() and path.suffix != ".py":
                raise AutoresearchError(f"{path}: is no Python source; a candidate's name ends with .py")
            yield path
            continue
        modules = sorted(path.glob("*.py"))
        if not modules:
            raise AutoresearchError(
                f"{path}: holds no *.py; expected a folder of candidates, or a candidate's file"
            )
        yield from modules


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="TARGET", help="its name, as in --autoresearch=NAME")
    parser.add_argument(
        "candidates", nargs="+", type=Path, metavar="CANDIDATE", help="a kernel's file, or a folder of them"
    )
    parser.add_argument("--log", type=Path, metavar="FILE", help="instead of the target's own results.tsv")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the outcome of every candidate")
    parser.add_argument(
        "--ray", default="", metavar="ADDRESS", help="spread the candidates over the hosts of that Ray cluster"
    )
    parser.add_argument(
        "--max-seconds",
        type=reading.seconds,
        default=3600.0,
        metavar="S",
        help="time budget of the whole, of which the rounds take half at most (3600)",
    )
    reading.add_targets(parser)


VERBS: Mapping[str, Verb] = {"tournament": Verb(tournament, _add_arguments)}
