"""docs/ci.md: its recipes run as they stand in fresh clones, and its table gives the codes' own numbers."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import repositories
import toys

from pytest_lance_autoresearch import records
from pytest_lance_autoresearch.records import EXIT_CODES, RegressionRules, Status

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")

PAGE = (Path(__file__).parent.parent / "docs" / "ci.md").read_text()
RULES = RegressionRules()
HOLDS_MUCH = toys.KERNEL.replace(
    "        self.weights = weights", "        self.weights = weights\n        self.more = np.ones(8_000_000)"
)


def fenced(language: str) -> str:
    """The one block of the page in that language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    """A repository with a target on main, and a branch that left it before its newest commit."""
    folder = tmp_path / "origin"
    toys.write(folder)
    (folder / "pytest.ini").write_text("[pytest]\naddopts = -p no:randomly -p no:cacheprovider\n")
    repositories.commit(folder)
    repositories.git(folder, "branch", "change")
    toys.write(folder, text=toys.FASTER)
    repositories.commit(folder)
    repositories.git(folder, "checkout", "change")
    (folder / "notes.txt").touch()
    repositories.commit(folder)
    return folder


def run(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run in a shell that has this Python's pytest, and nothing of whoever runs the tests."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    kept = {name: os.environ[name] for name in ("HOME", "TMPDIR") if name in os.environ}
    environment = {**kept, "PATH": path, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    return subprocess.run(
        ["sh", "-c", script], check=False, cwd=folder, env=environment, capture_output=True, text=True
    )


def verdict(folder: Path) -> str:
    (found,) = json.loads((folder / "verdict.json").read_text())["trials"]
    return str(found["verdict"])


@pytest.mark.parametrize("options", [[], ["--depth=1"]], ids=["whole", "shallow"])
def test_the_script_compares_with_where_the_branch_left_the_other(
    origin: Path, tmp_path: Path, options: list[str]
) -> None:
    """The kernel is as it was there; on main it has become faster since."""
    copy = repositories.clone(origin, tmp_path / "clone", *options, "--branch=change")
    done = run(fenced("sh"), copy)
    assert done.returncode == 0, done.stdout + done.stderr
    assert verdict(copy) == "pass"
    left = repositories.git(origin, "rev-parse", "change^").strip()
    assert f"identical to the baseline, {left[:12]} (sha256 " in (copy / "verdict.md").read_text()
    assert 'name="verdict" value="pass"' in (copy / "verdict.xml").read_text()


def test_the_script_ends_as_the_verdict_does(origin: Path, tmp_path: Path) -> None:
    toys.write(origin, text=HOLDS_MUCH)
    repositories.commit(origin)
    copy = repositories.clone(origin, tmp_path / "clone", "--branch=change")
    done = run(fenced("sh"), copy)
    assert (done.returncode, verdict(copy)) == (10, "regressed")
    assert done.stdout.splitlines()[-1] == "a kernel has become slower; verdict.md says which and by how much"


def test_the_workflow_compares_with_what_was_there_before_the_merge(origin: Path, tmp_path: Path) -> None:
    """In a clone as deep as it says, of a merge as GitHub makes it."""
    (depth,) = re.findall(r"^ +fetch-depth: (\d+)$", fenced("yaml"), re.MULTILINE)
    (command,) = re.findall(r"^ +- run: (pytest .+)$", fenced("yaml"), re.MULTILINE)
    repositories.git(origin, "checkout", "main")
    repositories.git(origin, "merge", "--no-ff", "--message", "Merge", "change")
    copy = repositories.clone(origin, tmp_path / "clone", f"--depth={depth}")
    done = run(command, copy)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (
        f"identical to the baseline, HEAD^1 at {repositories.git(origin, 'rev-parse', 'main^1')[:12]}"
        in done.stdout
    )


def test_the_table_gives_every_exit_code_of_the_gate() -> None:
    said = dict(re.findall(r"^\| ([\d, ]+) \| (.+?) \|", PAGE, re.MULTILINE))
    for status in Status:
        if status not in (Status.BASELINE, Status.KEEP, Status.DISCARD, Status.INVALID, Status.INCONCLUSIVE):
            assert f"`{status}`" in said[str(EXIT_CODES[status])]
    codes = EXIT_CODES[Status.INCONCLUSIVE], records.BUDGET_EXIT_CODE
    assert said[", ".join(map(str, codes))] == "`inconclusive`"
    assert said[str(records.NO_VERDICT_EXIT_CODE)] == "none"


def test_the_page_gives_the_limits_of_the_rules() -> None:
    text = " ".join(PAGE.split())
    assert f"no more than {100 * RULES.slowdown_limit:g} % slower overall (`--autoresearch-max-slowdown`)" in text
    assert f"and no more than {100 * RULES.case_limit:g} % in any case." in text
