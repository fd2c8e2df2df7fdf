"""Kernels that stay in a package: what target.py says of them, where they belong, and what they import.

Owns reading `KERNEL` out of target.py before anything is executed, and which modules of the package a kernel's
result depends on. Executes nothing.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from pytest_lance_autoresearch.records import Home, Source
from pytest_lance_autoresearch.target_files import sources


class Declared(NamedTuple):
    """What target.py says of the kernel's place."""

    path: str = ""
    """As it is written, from the target's folder; '' where target.py says nothing."""
    line: int = 0
    """Zero-based, for IDEs."""


def declared(directory: Path) -> Declared:
    """What target.py says of the kernel's place: a plain string, since nothing is executed to find it."""
    with suppress(OSError, SyntaxError, RecursionError):
        for node in sources.parsed((directory / "target.py").read_bytes()).body:
            match node:
                case ast.Assign(targets=[ast.Name(id="KERNEL")], value=ast.Constant(value=str(path))):
                    return Declared(path, node.lineno - 1)
                case ast.AnnAssign(target=ast.Name(id="KERNEL"), value=ast.Constant(value=str(path))):
                    return Declared(path, node.lineno - 1)
    return Declared()


def home_of(kernel: Path) -> Home:
    """The name of the module in that file, and the folder that its outermost package lies in."""
    names, folder = [kernel.stem], kernel.resolve().parent
    while (folder / "__init__.py").is_file():
        names.insert(0, folder.name)
        folder = folder.parent
    return Home(".".join(names), str(folder))


def package_of(home: Home) -> str:
    """The package that relative imports begin in; '' for a module in none."""
    return home.module.rpartition(".")[0]


def own_modules(kernel: Source, imports: Iterable[str]) -> dict[str, bytes]:
    """The modules in the kernel's folder that it runs with, by name: its packages, what they import, and so on.

    `imports` are those that it may import. The kernel itself is not one of them.
    """
    home = kernel.home
    found: dict[str, bytes] = {}
    to_read = [home.module, *imports, *_imported(kernel.text, package_of(home))]
    while to_read:
        for name, path in _files(Path(home.folder), to_read.pop()):
            if name not in found and name != home.module:
                found[name] = path.read_bytes()
                package = name if path.name == "__init__.py" else name.rpartition(".")[0]
                to_read += _imported(found[name], package)
    return dict(sorted(found.items()))


def _files(folder: Path, name: str) -> Iterator[tuple[str, Path]]:
    """The files of a module and of all packages around it, where they lie in the folder."""
    parts = name.split(".")
    for count in range(1, len(parts) + 1):
        place = folder.joinpath(*parts[:count])
        for path in (place / "__init__.py", place.with_suffix(".py")):
            if path.is_file():
                yield ".".join(parts[:count]), path
                break


def _imported(text: bytes, package: str) -> Iterator[str]:
    """What a source imports, as far as it says so by name."""
    with suppress(SyntaxError, RecursionError):
        for node in ast.walk(sources.parsed(text)):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                module = absolute(node, package)
                yield from (f"{module}.{alias.name}" for alias in node.names)


def absolute(node: ast.ImportFrom, package: str) -> str:
    """The module that is imported from, as one would write it without leading dots.

    What leads out of the package keeps its dots.
    """
    if not node.level:
        return node.module or ""
    parts = package.split(".") if package else []
    if node.level > len(parts):
        return "." * node.level + (node.module or "")
    return ".".join([*parts[: len(parts) - node.level + 1], *([node.module] if node.module else [])])
