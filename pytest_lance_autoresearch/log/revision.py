"""A target's files as they were at a revision of its repository.

Owns what a revision is asked for, and the sentences about one that cannot answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from pytest_lance_autoresearch.errors import RevisionUnknown
from pytest_lance_autoresearch.log import git
from pytest_lance_autoresearch.records import REVISION, Source
from pytest_lance_autoresearch.target_files import load, sources

if TYPE_CHECKING:
    from pytest_lance_autoresearch.target_files.load import Target

_BUILT = {".py", ".so"}
"""Suffixes of what a build leaves in a package."""


@dataclass(frozen=True)
class Revision:
    """What a commit holds of a target."""

    name: str
    """As it was given, such as 'origin/main'."""
    commit: str
    """Its first twelve digits."""
    kernel: Source | None
    """None where the target is not there."""
    moved_from: str = ""
    """The target's folder then, where it was another one."""
    changed: tuple[str, ...] = ()
    """Those of the target's other files that have other contents there, or are not there."""
    imports_changed: bool = False
    """Whether modules that a kernel in a package runs with have: each side has its own."""
    is_committed: bool = True
    """Whether the commit that is checked out holds the kernel as it is now."""

    def __str__(self) -> str:
        return f"{self.name} at {self.commit}"


def find(target: Target, name: str) -> Revision:
    """The target's files at the revision of that name; RevisionUnknown where it cannot be asked."""
    folder, path = target.layout.directory, target.layout.kernel_path
    commit = git.resolve(folder, name)
    if not commit:
        raise RevisionUnknown(_unknown(folder, name))
    here, moved_from = git.place(folder), ""
    text = git.contents_at(folder, commit, git.place(path.parent) / path.name)
    if text is None and not target.layout.kernel and (former := _former_place(target, commit)):
        here, moved_from = former, str(former)
        text = git.contents_at(folder, commit, here / path.name)
    is_committed = not git.commit(path, target.kernel.sha256).endswith(git.UNCOMMITTED)
    if text is None:
        return Revision(name, commit[:12], None, is_committed=is_committed)
    kernel = sources.make(text, path, target.kernel.home, _package(target, commit))
    changed, others = tuple(_changed(target, commit, here)), _imports_changed(target, kernel)
    return Revision(name, commit[:12], kernel, moved_from, changed, others, is_committed)


def _package(target: Target, commit: str) -> Mapping[str, bytes]:
    """The files of a kernel's package then, and of all else of the user's that it runs with.

    What no repository holds is as it is now: compiled modules, and a module that a build has written.
    """
    home = target.kernel.home
    if not home.folder:
        return sources.NO_FILES
    folder, names = Path(home.folder), {name.partition(".")[0] for name in (home.module, *target.beside)}
    top, paths = git.place(folder), [end for name in sorted(names) for end in (name, f"{name}.py")]
    found = git.tree_at(folder, commit, [top / path for path in paths])
    built = [path for path in git.untracked(folder, paths) if _BUILT & {*path.suffixes}]
    return {
        **{path.relative_to(folder).as_posix(): path.read_bytes() for path in built},
        **{path.relative_to(top).as_posix(): text for path, text in found.items()},
    }


def _imports_changed(target: Target, kernel: Source) -> bool:
    """Whether a module that the kernel runs with is another one now, or was not there."""
    for module, text in target.beside.items():
        name = module.replace(".", "/")
        then = [kernel.package.get(f"{name}{end}") for end in (".py", "/__init__.py")]
        if not any(_is_same(one, text) for one in then):
            return True
    return False


def _unknown(folder: Path, name: str) -> str:
    if not git.is_installed():
        return f"{REVISION}{name} needs git, which is not installed"
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


def _former_place(target: Target, commit: str) -> PurePosixPath | None:
    """The folder that the target had then: its reference is there, and nothing of it is any more."""
    folder = target.layout.directory
    top, reference = git.top(folder), target.files["reference.py"]
    for path in git.files_at(folder, commit, "kernels.py"):
        is_gone = not (top / path).exists()
        if is_gone and _is_same(git.contents_at(folder, commit, path.with_name("reference.py")), reference):
            return path.parent
    return None


def _is_same(one: bytes | None, other: bytes) -> bool:
    return one is not None and one.replace(b"\r\n", b"\n") == other.replace(b"\r\n", b"\n")
