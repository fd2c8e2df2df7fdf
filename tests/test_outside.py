"""A library of its own with a kernel in its package, and what becomes of its pull requests.

How fast this machine is, and how busy, decides whether a gate is sure of its verdict in time; what it must never
say is the same everywhere.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import repositories

ROOT = Path(__file__).parents[1]
LIBRARY = ROOT / "examples" / "outside"
KERNEL = "src/profiles/_kernels.py"
SUM = "            total += difference * difference\n"
LOOP = "    for start in range(distances.size):\n"
SHAPES = "SHAPES = (Shape(20_000, 32), Shape(8_000, 100), Shape(3_001, 257))"
SHORTER = "SHAPES = (Shape(2_000, 32), Shape(1_000, 100), Shape(601, 257))"
OPEN = {"inconclusive"}


class Change(NamedTuple):
    """A pull request: what it replaces in the kernel, and by what."""

    before: str
    after: str


COMMENT = Change('"""The kernel of the library', '"""The one kernel of the library')
SAME = Change(SUM, "            total = total + difference * difference\n")
FASTER = Change("@njit()", "@njit(fastmath=True)")
SLOWER = Change(
    LOOP,
    "    count = distances.size\n    for each in range(count + count // 20):\n        start = each % count\n",
)
WRONG = Change("np.sqrt(total)", "np.float32(np.sqrt(total))")


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A clone with the library on its main branch, with shorter series, whose oracle takes less time."""
    left_out = shutil.ignore_patterns("__pycache__", ".autoresearch", ".pytest_cache", "results.tsv")
    folder = tmp_path / "library"
    shutil.copytree(LIBRARY, folder, ignore=left_out)
    inputs = folder / "targets" / "distance-profile" / "inputs.py"
    text = inputs.read_text()
    assert text.count(SHAPES) == 1
    inputs.write_text(text.replace(SHAPES, SHORTER))
    repositories.git(folder, "init", "-q", "-b", "main")
    repositories.git(folder, "add", "-A")
    repositories.git(folder, "commit", "-q", "-m", "the library")
    return folder


def started(command: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True)


def pull_request(library: Path, change: Change) -> tuple[int, dict[str, Any]]:
    """What the gate says of a branch with that change: its exit code, and the JSON of its trial."""
    path = library / KERNEL
    text = path.read_text()
    assert text.count(change.before) == 1
    repositories.git(library, "checkout", "-q", "-b", "change")
    path.write_text(text.replace(change.before, change.after))
    repositories.git(library, "commit", "-q", "-a", "-m", "a change")
    told = library.parent / "told.json"
    gate = ("--regression-gate", "--baseline=git:main", "--autoresearch-max-seconds=30")
    command = (sys.executable, "-m", "pytest", "targets", "-q", "-p", "no:randomly", *gate)
    run = started([*command, f"--autoresearch-json={told}"], library)
    assert told.exists(), run.stdout + run.stderr
    (trial,) = json.loads(told.read_text())["trials"]
    assert run.returncode == trial["exit_code"], run.stdout
    return run.returncode, trial


def test_a_change_to_comments_passes_at_once(library: Path) -> None:
    code, trial = pull_request(library, COMMENT)
    assert (code, trial["verdict"], trial["cause"], trial["windows"]) == (0, "pass", "identical", 0)
    assert trial["baseline_revision"].startswith("main at ")


def test_a_target_whose_folder_was_renamed_is_the_same_target(library: Path) -> None:
    repositories.git(library, "mv", "targets/distance-profile", "targets/profile")
    command = [sys.executable, "-m", "pytest", "targets", "-q", "--regression-gate", "--baseline=git:main"]
    said = started(command, library).stdout
    assert "verdict: pass" in said
    assert "changed since" not in said


@pytest.mark.slow
def test_a_wrong_kernel_is_incorrect(library: Path) -> None:
    code, trial = pull_request(library, WRONG)
    assert (code, trial["verdict"]) == (1, "incorrect")
    assert "distances" in trial["reason"]


@pytest.mark.slow
def test_another_way_that_is_as_fast_is_no_regression(library: Path) -> None:
    _, trial = pull_request(library, SAME)
    assert trial["verdict"] in {"pass"} | OPEN
    assert trial["correctness"]["passed"] == trial["correctness"]["items"]


@pytest.mark.slow
def test_a_faster_kernel_passes_and_its_gain_is_told(library: Path) -> None:
    code, trial = pull_request(library, FASTER)
    assert trial["verdict"] in {"pass"} | OPEN
    assert code in (0, 11, 12)
    assert trial["speedup"]["low"] > 1


@pytest.mark.slow
def test_a_kernel_that_is_5_percent_slower_does_not_pass(library: Path) -> None:
    code, trial = pull_request(library, SLOWER)
    assert trial["verdict"] in {"regressed"} | OPEN
    assert code in (10, 11, 12)


@pytest.mark.slow
def test_the_library_s_own_tests_pass(library: Path) -> None:
    """They import the package from its own folder, as they do once it is installed."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-o", "pythonpath=src"]
    run = started(command, library)
    assert "2 passed" in run.stdout, run.stdout + run.stderr
