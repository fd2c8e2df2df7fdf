"""The files that reports go to: what is refused beforehand, what is lost at the end, and what never survives."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
import repositories
import toys

from pytest_lance_autoresearch.plugin import reports
from pytest_lance_autoresearch.plugin.reports import Lost

PLAIN = ("-p", "no:randomly", "-p", "no:cacheprovider", "-q")
GATE = (*PLAIN, "--regression-gate", "--baseline=git:main")
BOTH = ("--autoresearch-json=out.json", "--autoresearch-markdown=out.md")


# Beforehand


@pytest.mark.parametrize("name", ["json", "markdown"])
def test_a_file_that_can_be_written_is_not_there_before_there_is_a_report(tmp_path: Path, name: str) -> None:
    path = tmp_path / "out"
    assert reports.unwritable(name, path) == ""
    assert not path.exists()


def test_what_cannot_be_written_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where, what was found, what was expected, what to type."""
    (tmp_path / "file").touch()
    (tmp_path / "lost").symlink_to(tmp_path / "nowhere/out.json")
    cases = {
        tmp_path / "lost": (
            "cannot be written: No such file or directory; expected a file that can be; name another one"
        ),
        tmp_path / "my reports/out.json": (
            f"there is no folder {tmp_path}/my reports; expected one that is there; "
            f"make it with mkdir -p '{tmp_path}/my reports'"
        ),
        tmp_path / "file/deep/out.json": (
            f"{tmp_path}/file is no folder; expected the report's file in one; name another file"
        ),
        tmp_path: f"that is a folder; expected a file; name one in it, such as {tmp_path}/report",
        tmp_path / ("x" * 300): (
            "cannot be written: File name too long; expected a file that can be; name another one"
        ),
    }
    for path, sentence in cases.items():
        assert reports.unwritable("json", path) == f"--autoresearch-json={path}: {sentence}"

    def denied(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    assert reports.unwritable("markdown", tmp_path / "out.md") == (
        f"--autoresearch-markdown={tmp_path}/out.md: cannot be written: Permission denied; "
        f"expected a file that can be; name another one"
    )


def test_a_pipe_and_a_device_are_left_alone(tmp_path: Path) -> None:
    """Opening a pipe that nobody reads would wait for ever, and there is nothing of an earlier run in it."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path(os.devnull)):
        reports.forget(path)
        assert reports.unwritable("json", path) == ""
        assert path.exists()
    assert reports.write("json", Path(os.devnull), "{}\n") is None


# What an earlier run left


def test_what_was_there_is_forgotten_and_where_a_link_led_as_well(tmp_path: Path) -> None:
    old, link = tmp_path / "old.json", tmp_path / "link.json"
    old.write_text("{}")
    link.symlink_to(old)
    reports.forget(link)
    assert (old.exists(), link.is_symlink()) == (False, True)
    reports.forget(link)
    assert reports.write("json", link, "[]") is None
    assert old.read_text() == "[]"


def test_what_cannot_be_taken_away_is_emptied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a file that is mounted into a container by itself."""
    path = tmp_path / "old.json"
    path.write_text("{}")

    def busy(_: Path) -> None:
        raise OSError(errno.EBUSY, "Device or resource busy")

    monkeypatch.setattr(Path, "unlink", busy)
    reports.forget(path)
    assert path.read_text() == ""


# Lost at the end


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_of_a_report_that_is_lost_no_part_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out.json"
    path.write_text('{"trials": [')
    monkeypatch.setattr(Path, "write_text", full)
    lost = reports.write("json", path, "{}\n")
    assert lost == Lost(f"--autoresearch-json={path}", "No space left on device", "{}\n")
    assert str(lost) == (
        f"--autoresearch-json={path}: cannot be written: No space left on device; "
        f"what it would have held is printed above"
    )
    assert not path.exists()


def test_what_was_lost_is_printed_once() -> None:
    one, other, third = Lost("A=a", "why", "1\n2\n"), Lost("B=b", "why", "3\n"), Lost("C=c", "why", "1\n2\n")
    assert list(reports.printed([one, other, third])) == [
        "A=a and C=c would have held:",
        "1",
        "2",
        "B=b would have held:",
        "3",
    ]


# Whole runs


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """A repository whose main holds the toy's kernel, with reports of an earlier run."""
    toys.write(pytester.path)
    repositories.commit(pytester.path)
    for name in ("out.json", "out.md"):
        (pytester.path / name).write_text("of an earlier run\n")
    return pytester


def left(project: pytest.Pytester) -> list[str]:
    return sorted(path.name for path in project.path.glob("out.*"))


@pytest.mark.parametrize(
    "arguments",
    [
        [*GATE, "--no-such-option"],
        [*PLAIN, "--regression-gate"],
        [*PLAIN, "--regression-gate", "--baseline=main"],
        [*GATE, "--autoresearch-max-slowdown=much"],
        [*PLAIN, "--autoresearch=yot"],
        [*GATE, "no/such/path"],
        [*GATE, "-k", "nothing"],
        [*GATE, "--benchmark-only"],
    ],
)
def test_a_run_that_measures_nothing_leaves_no_report(project: pytest.Pytester, arguments: list[str]) -> None:
    """Neither one that reads like a run's, nor that of an earlier run."""
    assert project.runpytest(*arguments, *BOTH).ret in (
        pytest.ExitCode.USAGE_ERROR,
        pytest.ExitCode.NO_TESTS_COLLECTED,
    )
    assert left(project) == []


def test_a_conftest_that_cannot_be_imported_leaves_none_either(project: pytest.Pytester) -> None:
    project.makeconftest("raise ValueError('at import')")
    assert project.runpytest_subprocess(*GATE, *BOTH).ret == pytest.ExitCode.USAGE_ERROR
    assert left(project) == []


@pytest.mark.parametrize("arguments", [[*GATE, *BOTH, "--collect-only"], [*GATE, *BOTH, "--help"], [*PLAIN]])
def test_what_is_no_run_of_trials_leaves_reports_alone(project: pytest.Pytester, arguments: list[str]) -> None:
    """Though the ini file names them for those that are."""
    project.makeini("[pytest]\nautoresearch_json = out.json\nautoresearch_markdown = out.md\n")
    assert project.runpytest(*arguments).ret == 0
    assert [(project.path / name).read_text() for name in left(project)] == ["of an earlier run\n"] * 2


def test_a_session_that_is_started_again_keeps_what_it_wrote(project: pytest.Pytester) -> None:
    """The value that pytest takes for a path is there, until it is known to be none."""
    assert project.runpytest(*GATE, "--autoresearch-json", "out.json").ret == 0
    assert json.loads((project.path / "out.json").read_text())["trials"][0]["verdict"] == "pass"


def test_a_report_that_cannot_be_written_is_refused_before_anything_runs(project: pytest.Pytester) -> None:
    result = project.runpytest(*GATE, "--autoresearch-json=nowhere/out.json", "--autoresearch-markdown=targets")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.assert_outcomes()
    where = project.path
    assert list(filter(None, result.errlines)) == [
        f"ERROR: --autoresearch-json={where}/nowhere/out.json: there is no folder {where}/nowhere; expected one "
        f"that is there; make it with mkdir -p {where}/nowhere",
        f"ERROR: --autoresearch-markdown={where}/targets: that is a folder; expected a file; name one in it, such "
        f"as {where}/targets/report",
    ]


def test_a_report_that_is_lost_at_the_end_is_printed_and_is_no_success(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the disk is full. A verdict keeps its own exit code; the summary of a step changes none."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(project.path / "targets"))
    monkeypatch.setattr(Path, "write_text", full)
    result = project.runpytest(*GATE, "--autoresearch-markdown=out.md")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=1, skipped=toys.ITEMS)
    path, summary = project.path / "out.md", f"GITHUB_STEP_SUMMARY={project.path / 'targets'}"
    first = result.outlines.index(f"--autoresearch-markdown={path} and {summary} would have held:")
    assert result.outlines[first + 1] == "| target | verdict | speed-up | time | memory | why |"
    assert first < result.outlines.index("---")
    lost = (
        f"--autoresearch-markdown={path}: cannot be written: No space left on device; what it would have held is "
        f"printed above"
    )
    assert f"ERROR: {lost}" in result.outlines
    assert f"::error::{lost}" in result.outlines
    assert (
        f"NOTE: {summary}: cannot be written: Is a directory; what it would have held is printed above; "
        f"no verdict changes by that" in result.outlines
    )
    assert not path.exists()
    assert project.runpytest(*GATE, "--autoresearch-markdown=out.md", "-k", "64x32-uniform").ret == 13


def test_a_summary_alone_that_is_lost_leaves_a_pass_a_pass(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(project.path))
    assert project.runpytest(*GATE).ret == 0
