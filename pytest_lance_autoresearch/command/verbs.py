"""`python -m pytest_lance_autoresearch VERB`, or `lance-autoresearch VERB`: the command line.

Owns which verbs there are and how one ends. Exit codes: 0 all is well, 1 something was found (a fault, a verdict
that would change, a gain that does not replicate), 2 it could not be done, its reader left, or the command is
wrong.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from pytest_lance_autoresearch.command import explaining, reading, restoring, starting
from pytest_lance_autoresearch.command.terminal import tell
from pytest_lance_autoresearch.errors import AutoresearchError

VERBS = {**starting.VERBS, **reading.VERBS, **restoring.VERBS, **explaining.VERBS}
NOT_DONE = 2
SCRIPT = "lance-autoresearch"
"""What the installed command is called; pyproject.toml has it."""


def parser() -> argparse.ArgumentParser:
    typed = SCRIPT if Path(sys.argv[0]).name == SCRIPT else "python -m pytest_lance_autoresearch"
    made = argparse.ArgumentParser(
        prog=typed,
        description="Begin a target, explain its kernel, read its log of judged trials, put a kernel of it back.",
    )
    verbs = made.add_subparsers(required=True, metavar="VERB")
    for name, verb in VERBS.items():
        told = verb.run.__doc__ or ""
        one = verbs.add_parser(name, help=told.rstrip("."), description=told)
        one.set_defaults(run=verb.run)
        verb.add_arguments(one)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    try:
        code: int = arguments.run(arguments)
    except AutoresearchError as error:
        tell(f"ERROR: {error}")
        return NOT_DONE
    except BrokenPipeError:  # as before 'head'; what is still buffered goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NOT_DONE
    return code
