"""Where the targets are: directories recognised by their files.

Owns the names of a target's files and the sentences about a wrong layout. Reads directories, and of contents only
where target.py says that the kernel lies.
"""

from __future__ import annotations

import difflib
import os
import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_lance_autoresearch.errors import SelectionError
from pytest_lance_autoresearch.records import Declared, Layout
from pytest_lance_autoresearch.target_files import packages, shipped

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

FILES = ("inputs.py", "kernels.py", "program.md", "reference.py", "target.py")
"""The files of every target."""
KERNEL = "kernels.py"
"""Not there where target.py names another."""
CODE_FILES = tuple(name for name in FILES if name.endswith(".py"))
COMPLETE, UNFINISHED, NAMED = len(CODE_FILES), 2, 1
"""How many of the code files make a directory a target: in every run, in a gate without names, and by its name."""
DEFAULT_GLOBS = ("targets/*",)
_NAME = re.compile(r"[A-Za-z0-9_-]+")


def discover(root: Path, globs: Sequence[str] = DEFAULT_GLOBS, least: int = COMPLETE) -> tuple[Layout, ...]:
    """The directories with `least` code files or more that the globs find below `root`, by name.

    One that is reached by several paths is one target, shown where it lies or else by the first link to it.
    """
    layouts = _layouts(_places(root, globs, least)).values()
    return tuple(sorted(layouts, key=lambda layout: layout.name))


def logs(root: Path, globs: Sequence[str] = DEFAULT_GLOBS) -> list[Path]:
    """The logs in the directories that the globs find below `root`, by path; each once, however it is reached.

    A log may be left of a target that is gone.
    """
    places: dict[Path, Path] = {}
    for path in sorted(path for glob in globs for path in _matches(root.resolve(), glob)):
        log = Layout(path.name, path).log_path
        if _is_file(log):
            places.setdefault(log.resolve(), log)
    return list(places.values())


def recognise(directory: Path) -> Layout | None:
    """The target in a directory that no glob names, or None: only a complete one is taken for a target."""
    return inspect(directory) if has_code(directory, COMPLETE) else None


def has_code(directory: Path, least: int = NAMED) -> bool:
    """Whether `least` code files or more are there; what cannot be read has none, nor has this package.

    A kernel that lies elsewhere is there where target.py says so.
    """
    found = [name for name in CODE_FILES if _is_file(directory / name)]
    lies_elsewhere = KERNEL not in found and "target.py" in found and packages.declared(directory).is_said
    return len(found) + lies_elsewhere >= least and not shipped.is_inside(directory)


def inspect(directory: Path) -> Layout:
    """The layout of one directory, with its faults."""
    declared = packages.declared(directory)
    kernel = _real(directory / declared.path) if declared.path else None
    return Layout(directory.name, directory, tuple(_faults(directory, declared, kernel)), kernel, declared)


def refuse_twins(layout: Layout, others: Iterable[Layout]) -> Layout:
    """The layout, with a fault when another directory holds a target of its name."""
    places = {str(one.directory) for one in (layout, *others) if one.name == layout.name}
    if len(places) == 1:
        return layout
    fault = f"target '{layout.name}': found in {', '.join(sorted(places))}; expected one directory of that name"
    return replace(layout, faults=(*layout.faults, fault))


def select(names: Iterable[str], root: Path, globs: Sequence[str] = DEFAULT_GLOBS) -> tuple[Layout, ...]:
    """The targets called `names`, in that order; a wrong name raises SelectionError with the nearest one.

    A link's name is as good as its target's, and whoever gives a name is told what the target lacks.
    """
    by_name: dict[str, Layout] = {}
    for least in (NAMED, COMPLETE):
        places = _places(root, globs, least)
        layouts = _layouts(places)
        by_name |= {path.name: layouts[place] for path, place in places.items()}
    for name in names:
        if name not in by_name:
            known = [layout.name for layout in discover(root, globs, UNFINISHED)]
            raise SelectionError(_no_such_target(name, known, root, globs))
    return tuple({by_name[name].directory: by_name[name] for name in names}.values())


def is_judged_by_default(layout: Layout) -> bool:
    """Whether a gate without names judges it: a leading underscore marks a pattern to copy."""
    return not layout.name.startswith("_")


def _places(root: Path, globs: Iterable[str], least: int) -> dict[Path, Path]:
    """The directories that the globs find, as they are seen from `root`, each with the place where it lies.

    Those that are reached through a link below the root come last.
    """
    top = root.resolve()
    found = {path: path.resolve() for glob in globs for path in _matches(top, glob) if has_code(path, least)}
    ordered = sorted(found.items(), key=lambda item: (item[0] != item[1], item[0]))
    return {root / path.relative_to(top) if path.is_relative_to(top) else path: place for path, place in ordered}


def _matches(top: Path, glob: str) -> list[Path]:
    """What the pattern finds; a directory that cannot be read holds nothing."""
    found: list[Path] = []
    try:
        with suppress(OSError):
            for path in top.glob(glob):
                found.append(path.resolve() if ".." in path.parts else path)
    except (NotImplementedError, ValueError):
        raise SelectionError(
            f"autoresearch_targets: '{glob}' is not a pattern below the root; expected one such as targets/*"
        ) from None
    return found


def _layouts(places: Mapping[Path, Path]) -> dict[Path, Layout]:
    """By the place where they lie, each as its first path shows it."""
    shown: dict[Path, Path] = {}
    for path, place in places.items():
        shown.setdefault(place, path)
    layouts = {place: inspect(path) for place, path in shown.items()}
    return {place: refuse_twins(layout, layouts.values()) for place, layout in layouts.items()}


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def name_fault(name: str) -> str:
    """Why no target can have that name, as one sentence; '' where one can."""
    if _NAME.fullmatch(name):
        return ""
    if not name:
        return "target '': has no name; expected one of letters, digits, '_' and '-'"
    return (
        f"target '{name}': the directory's name has characters that test ids cannot carry; "
        f"expected only letters, digits, '_' and '-'"
    )


def _real(path: Path) -> Path:
    """Where it lies, through all links."""
    try:
        return Path(os.path.realpath(path))
    except ValueError:  # a character that no path has
        return path


def _faults(directory: Path, declared: Declared, kernel: Path | None) -> Iterable[str]:
    name = directory.name
    if fault := name_fault(name):
        yield fault
    if declared.is_computed:
        yield f"target '{name}': target.KERNEL is no plain string; {packages.EXPECTED}"
    if kernel and (fault := _kernel_fault(directory, declared.path, kernel)):
        yield f"target '{name}': {fault}"
    missing = [
        file for file in FILES if not _is_file(directory / file) and not (declared.is_said and file == KERNEL)
    ]
    if missing:
        yield f"target '{name}': missing {', '.join(missing)}; expected {', '.join(FILES)}"
    extra = sorted(path.name for path in directory.glob("*.py") if path.name not in CODE_FILES)
    if extra:
        yield (
            f"target '{name}': unexpected {', '.join(extra)}; a target's Python files are exactly "
            f"{', '.join(CODE_FILES)}, so that nothing else can change what is measured"
        )


def _kernel_fault(directory: Path, path: str, kernel: Path) -> str:
    """Why what KERNEL says cannot be a target's kernel; '' where it can."""
    named = f"target.KERNEL names {path!r}"
    if Path(path).is_absolute():
        relative = os.path.relpath(kernel, directory.resolve())
        return f"{named}, which other machines do not have; expected the path from target.py, {relative!r}"
    if kernel.parent == directory.resolve():
        return f"{named} in the target's own folder; expected a file elsewhere, or kernels.py and no KERNEL"
    if _is_file(directory / KERNEL):
        return f"{KERNEL} is there, and {named}; expected one of them"
    if not _is_file(kernel):
        return _no_file_fault(named, path, kernel)
    if kernel.name == "__init__.py":
        return f"{named}, which stands for a whole package; expected one module of it, which it may import"
    if kernel.suffix != ".py" or "." in kernel.stem:
        return f"{named}; expected a module that Python can import, such as '_kernels.py'"
    return ""


def _no_file_fault(named: str, path: str, kernel: Path) -> str:
    if os.path.isdir(kernel):  # noqa: PTH112  # of Path it may raise
        return f"{named}, which is a folder; expected a module, such as '{path.rstrip('/')}/_kernels.py'"
    near = difflib.get_close_matches(kernel.stem, _modules_in(kernel.parent), n=1)
    meant = f"{path.removesuffix(kernel.name)}{near[0]}.py" if near and path.endswith(kernel.name) else ""
    hint = f"did you mean {meant!r}?" if meant else "expected a module, by its path from target.py"
    return f"{named}, and there is no {str(kernel)!r}; {hint}"


def _modules_in(folder: Path) -> list[str]:
    with suppress(OSError, ValueError):
        return sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__")
    return []


def none_below(root: Path, globs: Sequence[str]) -> str:
    """That there is no target, as the end of a sentence."""
    return (
        f"there is no target in {' or '.join(globs)} below {root}; expected a folder with inputs.py, "
        f"reference.py, target.py and kernels.py, or KERNEL in target.py; "
        f"'python -m pytest_lance_autoresearch new NAME' begins one"
    )


def _no_such_target(name: str, known: Sequence[str], root: Path, globs: Sequence[str]) -> str:
    if not known:
        return f"no target '{name}': {none_below(root, globs)}"
    near = nearest(name, known)
    hint = f"did you mean '{near}'?" if near else f"expected one of {', '.join(known)}"
    return f"no target '{name}'; {hint}"


def nearest(name: str, known: Iterable[str]) -> str:
    """The name that was probably meant, in whatever case it was typed; '' where none is near."""
    by_lower = {one.lower(): one for one in known}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
    return by_lower[near[0]] if near else ""
