"""Where the rows of a log come from: each trial's row, the folder of its target, and the source of a kernel.

Owns how they are found again, and the sentences about what is gone. Changes nothing.
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
        found = next((row for row in self.rows if row.trial == number), None)
        if found is None:
            raise LogError(f"there is no trial {number}; the log has {wording.many(len(self.rows), 'row')}")
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
        globs, where = " or ".join(self.globs), " or ".join(map(str, folders))
        raise LogError(f"there is no target '{name}' in {globs} below {where}; see --targets")

    def kernel(self, sha256: str, row: results.Row, layout: Layout) -> bytes:
        """A kernel that a row speaks of, from the archive or from git; LogError where both lack it."""
        commits = [one.commit for one in self.rows if one.kernel == sha256]
        text = archive.find_kernel(self.root, sha256, layout.kernel_path, commits)
        if text is None:
            raise LogError(
                f"trial {row.trial}: the kernel with sha256 {sha256[:12]} is not in the archive of {self.root}, "
                f"or was changed, and is not in {git.searched(layout.directory)}"
            )
        return text
