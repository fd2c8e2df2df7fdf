"""A target's files, read once and turned into modules.

Owns reading, hashing and executing `inputs.py`, `target.py` and `reference.py`, always from the bytes that
were hashed and never from byte code. `kernels.py` is read and hashed here and executed nowhere in this
process, except by the in-process runner.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import io
import linecache
import pickle
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from pytest_lance_autoresearch.errors import TargetError

if TYPE_CHECKING:
    from pytest_lance_autoresearch.records import Layout

from pytest_lance_autoresearch.records import Source

HARNESS_FILES = ("inputs.py", "reference.py", "target.py")
"""What the measured party must not change; each is fingerprinted."""


_LONG_BITS = 10_000
"""Integers that are longer are hashed by their hexadecimal digits."""


@dataclass(frozen=True, eq=False)
class Target:
    """A loaded target: its modules, its kernel's bytes and the fingerprint of everything else."""

    layout: Layout
    inputs: ModuleType
    wiring: ModuleType
    """The module of target.py."""
    kernel: Source
    files: dict[str, bytes]
    fingerprint: str
    """'inputs:<digest>,reference:...,target:...', the first 16 hex digits of each file's sha256."""
    working_directory: Path = field(default_factory=Path.cwd)
    """Where its files were loaded, for those that open others by a relative path."""

    @property
    def name(self) -> str:
        return self.layout.name

    @functools.cached_property
    def reference(self) -> ModuleType:
        """The oracle's module; executed at first use, because an oracle may import dear packages."""
        siblings = {"inputs": self.inputs}
        return execute(self.layout, "reference", self.files["reference.py"], siblings)

    @functools.cached_property
    def has_properties(self) -> bool:
        return callable(getattr(self.wiring, "properties", None))


def load(layout: Layout) -> Target:
    """Read and execute a target's plain modules; its first fault is raised as TargetError."""
    if layout.faults:
        raise TargetError(layout.faults[0])
    files = {name: (layout.directory / name).read_bytes() for name in HARNESS_FILES}
    inputs = execute(layout, "inputs", files["inputs.py"], {})
    wiring = execute(layout, "target", files["target.py"], {"inputs": inputs})
    return Target(layout, inputs, wiring, read_source(layout.kernel_path), files, fingerprint(files))


def read_source(path: Path) -> Source:
    """The kernel in `path`, read once."""
    return make_source(path.read_bytes(), path)


def make_source(text: bytes, path: Path) -> Source:
    """A kernel from its bytes; a syntax error is no fault here, it shows when the kernel is loaded."""
    digest = hashlib.sha256(text).hexdigest()
    tree = _parsed_if_possible(text)
    if tree is None:
        return Source(text, path, digest, digest, len(text))
    parts = [_described(node) for node in ast.walk(_without_docstrings(tree))]
    code = hashlib.sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
    return Source(text, path, digest, code, len(parts) + sum(_string_size(node) for node in ast.walk(tree)))


def fingerprint(files: dict[str, bytes]) -> str:
    """One short digest per file, so that a change can be named from the log alone."""
    digests = ((name.removesuffix(".py"), hashlib.sha256(text).hexdigest()[:16]) for name, text in files.items())
    return ",".join(f"{stem}:{digest}" for stem, digest in sorted(digests))


def execute(layout: Layout, stem: str, text: bytes, siblings: dict[str, ModuleType]) -> ModuleType:
    """Run a target's module from its bytes, with its siblings importable by their plain names."""
    path = layout.directory / f"{stem}.py"
    try:
        with importable(siblings):
            return execute_source(module_name(layout.name, stem), text, str(path))
    except (Exception, SystemExit) as error:
        what = error.msg if isinstance(error, SyntaxError) else str(error)
        line = _line_in(error, str(path))
        raise TargetError(
            f"target '{layout.name}': {stem}.py does not load: {type(error).__name__}: {what}{line}"
        ) from error


@contextmanager
def blaming(layout: Layout, file: str) -> Iterator[None]:
    """Turns an exception in a target's own files into a TargetError that names file and line.

    `file` is named when none of the target's files is in the traceback.
    """
    try:
        yield
    except TargetError:
        raise
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if Path(frame.filename).parent == layout.directory]
        where = f"{Path(own[-1].filename).name}, line {own[-1].lineno}," if own else file
        raise TargetError(f"target '{layout.name}': {where} raised {type(error).__name__}: {error}") from error


def pickled(target: Target, value: object, origin: str) -> bytes:
    """What is sent to a kernel's process; its classes are found by the name of the target's module.

    `origin` is the function of inputs.py that made the value.
    """
    try:
        with importable({module_name(target.name, "inputs"): target.inputs}):
            return pickle.dumps(value, protocol=5)
    except Exception as error:
        raise TargetError(
            f"target '{target.name}': {origin} returned what cannot be sent to another process: {error}; "
            f"expected arrays, numbers and tuples of them, or a class at the top of inputs.py"
        ) from error


def module_name(target: str, stem: str) -> str:
    """The name under which a target's module is registered, the same in every process (pickle needs it)."""
    return f"autoresearch_{stem}_{target}"


def execute_source(name: str, text: bytes, filename: str) -> ModuleType:
    """Compile and run `text` as the module `name`; tracebacks and debuggers find it as `filename`."""
    module = ModuleType(name)
    module.__file__ = filename
    lines = io.StringIO(text.decode("utf-8", "replace"), newline=None).readlines()  # a form feed ends no line
    linecache.cache[filename] = (len(text), None, lines, filename)
    previous = sys.modules.get(name)
    sys.modules[name] = module
    try:
        exec(compile(text, filename, "exec", dont_inherit=True), module.__dict__)
    except BaseException:
        sys.modules.pop(name)
        if previous is not None:
            sys.modules[name] = previous
        raise
    return module


@contextmanager
def importable(modules: dict[str, ModuleType]) -> Iterator[None]:
    """Make `import inputs` find the target's own module while one of its siblings is executed."""
    hidden = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name, module in hidden.items():
            if module is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = module


def definition_line(source: Source) -> int:
    """The zero-based line of the kernel's first public class or function, for IDEs; 0 if there is none."""
    tree = _parsed_if_possible(source.text)
    body = tree.body if tree else []
    kinds = (ast.ClassDef, ast.FunctionDef)
    public = [node for node in body if isinstance(node, kinds) and not node.name.startswith("_")]
    classes = [node for node in public if isinstance(node, ast.ClassDef)]
    return (classes or public)[0].lineno - 1 if public else 0


def parsed(text: bytes) -> ast.Module:
    """The syntax tree of a kernel; SyntaxError for what is no Python, RecursionError for what is nested too deep.

    Whatever filters the user has set for warnings, they are not about kernels: under `error` a source that runs
    would be none.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(text)
        except MemoryError as error:  # Python's word for a parser that ran out of its stack
            raise RecursionError("the parser's stack is too small") from error
        except ValueError as error:  # before Python 3.11.4, the word for a null byte
            raise SyntaxError(str(error)) from error


def _parsed_if_possible(text: bytes) -> ast.Module | None:
    try:
        return parsed(text)
    except (SyntaxError, RecursionError):
        return None


def _described(node: ast.AST) -> str:
    """A node without its children's contents; `ast.dump` would recurse too deep for long expressions."""
    fields = ((name, _described_field(value)) for name, value in ast.iter_fields(node))
    return f"{type(node).__name__} {list(fields)}"


def _described_field(value: object) -> str:
    if isinstance(value, list):
        return str([_described_field(item) for item in value])
    if type(value) is int and value.bit_length() > _LONG_BITS:
        return hex(value)  # Python writes no decimal number of more than 4300 digits
    return "node" if isinstance(value, ast.AST) else repr(value)


def _string_size(node: ast.AST) -> int:
    """Code can hide in a string, so its characters count towards the size."""
    return len(node.value) if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes) else 0


def _without_docstrings(tree: ast.Module) -> ast.Module:
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None:
            del node.body[0]
    return tree


def _line_in(error: BaseException, filename: str) -> str:
    """' (line N)' of the innermost place in that file, or nothing."""
    if isinstance(error, SyntaxError) and error.filename == filename:
        return f" (line {error.lineno})"
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == filename]
    return f" (line {lines[-1]})" if lines else ""
