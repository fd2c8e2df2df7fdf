"""What the package brings along: it is found, it is in the wheel, and none of it is a target of the project."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from builders import write_target

from pytest_lance_autoresearch.command import verbs
from pytest_lance_autoresearch.errors import AutoresearchError
from pytest_lance_autoresearch.target_files import discover, shipped

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_in_a_checkout_it_lies_beside_the_package() -> None:
    assert shipped.contract() == ROOT / "HARNESS.md"
    assert shipped.pattern("in-out") == ROOT / "targets" / "_in-out"


def test_in_an_installed_package_it_lies_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_target(tmp_path / "targets" / "_float")
    monkeypatch.setattr(shipped, "_INSIDE", tmp_path)
    assert shipped.pattern("float") == tmp_path / "targets" / "_float"
    with pytest.raises(AutoresearchError) as fault:
        shipped.contract()
    assert str(fault.value) == f"{tmp_path / 'HARNESS.md'}: is missing; install the package again"


def test_every_pattern_of_the_repository_is_in_the_wheel() -> None:
    included = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    patterns = {f"targets/{path.name}" for path in (ROOT / "targets").glob("_*")}
    assert patterns == {f"targets/_{name}" for name in shipped.PATTERNS}
    assert included == {name: f"pytest_lance_autoresearch/shipped/{name}" for name in (*patterns, "HARNESS.md")}


def test_the_contract_makes_sense_without_the_repository() -> None:
    assert not re.findall(r"\]\(", shipped.contract().read_text())


def test_the_installed_command_is_called_as_its_messages_say() -> None:
    assert PROJECT["project"]["scripts"] == {verbs.SCRIPT: f"{verbs.__name__}:{verbs.main.__name__}"}


def test_what_lies_inside_the_package_is_no_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that lies in the project, such as in a virtual environment, adds nothing to it."""
    pattern = write_target(tmp_path / "lib" / "package" / "shipped" / "targets" / "_demo")
    assert discover.recognise(pattern)
    monkeypatch.setattr(shipped, "PACKAGE", (tmp_path / "lib" / "package").resolve())
    (tmp_path / "linked").symlink_to("lib")
    assert discover.recognise(pattern) is None
    assert discover.discover(tmp_path, ("**", "linked/package/shipped/targets/*"), discover.NAMED) == ()


def test_ci_takes_the_first_steps_of_a_user_of_the_wheel() -> None:
    assert "beside wheel tests/wheel/run" in (ROOT / ".ci" / "run").read_text().splitlines()


def test_the_readme_begins_with_the_line_for_a_user_of_the_wheel() -> None:
    install, new, run = (
        "pip install pytest-lance-autoresearch",
        "python -m pytest_lance_autoresearch new mine",
        "pytest --autoresearch=mine",
    )
    commands = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("    ")]
    assert commands[0] == f"    {install} && {new} && {run}"
