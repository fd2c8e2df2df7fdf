"""The verb that puts a kernel of a log back into its target.

Owns the sentence about what was put where.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from pytest_lance_autoresearch.command import reading, trial_number
from pytest_lance_autoresearch.command.terminal import say, shown
from pytest_lance_autoresearch.command.verb import Verb
from pytest_lance_autoresearch.log import archive
from pytest_lance_autoresearch.log.origins import Origins
from pytest_lance_autoresearch.runs import restoration


def restore(arguments: argparse.Namespace) -> int:
    """The kernel that was kept last, or a trial's, back into its file; what that held goes to the archive."""
    rows = reading.read(arguments.log)
    root = arguments.root or archive.home(arguments.log, Path.cwd())
    origins = Origins(arguments.log, rows, root, reading.globs(arguments))
    say(restored(restoration.restore(origins, arguments.target, arguments.trial)))
    return 0


def restored(found: restoration.Restored) -> str:
    """Which kernel is in its file now, and where the one of before is."""
    path, row = shown(found.path), found.row
    kernel = f"the kernel of trial {row.trial} ({row.status}, sha256 {row.kernel[:12]})"
    if not found.is_new:
        return f"{path}: holds {kernel} already; nothing was changed"
    before = f"what it held before is {shown(found.before)}" if found.before else "there was no such file before"
    return f"{path}: holds {kernel} again; {before}"


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    reading.add_archive(parser)
    reading.add_targets(parser)
    trial_number.add_trial(parser, "the kernel of that trial, whatever its end", is_required=False)
    parser.add_argument("--target", metavar="NAME", help="whose kernel, where the log has several targets'")


VERBS: Mapping[str, Verb] = {"restore": Verb(restore, _add_arguments)}
