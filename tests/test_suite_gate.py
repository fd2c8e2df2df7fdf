"""How verdicts become pytest's: the gate's item, the rows, failures elsewhere, and folders that cannot serve.

Trials are faked: they come to what a test says.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import toys
from builders import outcome
from fake_trials import GATE, NAMED, PLAIN, FakedTrial, faked, installed, suite_of

from pytest_lance_autoresearch.errors import LogError
from pytest_lance_autoresearch.log import archive
from pytest_lance_autoresearch.plugin import parallel
from pytest_lance_autoresearch.plugin.options import REGRESSION_GATE, Options
from pytest_lance_autoresearch.plugin.suite import GateClosed, Suite
from pytest_lance_autoresearch.records import Status
from pytest_lance_autoresearch.words import report
from pytest_lance_autoresearch.words.wording import shown

KEEP = outcome(Status.KEEP, "keep: faster")
PASS = outcome(Status.PASS, "pass: not slower")
DISCARD = outcome(Status.DISCARD, "discard: slower")
LOGGED = replace(KEEP, trial=2)


@pytest.fixture(scope="module", autouse=True)
def _faked_trials() -> Iterator[None]:
    with installed():
        yield


@pytest.fixture
def project(tmp_path: Path) -> Path:
    toys.write(tmp_path)
    return tmp_path


@pytest.fixture
def made(project: Path) -> Suite:
    return suite_of(project, GATE, ["toy"])


def said(one: FakedTrial) -> list[str]:
    return [str(failure) for failure in one.failures]


def spare(home: Path) -> list[Path]:
    """The room on the disk that is held."""
    return list((home / archive.FOLDER).glob("spare-*"))


# The gate's item and the row


@pytest.mark.parametrize("status", [Status.KEEP, Status.BASELINE, Status.PASS])
def test_a_keep_a_baseline_or_a_kernel_that_is_not_slower_passes(made: Suite, status: Status) -> None:
    faked(made).ends = [outcome(status)]
    made.gate("toy", 0)
    assert made.closed_gates == 0


@pytest.mark.parametrize(
    "status", [None, *(status for status in Status if status not in ("keep", "baseline", "pass"))]
)
def test_anything_else_fails_with_its_reason(made: Suite, status: Status | None) -> None:
    faked(made).ends = [replace(outcome(status, "why not"), gated=True)]
    with pytest.raises(GateClosed) as raised:
        made.gate("toy", 0)
    assert (str(raised.value), made.closed_gates) == ("why not", 1)


@pytest.mark.parametrize(("failed", "own", "is_red"), [(0, 0, False), (2, 2, False), (1, 0, True), (3, 2, True)])
def test_a_failure_outside_the_targets_is_every_trial_s(
    made: Suite, failed: int, own: int, *, is_red: bool
) -> None:
    """What failed in targets' items is known to their own trials already."""
    made.own_failures = own
    faked(made).ends = [KEEP, LOGGED]
    made.gate("toy", failed)
    sentence = "a test outside the targets failed; a session that fails records no keep and no baseline"
    assert said(faked(made)) == [sentence] * is_red
    faked(made).failures.clear()
    made.outcomes(failed, broken_off=False)
    assert said(faked(made)) == [sentence] * is_red


def test_a_failure_elsewhere_is_no_matter_of_a_verdict_that_is_not_logged(project: Path) -> None:
    """pytest's own exit code tells of it."""
    options = replace(GATE, gate=REGRESSION_GATE, revision="main")
    made = suite_of(project, options, ["toy"])
    faked(made).ends = [PASS, PASS]
    made.gate("toy", 1)
    made.outcomes(1, broken_off=False)
    assert said(faked(made)) == []
    logged = suite_of(project, replace(options, log=project / "gate.tsv"), ["toy"])
    faked(logged).ends = [PASS]
    logged.gate("toy", 1)
    assert said(faked(logged)) == [report.RED_SESSION]


def test_the_figures_of_a_gate_are_those_of_its_verdict(made: Suite) -> None:
    faked(made).ends = [KEEP]
    assert made.figures("toy") == {}
    made.gate("toy", 0)
    assert made.figures("toy") == {"verdict": "keep", "reason": "keep: faster"}


def test_what_fails_around_an_item_is_its_trial_s_alone(made: Suite) -> None:
    """A trial that never began has nothing to lose."""
    made.fail("toy", "test_speed failed in its setup: KeyError: 'x'")
    assert said(faked(made)) == []
    made.fail("toy", "test_speed failed in its setup: KeyError: 'x'")
    assert said(faked(made)) == ["test_speed failed in its setup: KeyError: 'x'; the kernel is not to blame"]


def test_nothing_is_logged_before_there_is_an_outcome(made: Suite) -> None:
    made.log("toy")
    assert faked(made).outcome is None


def test_a_row_takes_room_for_the_next_target_s(made: Suite, project: Path) -> None:
    faked(made).ends = [KEEP, LOGGED]
    made.gate("toy", 0)
    assert spare(project) == []
    made.log("toy")
    assert len(spare(project)) == 1
    assert made.closed_gates == 0


def test_where_there_is_no_row_no_room_is_taken(made: Suite, project: Path) -> None:
    faked(made).ends = [DISCARD, DISCARD]
    with pytest.raises(GateClosed):
        made.gate("toy", 0)
    made.log("toy")
    assert (spare(project), made.closed_gates) == ([], 1)


def test_a_gate_that_was_passed_is_closed_where_its_verdict_is_taken_back(made: Suite) -> None:
    faked(made).ends = [KEEP, replace(outcome(Status.INVALID, "invalid: overtaken"), trial=2)]
    made.gate("toy", 0)
    with pytest.raises(GateClosed) as raised:
        made.log("toy")
    assert (str(raised.value), made.closed_gates) == ("invalid: overtaken", 1)


def test_a_gate_whose_row_could_not_be_written_is_closed(made: Suite) -> None:
    fault = LogError("log.tsv: no room")
    faked(made).ends = [KEEP, fault]
    made.gate("toy", 0)
    with pytest.raises(LogError) as raised:
        made.log("toy")
    assert (raised.value, made.closed_gates) == (fault, 1)


# The end of the session


def test_a_plain_run_comes_to_no_outcome(tmp_path: Path) -> None:
    made = suite_of(tmp_path, PLAIN)
    faked(made, "a").ends = [KEEP]
    assert made.outcomes(1, broken_off=False) == ([], [])
    assert (made.told(), said(faked(made, "a"))) == ([], [])


def test_every_trial_comes_to_an_outcome_or_a_fault(project: Path) -> None:
    toys.write(project, "other")
    made = suite_of(project, replace(GATE, names=("toy", "other")), ["toy", "other"])
    faked(made).ends = [LogError("log.tsv: no room")]
    faked(made, "other").ends = [LOGGED]
    assert made.outcomes(0, broken_off=False) == ([LOGGED], ["log.tsv: no room"])


def test_what_is_broken_off_is_abandoned(made: Suite) -> None:
    faked(made).ends = [LOGGED]
    outcomes, faults = made.outcomes(0, broken_off=True)
    assert ([one.reason for one in outcomes], faults) == ([report.BROKEN_OFF], [])


def test_what_xdist_s_workers_told_comes_before_what_this_process_knows(project: Path) -> None:
    made = suite_of(project, NAMED, ["toy"], distributed=True)
    faked(made)
    share = parallel.Share(target="toy", unit="row", items=5, done=5, seconds=1.0, failures=[])
    made.shares.append(share)
    assert made.outcomes(0, broken_off=False) == (parallel.outcomes([share]), [])


# Folders that cannot serve


def test_room_is_taken_where_a_row_can_be_left(made: Suite, project: Path) -> None:
    assert made.unwritable() == ""
    (held,) = spare(project)
    assert held.stat().st_size == archive.SPARE_BYTES


def test_no_room_is_taken_where_it_may_be_that_nothing_is_written(project: Path) -> None:
    made = suite_of(project, replace(GATE, require_baseline=True), ["toy"])
    assert made.unwritable() == ""
    assert not (project / archive.FOLDER).exists()


@pytest.mark.parametrize("require_baseline", [False, True])
def test_a_log_in_a_folder_that_is_not_there(project: Path, *, require_baseline: bool) -> None:
    options = replace(GATE, log=project / "nowhere" / "log.tsv", require_baseline=require_baseline)
    sentence = f"{project / 'nowhere'}: there is no such folder; a judged trial leaves its row there"
    assert suite_of(project, options, ["toy"]).unwritable() == sentence
    assert spare(project) == []


def locked(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(os, "access", lambda path, _: Path(path) != folder)


def own(project: Path) -> tuple[Options, Path]:
    return GATE, project / "targets" / "toy"


def shared(project: Path) -> tuple[Options, Path]:
    folder = project / "logs"
    folder.mkdir()
    return replace(GATE, log=folder / "log.tsv"), folder


def of_the_archive(project: Path) -> tuple[Options, Path]:
    return GATE, project


@pytest.mark.parametrize("case", [own, shared, of_the_archive])
def test_a_folder_that_cannot_be_written(project: Path, monkeypatch: pytest.MonkeyPatch, case: object) -> None:
    """The target's own, the shared log's, or the one that holds the archive."""
    assert callable(case)
    options, folder = case(project)
    locked(monkeypatch, folder)
    sentence = f"{folder}: cannot be written; a judged trial leaves its row or its archive there"
    assert suite_of(project, options, ["toy"]).unwritable() == sentence


def test_a_target_that_is_judged_by_a_shared_log_needs_no_folder_of_its_own(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options, _ = shared(project)
    locked(monkeypatch, project / "targets" / "toy")
    assert suite_of(project, options, ["toy"]).unwritable() == ""


def test_a_disk_that_is_full(made: Suite, project: Path) -> None:
    """A file lies where the archive's folder belongs: its room cannot be had either."""
    (project / archive.FOLDER).touch()
    path = project / archive.FOLDER / f"spare-{os.getpid()}"
    sentence = f"{shown(path)}: cannot be written: File exists"
    assert (made.unwritable(), made.hold_room()) == (sentence, sentence)
