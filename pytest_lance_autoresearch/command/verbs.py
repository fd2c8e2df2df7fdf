"""`python -m pytest_lance_autoresearch VERB`, or `lance-autoresearch VERB`: the command line.

Owns which verbs there are and how one ends. Exit codes: 0 all is well, 1 something was found (a fault, a verdict
that would change, a gain that does not replicate), 2 it could not be done, its reader left, or the command is
wrong, 10 no candidate of a tournament was kept, 130 it was interrupted and 143 terminated, as shells count.
"""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from pytest_lance_autoresearch.command import (
    auditing,
    competing,
    drawing,
    explaining,
    reading,
    restoring,
    starting,
    telling,
)
from pytest_lance_autoresearch.command.terminal import tell, tell_fault
from pytest_lance_autoresearch.command.verb import NOT_DONE
from pytest_lance_autoresearch.errors import AutoresearchError
from pytest_lance_autoresearch.machine import environment, interrupt

VERBS = {
    **starting.VERBS,
    **telling.VERBS,
    **reading.VERBS,
    **drawing.VERBS,
    **auditing.VERBS,
    **restoring.VERBS,
    **explaining.VERBS,
    **competing.VERBS,
}
INTERRUPTED = 130
SCRIPT = "lance-autoresearch"
"""What the installed command is called; pyproject.toml has it."""
DISTRIBUTION = "pytest-lance-autoresearch"


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog=_typed(),
        description="Begin a target, explain its kernel, read its log of judged trials, put a kernel of it back. "
        "VERB --help says more.",
    )
    version = f"{DISTRIBUTION} {environment.versions().get(DISTRIBUTION, '')}"
    made.add_argument("-V", "--version", action="version", version=version)
    verbs = made.add_subparsers(required=True, metavar="VERB")
    for name, verb in VERBS.items():
        told = verb.run.__doc__ or ""
        one = verbs.add_parser(name, help=told.rstrip("."), description=told)
        one.set_defaults(run=verb.run, refuse=one.error)
        verb.add_arguments(one)
    return made


def _too_many(surplus: Sequence[str]) -> str:
    """What is said of words that the verb does not take: of options, or else of the first of the others."""
    if option := next((word for word in surplus if word.startswith("-")), ""):
        return f"there is no option '{option}'; --help behind the verb says which there are"
    return f"'{surplus[0]}' is one argument too many; expected no more than the usage above names"


def _typed() -> str:
    """How the command was called."""
    return SCRIPT if Path(sys.argv[0]).name == SCRIPT else "python -m pytest_lance_autoresearch"


def main(argv: Sequence[str] | None = None) -> int:
    words = sys.argv[1:] if argv is None else argv
    watch = interrupt.Watch()
    watch.start()
    try:
        _refuse_other_verbs(words)
        arguments, surplus = parser().parse_known_args(words)
        if surplus:  # which argparse would answer with the usage of the whole command
            arguments.refuse(_too_many(surplus))
        with interrupt.orderly_end():
            code: int = arguments.run(arguments)
        interrupt.obey()
    except AutoresearchError as error:
        tell_fault(error)
        return NOT_DONE
    except BrokenPipeError:  # as before 'head'; what is still buffered goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NOT_DONE
    except KeyboardInterrupt as interrupted:
        tell(f"interrupted{f': {interrupted}' if str(interrupted) else ''}")
        return INTERRUPTED
    finally:
        watch.stop()
    return code


def _refuse_other_verbs(words: Sequence[str]) -> None:
    """AutoresearchError where the command begins with no verb; an option may come first, such as --help."""
    if words and (words[0] in VERBS or words[0].startswith("-")):
        return
    expected = f"expected one of {', '.join(VERBS)}; {_typed()} --help says what they do"
    if not words:
        raise AutoresearchError(f"there is no verb; {expected}")
    near = difflib.get_close_matches(words[0], VERBS, n=1)
    hint = f"did you mean '{near[0]}'?" if near else expected
    raise AutoresearchError(f"there is no verb '{words[0]}'; {hint}")
