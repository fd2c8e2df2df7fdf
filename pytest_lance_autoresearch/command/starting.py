"""The verbs that begin a project: a target of one's own, and the contract for whoever edits its kernel.

Owns what is written and the sentences about it. Nothing that is there is overwritten, nothing left half-written.
"""

from __future__ import annotations

import argparse
import keyword
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from pytest_lance_autoresearch.command.terminal import say, state
from pytest_lance_autoresearch.command.verb import Verb
from pytest_lance_autoresearch.errors import AutoresearchError
from pytest_lance_autoresearch.machine import files
from pytest_lance_autoresearch.target_files import discover, shipped
from pytest_lance_autoresearch.words import wording

TARGETS = Path(discover.DEFAULT_GLOBS[0]).parent
_PLACEHOLDER = "--autoresearch=NAME"
"""How the commands in a pattern's program.md call the target."""
_OTHERS_NAMES = {
    "__pycache__": "what Python calls its folder of compiled modules",
    **dict.fromkeys(("test", "tests"), "what a folder of tests is called"),
    **dict.fromkeys(
        ("_darcs", "build", "CVS", "dist", "node_modules", "venv"), "a folder that pytest passes over"
    ),
}
"""Folders that a target could have the name of, and that are taken for something else."""


def new(arguments: argparse.Namespace) -> int:
    """Begin a target of your own, in targets/NAME: a copy of one of the patterns, which runs as it is."""
    name, like, folder = arguments.name, arguments.like, TARGETS / arguments.name
    fault = discover.name_fault(name) or _unwise(name) or _misplaced(Path.cwd()) or _taken(name, folder)
    if fault:
        raise AutoresearchError(fault)
    was_there = TARGETS.exists()
    try:
        _copy(shipped.pattern(like), folder)
    except OSError as error:
        if not was_there:
            with suppress(OSError):  # it was not made, or others have put something there
                TARGETS.rmdir()
        raise AutoresearchError(f"{folder}: cannot be written: {error.strerror or error}") from error
    state(
        f"wrote {folder}, a target like the pattern '{like}': {shipped.PATTERNS[like]}",
        f"run it: pytest --autoresearch={name}",
        "make it yours: kernels.py is the kernel, reference.py says what is right, inputs.py what it is given, "
        "target.py what is timed, and program.md what whoever edits the kernel must know",
    )
    return 0


def _misplaced(here: Path) -> str:
    """Why no project's targets belong below the current folder; '' where they may."""
    inside = next((each for each in (here, *here.parents) if discover.recognise(each)), None)
    if inside is not None:
        top = inside.parent.parent if inside.parent.name == TARGETS.name else inside.parent
        return f"{inside}: is a target, in which no other one can lie; change to {top} and run this again"
    if here.name == TARGETS.name and any(map(discover.has_code, here.iterdir())):
        return f"{here}: holds the targets itself; change to {here.parent} and run this again"
    return ""


def _unwise(name: str) -> str:
    """Why no new target should have a name that targets can have; '' where it may."""
    if name.startswith("-"):
        return f"target '{name}': begins like an option; expected a letter, a digit or '_' first"
    what = "a keyword of Python" if keyword.iskeyword(name) else _OTHERS_NAMES.get(name)
    return f"target '{name}': is {what}; expected another name" if what else ""


def _taken(name: str, folder: Path) -> str:
    """What is in the way of a new target here; '' where nothing is."""
    if os.path.lexists(TARGETS) and not TARGETS.is_dir():
        return f"{TARGETS}: is no folder; expected one that {folder} can lie in, so give it another name first"
    if os.path.lexists(folder):
        return f"{folder}: is there already, and was left as it is; expected a new name"
    found = discover.discover(Path.cwd(), (*discover.DEFAULT_GLOBS, f"*/{name}", f"*/*/{name}"))
    twin = next((wording.shown(one.directory) for one in found if one.name == name), "")
    return f"target '{name}': is there already, in {twin}; expected a new name" if twin else ""


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
    """Print the contract of the loop, HARNESS.md, for whoever edits a kernel, or write it to a file."""
    text = shipped.contract().read_bytes()
    if arguments.file is None:
        say(*text.decode().splitlines())
    else:
        state(_written(arguments.file, text))
    return 0


def _written(path: Path, text: bytes) -> str:
    if path.is_dir():
        raise AutoresearchError(f"{path}: is a folder; expected the name of a file, such as {path / 'HARNESS.md'}")
    if not path.parent.is_dir():
        raise AutoresearchError(f"{path}: cannot be written, for there is no folder {path.parent}; make it first")
    try:
        if not os.path.lexists(path):
            files.write_whole(path, text)
            return f"wrote {path}, the contract of the loop; whoever edits a kernel should read it first"
        if path.read_bytes() == text:
            return f"{path}: already holds this version's contract; nothing was changed"
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
