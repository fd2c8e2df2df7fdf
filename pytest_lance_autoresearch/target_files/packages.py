"""Kernels that stay in a package: what target.py says of them, where they belong, and what they import.

Owns reading `KERNEL` out of target.py before anything is executed, and which modules of the package a kernel's
result depends on. Executes nothing.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from pytest_lance_autoresearch.records import Declared, Home
from pytest_lance_autoresearch.target_files import sources

EXPECTED = "expected a plain string at the top of target.py, where it is read before anything is executed"
"""Of `KERNEL`, for a sentence."""


def declared(directory: Path) -> Declared:
    """What target.py says of the kernel's place: a plain string, since nothing is executed to find it."""
    with suppress(OSError):
        return declared_in((directory / "target.py").read_bytes())
    return Declared()


@functools.lru_cache(maxsize=32)
def declared_in(text: bytes) -> Declared:
    """The same of a target.py that was read; which directories are targets is asked more than once."""
    with suppress(SyntaxError, RecursionError):
        for node in sources.parsed(text).body:
            match node:
                case (
                    ast.Assign(targets=[ast.Name(id="KERNEL")], value=value)
                    | ast.AnnAssign(target=ast.Name(id="KERNEL"), value=ast.expr() as value)
                ):
                    if isinstance(value, ast.Constant) and isinstance(value.value, str):
                        return Declared(value.value, node.lineno - 1)
                    return Declared("", node.lineno - 1, is_computed=True)
    return Declared()


def home_of(kernel: Path) -> Home:
    """The name of the module in that file, and the folder that its outermost package lies in.

    A folder with a dot in its name is no package, whatever it holds: no import can name it.
    """
    names, folder = [kernel.stem], kernel.parent
    while (folder / "__init__.py").is_file() and "." not in folder.name:
        names.insert(0, folder.name)
        folder = folder.parent
    return Home(".".join(names), str(folder))


def package_of(home: Home) -> str:
    """The package that relative imports begin in; '' for a module in none."""
    return home.module.rpartition(".")[0]


def own_modules(home: Home, imports: Iterable[str]) -> dict[str, bytes]:
    """The modules in the kernel's folder that it runs with, by name: its packages, what they import, and so on.

    `imports` are those that it may import, each with all that is in it: they are the same whatever the kernel
    imports of them. The kernel itself is not one of them.
    """
    folder = Path(home.folder)
    found: dict[str, bytes] = {}
    to_read = [home.module, *imports, *(part for name in imports for part in _parts(folder, name))]
    while to_read:
        for name, path in _files(folder, to_read.pop()):
            if name not in found and name != home.module:
                found[name] = path.read_bytes()
                package = name if path.name == "__init__.py" else name.rpartition(".")[0]
                to_read += _imported(found[name], package)
    return dict(sorted(found.items()))


def _parts(folder: Path, name: str) -> Iterator[str]:
    """The modules in a package of that name, and in its packages."""
    for path in folder.joinpath(*name.split(".")).rglob("*.py"):
        yield ".".join(path.relative_to(folder).with_suffix("").parts).removesuffix(".__init__")


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
