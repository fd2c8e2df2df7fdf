"""A target's files as they were at a revision of its repository.

Owns what a revision is asked for, and the sentences about one that cannot answer.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from pytest_lance_autoresearch.errors import RevisionUnknown
from pytest_lance_autoresearch.log import git
from pytest_lance_autoresearch.records import IN_NO_PACKAGE, REVISION, Home, Source
from pytest_lance_autoresearch.target_files import discover, load, packages, sources
from pytest_lance_autoresearch.words import wording

if TYPE_CHECKING:
    from pytest_lance_autoresearch.target_files.load import Target

_BUILT = {".py", ".so"}
"""Suffixes of what a build leaves in a package."""
_EXPECTED = "expected a branch, a tag or a commit"


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
    """Whether modules that a kernel in a package runs with have other code, are gone, or are new.

    Each side has its own.
    """
    is_committed: bool = True
    """Whether the commit that is checked out holds the kernel as it is now."""
    uncommitted: tuple[str, ...] = ()
    """Those of the files that the kernel is judged with which it does not hold as they are, seen from the top."""

    def __str__(self) -> str:
        is_commit = self.name.startswith(self.commit) or self.commit.startswith(self.name)
        return self.commit if is_commit else f"{self.name} at {self.commit}"


class _Folder:
    """The folder that a kernel's outermost package is imported from as a commit holds it, package by package.

    What no repository holds is as it is now: compiled modules, and a module that a build has written.
    """

    def __init__(self, folder: Path, name: str, commit: str, held: Iterable[PurePosixPath]) -> None:
        self._folder, self._name, self._commit, self._place = folder, name, commit, git.place(folder)
        below = (path.relative_to(self._place) for path in held if path.is_relative_to(self._place))
        self._unread = {_root(path.as_posix()) for path in below}
        self.files: dict[str, bytes] = {}
        """Of the packages that were read, all files by their paths below the folder."""

    def take(self, roots: Iterable[str]) -> None:
        """Read packages, and modules in none, of these names."""
        self._unread -= {*roots}
        names = [end for root in sorted(roots) for end in (root, f"{root}.py")]
        found = git.tree_at(self._folder, self._commit, [self._place / name for name in names])
        if found is None:
            where = self._place / names[0]
            raise RevisionUnknown(f"{REVISION}{self._name}: git cannot read {where} as it was there")
        for path in git.untracked(self._folder, names):
            if _BUILT & {*path.suffixes}:
                self.files[path.relative_to(self._folder).as_posix()] = path.read_bytes()
        self.files |= {path.relative_to(self._place).as_posix(): text for path, text in found.items()}

    def has(self, place: str) -> bool:
        if (root := _root(place)) in self._unread:
            self.take([root])
        return place in self.files

    def read(self, place: str) -> bytes:
        return self.files[place]

    def below(self, place: str) -> list[str]:
        self.has(place)
        return [path for path in self.files if path.startswith(f"{place}/") and path.endswith(".py")]


@dataclass(frozen=True)
class _Around:
    """What a kernel in a package ran with at a commit."""

    home: Home
    files: Mapping[str, bytes]
    """Of its package and of all else of the user's that it ran with."""
    modules: Mapping[str, bytes]
    """Those that it ran with, by name."""


_NOTHING = _Around(IN_NO_PACKAGE, sources.NO_FILES, sources.NO_FILES)
"""Of a kernel in no package."""


def find(target: Target, name: str) -> Revision:
    """The target's files at the revision of that name; RevisionUnknown where it cannot be asked."""
    path = target.layout.kernel_path
    if target.layout.kernel is not None:
        _refuse_two_repositories(target, name)
    commit = git.resolve(path.parent, name)
    if not commit:
        raise RevisionUnknown(_unknown(path.parent, name))
    held = _held(target, name, commit)
    found = Revision(
        name,
        commit[:12],
        None,
        is_committed=not git.commit(path, target.kernel.sha256).endswith(git.UNCOMMITTED),
        uncommitted=tuple(_uncommitted(target, _around_head(target))),
    )
    then = folder_then(target, commit, held)
    place = _place(target, held, then)
    _refuse_another_kernel(target, name, commit, then, place)
    if place is None:
        return found
    text = git.contents_at(path.parent, commit, place / path.name)
    if text is None:
        raise RevisionUnknown(f"{REVISION}{name}: git cannot read {place / path.name} as it was there")
    around = _around(target, name, commit, held)
    kernel = sources.make(text, path, around.home, around.files)
    return replace(
        found,
        kernel=kernel,
        moved_from="" if place == git.place(path.parent) else str(place),
        changed=tuple(_changed(target, commit, then or place)),
        imports_changed=_imports_changed(target, around),
    )


def _held(target: Target, name: str, commit: str) -> list[PurePosixPath]:
    held = git.paths_at(target.layout.directory, commit)
    if held is None:
        raise RevisionUnknown(f"{REVISION}{name}: git cannot list the files that were there")
    return held


def _around(target: Target, name: str, commit: str, held: Collection[PurePosixPath]) -> _Around:
    """What the target's kernel ran with at a commit, which holds the paths `held`."""
    if not target.kernel.home.folder:
        return _NOTHING
    home = _home_then(target.layout.kernel_path, held)
    folder = _Folder(Path(home.folder), name, commit, held)
    folder.take({_root(module.replace(".", "/")) for module in (home.module, *target.beside)})
    modules = packages.own_modules(folder, home.module, target.imports)
    return _Around(home, folder.files, modules)


def _around_head(target: Target) -> _Around:
    """The same at the commit that is checked out; nothing where none is."""
    head = git.resolve(target.layout.directory, "HEAD") if target.kernel.home.folder else ""
    return _around(target, "HEAD", head, _held(target, "HEAD", head)) if head else _NOTHING


def _home_then(kernel: Path, held: Collection[PurePosixPath]) -> Home:
    """Where the kernel's module belonged in a commit that holds these paths."""
    place = git.place(kernel.parent)

    def was_file(path: Path) -> bool:
        then = os.path.normpath(place / os.path.relpath(path, kernel.parent))
        return PurePosixPath(then) in held or bool(git.untracked(path.parent, [path.name]))

    return packages.home_of(kernel, was_file)


def _root(place: str) -> str:
    """The name of the outermost package, or of the module in none, that a path belongs to."""
    return place.partition("/")[0].removesuffix(".py")


def _imports_changed(target: Target, then: _Around) -> bool:
    """Whether the kernel runs with other modules now, or with one of other code."""
    now = target.beside
    if then.home.module != target.kernel.home.module or then.modules.keys() != now.keys():
        return True
    return not all(_is_same_code(text, now[module]) for module, text in then.modules.items())


def _is_same_code(one: bytes, other: bytes) -> bool:
    """As kernels are compared; where it is no Python, by the bytes, but for line ends."""
    codes = {sources.make(text, Path()).code_sha256 for text in (one, other)}
    return len(codes) == 1 or _is_same(one, other)


def _uncommitted(target: Target, checked_out: _Around) -> Iterator[str]:
    """The files that a kernel is judged with and that the commit checked out does not hold as they are.

    Also those that it holds, and that are gone from what the kernel runs with.
    """
    sides = ((target.kernel.home, target.beside), (checked_out.home, checked_out.modules))
    beside = {
        Path(home.folder, place): None
        for home, modules in sides
        for module in modules
        for place in packages.places_of(module)
    }
    folder = target.layout.directory
    for where, paths in (
        (target.layout.kernel_path.parent, [*beside]),
        (folder, [folder / name for name in load.HARNESS_FILES]),
    ):
        yield from map(str, git.uncommitted(where, paths) if paths else ())


def _unknown(folder: Path, name: str) -> str:
    what = f"{REVISION}{name}"
    if not git.is_installed():
        return f"{what} needs git, which is not installed"
    if fault := git.trouble(folder):
        return f"{what}: git does not read the repository of {folder}; it says '{fault}'"
    if not git.resolve(folder, "HEAD"):
        return f"{what}: {folder} is in no git repository that has a commit"
    if (kind := git.kind(folder, name)) in ("tree", "blob"):
        return f"{what} is a {kind} and no commit; {_EXPECTED}"
    if git.resolve(folder, f"origin/{name}"):
        return f"{what}: this clone has no such branch, and its origin has; did you mean {REVISION}origin/{name}?"
    if git.is_shallow(folder):
        return (
            f'{what}: this clone is shallow and does not have it; fetch all of it with "{git.FETCH_ALL}", '
            f"in actions/checkout with 'fetch-depth: 0'"
        )
    return f"{what}: the repository has no such revision; {_EXPECTED}"


def _changed(target: Target, commit: str, place: PurePosixPath) -> Iterable[str]:
    """The files beside the kernel that are not the same there; line ends do not count."""
    folder = target.layout.directory
    for name in load.HARNESS_FILES:
        if not _is_same(git.contents_at(folder, commit, place / name), target.files[name]):
            yield name


def folder_then(target: Target, commit: str, held: Collection[PurePosixPath]) -> PurePosixPath | None:
    """The folder that the target had then: that of now, or else where its reference was and is no more.

    `held` are the paths of all that the commit holds.
    """
    folder = target.layout.directory
    here, top = git.place(folder), git.top(folder)
    if here / "reference.py" in held:
        return here
    gone = (path for path in held if path.name == "reference.py" and not (top / path).exists())
    wanted = target.files["reference.py"]
    return next((one.parent for one in gone if _is_same(git.contents_at(folder, commit, one), wanted)), None)


def _place(target: Target, held: Collection[PurePosixPath], then: PurePosixPath | None) -> PurePosixPath | None:
    """The folder that the kernel lay in then; None where it was not there.

    A target in another folder, `then`, had its kernels.py there. A kernel that lies elsewhere has not moved, and
    was this target's only if the target was there: another one may have it, too.
    """
    path = target.layout.kernel_path
    lies_elsewhere = target.layout.kernel is not None
    if lies_elsewhere and then is None:
        return None
    places = filter(None, (git.place(path.parent), None if lies_elsewhere else then))
    return next((place for place in places if place / path.name in held), None)


def _refuse_two_repositories(target: Target, name: str) -> None:
    """RevisionUnknown where the kernel is not in the target's repository: a revision is of one of them."""
    path = target.layout.kernel_path
    its, the_targets = git.top(path.parent), git.top(target.layout.directory)
    if its == the_targets:
        return
    known = "" if git.resolve(path.parent, name) else ", where there is no such revision"
    where = f"in the repository {wording.shown(its)}{known}" if its.is_absolute() else "in no git repository"
    home = f"in {wording.shown(the_targets)}" if the_targets.is_absolute() else "in none"
    raise RevisionUnknown(
        f"{REVISION}{name}: the kernel of target '{target.name}', {wording.shown(path)}, is {where}, and the "
        f"target itself is {home}; expected both in one repository; else compare with a log, --baseline=FILE"
    )


def _refuse_another_kernel(
    target: Target, name: str, commit: str, then: PurePosixPath | None, place: PurePosixPath | None
) -> None:
    """RevisionUnknown where the target's kernel was another file then, which today's may be slower than."""
    folder, path = target.layout.directory, target.layout.kernel_path
    text = git.contents_at(folder, commit, then / "target.py") if then is not None else None
    if then is None or text is None:
        return
    was = PurePosixPath(os.path.normpath(then / (packages.declared_in(text).path or discover.KERNEL)))
    if place is None or was != place / path.name:
        raise RevisionUnknown(
            f"{REVISION}{name}: the kernel of target '{target.name}' was {was} there and is "
            f"{git.place(path.parent) / path.name} now; a move has no verdict: make it a change of its own, and "
            f"compare what is edited later with a revision since then"
        )


def _is_same(one: bytes | None, other: bytes) -> bool:
    return one is not None and one.replace(b"\r\n", b"\n") == other.replace(b"\r\n", b"\n")
