"""A kernel of a log, put back into its target's kernels.py.

Owns which kernel that is, and that nothing is lost: what kernels.py held is archived before it is replaced.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pytest_lance_autoresearch.errors import LogError
from pytest_lance_autoresearch.log import archive, results
from pytest_lance_autoresearch.log.origins import Origins
from pytest_lance_autoresearch.machine import files


@dataclass(frozen=True)
class Restored:
    """What kernels.py holds now, and where that lies which it held before."""

    row: results.Row
    path: Path
    is_new: bool
    """Whether kernels.py was written; it may have held this kernel already."""
    before: Path | None
    """In the archive; None where nothing was replaced."""


def restore(origins: Origins, target: str | None, trial: int | None) -> Restored:
    """Put the kernel of a trial back, or of the newest one that was kept; LogError where it cannot be."""
    row = _last_kept(origins, target) if trial is None else origins.row(trial)
    if target is not None and row.target != target:
        raise LogError(f"{origins.log}: trial {row.trial} is one of target '{row.target}', not of '{target}'")
    layout = origins.layout(row.target)
    text, path = origins.kernel(row.kernel, row, layout), layout.kernel_path
    try:
        held = path.read_bytes() if path.exists() else None
        if held == text:
            return Restored(row, path, is_new=False, before=None)
        before = None if held is None else _kept(origins.root, path, held)
        files.write_whole(path.resolve(), text)
    except OSError as error:
        raise LogError(f"{path}: cannot be replaced: {error.strerror or error}; it was left as it is") from error
    return Restored(row, path, is_new=True, before=before)


def _last_kept(origins: Origins, target: str | None) -> results.Row:
    names = sorted({row.target for row in origins.rows})
    if not names:
        raise LogError(f"{results.no_trial(origins.log)}; there is nothing to restore")
    known = ", ".join(names)
    if target is None and len(names) > 1:
        raise LogError(f"{origins.log}: has trials of {known}; say with --target whose kernel is to be restored")
    name = target or names[0]
    if name not in names:
        raise LogError(f"{origins.log}: has no trial of target '{name}'; expected one of {known}")
    row = results.baseline(origins.rows, name)
    if row is None:
        raise LogError(f"{origins.log}: no kernel of '{name}' was kept yet; --trial N restores that of any trial")
    return row


def _kept(root: Path, path: Path, held: bytes) -> Path:
    """Where the archive has what kernels.py held."""
    try:
        return archive.kernel_place(root, archive.store_kernel(root, held))
    except LogError as error:
        raise LogError(f"{path}: was left as it is, for what it holds cannot be archived: {error}") from error
