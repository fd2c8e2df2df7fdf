"""A kernel's source: its bytes, its hashes and how much code it is.

Owns parsing, and what of a source counts as code. Executes nothing.
"""

from __future__ import annotations

import ast
import hashlib
import warnings
from collections.abc import Mapping
from pathlib import Path

from pytest_lance_autoresearch.records import IN_NO_PACKAGE, Home, Source

_LONG_BITS = 10_000
"""Integers that are longer are hashed by their hexadecimal digits."""


NO_FILES: Mapping[str, bytes] = {}


def read(path: Path, home: Home = IN_NO_PACKAGE) -> Source:
    """The kernel in `path`, read once."""
    return make(path.read_bytes(), path, home)


def make(
    text: bytes,
    path: Path,
    home: Home = IN_NO_PACKAGE,
    package: Mapping[str, bytes] = NO_FILES,
) -> Source:
    """A kernel from its bytes; a syntax error is not raised here, it shows when the kernel is loaded."""
    digest = hashlib.sha256(text).hexdigest()
    tree = _parsed_if_possible(text)
    if tree is None:
        return Source(text, path, digest, digest, len(text), home, package)
    nodes = list(ast.walk(_without_docstrings(tree)))
    parts = [_described(node) for node in nodes]
    code = hashlib.sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
    size = len(parts) + sum(_string_size(node) for node in nodes)
    return Source(text, path, digest, code, size, home, package)


def definition_line(source: Source) -> int:
    """The zero-based line of the kernel's first public class or function, for IDEs; 0 if there is none."""
    tree = _parsed_if_possible(source.text)
    body = tree.body if tree else []
    kinds = (ast.ClassDef, ast.FunctionDef)
    public = [node for node in body if isinstance(node, kinds) and not node.name.startswith("_")]
    classes = [node for node in public if isinstance(node, ast.ClassDef)]
    return (classes or public)[0].lineno - 1 if public else 0


def parsed(text: bytes) -> ast.Module:
    """The syntax tree of a kernel; SyntaxError if it is not Python, RecursionError if it is nested too deeply.

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
