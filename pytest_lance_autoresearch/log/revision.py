"""A target's files as they were at a revision of its repository.

Owns what a revision is asked for, and the sentences about one that cannot answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from pytest_lance_autoresearch.errors import RevisionUnknown
from pytest_lance_autoresearch.log import git
from pytest_lance_autoresearch.records import REVISION
from pytest_lance_autoresearch.target_files import load

if TYPE_CHECKING:
    from pytest_lance_autoresearch.target_files.load import Target


KERNEL = "kernels.py"


@dataclass(frozen=True)
class Revision:
    """What a commit holds of a target."""

    name: str
    """As it was given, such as 'origin/main'."""
    commit: str
    """Its first twelve digits."""
    kernel: bytes | None
    """None where the target is not there."""
    moved_from: str = ""
    """The target's folder then, where it was another one."""
    changed: tuple[str, ...] = ()
    """Those of the target's other files that have other contents there, or are not there."""
    is_committed: bool = True
    """Whether the commit that is checked out holds the kernel as it is now."""

    def __str__(self) -> str:
        return f"{self.name} at {self.commit}"


def find(target: Target, name: str) -> Revision:
    """The target's files at the revision of that name; RevisionUnknown where it cannot be asked."""
    folder = target.layout.directory
    commit = git.resolve(folder, name)
    if not commit:
        raise RevisionUnknown(_unknown(folder, name))
    head = git.commit(target.layout.kernel_path, target.kernel.sha256)
    found = Revision(name, commit[:12], None, is_committed=not head.endswith(git.UNCOMMITTED))
    here = git.place(folder)
    place = _place(target, name, commit, here)
    if place is None:
        return found
    kernel = git.contents_at(folder, commit, place / KERNEL)
    if kernel is None:
        raise RevisionUnknown(f"{REVISION}{name}: git cannot read {place / KERNEL} as it was there")
    moved_from = "" if place == here else str(place)
    return replace(found, kernel=kernel, moved_from=moved_from, changed=tuple(_changed(target, commit, place)))


def _unknown(folder: Path, name: str) -> str:
    if not git.is_installed():
        return f"{REVISION}{name} needs git, which is not installed"
    if fault := git.trouble(folder):
        return f"{REVISION}{name}: git does not read the repository of {folder}; it says '{fault}'"
    if not git.resolve(folder, "HEAD"):
        return f"{REVISION}{name}: {folder} is in no git repository that has a commit"
    if git.is_shallow(folder):
        return (
            f"{REVISION}{name}: this clone is shallow and does not have it; fetch it ('git fetch --depth=1 origin "
            f"main' makes it {REVISION}FETCH_HEAD), or set 'fetch-depth: 0' in actions/checkout"
        )
    return f"{REVISION}{name}: the repository has no such revision; expected a branch, a tag or a commit"


def _changed(target: Target, commit: str, place: PurePosixPath) -> Iterable[str]:
    """The files beside the kernel that are not the same there; line ends do not count."""
    folder = target.layout.directory
    for name in load.HARNESS_FILES:
        if not _is_same(git.contents_at(folder, commit, place / name), target.files[name]):
            yield name


def _place(target: Target, name: str, commit: str, here: PurePosixPath) -> PurePosixPath | None:
    """The folder that the target had then, which is `here` now; None where it was not there.

    In another folder it is found by its reference, of which nothing is left there any more.
    """
    folder = target.layout.directory
    kernels = git.files_at(folder, commit, KERNEL)
    if kernels is None:
        raise RevisionUnknown(f"{REVISION}{name}: git cannot list the files that were there")
    if here / KERNEL in kernels:
        return here
    top, reference = git.top(folder), target.files["reference.py"]
    for path in kernels:
        is_gone = not (top / path).exists()
        if is_gone and _is_same(git.contents_at(folder, commit, path.with_name("reference.py")), reference):
            return path.parent
    return None


def _is_same(one: bytes | None, other: bytes) -> bool:
    return one is not None and one.replace(b"\r\n", b"\n") == other.replace(b"\r\n", b"\n")
