"""The verb that puts a kernel of a log back into its target.

Owns the sentence about what was put where.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from pytest_lance_autoresearch.command import reading, trial_number
from pytest_lance_autoresearch.command.terminal import state
from pytest_lance_autoresearch.command.verb import Verb
from pytest_lance_autoresearch.log import archive
from pytest_lance_autoresearch.log.origins import Origins
from pytest_lance_autoresearch.runs import restoration
from pytest_lance_autoresearch.words import wording


def restore(arguments: argparse.Namespace) -> int:
    """Put the kernel that was kept last, or a trial's, back into its file; the archive keeps what that held."""
    rows = reading.read(arguments.log)
    root = arguments.root or archive.home(arguments.log, Path.cwd())
    origins = Origins(arguments.log, rows, root, reading.globs(arguments))
    state(restored(restoration.restore(origins, arguments.target, arguments.trial)))
    return 0


def restored(found: restoration.Restored) -> str:
    """Which kernel is in its file now, and where the one of before is."""
    path, row = wording.shown(found.path), found.row
    kernel = f"the kernel of trial {row.trial} ({row.status}, sha256 {row.kernel[:12]})"
    if not found.is_new:
        return f"{path}: already holds {kernel}; nothing was changed"
    kept = f"what it held before is kept as {wording.shown(found.before)}" if found.before else ""
    return f"{path}: now holds {kernel}; {kept or 'there was no such file before'}"


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    reading.add_archive(parser)
    reading.add_targets(parser)
    trial_number.add_trial(parser, "the kernel of that trial, whatever its end", is_required=False)
    parser.add_argument("--target", metavar="NAME", help="of which target, where the log has several")


VERBS: Mapping[str, Verb] = {"restore": Verb(restore, _add_arguments)}
