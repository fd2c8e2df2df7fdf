"""Where the rows of a log come from: each trial's row, the folder of its target, and the source of a kernel.

Owns how they are found again, in archive or git, and the sentences about what is gone. Changes nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_lance_autoresearch.errors import LogError
from pytest_lance_autoresearch.log import archive, git, results
from pytest_lance_autoresearch.records import Layout
from pytest_lance_autoresearch.target_files import discover
from pytest_lance_autoresearch.words import wording


def own_archive(log: Path, rows: Sequence[results.Row], named: Path | None = None) -> Path:
    """The folder with the log's own archive, the one that was named or the nearest; LogError without one.

    Where another log's archive is nearer, every single record would be missing: one sentence says so.
    """
    if not rows:
        raise LogError(results.no_trial(log))
    root = named or archive.root_of(log)
    if not any(archive.trial_path(root, row.target, row.record).exists() for row in rows):
        raise LogError(
            f"{wording.shown(log)}: {archive.place(root)} holds no record of this log, and may be another log's; "
            f"name the folder that has this log's {archive.FOLDER} with --root"
        )
    return root


@dataclass(frozen=True)
class Origins:
    """What one log leads to."""

    log: Path
    rows: Sequence[results.Row]
    root: Path
    """The folder that holds the log's archive."""
    globs: tuple[str, ...]
    """Where the targets are, from the root or else from the current folder: a log may lie far from its targets."""

    def row(self, number: int) -> results.Row:
        """A trial's row; LogError where there is none."""
        if not self.rows:
            raise LogError(results.no_trial(self.log))
        found = next((row for row in self.rows if row.trial == number), None)
        if found is None:
            first, last = self.rows[0].trial, self.rows[-1].trial
            if first < number < last:
                gone = f"the row of trial {number} is missing, though others follow it; verify says more"
                raise LogError(f"{wording.shown(self.log)}: {gone}")
            known = f"trial {first} alone" if first == last else f"trials {first} to {last}"
            raise LogError(f"{wording.shown(self.log)}: there is no trial {number}; the log has {known}")
        return found

    def layout(self, name: str) -> Layout:
        """The target of that name, in the log's own folder or else where the globs find it; LogError without one.

        It may lack a file, even its kernel.
        """
        beside = self.log.resolve().parent
        if beside.name == name and discover.has_code(beside):
            return discover.inspect(beside)
        folders = tuple(dict.fromkeys((self.root.resolve(), Path.cwd())))
        for least, folder in itertools.product((discover.COMPLETE, discover.NAMED), folders):
            found = [layout for layout in discover.discover(folder, self.globs, least) if layout.name == name]
            if len(found) > 1:
                raise LogError(found[0].faults[-1])  # which says where they are
            if found:
                return found[0]
        looked_in = [wording.shown(folder / glob) for folder in folders for glob in self.globs]
        raise LogError(f"there is no target '{name}' in {' or '.join(looked_in)}; say where it is with --targets")

    def kernel(self, sha256: str, row: results.Row, layout: Layout) -> bytes:
        """A kernel that a row speaks of, from the archive or from git; LogError where both lack it."""
        commits = [one.commit for one in self.rows if one.kernel == sha256]
        text = archive.find_kernel(self.root, sha256, layout.kernel_path, commits)
        if text is None:
            raise LogError(f"{self._lacks(sha256, row)}, and is not in {git.searched(layout.directory)}")
        return text

    def own_kernel(self, row: results.Row) -> bytes:
        """A row's own kernel, as `kernel`, where git is asked only if the target is there."""
        text = archive.kernel(self.root, row.kernel)
        if text is not None:
            return text
        try:
            layout = self.layout(row.target)
        except LogError as fault:
            lacks = self._lacks(row.kernel, row)
            in_git = "and git, which is searched beside the target, cannot have it either"
            raise LogError(f"{lacks}, {in_git}: {fault}") from fault
        return self.kernel(row.kernel, row, layout)

    def _lacks(self, sha256: str, row: results.Row) -> str:
        """What the archive does not have."""
        where = archive.place(self.root)
        return f"trial {row.trial}: the kernel with sha256 {sha256[:12]} is not in {where}, or was changed there"
