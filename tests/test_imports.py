"""Importing the plugin costs next to nothing, imports go one way, and the verdict is far from input and output."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import pytest_lance_autoresearch

PACKAGE = "pytest_lance_autoresearch"
FOLDER = Path(pytest_lance_autoresearch.__file__).parent
MODULES = {path.stem: ast.parse(path.read_bytes()) for path in FOLDER.glob("*.py")}
FACING = {"plugin", "again", "collect", "ending", "observers", "options", "root", "session"}
"""The modules that may import pytest."""
STAGES = sorted(set(MODULES) - {"__init__", *FACING})
DEAR = {"numpy", "numba", "psutil", "hypothesis", "llvmlite", "pytest_benchmark"}


def imports(node: ast.AST) -> Iterator[str]:
    """Full names of everything that is imported when the code runs, wherever it stands."""
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute"
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    for child in ast.iter_child_nodes(node):
        yield from imports(child)


def siblings(module: str) -> set[str]:
    """The package's own modules that a module imports."""
    names = (name.split(".") for name in imports(MODULES[module]))
    return {name[1] for name in names if name[0] == PACKAGE and len(name) > 1 and name[1] in MODULES}


def outsiders(module: str) -> set[str]:
    return {name.split(".")[0] for name in imports(MODULES[module])} - {PACKAGE}


def reached_from(module: str) -> set[str]:
    found, open_ends = {module}, {module}
    while open_ends:
        open_ends = {name for end in open_ends for name in siblings(end)} - found
        found |= open_ends
    return found


def loaded_by(statement: str) -> set[str]:
    """Top-level packages in a fresh interpreter after the statement."""
    code = f"{statement}; import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return {name.split(".")[0] for name in done.stdout.split()}


def test_the_modules_of_the_pipeline_are_there() -> None:
    assert {"discover", "load", "cases", "check", "measure", "aggregate", "judge", "report", "log"} <= set(MODULES)
    assert siblings("judge") == {"aggregate", "stats", "records"}


def test_importing_the_plugin_imports_nothing_dear() -> None:
    assert loaded_by(f"import {PACKAGE}.plugin") & (DEAR | {PACKAGE}) == {PACKAGE}


@pytest.mark.parametrize("module", ["log", "archive", "report", "discover", "cases", "load", "seeds", "records"])
def test_the_light_stages_do_not_import_numpy(module: str) -> None:
    assert not loaded_by(f"import {PACKAGE}.{module}") & (DEAR | {"pytest"})


def test_imports_go_one_way() -> None:
    order = list(graphlib.TopologicalSorter({module: siblings(module) for module in MODULES}).static_order())
    assert len(order) == len(MODULES)
    assert order.index("records") < order.index("judge") < order.index("trial") < order.index("plugin")


@pytest.mark.parametrize("module", STAGES)
def test_only_the_modules_that_face_pytest_import_it(module: str) -> None:
    assert not {name for name in outsiders(module) if name.strip("_").startswith("pytest")}


@pytest.mark.parametrize("module", STAGES)
def test_no_stage_reaches_a_module_that_faces_pytest(module: str) -> None:
    assert reached_from(module) <= set(STAGES)


@pytest.mark.parametrize("module", ["judge", "stats", "aggregate", "records"])
def test_the_verdict_does_no_input_and_no_output(module: str) -> None:
    pure = {"__future__", "collections", "dataclasses", "enum", "math", "numpy", "pathlib", "statistics", "typing"}
    assert reached_from(module) <= {"judge", "stats", "aggregate", "records"}
    assert outsiders(module) <= (pure if module == "records" else pure - {"pathlib"})
    called = {node.func.id for node in ast.walk(MODULES[module]) if called_by_name(node)}  # type: ignore[attr-defined]
    assert not called & {"open", "print", "input", "exec", "eval", "__import__", "breakpoint"}


def called_by_name(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name)


def test_the_seed_of_a_verdict_is_fixed() -> None:
    """numpy is imported by `stats` alone of the three, and never without a seed."""
    assert [module for module in ("judge", "stats", "aggregate") if "numpy" in outsiders(module)] == ["stats"]
    assert "default_rng()" not in ast.unparse(MODULES["stats"])
    assert not {"time", "datetime", "random", "secrets", "os"} & outsiders("stats")


def test_no_module_is_a_drawer_for_odds_and_ends() -> None:
    assert not {"utils", "util", "helpers", "common", "misc"} & set(MODULES)
