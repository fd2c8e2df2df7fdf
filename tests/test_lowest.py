"""The oldest versions that are promised are those that are tested."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_the_lower_bounds_are_the_versions_that_are_tested() -> None:
    tested = dict(re.findall(r"^([\w-]+)==([\d.]+)$", (ROOT / "tests/lowest.txt").read_text(), re.MULTILINE))
    extra = PROJECT["project"]["optional-dependencies"]["report"]
    promised = dict(requirement.split(">=") for requirement in (*PROJECT["project"]["dependencies"], *extra))
    assert promised == {name: tested[name].removesuffix(".0") for name in promised}


def test_the_tests_run_with_the_oldest_pytest() -> None:
    assert (
        f"pytest>={PROJECT['tool']['pytest']['ini_options']['minversion']}" in PROJECT["project"]["dependencies"]
    )


def test_ci_tests_them() -> None:
    assert "-r tests/lowest.txt" in (ROOT / ".ci/run").read_text()
