"""The verbs that begin a project: a target of one's own, and the contract for whoever edits its kernel.

Owns what is written and the sentences about it. Nothing that is there is overwritten, nothing left half-written.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from pytest_lance_autoresearch.command.terminal import say
from pytest_lance_autoresearch.command.verb import Verb
from pytest_lance_autoresearch.errors import AutoresearchError
from pytest_lance_autoresearch.machine import files
from pytest_lance_autoresearch.target_files import discover, shipped

TARGETS = Path(discover.DEFAULT_GLOBS[0]).parent
_PLACEHOLDER = "--autoresearch=NAME"
"""How the commands in a pattern's program.md call the target."""


def new(arguments: argparse.Namespace) -> int:
    """A target of one's own, which runs: a copy of one of the patterns, in targets/NAME."""
    name, like = arguments.name, arguments.like
    if fault := discover.name_fault(name):
        raise AutoresearchError(fault)
    folder = TARGETS / name
    if os.path.lexists(folder):
        raise AutoresearchError(f"{folder}: is there already, and was left as it is; expected a new name")
    try:
        _copy(shipped.pattern(like), folder)
    except OSError as error:
        raise AutoresearchError(f"{folder}: cannot be written: {error.strerror or error}") from error
    say(
        f"{folder}: is a target now, like the pattern '{like}': {shipped.PATTERNS[like]}",
        f"run it: pytest --autoresearch={name}",
        "make it yours: kernels.py is the kernel, reference.py says what is right, inputs.py what it is given, "
        "target.py what is timed, program.md what whoever edits it must know",
    )
    return 0


def _copy(pattern: Path, folder: Path) -> None:
    """The pattern's files, all of them or none."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as partial:
        copy = Path(partial, folder.name)
        copy.mkdir()
        for name in discover.FILES:
            text = (pattern / name).read_text(encoding="utf-8")
            named = text.replace(_PLACEHOLDER, f"--autoresearch={folder.name}")
            (copy / name).write_text(named, encoding="utf-8")
        copy.rename(folder)


def harness(arguments: argparse.Namespace) -> int:
    """The contract of the loop, HARNESS.md, for whoever edits a kernel: printed, or written to a file."""
    text = shipped.contract().read_bytes()
    if arguments.file is None:
        say(*text.decode().splitlines())
    else:
        say(_written(arguments.file, text))
    return 0


def _written(path: Path, text: bytes) -> str:
    try:
        if not os.path.lexists(path):
            files.write_whole(path, text)
            return f"{path}: is the contract of the loop now; let whoever edits a kernel read it first"
        if path.read_bytes() == text:
            return f"{path}: is this version's contract already; nothing was changed"
    except OSError as error:
        raise AutoresearchError(f"{path}: cannot be written: {error.strerror or error}") from error
    raise AutoresearchError(
        f"{path}: is there already, differs from this version's contract, and was left as it is; "
        f"expected a new name, or remove it first"
    )


def _add_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the target's name, of letters, digits, '_' and '-'")
    told = "; ".join(f"{name}: {what}" for name, what in shipped.PATTERNS.items())
    parser.add_argument("--like", choices=shipped.PATTERNS, default="template", help=f"{told} (template)")


def _add_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE", help="where to write it, such as HARNESS.md")


VERBS: Mapping[str, Verb] = {"new": Verb(new, _add_name), "harness": Verb(harness, _add_file)}
