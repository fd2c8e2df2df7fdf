"""Importing the plugin costs next to nothing, imports go one way, and each room keeps to what it may know."""

from __future__ import annotations

import ast
import graphlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import pytest_lance_autoresearch

PACKAGE = "pytest_lance_autoresearch"
FOLDER = Path(pytest_lance_autoresearch.__file__).parent
SOURCES = {
    ".".join(path.relative_to(FOLDER).with_suffix("").parts): ast.parse(path.read_bytes())
    for path in FOLDER.rglob("*.py")
}
MODULES = sorted(name for name in SOURCES if name.split(".")[-1] != "__init__")
MAY_IMPORT = {
    "plugin": {"runs", "hosts", "log", "verdict", "target_files", "words", "machine", "top"},
    "command": {"interface", "runs", "page", "log", "assembly", "target_files", "words", "machine", "top"},
    "interface": {"runs", "log", "target_files", "words", "top"},
    "runs": {"log", "bench", "hosts", "assembly", "target_files", "verdict", "words", "machine", "top"},
    "page": {"log", "verdict", "words", "top"},
    "log": {"target_files", "verdict", "words", "machine", "top"},
    "bench": {"target_files", "kernel_side", "verdict", "machine", "top"},
    "hosts": {"machine", "top"},
    "target_files": {"kernel_side", "top"},
    "kernel_side": {"top"},
    "verdict": {"top"},
    "assembly": set(),
    "words": {"top"},
    "machine": set(),
    "top": {"command"},
}
"""For each folder those that its modules may import, typed imports included; 'top' is the package itself."""
SLOW = {"ray", "numpy", "numba", "psutil", "hypothesis", "llvmlite", "pytest_benchmark", "msgspec"}
"""What takes long to import, or is not needed before there is a target."""


def imports(node: ast.AST, *, typed: bool) -> Iterator[str]:
    """Full names of everything that is imported wherever it stands; with `typed` also what only types need."""
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" and not typed:
        return
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute"
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    for child in ast.iter_child_nodes(node):
        yield from imports(child, typed=typed)


def siblings(module: str, *, typed: bool = True) -> set[str]:
    """The package's own modules that a module imports."""
    own = (name.removeprefix(f"{PACKAGE}.") for name in imports(SOURCES[module], typed=typed) if PACKAGE in name)
    return {next(known for known in (name, name.rpartition(".")[0]) if known in MODULES) for name in own}


def outsiders(module: str) -> set[str]:
    return {name.split(".")[0] for name in imports(SOURCES[module], typed=False)} - {PACKAGE}


def room(module: str) -> str:
    return module.split(".", maxsplit=1)[0] if "." in module else "top"


def reached_from(module: str) -> set[str]:
    """Every module that runs when one is imported, sooner or later."""
    found, open_ends = {module}, {module}
    while open_ends:
        open_ends = {name for end in open_ends for name in siblings(end, typed=False)} - found
        found |= open_ends
    return found


def loaded_by(statement: str) -> set[str]:
    """Top-level packages in a fresh interpreter after the statement."""
    code = f"{statement}; import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return {name.split(".")[0] for name in done.stdout.split()}


def test_every_folder_has_its_rule() -> None:
    assert {room(module) for module in MODULES} == set(MAY_IMPORT)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_its_own_folder_and_those_that_its_folder_may_know(module: str) -> None:
    others = {room(name) for name in siblings(module)} - {room(module)}
    assert others <= MAY_IMPORT[room(module)]


def test_every_arrow_between_folders_is_there() -> None:
    """The rule allows no more than is used."""
    for name, allowed in MAY_IMPORT.items():
        used = {room(other) for module in MODULES if room(module) == name for other in siblings(module)}
        assert allowed - {name} == used - {name}, name


def test_imports_go_one_way_types_included() -> None:
    for graph in (MAY_IMPORT | {"top": set()}, {module: siblings(module) for module in MODULES}):
        order = list(graphlib.TopologicalSorter(graph).static_order())
        assert len(order) == len(graph)


def test_contributing_opens_with_a_line_for_every_folder() -> None:
    page = (FOLDER.parent / "CONTRIBUTING.md").read_text()
    said = re.findall(r"^\| `([a-z_]+)/` \|", page, re.MULTILINE)
    assert said == [name for name in MAY_IMPORT if name != "top"]


def test_importing_the_plugin_imports_nothing_that_takes_long() -> None:
    assert loaded_by(f"import {PACKAGE}.plugin.hooks") & (SLOW | {PACKAGE}) == {PACKAGE}


@pytest.mark.parametrize(
    "module", ["log.results", "words.report", "target_files.discover", "target_files.seeds", "records", "errors"]
)
def test_the_light_modules_do_not_import_numpy(module: str) -> None:
    assert not loaded_by(f"import {PACKAGE}.{module}") & (SLOW | {"pytest"})


@pytest.mark.parametrize("module", [name for name in MODULES if room(name) != "plugin"])
def test_only_the_plugin_imports_pytest(module: str) -> None:
    assert not {name for name in outsiders(module) if name.strip("_").startswith("pytest")}
    assert not {name for name in reached_from(module) if room(name) == "plugin"}


def test_what_runs_beside_the_kernel_can_reach_neither_oracle_nor_clock_nor_verdict() -> None:
    beside = {name for module in MODULES if room(module) == "kernel_side" for name in reached_from(module)}
    assert {room(name) for name in beside} == {"kernel_side", "top"}
    assert {name for name in beside if room(name) == "top"} == {"records", "errors"}


@pytest.mark.parametrize("module", [*(name for name in MODULES if room(name) == "verdict"), "records"])
def test_the_verdict_does_no_input_and_no_output(module: str) -> None:
    pure = {"__future__", "collections", "dataclasses", "enum", "math", "pathlib", "statistics", "typing"}
    assert outsiders(module) <= (pure if module == "records" else pure - {"pathlib"})
    called = {node.func.id for node in ast.walk(SOURCES[module]) if called_by_name(node)}  # type: ignore[attr-defined]
    assert not called & {"open", "print", "input", "exec", "eval", "__import__", "breakpoint"}


def called_by_name(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name)


def test_a_verdict_is_left_to_no_chance() -> None:
    """The same evidence gives the same verdict, at any time and on any machine."""
    pure = {"time", "datetime", "random", "secrets", "os", "numpy"}
    for name in MODULES:
        if room(name) == "verdict":
            assert not pure & outsiders(name), name


def test_no_module_is_a_drawer_for_odds_and_ends() -> None:
    names = {part for module in SOURCES for part in module.split(".")}
    assert not {"utils", "util", "helpers", "common", "misc"} & names
