"""What GitHub Actions is told: whole lines, what they must not contain, and a summary that cannot be written."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders import outcome

from pytest_lance_autoresearch.plugin import github
from pytest_lance_autoresearch.plugin.reports import Lost
from pytest_lance_autoresearch.records import Layout, Outcome, Status

WORKSPACE = Path("/w")
LAYOUTS = {"demo": Layout("demo", WORKSPACE / "kernels" / "targets" / "demo")}


@pytest.fixture(autouse=True)
def _on_github(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(WORKSPACE))


def line(one: Outcome) -> str:
    (only,) = github.commands([one], LAYOUTS, [], [])
    return only


@pytest.mark.parametrize(("value", "expected"), [("true", True), ("false", False), ("", False), (None, False)])
def test_it_is_seen_by_its_own_variable(
    monkeypatch: pytest.MonkeyPatch, value: str | None, *, expected: bool
) -> None:
    monkeypatch.delenv("GITHUB_ACTIONS")
    if value is not None:
        monkeypatch.setenv("GITHUB_ACTIONS", value)
    assert github.is_here() is expected


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (Status.PASS, "notice"),
        (Status.KEEP, "notice"),
        (Status.BASELINE, "notice"),
        (Status.REGRESSED, "error"),
        (Status.DISCARD, "error"),
        (Status.INCORRECT, "error"),
        (Status.CRASH, "error"),
        (Status.TIMEOUT, "error"),
        (Status.REFUSED, "error"),
        (Status.INCONCLUSIVE, "warning"),
        (Status.INVALID, "warning"),
        (None, "warning"),
    ],
)
def test_an_annotation_is_as_grave_as_its_verdict(status: Status | None, kind: str) -> None:
    assert line(outcome(status, "the reason")) == (
        f"::{kind} file=kernels/targets/demo/kernels.py,line=1,title=demo%3A {status or 'no verdict'}::the reason"
    )


def test_nothing_in_a_text_ends_a_command_or_begins_another() -> None:
    assert line(outcome(Status.CRASH, "crash: 100 %, a::b\r\n::error::no")) == (
        "::error file=kernels/targets/demo/kernels.py,line=1,title=demo%3A crash::"
        "crash: 100 %25, a::b%0D%0A::error::no"
    )


def test_a_path_is_a_property_like_any_other() -> None:
    odd = {"demo": Layout("demo", WORKSPACE / "a,b:c")}
    (only,) = github.commands([outcome(Status.PASS, "x")], odd, [], [])
    assert only == "::notice file=a%2Cb%3Ac/kernels.py,line=1,title=demo%3A pass::x"


def test_without_a_workspace_a_path_is_seen_from_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_WORKSPACE")
    monkeypatch.chdir("/")
    assert line(outcome(Status.PASS, "x")).startswith("::notice file=w/kernels/targets/demo/kernels.py,")


def test_what_kept_a_target_from_a_trial_is_an_error_of_no_file_and_a_note_is_a_notice() -> None:
    found = github.commands([], {}, ["target 'third': 50 %\nmore"], ["target 'fourth' was in a, b"])
    assert found == ["::error::target 'third': 50 %25%0Amore", "::notice::target 'fourth' was in a, b"]


def test_the_summary_is_added_to_what_is_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "summary.md"
    path.write_text("# Tests\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(path))
    assert github.write_summary("| a |\n") is None
    assert path.read_text() == "# Tests\n\n| a |\n"


def test_where_there_is_no_summary_none_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    assert github.write_summary("| a |\n") is None


def test_a_summary_that_cannot_be_written_is_not_lost(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path))
    assert github.write_summary("| a |\n") == Lost(f"GITHUB_STEP_SUMMARY={tmp_path}", "Is a directory", "| a |\n")
