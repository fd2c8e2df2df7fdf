"""Kernels that cheat and honest ones that look as if, for pq-l2, and one trial of any of them.

Each file in `cheats` and `honest` opens with how it works. It stands behind the committed kernel, whose class is
called `Honest` there, so that it holds only what is its own.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
TARGET = HERE.parent.parent / "targets" / "pq-l2"
CHEATS = tuple(sorted(path.stem for path in (HERE / "cheats").glob("*.py")))
HONEST = tuple(sorted(path.stem for path in (HERE / "honest").glob("*.py")))
GATE = ("--autoresearch=pq-l2", "--keep-gate", "-x", "-q", "-p", "no:randomly", "-p", "no:cacheprovider")


def source(kind: str, name: str) -> str:
    """The whole kernels.py of one of the corpus."""
    committed = (TARGET / "kernels.py").read_text()
    assert committed.count("class PqKernel:") == 1
    own = (HERE / kind / f"{name}.py").read_text()
    return f"{committed.replace('class PqKernel:', 'class Honest:')}\n\n{own}"


def write_project(root: Path) -> None:
    """A project with this one target, as it is committed."""
    shutil.copytree(
        TARGET,
        root / "targets" / "pq-l2",
        ignore=shutil.ignore_patterns("results.tsv", "lessons.md", "__pycache__"),
    )
    (root / "pytest.ini").write_text("[pytest]\n")


def trial(pytester: pytest.Pytester, text: str, *options: str) -> dict[str, Any]:
    """One trial of a kernel in the pytester's project; returns its block, with the exit code."""
    (pytester.path / "targets" / "pq-l2" / "kernels.py").write_text(text)
    result = pytester.runpytest_inprocess(*GATE, "--autoresearch-json=block.json", *options)
    block: dict[str, Any] = json.loads((pytester.path / "block.json").read_text())["trials"][0]
    return {**block, "exit": int(result.ret)}
