"""Which project a session is about, whatever its options' values are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import toys

from pytest_lance_autoresearch.log import results
from pytest_lance_autoresearch.plugin import root

WRONG = toys.kernel("return result + 1")


@pytest.fixture
def projects(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of `a`, whose kernel is right, and `b`, whose kernel is wrong; pytest is started in `b`."""
    for name, text in (("a", toys.KERNEL), ("b", WRONG)):
        toys.write(pytester.path / name, text=text)
        (pytester.path / name / "pytest.ini").write_text("[pytest]\n")
    monkeypatch.chdir(pytester.path / "b")
    return pytester.path


def judged(result: pytest.RunResult) -> list[str]:
    return [line for line in result.outlines if line.startswith("verdict: ")]


@pytest.mark.parametrize(
    "options",
    [
        ["--baseline", "../a/log.tsv"],
        ["--baseline=log.tsv", "--autoresearch-json", "../a/told.json"],
        ["--baseline=log.tsv", "--autoresearch-description", "../a"],
        ["--baseline=log.tsv", "--benchmark-storage", "../a"],
    ],
)
def test_the_value_of_an_option_moves_the_session_to_no_other_project(
    pytester: pytest.Pytester, projects: Path, options: list[str]
) -> None:
    (projects / "a/log.tsv").touch()
    (projects / "a/told.json").touch()
    result = pytester.runpytest(*toys.GATE, "-x", *options)
    assert result.ret == 1
    assert judged(result) == ["verdict: incorrect"]


def test_neither_do_the_options_of_the_environment(
    pytester: pytest.Pytester, projects: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (projects / "a/log.tsv").touch()
    monkeypatch.setenv("PYTEST_ADDOPTS", "--baseline ../a/log.tsv")
    assert judged(pytester.runpytest(*toys.GATE, "-x")) == ["verdict: incorrect"]
    assert [row.status for row in results.read(projects / "a/log.tsv")] == ["incorrect"]


def test_settings_of_the_other_project_do_not_count(pytester: pytest.Pytester, projects: Path) -> None:
    (projects / "a/log.tsv").touch()
    (projects / "a/pytest.ini").write_text(
        "[pytest]\nautoresearch_description = of a\naddopts = --autoresearch-description=from-a"
    )
    (projects / "b/pytest.ini").write_text("[pytest]\nautoresearch_json = of-b.json\npythonpath = .")
    pytester.runpytest(*toys.GATE, "-x", "--baseline", "../a/log.tsv")
    (row,) = results.read(projects / "a/log.tsv")
    assert row.description.startswith("incorrect: ")
    assert json.loads((projects / "b/of-b.json").read_text())["trials"][0]["verdict"] == "incorrect"


def test_a_path_to_be_tested_still_names_the_project(pytester: pytest.Pytester, projects: Path) -> None:
    (projects / "a/log.tsv").touch()
    assert projects.is_dir()
    result = pytester.runpytest(*toys.GATE, "--baseline", "../a/log.tsv", "../a/targets/toy")
    assert judged(result) == ["verdict: baseline"]


@pytest.mark.parametrize(
    "options",
    [["-c", "ci/pytest.ini", "--rootdir=."], ["-c", "ci/pytest.ini"], ["-c", "/dev/null"], ["-c", "pytest.ini"]],
)
def test_an_ini_file_of_another_place_moves_nothing(pytester: pytest.Pytester, options: list[str]) -> None:
    toys.write(pytester.path)
    (pytester.path / "ci").mkdir()
    for folder in ("ci", "."):
        (pytester.path / folder / "pytest.ini").write_text("[pytest]\n")
    assert judged(pytester.runpytest(*toys.GATE, *options)) == ["verdict: baseline"]


def test_values_are_joined_to_their_options_and_paths_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("log.tsv", "targets"):
        (tmp_path / name).touch()
    arguments = [
        "-q",
        "targets",
        "--keep-gate",
        "targets",
        "--baseline",
        "log.tsv",
        "--x",
        "no",
        "--",
        "--y",
        "log.tsv",
    ]
    assert root.joined(arguments, frozenset(["targets", "--y", "log.tsv"])) == arguments
    assert root.joined(arguments, frozenset(["targets"])) == [
        *arguments[:4],
        "--baseline=log.tsv",
        *arguments[6:],
    ]
