"""The regression gate, whole: real runs in a repository, their exit codes, and everything that they write."""

from __future__ import annotations

import json
import shutil
import xml.etree.ElementTree as ET
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import repositories
import toys

from pytest_lance_autoresearch.log import results
from pytest_lance_autoresearch.plugin import options
from pytest_lance_autoresearch.records import Rules

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")

PLAIN = ("-p", "no:randomly", "-p", "no:cacheprovider", "-q", "--benchmark-columns=median")
GATE = (*PLAIN, "--regression-gate", "--baseline=git:main", "--autoresearch-json=out.json")
WRONG = toys.kernel("return result + 1")
HOLDS_MUCH = toys.KERNEL.replace(
    "        self.weights = weights", "        self.weights = weights\n        self.more = np.ones(8_000_000)"
)


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """A repository whose main holds the toy's first kernel."""
    toys.write(pytester.path)
    repositories.commit(pytester.path)
    return pytester


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """One look of one short pair, which bounds nothing."""
    monkeypatch.setattr(options, "Rules", partial(Rules, pairs=1, blocks=1))


def told(project: pytest.Pytester) -> dict[str, Any]:
    """The JSON of each target, by its name."""
    found = json.loads((project.path / "out.json").read_text())
    return {one["target"]: one for one in found["trials"]}


def blocks(result: pytest.RunResult) -> list[dict[str, str]]:
    """Of every target, in order."""
    parts = "\n".join(result.outlines).split("\n---\n")[1:]
    return [dict(line.split(": ", 1) for line in part.splitlines() if ": " in line) for part in parts]


def head(project: pytest.Pytester) -> str:
    return repositories.git(project.path, "rev-parse", "--short=12", "HEAD").strip()


def junit(path: Path) -> dict[str, dict[str, str]]:
    """The properties of each item that has some, by its name."""
    items = ET.parse(path).getroot().iter("testcase")
    found = {
        item.get("name", ""): {p.get("name", ""): p.get("value", "") for p in item.iter("property")}
        for item in items
    }
    return {name: properties for name, properties in found.items() if properties}


def test_an_identical_kernel_passes_at_once_and_leaves_nothing_behind(project: pytest.Pytester) -> None:
    result = project.runpytest(*GATE, "--junit-xml=junit.xml")
    assert result.ret == 0
    result.assert_outcomes(passed=1, skipped=toys.ITEMS)
    (said,) = blocks(result)
    digest = told(project)["toy"]["reason"].partition("sha256 ")[2][:12]
    reason = (
        f"pass: the kernel is identical to the baseline, main at {head(project)} (sha256 {digest}); "
        f"nothing was measured"
    )
    assert (said["verdict"], said["reason"], "trial" in said) == ("pass", reason, False)
    assert told(project)["toy"]["baseline_revision"] == f"main at {head(project)}"
    assert junit(project.path / "junit.xml") == {"test_regression_gate": {"verdict": "pass", "reason": reason}}
    assert not (project.path / ".autoresearch").exists()
    assert not (project.path / "targets/toy/results.tsv").exists()


@pytest.mark.slow
def test_a_faster_kernel_passes_and_a_slower_one_has_regressed(project: pytest.Pytester) -> None:
    toys.write(project.path, text=toys.FASTER)
    result = project.runpytest(*GATE, "--junit-xml=junit.xml", "--autoresearch-log=gate.tsv")
    assert result.ret == 0, result.outlines
    result.assert_outcomes(passed=toys.ITEMS + 1)
    (said,) = blocks(result)
    assert said["verdict"] == "pass"
    assert said["reason"].endswith("not slower than 2 % overall and 5 % in any case (with 99 % confidence)")
    assert said["note"] == "the kernel is not committed as it is; the verdict is about what is in the working tree"
    found = junit(project.path / "junit.xml")["test_regression_gate"]
    assert found["verdict"] == "pass"
    assert 1 < float(found["speedup_low"]) <= float(found["speedup_point"]) <= float(found["speedup_high"])

    toys.write(project.path, text=toys.SLOWER)
    result = project.runpytest(*GATE, "--autoresearch-log=gate.tsv")
    assert result.ret == 10
    result.assert_outcomes(passed=toys.ITEMS, failed=1)
    assert blocks(result)[0]["verdict"] == "regressed"
    rows = results.read(project.path / "gate.tsv")
    assert [(row.status, row.trial) for row in rows] == [("pass", 1), ("regressed", 2)]
    assert told(project)["toy"]["exit_code"] == 10


def test_a_wrong_kernel_is_a_red_item(project: pytest.Pytester) -> None:
    toys.write(project.path, text=WRONG)
    result = project.runpytest(*GATE, "-x")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert blocks(result)[0]["verdict"] == "incorrect"


@pytest.mark.usefixtures("short")
def test_what_is_not_shown_in_time_is_inconclusive(project: pytest.Pytester) -> None:
    toys.write(project.path, text=f"{toys.KERNEL}MORE = 1\n")
    result = project.runpytest(*GATE, "--autoresearch-max-seconds=0.1")
    assert result.ret == 12
    (said,) = blocks(result)
    assert said["verdict"] == "inconclusive"
    assert "undecided when the time budget of 0.1 s ended: " in said["reason"]


KEEP = (*PLAIN, "--keep-gate", "--baseline=git:main")


@pytest.mark.parametrize("gate", [GATE, KEEP])
@pytest.mark.parametrize("text", [toys.KERNEL, f"{toys.KERNEL}MORE = 1\n"], ids=["identical", "changed"])
def test_a_part_of_the_items_is_no_verdict(project: pytest.Pytester, gate: tuple[str, ...], text: str) -> None:
    """Be the kernel its baseline or not: who left items out by mistake hears of it at once."""
    toys.write(project.path, text=text)
    result = project.runpytest(*gate, "-k", "correctness and 64x32-uniform")
    assert result.ret == 13
    result.assert_outcomes(passed=1, deselected=toys.ITEMS)
    (said,) = blocks(result)
    assert (said["verdict"], said["correctness"]) == ("none", f"incomplete (1 of {toys.ITEMS} items passed)")
    assert said["reason"] == (
        f"no verdict: 1 of {toys.ITEMS} items ran; a verdict needs all of them, run without -k, -m, --lf or ids"
    )


def test_a_revision_that_is_not_there_is_no_verdict(project: pytest.Pytester) -> None:
    result = project.runpytest(*GATE, "--baseline=git:v9")
    assert result.ret == 13
    result.assert_outcomes(failed=1, skipped=toys.ITEMS)
    assert blocks(result)[0]["reason"] == (
        "no verdict: git:v9: the repository has no such revision; expected a branch, a tag or a commit"
    )


def test_all_targets_are_judged_in_one_run_and_the_worst_of_them_is_its_exit_code(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One is identical, one is new, and one was refused before it was timed; GitHub shows all three."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(project.path))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(project.path / "summary.md"))
    toys.write(project.path, "dear")
    repositories.commit(project.path)
    toys.write(project.path, "dear", HOLDS_MUCH)
    toys.write(project.path, "new", reference=f"{toys.REFERENCE}# its own\n")
    result = project.runpytest(*GATE, "--autoresearch-markdown=out.md")
    assert result.ret == 10
    verdicts = {name: one["verdict"] for name, one in told(project).items()}
    assert verdicts == {"dear": "regressed", "new": "pass", "toy": "pass"}
    reasons = {name: one["reason"] for name, one in told(project).items()}
    assert reasons["new"] == (
        f"pass: target 'new' is not there at main at {head(project)}, so that there is nothing that it could be "
        f"slower than"
    )
    assert reasons["dear"].startswith("regressed: peak RSS ")
    assert reasons["dear"].endswith("; nothing was timed")
    lines = (project.path / "out.md").read_text().splitlines()
    assert [line.split(" | ")[:2] for line in lines[2:5]] == [
        ["| dear", "**regressed**"],
        ["| new", "**pass**"],
        ["| toy", "**pass**"],
    ]
    assert lines[6:] == [
        "- dear: the kernel is not committed as it is; the verdict is about what is in the working tree",
        "- new: the kernel, targets/new/inputs.py, targets/new/reference.py and 1 more are not committed as they "
        "are; the verdict is about what is in the working tree",
    ]
    assert (project.path / "summary.md").read_text() == "\n" + (project.path / "out.md").read_text()
    assert result.outlines[-3:] == [
        f"::error file=targets/dear/kernels.py,line=1,title=dear%3A regressed::{reasons['dear']}",
        f"::notice file=targets/new/kernels.py,line=1,title=new%3A pass::{reasons['new']}",
        f"::notice file=targets/toy/kernels.py,line=1,title=toy%3A pass::{reasons['toy']}",
    ]


def test_an_interrupt_leaves_the_verdict_of_the_target_before(project: pytest.Pytester) -> None:
    """And pytest's own exit code."""
    toys.write(project.path, "zoo", toys.FASTER)
    project.makeconftest(
        """
        def pytest_runtest_teardown(item):
            if "zoo" in item.nodeid:
                raise KeyboardInterrupt
        """
    )
    result = project.runpytest_subprocess(*GATE)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert {name: one["verdict"] for name, one in told(project).items()} == {"toy": "pass", "zoo": None}


def test_a_target_that_a_change_deletes_is_told_of(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the blocks' place, both reports and to GitHub; it fails nothing. Who names targets asks of no others."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    toys.write(project.path, "old", reference=f"{toys.REFERENCE}# its own\n")
    repositories.commit(project.path)
    shutil.rmtree(project.path / "targets/old")
    result = project.runpytest(*GATE, "--autoresearch-markdown=out.md")
    assert result.ret == 0
    sentence = (
        f"at main at {head(project)} target 'old' was in targets/old, and it is there no more; "
        f"nothing of it was judged"
    )
    assert result.outlines[-3:-1] == [f"NOTE: {sentence}", result.outlines[-2]]
    assert result.outlines[-1] == f"::notice::{sentence}"
    assert json.loads((project.path / "out.json").read_text())["notes"] == [sentence]
    assert (project.path / "out.md").read_text().endswith(f"|\n\n- {sentence}\n")
    named = project.runpytest(*GATE, "--autoresearch=toy")
    assert not [line for line in named.outlines if "old" in line]


def test_the_keep_gate_against_a_revision_writes_no_log(project: pytest.Pytester) -> None:
    result = project.runpytest(*PLAIN, "--autoresearch=toy", "--keep-gate", "--baseline=git:HEAD")
    assert result.ret == 10
    assert blocks(result)[0]["reason"].startswith("discard: the kernel is identical to the baseline, HEAD at ")
    assert not (project.path / "targets/toy/results.tsv").exists()
    assert not (project.path / ".autoresearch").exists()


def test_timing_in_parallel_is_refused(project: pytest.Pytester) -> None:
    arguments = [argument for argument in GATE if "benchmark" not in argument]
    result = project.runpytest_subprocess(*arguments, "-n", "2")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "ERROR: --regression-gate: timing needs one process; add -n0" in (result.errlines + result.outlines)
