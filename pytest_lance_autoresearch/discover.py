"""Where the targets are: directories recognised by their files.

Owns the names of a target's files and the sentences about a wrong layout. Reads directories, never contents.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

from pytest_lance_autoresearch.errors import SelectionError
from pytest_lance_autoresearch.records import Layout

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

FILES = ("inputs.py", "kernels.py", "program.md", "reference.py", "target.py")
"""The files of every target."""
CODE_FILES = tuple(name for name in FILES if name.endswith(".py"))
DEFAULT_GLOBS = ("targets/*",)
_NAME = re.compile(r"[A-Za-z0-9_-]+")


def discover(root: Path, globs: Sequence[str] = DEFAULT_GLOBS) -> tuple[Layout, ...]:
    """All targets that the globs find below `root`, by name; a directory with faults is one of them."""
    found = {path.resolve() for glob in globs for path in _matches(root, glob) if _has_code(path)}
    layouts = sorted((inspect(path) for path in found), key=lambda layout: layout.name)
    return tuple(_refuse_twins(layouts))


def recognise(directory: Path) -> Layout | None:
    """The target in a directory that no glob names, or None: only a complete one is taken for a target."""
    return inspect(directory) if all((directory / name).is_file() for name in CODE_FILES) else None


def inspect(directory: Path) -> Layout:
    """The layout of one directory, with its faults."""
    return Layout(directory.name, directory, tuple(_faults(directory)))


def select(layouts: Sequence[Layout], names: Iterable[str], root: Path) -> tuple[Layout, ...]:
    """The targets called `names`, in that order; a wrong name raises SelectionError with the nearest one."""
    by_name = {layout.name: layout for layout in layouts}
    for name in names:
        if name not in by_name:
            raise SelectionError(_no_such_target(name, sorted(by_name), root))
    return tuple(by_name[name] for name in dict.fromkeys(names))


def is_judged_by_default(layout: Layout) -> bool:
    """Whether a gate without names judges it: a leading underscore marks a pattern to copy."""
    return not layout.name.startswith("_")


def _matches(root: Path, glob: str) -> list[Path]:
    try:
        return list(root.glob(glob))
    except (NotImplementedError, ValueError):
        raise SelectionError(
            f"autoresearch_targets: '{glob}' is no pattern below the root; expected one such as targets/*"
        ) from None


def _has_code(directory: Path) -> bool:
    return directory.is_dir() and any((directory / name).is_file() for name in CODE_FILES)


def _faults(directory: Path) -> Iterable[str]:
    name = directory.name
    if not _NAME.fullmatch(name):
        yield (
            f"target '{name}': the directory's name has characters that test ids cannot carry; "
            f"expected only letters, digits, '_' and '-'"
        )
    missing = [file for file in FILES if not (directory / file).is_file()]
    if missing:
        yield f"target '{name}': missing {', '.join(missing)}; expected {', '.join(FILES)}"
    extra = sorted(path.name for path in directory.glob("*.py") if path.name not in CODE_FILES)
    if extra:
        yield (
            f"target '{name}': unexpected {', '.join(extra)}; a target's Python files are exactly "
            f"{', '.join(CODE_FILES)}, so that nothing else can change what is measured"
        )


def _refuse_twins(layouts: Sequence[Layout]) -> Iterable[Layout]:
    for layout in layouts:
        twins = [other for other in layouts if other.name == layout.name and other is not layout]
        if not twins:
            yield layout
            continue
        places = ", ".join(sorted(str(twin.directory) for twin in [layout, *twins]))
        fault = f"target '{layout.name}': found in {places}; expected one directory of that name"
        yield Layout(layout.name, layout.directory, (*layout.faults, fault))


def _no_such_target(name: str, known: Sequence[str], root: Path) -> str:
    if not known:
        return f"no target '{name}': there is no target below {root}; expected targets/<name>/kernels.py"
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"expected one of {', '.join(known)}"
    return f"no target '{name}'; {hint}"
