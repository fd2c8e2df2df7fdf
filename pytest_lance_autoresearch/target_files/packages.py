"""Kernels that stay in a package: what target.py says of them, where they belong, and what they import.

Owns reading `KERNEL` out of target.py before anything is executed, and which modules of the package a kernel's
result depends on. Executes nothing.
"""

from __future__ import annotations

import ast
import difflib
import functools
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from importlib.machinery import EXTENSION_SUFFIXES, PathFinder
from pathlib import Path
from typing import Protocol

from pytest_lance_autoresearch.records import Declared, Home
from pytest_lance_autoresearch.target_files import sources

EXPECTED = "expected a plain string at the top of target.py, where it is read before anything is executed"
"""Of `KERNEL`, for a sentence."""


class Files(Protocol):
    """What lies in the folder that a kernel's outermost package is imported from; a place is a path below it."""

    def has(self, place: str) -> bool: ...

    def read(self, place: str) -> bytes: ...

    def below(self, place: str) -> Iterable[str]:
        """The modules' files in a folder, and in its folders."""


class OnDisk:
    """Those of now."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def has(self, place: str) -> bool:
        return (self._folder / place).is_file()

    def read(self, place: str) -> bytes:
        return (self._folder / place).read_bytes()

    def below(self, place: str) -> Iterator[str]:
        for path in (self._folder / place).rglob("*.py"):
            yield path.relative_to(self._folder).as_posix()


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


def home_of(kernel: Path, is_file: Callable[[Path], bool] = Path.is_file) -> Home:
    """The name of the module in that file, and the folder that its outermost package lies in.

    A folder with a dot in its name is no package, whatever it holds: no import can name it.
    """
    names, folder = [kernel.stem], kernel.parent
    while is_file(folder / "__init__.py") and "." not in folder.name:
        names.insert(0, folder.name)
        folder = folder.parent
    return Home(".".join(names), str(folder))


def package_of(home: Home) -> str:
    """The package that relative imports begin in; '' for a module in none."""
    return home.module.rpartition(".")[0]


def own_modules(files: Files, kernel: str, imports: Iterable[str]) -> dict[str, bytes]:
    """The modules among the files that a kernel runs with, by name: its packages, what they import, and so on.

    `kernel` is the name of its module, which is not one of them. `imports` are those that it may import, each with
    all that is in it: they are the same whatever the kernel imports of them.
    """
    found: dict[str, bytes] = {}
    to_read = [kernel, *imports, *(part for name in imports for part in _parts(files, name))]
    while to_read:
        for name, place in _files(files, to_read.pop()):
            if name not in found and name != kernel:
                found[name] = files.read(place)
                package = name if place.endswith("/__init__.py") else name.rpartition(".")[0]
                to_read += _imported(found[name], package)
    return dict(sorted(found.items()))


def places_of(module: str) -> tuple[str, str]:
    """Where a module may lie, seen from the folder that its outermost package is imported from."""
    name = module.replace(".", "/")
    return f"{name}/__init__.py", f"{name}.py"


def compiled(folder: Path, kernel: str, text: bytes, beside: Mapping[str, bytes]) -> str:
    """The name of a compiled module in the folder that the kernel runs with, as far as a source says so by name.

    `text` is the kernel's, `beside` are the modules that `own_modules` found. '' where there is none.
    """
    for name, source in {**beside, kernel: text}.items():
        is_package = any(other.startswith(f"{name}.") for other in (*beside, kernel))
        for imported in _imported(source, name if is_package else name.rpartition(".")[0]):
            parts = imported.split(".")
            for count in range(1, len(parts) + 1):
                place = folder.joinpath(*parts[:count])
                if any(place.with_name(f"{place.name}{end}").is_file() for end in EXTENSION_SUFFIXES):
                    return ".".join(parts[:count])
    return ""


def unfound(home: Home, name: str) -> str:
    """Why no package beside the kernel has a module of that name, to end a sentence; '' where one may have it.

    Nothing is imported to find out. Whether a foreign module is installed is for the kernel's process to say.
    """
    folder, top = Path(home.folder), name.partition(".")[0]
    place = folder.joinpath(*name.split("."))
    is_foreign = not any((folder / f"{top}{end}").is_file() for end in ("/__init__.py", ".py"))
    if is_foreign or _lies_at(place) or _is_named_around(place) or _is_known_to_a_finder(name, place):
        return ""
    if unbuilt := sorted(path.name for path in place.parent.glob(f"{place.name}.*")):
        return f"and there is only {', '.join(unbuilt)}; is it built, for this Python?"
    near = difflib.get_close_matches(name, set(_parts(OnDisk(folder), top)), n=1)
    hint = f"did you mean '{near[0]}'?" if near else "expected the name of one, as in 'import lib.config'"
    return f"and there is no such module in {folder}; {hint}"


def _lies_at(place: Path) -> bool:
    """Whether it is a package, a folder of modules, or a module, which may be compiled."""
    ends = (".py", *EXTENSION_SUFFIXES)
    return place.is_dir() or any(place.with_name(f"{place.name}{end}").is_file() for end in ends)


def _is_named_around(place: Path) -> bool:
    """Whether the package or module around it may give something that name."""
    around = (place.parent / "__init__.py", place.parent.with_suffix(".py"))
    texts = (path.read_text("utf-8", "replace") for path in around if path.is_file())
    return any(re.search(rf"\b{place.name}\b|import \*", text) for text in texts)


def _is_known_to_a_finder(name: str, place: Path) -> bool:
    """Whether it lies elsewhere, as compiled modules do of a package that is installed to be edited."""
    finders = [finder for finder in sys.meta_path if finder is not PathFinder and hasattr(finder, "find_spec")]
    return any(finder.find_spec(name, [str(place.parent)]) for finder in finders)


def _parts(files: Files, name: str) -> Iterator[str]:
    """The modules in a package of that name, and in its packages."""
    for place in files.below(name.replace(".", "/")):
        yield place.removesuffix(".py").replace("/", ".").removesuffix(".__init__")


def _files(files: Files, name: str) -> Iterator[tuple[str, str]]:
    """The places of a module and of all packages around it, where they are among the files."""
    parts = name.split(".")
    for count in range(1, len(parts) + 1):
        module = ".".join(parts[:count])
        for place in places_of(module):
            if files.has(place):
                yield module, place
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
