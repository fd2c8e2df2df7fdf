"""What git knows of a kernel: the commit that holds it, every version of it that was ever committed, and what a
commit holds.

Owns how git is run: on the repository that holds the kernel, whatever the environment says of another one; asking
nobody; within a time. Where git cannot answer there is nothing known, and nothing is raised.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pytest_lance_autoresearch.machine import clocks

UNCOMMITTED = "+"
"""Follows the commit of a checkout in which kernels.py is not the one that was measured."""
ANSWER_S = 10.0
"""Longest time for a question about one commit."""
SEARCH_S = 60.0
"""Longest time for the search of a whole history."""
_ELSEWHERE = {
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_IMPLICIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_PREFIX"),
    *("GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_SHALLOW_FILE", "GIT_GRAFT_FILE"),
    *("GIT_LITERAL_PATHSPECS", "GIT_GLOB_PATHSPECS", "GIT_NOGLOB_PATHSPECS", "GIT_ICASE_PATHSPECS"),
}
"""What git's own hooks set, for their repository."""
FETCH_ALL = "git fetch --unshallow --tags origin '+refs/heads/*:refs/remotes/origin/*'"
"""Makes a shallow clone whole, whichever branch it was made for."""
_ASKS_NOBODY = {"GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "false", "SSH_ASKPASS_REQUIRE": "never"}
_EVERY_COMMIT = ("--all", "--reflog", "--full-history", "-m")
_BLOBS = ("--raw", "--no-renames", "--no-abbrev", "--format=")


def commit(kernel_path: Path, sha256: str) -> str:
    """The checkout's commit, marked where it does not hold the kernel with that sha256; '' where there is none."""
    known = _line(kernel_path.parent, "rev-parse", "--verify", "--short=12", "HEAD")
    if not known:
        return ""
    committed = _first_match(_at(kernel_path.parent, known, kernel_path.name), sha256)
    return known if committed is not None else known + UNCOMMITTED


@functools.lru_cache(maxsize=8)
def _at(folder: Path, known: str, name: str) -> tuple[bytes, ...]:
    """What the file holds in that commit, which never changes: asked once for all rows of a tournament."""
    return tuple(_contents(folder, [f"{known}:./{name}"], ANSWER_S))


def kernel(kernel_path: Path, sha256: str, commits: Iterable[str]) -> bytes | None:
    """The kernel with that sha256 in `commits`, or in any version of its file in any branch; None without one.

    A kernel is often committed only after it was judged, and its folder may have had another name.
    """
    deadline_s = clocks.now_s() + SEARCH_S
    for names in _versions(kernel_path, commits, deadline_s):
        contents = _contents(kernel_path.parent, names, deadline_s - clocks.now_s())
        if (text := _first_match(contents, sha256)) is not None:
            return text
    return None


def resolve(folder: Path, name: str) -> str:
    """The commit that a branch, a tag or another name of a commit stands for; '' where there is none."""
    if name.startswith("-"):
        return ""
    found = _line(folder, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    return found if re.fullmatch("[0-9a-f]+", found) else ""  # else it is a range


def kind(folder: Path, name: str) -> str:
    """What a name stands for: 'commit', 'tag', 'tree' or 'blob'; '' where it is no name of one thing."""
    return "" if name.startswith("-") else _line(folder, "cat-file", "-t", name)


def top(folder: Path) -> Path:
    """The folder that the repository's files are checked out into; '.' where there is none."""
    return Path(_line(folder, "rev-parse", "--show-toplevel"))


def place(folder: Path) -> PurePosixPath:
    """Where the folder lies in its repository."""
    return PurePosixPath(_line(folder, "rev-parse", "--show-prefix"))


def contents_at(folder: Path, commit: str, path: PurePosixPath) -> bytes | None:
    """The bytes of a file that a commit holds, its path seen from the top; None where there is no such file."""
    return next(_contents(folder, [f"{commit}:{path}"], ANSWER_S), None)


def tree_at(folder: Path, commit: str, paths: Iterable[PurePosixPath]) -> dict[PurePosixPath, bytes] | None:
    """The plain files at the paths or below them, as a commit holds them, by their paths from the top.

    None where git cannot tell.
    """
    listed = _git(folder, "ls-tree", "-r", "-z", "--full-tree", commit, "--", *map(str, paths))
    entries = [entry.split(b"\t", 1) for entry in listed.out.split(b"\0") if entry.startswith(b"100")]
    contents = list(_contents(folder, [about.split()[2].decode() for about, _ in entries], SEARCH_S))
    if not listed.is_whole or len(contents) < len(entries):
        return None
    return {PurePosixPath(os.fsdecode(name)): text for (_, name), text in zip(entries, contents, strict=True)}


def untracked(folder: Path, names: Iterable[str]) -> list[Path]:
    """The files in the folder, at the names or below them, that its repository does not hold, ignored ones too."""
    listed = _git(folder, "ls-files", "--others", "-z", "--", *names).out
    return [folder / os.fsdecode(name) for name in listed.split(b"\0") if name]


def paths_at(folder: Path, commit: str) -> list[PurePosixPath] | None:
    """Every file that a commit holds, by its path from the top; None where git cannot tell."""
    found = _git(folder, "ls-tree", "-r", "-z", "--name-only", "--full-tree", commit)
    if not found.is_whole:
        return None
    return [PurePosixPath(os.fsdecode(path)) for path in found.out.split(b"\0") if path]


def uncommitted(folder: Path, paths: Iterable[Path]) -> list[PurePosixPath]:
    """Those of the files that the commit checked out does not hold as they are, by their paths from the top.

    What git is told to ignore is not among them; a file that is gone is.
    """
    status = ("status", "--porcelain", "-z", "--no-renames", "--untracked-files=all")
    said = _git(folder, "--no-optional-locks", "--literal-pathspecs", *status, "--", *map(str, paths)).out
    entries = (os.fsdecode(entry) for entry in said.split(b"\0") if entry)
    return [
        *dict.fromkeys(PurePosixPath(entry[3:]) for entry in entries)
    ]  # what only the index lost is told twice


def is_installed() -> bool:
    return shutil.which("git") is not None


def is_shallow(folder: Path) -> bool:
    """Whether the clone has a part of the history only."""
    return _line(folder, "rev-parse", "--is-shallow-repository") == "true"


def searched(folder: Path) -> str:
    """Where a kernel was looked for, for a sentence: 'git', and why that may be a part of the history only."""
    if is_shallow(folder):
        return (
            f'git (this clone is shallow; fetch the whole history with "{FETCH_ALL}", '
            f"in actions/checkout with 'fetch-depth: 0')"
        )
    fault = trouble(folder)
    return f"git (it says '{fault}')" if fault else "git"


def trouble(folder: Path) -> str:
    """What git says where it does not look into the folder's repository; '' where it does, or there is none."""
    said = _git(folder, "rev-parse", "--git-dir").err.decode("utf-8", "replace").partition("\n")[0]
    return "" if "not a git repository" in said else said


def _versions(kernel_path: Path, commits: Iterable[str], deadline_s: float) -> Iterator[list[str]]:
    """Names of contents that may be the kernel, the likely ones first."""
    name = kernel_path.name
    yield [f"{commit}:./{name}" for one in commits if re.fullmatch("[0-9a-f]+", commit := one.rstrip(UNCOMMITTED))]
    for where in (f":(literal)./{name}", f":(top,glob)**/{name}"):
        left_s = deadline_s - clocks.now_s()
        found = _git(kernel_path.parent, "log", *_EVERY_COMMIT, *_BLOBS, "--", where, within_s=left_s)
        blobs = re.findall(rb"^:\S+ \S+ \S+ ([0-9a-f]+) [AMT]\t", found.out, re.MULTILINE)
        yield [blob.decode() for blob in dict.fromkeys(blobs)]


def _contents(folder: Path, names: list[str], within_s: float) -> Iterator[bytes]:
    """The bytes of those that are there."""
    given = os.fsencode("".join(f"{name}\n" for name in names))
    rest = _git(folder, "cat-file", "--batch", given=given, within_s=within_s).out if names else b""
    while rest:
        line, _, rest = rest.partition(b"\n")
        found = re.fullmatch(rb"[0-9a-f]+ [a-z]+ ([0-9]+)", line)
        if found:
            size = int(found[1])
            yield rest[:size]
            rest = rest[size + 1 :]


def _first_match(texts: Iterable[bytes], sha256: str) -> bytes | None:
    """The text with that sha256, with its own line ends or those that git's autocrlf gives it in a checkout."""
    for text in texts:
        plain = text.replace(b"\r\n", b"\n")
        for variant in (text, plain, plain.replace(b"\n", b"\r\n")):
            if hashlib.sha256(variant).hexdigest() == sha256:
                return variant
    return None


@dataclass(frozen=True)
class _Answer:
    out: bytes = b""
    err: bytes = b""
    is_whole: bool = False
    """Whether git came to its end, and was content."""


def _line(folder: Path, *arguments: str) -> str:
    """The one line that git answers; '' where it has no answer."""
    return os.fsdecode(_git(folder, *arguments).out).strip("\n")


def _git(folder: Path, *arguments: str, given: bytes = b"", within_s: float = ANSWER_S) -> _Answer:
    """What git prints, as much as it printed in time; nothing when it cannot be run."""
    git = shutil.which("git")
    if git is None or within_s <= 0:
        return _Answer()
    own = {name: value for name, value in os.environ.items() if name not in _ELSEWHERE}
    with suppress(OSError):
        process = subprocess.Popen(
            [git, "-C", str(folder), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**own, **_ASKS_NOBODY, "LC_ALL": "C"},
            start_new_session=True,  # no terminal to ask on, and its helpers end with it
        )
        with process:
            try:
                return _Answer(*process.communicate(given, within_s), is_whole=process.returncode == 0)
            except subprocess.TimeoutExpired as late:
                os.killpg(process.pid, signal.SIGKILL)
                return _Answer(late.output or b"")
    return _Answer()
