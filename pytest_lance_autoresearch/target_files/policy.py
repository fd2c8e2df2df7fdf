"""What a kernel's source may contain: a rule of the house and early feedback, never the boundary.

Owns the reading of the syntax tree. A list of names can be got around; what keeps a verdict true is that the
kernel runs in a process that holds nothing. The rule keeps honest kernels plain, and a reader's work short.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING

from pytest_lance_autoresearch.target_files import intrinsics, offered, packages, sources

if TYPE_CHECKING:
    from pytest_lance_autoresearch.target_files.load import Target

MODULES = (
    "__future__",
    "collections",
    "dataclasses",
    "enum",
    "functools",
    "itertools",
    "math",
    "numba",
    "numpy",
    "typing",
)
"""What a kernel may import."""
FORBIDDEN = (
    "numpy.DataSource",
    "numpy._core",
    "numpy.core",
    "numpy.ctypeslib",
    "numpy.distutils",
    "numpy.f2py",
    "numpy.fromfile",
    "numpy.genfromtxt",
    "numpy.lib",
    "numpy.load",
    "numpy.loadtxt",
    "numpy.ma.core",
    "numpy.ma.extras",
    "numpy.memmap",
    "numpy.rec.fromfile",
    "numpy.recfromcsv",
    "numpy.recfromtxt",
    "numpy.save",
    "numpy.savetxt",
    "numpy.savez",
    "numpy.savez_compressed",
    "numpy.testing",
    "typing.evaluate_forward_ref",
    "typing.get_type_hints",
)
"""Of what those modules offer, what reaches files, memory or code in a string."""
COMPILERS = ("numba.guvectorize", "numba.jit", "numba.njit", "numba.vectorize")
"""What takes signatures in a string, which numba evaluates as Python."""
_GIVEN_AS = ("ftylist", "ftylist_or_function", "signature_or_function")
"""The names under which they are given."""
_OF_ARRAYS = frozenset({"A", "C", "F", "readonly", "aligned", "True", "False"})
"""What a signature says in strings of its own, and by name."""
BUILTINS = frozenset(
    [
        "__import__",
        "breakpoint",
        "compile",
        "delattr",
        "eval",
        "exec",
        "exit",
        "globals",
        "input",
        "locals",
        "memoryview",
        "open",
        "quit",
        "setattr",
        "vars",
    ]
)
ATTRIBUTES = frozenset(
    [
        "ag_frame",
        "as_strided",
        "cffi",
        "cr_frame",
        "ctypes",
        "dump",
        "f_back",
        "f_builtins",
        "f_globals",
        "f_locals",
        "get_compile_result",
        "gi_frame",
        "overloads",
        "targetctx",
        "targetdescr",
        "tb_frame",
        "tb_next",
        "tofile",
        "typingctx",
    ]
)
SPECIAL_METHODS = frozenset(
    [
        "__call__",
        "__enter__",
        "__exit__",
        "__getitem__",
        "__init__",
        "__iter__",
        "__len__",
        "__post_init__",
        "__repr__",
        "__setitem__",
    ]
)
"""Those that a class of a kernel may define or call."""
SPECIAL_NAMES = frozenset({"__all__", "__doc__", "__main__", "__name__", "__slots__", "__version__"})
MAX_BYTES = 64 * 1024
MAX_TEXT = 4096
MAX_ENTRIES = 1024
"""Longest string and largest literal table; larger ones are data, not code."""
NOTHING: Mapping[str, str] = MappingProxyType({})
SHOWN = 80
"""Characters of a name that a sentence shows."""


def violation_of(target: Target) -> str:
    """The same of a target's kernel, which may import what target.py says, and be called otherwise."""
    kernel, more = target.kernel, (intrinsics.MODULE,) if target.has_intrinsics else ()
    may_import = (*MODULES, *more, *target.imports)
    return violation(
        kernel.text,
        may_import,
        kernel.path.name,
        packages.package_of(kernel.home),
        is_parallel=target.threads > 1,
        has_intrinsics=target.has_intrinsics,
        passed_on=_passed_on(target.beside),
    )


def _passed_on(own: Mapping[str, bytes]) -> dict[str, str]:
    """What modules of the user's have imported from elsewhere: 'lib.config.os' is 'os', whoever asks for it."""
    found: dict[str, str] = {}
    for module, text in own.items():
        with suppress(SyntaxError, RecursionError):
            for name, origin in _imports(sources.parsed(text), ""):
                if not (origin.startswith(".") or _is_among(origin, own)):
                    found[f"{module}.{name}"] = origin
    return found


def violation(
    text: bytes,
    modules: Sequence[str] = MODULES,
    name: str = "kernels.py",
    package: str = "",
    *,
    is_parallel: bool = False,
    has_intrinsics: bool = False,
    passed_on: Mapping[str, str] = NOTHING,
) -> str:
    """The first thing in the source that a kernel may not contain, as one sentence; '' when there is none.

    A source that is not Python shows its error when it is loaded, so that is not a violation. One that only the
    reader cannot take in is: it might run. `modules` are those that it may import, each with all that is in it;
    relative imports begin in `package`; `is_parallel` lets it ask numba for parallel code, `has_intrinsics` for
    intrinsics of its own. `passed_on` tells what names in some of the modules stand for that were imported there.
    """
    if len(text) > MAX_BYTES:
        return f"{name}: {len(text)} bytes; expected {MAX_BYTES} at most"
    try:
        tree = sources.parsed(text)
    except SyntaxError:
        return ""
    except RecursionError:
        return f"{name}: an expression or a chain of branches is nested too deep to be read; split it"
    reader = _Reader(tree, modules, package, passed_on, is_parallel=is_parallel, has_intrinsics=has_intrinsics)
    found = sorted(reader.violations())
    return f"{name}, line {found[0][0]}: {found[0][1]}" if found else ""


class _Reader:
    """Goes through one syntax tree."""

    def __init__(
        self,
        tree: ast.Module,
        modules: Sequence[str],
        package: str,
        passed_on: Mapping[str, str],
        *,
        is_parallel: bool,
        has_intrinsics: bool,
    ) -> None:
        self._tree = tree
        self._modules = modules
        self._own = [module for module in modules if module not in (*MODULES, intrinsics.MODULE)]
        self._package = package
        self._passed_on = passed_on
        self._is_parallel = is_parallel
        self._offered = intrinsics.OFFERED_TOO if has_intrinsics else offered.OFFERED
        self._permitted = intrinsics.permitted(tree) if has_intrinsics else None
        """Where there are no intrinsics of its own, nothing of them is closed."""
        self._imported = dict(_imports(tree, package))
        self._asked = {id(each) for each in _asked(tree)}
        self._docstrings = {id(doc) for doc in _docstrings(tree)}

    def violations(self) -> Iterator[tuple[int, str]]:
        for node in ast.walk(self._tree):
            for sentence in self._sentences(node):
                yield getattr(node, "lineno", 1), sentence

    def _sentences(self, node: ast.AST) -> Iterator[str]:
        match node:
            case ast.Import(names=names):
                yield from self._about_imported(alias.name for alias in names)
            case ast.ImportFrom(names=[ast.alias(name="*")]):
                yield from self._about_star(packages.absolute(node, self._package))
            case ast.ImportFrom(names=names):
                yield from self._about_imported(_full_name(node, alias, self._package) for alias in names)
            case ast.Call():
                yield from self._about_call(node)
            case ast.Name(id=name, ctx=ast.Load()):
                yield from _about_name(name)
                yield from self._about_value(node)
            case ast.Attribute():
                yield from self._about_attribute(node)
                yield from self._about_value(node)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                if offered.is_special(name) and name not in SPECIAL_METHODS:
                    may = ", ".join(sorted(SPECIAL_METHODS))
                    yield f"defines {_quoted(name)}; a kernel's class may define {may}"
            case ast.ClassDef(bases=bases):
                yield from self._about_bases(bases)
            case ast.keyword(arg="parallel", value=value) if not (self._is_parallel or _is_false(value)):
                yield "asks for parallel code; one thread is the rule where target.THREADS allows no more"
            case ast.Constant(value=str() | bytes() as value) if id(node) not in self._docstrings:
                yield from _about_text(value)
            case ast.List(elts=entries) | ast.Tuple(elts=entries) | ast.Set(elts=entries) | ast.Dict(keys=entries):
                yield from _about_table(len(entries))

    def _about_imported(self, names: Iterable[str]) -> Iterator[str]:
        for name in map(self._origin, names):
            if not _is_among(name, self._modules):
                yield f"imports {_quoted(name)}; {_may_import(self._modules)}"
            elif beyond := self._beyond(name):
                yield f"imports {beyond}"

    def _about_star(self, module: str) -> Iterator[str]:
        """All of a module of the user's is all that it has imported, too; of others it cannot be read which."""
        if not _is_among(module, self._modules):
            yield f"imports {_quoted(module)}; {_may_import(self._modules)}"
        elif not _is_among(module, self._own):
            yield f"imports all of {_quoted(module)}; expected the names that are used"
        else:
            yield from self._about_imported(name for name in self._passed_on if _is_in(name, module))

    def _about_call(self, node: ast.Call) -> Iterator[str]:
        path = self._origin(self._path(node.func))
        if path in COMPILERS:
            yield from _about_signatures(_signatures(node))
        if self._permitted is not None:
            yield from intrinsics.about_call(node, path)
        match node:
            case ast.Call(func=ast.Name(id="getattr"), args=[module, name, *_]) if path := self._path(module):
                yield from self._about_getattr(path, name)

    def _about_getattr(self, path: str, name: ast.expr) -> Iterator[str]:
        if not (isinstance(name, ast.Constant) and isinstance(name.value, str)):
            yield f"asks {_quoted(path)} for an attribute whose name is not written out"
        elif beyond := self._beyond(self._origin(f"{path}.{name.value}")):
            yield f"uses {beyond}"

    def _about_attribute(self, node: ast.Attribute) -> Iterator[str]:
        path = self._path(node)
        if path and not isinstance(node.ctx, ast.Load):
            yield f"changes {_quoted(path)}; modules stay as they are"
        elif (origin := self._origin(path)) != path and not _is_among(origin, self._modules):
            yield f"uses {_quoted(origin)}; {_may_import(self._modules)}"
        elif path and (beyond := self._beyond(origin)):
            yield f"uses {beyond}"
        elif node.attr in ATTRIBUTES:
            yield f"uses '.{node.attr}'; a kernel reaches no files, frames or foreign memory"
        elif node.attr == "base" and not _is_self(node.value):
            yield "uses '.base'; a kernel sees the arguments of its own call only"
        elif offered.is_special(node.attr) and node.attr not in SPECIAL_METHODS | SPECIAL_NAMES:
            yield f"uses {_quoted(f'.{node.attr}')}; a kernel needs no such attribute"
        elif self._permitted is not None and not _is_self(node.value):
            yield from intrinsics.about_attribute(node, is_permitted=id(node) in self._permitted)

    def _beyond(self, path: str) -> str:
        """What a kernel may not use of something in one of the modules, as part of a sentence; '' for nothing."""
        if forbidden := _forbidden_part(path):
            return f"'{forbidden}'; a kernel reaches no files, threads or foreign memory"
        return "" if _is_among(path, self._own) else offered.beyond(path, self._offered)

    def _about_value(self, node: ast.expr) -> Iterator[str]:
        """Of a module that is given another name, what is used of it could not be read."""
        path = self._path(node)
        if id(node) not in self._asked and (path in MODULES or offered.is_module(path, self._offered)):
            yield f"hands {_quoted(path)} on; a module is used by its own name"

    def _about_bases(self, bases: list[ast.expr]) -> Iterator[str]:
        for base in bases:
            path = self._path(base)
            if path.startswith("numpy."):
                yield f"derives a class from {_quoted(path)}; results are plain arrays"

    def _origin(self, path: str) -> str:
        """What a dotted name stands for, where a module of the user's has imported it from elsewhere."""
        parts = path.split(".")
        for count in range(len(parts), 0, -1):
            if origin := self._passed_on.get(".".join(parts[:count])):
                return ".".join([origin, *parts[count:]])
        return path

    def _path(self, node: ast.expr) -> str:
        """The dotted name of something imported, such as numpy.lib.stride_tricks; '' for anything else."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name) or node.id not in self._imported:
            return ""
        return ".".join([self._imported[node.id], *reversed(parts)])


def _imports(tree: ast.Module, package: str) -> Iterator[tuple[str, str]]:
    """Names in the source and the dotted names that they stand for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.split(".")[0]
                yield (alias.asname, alias.name) if alias.asname else (first, first)
        if isinstance(node, ast.ImportFrom):
            yield from ((alias.asname or alias.name, _full_name(node, alias, package)) for alias in node.names)


def _full_name(node: ast.ImportFrom, alias: ast.alias, package: str) -> str:
    """What is imported, as one would write it without `from`; of a star, the module.

    Out of its package nothing is imported: what leads there keeps its dots.
    """
    module = packages.absolute(node, package)
    if alias.name == "*":
        return module
    return f"{module}{alias.name}" if module.endswith(".") else f"{module}.{alias.name}"


def _asked(tree: ast.Module) -> Iterator[ast.expr]:
    """What is asked for an attribute: that is no other use of it."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=value) | ast.Call(func=ast.Name(id="getattr"), args=[value, *_]):
                yield value


def _docstrings(tree: ast.Module) -> Iterator[ast.expr]:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            yield body[0].value


def _is_among(name: str, modules: Collection[str]) -> bool:
    """Whether it is one of the modules, or in one."""
    return any(f"{name}.".startswith(f"{module}.") for module in modules)


def _may_import(modules: Sequence[str]) -> str:
    return f"a kernel may import {', '.join(modules[1:])}"


def _is_in(name: str, module: str) -> bool:
    """Whether it is a name of the module that others see."""
    return name.startswith(f"{module}.") and not name.removeprefix(f"{module}.").startswith("_")


def _signatures(node: ast.Call) -> list[ast.expr]:
    """What a compiler of numba's is given of them."""
    named = [keyword.value for keyword in node.keywords if keyword.arg in _GIVEN_AS]
    return node.args[:1] or named


def _about_signatures(given: Iterable[ast.expr]) -> Iterator[str]:
    """Of what a function is compiled for, in one string or in several."""
    for node in (found for each in given for found in ast.walk(each)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            for word in re.findall(r"[^\W\d]\w*", node.value):
                if word not in offered.OFFERED["numba.types"] | _OF_ARRAYS:
                    yield f"names {_quoted(word)} in a signature; expected types of numba"


def _about_name(name: str) -> Iterator[str]:
    if name in BUILTINS:
        yield f"uses '{name}'; a kernel runs no code but its own"
    elif offered.is_special(name) and name not in SPECIAL_NAMES:
        yield f"uses {_quoted(name)}; a kernel needs no such name"


def _about_text(value: str | bytes) -> Iterator[str]:
    if len(value) > MAX_TEXT:
        yield f"a string of {len(value)} characters; expected {MAX_TEXT} at most"
    elif isinstance(value, str) and offered.is_special(value) and value not in SPECIAL_NAMES | SPECIAL_METHODS:
        yield f"names {_quoted(value)} in a string; a kernel needs no such attribute"


def _about_table(entries: int) -> Iterator[str]:
    if entries > MAX_ENTRIES:
        yield f"a literal of {entries} entries; expected {MAX_ENTRIES} at most"


def _quoted(name: str) -> str:
    return repr(name if len(name) <= SHOWN else f"{name[:SHOWN]}...")


def _forbidden_part(path: str) -> str:
    return next((part for part in FORBIDDEN if path == part or path.startswith(f"{part}.")), "")


def _is_false(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "self"
