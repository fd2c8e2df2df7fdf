"""Targets that a revision holds and the working tree holds no more.

Owns which folders of a commit are targets: those that the globs cover and that have a target's files.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Collection, Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from pytest_lance_autoresearch.log import git, revision
from pytest_lance_autoresearch.log.revision import Revision
from pytest_lance_autoresearch.records import Declared, Layout
from pytest_lance_autoresearch.target_files import discover, packages
from pytest_lance_autoresearch.words import report

if TYPE_CHECKING:
    from pytest_lance_autoresearch.target_files.load import Target


def notes(
    name: str, root: Path, globs: Iterable[str], layouts: Iterable[Layout], targets: Iterable[Target]
) -> list[str]:
    """A sentence for each target of the revision that is none of `layouts`, nor a renamed one of `targets`."""
    commit = git.resolve(root, name)
    held = git.paths_at(root, commit) if commit else None
    if held is None:
        return []
    patterns = [_from_top(root, pattern) for pattern in globs]
    places = [path.parent for path in held if path.name == "target.py"]
    covered = {place for place in places if any(covers(one, place.parts) for one in patterns)}
    gone = covered - {git.place(layout.directory) for layout in layouts}
    if gone:
        gone -= {revision.folder_then(target, commit, held) for target in targets}
    was = [Layout(place.name, Path(place)) for place in sorted(gone) if _is_target(root, commit, place, held)]
    then = Revision(name, commit[:12], None)
    return [
        report.deleted(str(then), one.name, str(one.directory))
        for one in was
        if discover.is_judged_by_default(one)
    ]


def covers(pattern: Sequence[str], parts: Sequence[str]) -> bool:
    """Whether a glob finds that path, both of them part by part."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(covers(pattern[1:], parts[count:]) for count in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and covers(pattern[1:], parts[1:])


def _from_top(root: Path, pattern: str) -> tuple[str, ...]:
    """The parts of a glob below the root, as one below the top of the repository."""
    return PurePosixPath(os.path.normpath(glob.escape(str(git.place(root))) + f"/{pattern}")).parts


def _is_target(root: Path, commit: str, place: PurePosixPath, held: Collection[PurePosixPath]) -> bool:
    """Whether a target's code files were there, the kernel's unless target.py says that it lies elsewhere."""
    missing = [name for name in discover.CODE_FILES if place / name not in held]
    text = git.contents_at(root, commit, place / "target.py") if missing == [discover.KERNEL] else None
    return not missing or (text is not None and packages.declared_in(text) != Declared())
