"""Trials whose baseline is a revision: what is run, what it comes to and is said of it, and what it leaves.

Processes, measurements and the clock are faked; the repository is real.
"""

from __future__ import annotations

import functools
import shutil
from pathlib import Path
from typing import Any

import pytest
import toys
from builders import SPEEDUP
from fake_measuring import Lab, ending, first, installed, run_items
from repositories import commit, git

from pytest_lance_autoresearch.errors import AutoresearchError, KernelIncorrect
from pytest_lance_autoresearch.log import archive, gate, history, results
from pytest_lance_autoresearch.records import Cause, Judgement, Outcome, RegressionRules, Rules, Status, Verdict
from pytest_lance_autoresearch.runs import trial
from pytest_lance_autoresearch.target_files import discover, load
from pytest_lance_autoresearch.words import report

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")

NOT_SLOWER = RegressionRules()
PASS = Judgement(Verdict.PASS, Cause.NOT_SLOWER, SPEEDUP)
REGRESSED = Judgement(Verdict.REGRESSED, Cause.SLOWER, SPEEDUP)
FAULT = AutoresearchError("a fixture failed; the kernel is not to blame")
OTHER_TARGET = f"{toys.TARGET}\n# once more\n"
NO_MORE_THAN_2 = (
    "pass: geomean 832 -> 800 ns/product (-3.8 %), not slower than 2 % overall and 5 % in any case "
    "(with 99 % confidence)"
)


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """A laboratory in a repository that holds the toy's first kernel on main."""
    toys.write(tmp_path)
    commit(tmp_path)
    made = installed(tmp_path, monkeypatch)
    made.judgement = PASS
    return made


def main(lab: Lab) -> str:
    return f"main at {git(lab.root, 'rev-parse', '--short=12', 'main').strip()}"


def begin(lab: Lab, text: str = toys.FASTER, rules: Rules = NOT_SLOWER, **settings: Any) -> trial.Trial:
    return lab.begin(text, gate=True, rules=rules, **{"revision": "main", **settings})


def judge(lab: Lab, text: str = toys.FASTER, **settings: Any) -> Outcome:
    begun = begin(lab, text, **settings)
    run_items(begun)
    return begun.log()


# The regression gate


def test_the_kernel_of_the_revision_is_what_it_is_measured_beside(lab: Lab) -> None:
    outcome = judge(lab)
    (measurement,) = lab.measurements
    assert measurement.baseline is not None
    assert (measurement.baseline.text, measurement.rules) == (toys.KERNEL.encode(), NOT_SLOWER)
    assert measurement.target.kernel.text == toys.FASTER.encode()
    assert ending(outcome) == (Status.PASS, NO_MORE_THAN_2, 0)
    assert (outcome.baseline_revision, outcome.baseline_trial, outcome.gated) == (main(lab), None, True)
    assert outcome.notes == (report.uncommitted(["the kernel"]),)


def test_no_log_is_needed_and_none_is_written(lab: Lab) -> None:
    outcome = judge(lab)
    assert (outcome.trial, outcome.log, lab.rows()) == (None, None, ())
    assert not (lab.root / archive.FOLDER).exists()


def test_the_log_of_the_keep_gate_plays_no_part(lab: Lab) -> None:
    log = lab.log_path
    log.write_text("not a log\n")
    assert judge(lab).status is Status.PASS
    assert log.read_text() == "not a log\n"


def test_slower_is_regressed(lab: Lab) -> None:
    lab.judgement = REGRESSED
    assert ending(judge(lab, toys.SLOWER)) == (
        Status.REGRESSED,
        "regressed: geomean 832 -> 800 ns/product (-3.8 %), slower than the limit of 2 % (with 99 % confidence)",
        10,
    )


def test_a_kernel_that_is_committed_is_no_note(lab: Lab) -> None:
    toys.write(lab.root, text=toys.FASTER)
    commit(lab.root)
    assert judge(lab, revision="HEAD^").notes == ()


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (toys.KERNEL, "the kernel is"),
        (f"{toys.KERNEL}# a word\n", "only comments or layout differ; the code is"),
    ],
)
def test_identical_code_passes_at_once(lab: Lab, text: str, what: str) -> None:
    begun = begin(lab, text)
    digest = load.load(discover.inspect(toys.write(lab.root))).kernel.sha256[:12]
    sentence = f"pass: {what} identical to the baseline, {main(lab)} (sha256 {digest}); nothing was measured"
    assert begun.nothing_to_measure() == sentence
    outcome = begun.log()
    assert ending(outcome) == (Status.PASS, sentence, 0)
    assert (outcome.judgement, outcome.figures, outcome.correct) == (
        Judgement(Verdict.PASS, Cause.IDENTICAL),
        None,
        0,
    )
    assert report.correctness(outcome) == "not run (the kernel's code is its baseline's)"
    assert lab.processes == []


PART = frozenset(trial.Item(trial.ItemKind.CORRECTNESS, case) for case in toys.CASES)


@pytest.mark.parametrize("rules", [NOT_SLOWER, Rules()])
@pytest.mark.parametrize("target", [toys.TARGET, OTHER_TARGET])
def test_a_part_of_the_items_is_no_verdict_about_identical_code_either(
    lab: Lab, rules: Rules, target: str
) -> None:
    """What was asked for runs, and whoever left the rest out hears of it before a kernel changes."""
    begun = begin(lab, toys.KERNEL, rules, target=target, selected=PART)
    assert begun.nothing_to_measure() == ""
    for case in begun.cases:
        begun.check_case(case)
    outcome = begun.log()
    assert ending(outcome) == (None, report.partial_reason(len(toys.CASES), toys.ITEMS), 13)
    assert report.correctness(outcome) == f"incomplete ({len(toys.CASES)} of {toys.ITEMS} items passed)"


def test_identical_code_beside_other_files_is_checked_and_not_timed(lab: Lab) -> None:
    begun = begin(lab, toys.KERNEL, target=OTHER_TARGET)
    assert begun.nothing_to_measure() == ""
    for case in begun.cases:
        begun.check_case(case)
    assert begun.measure_case(first(begun)) is None
    outcome = begun.log()
    digest = begun.target.kernel.sha256[:12]
    identical = f"the kernel is identical to the baseline, {main(lab)} (sha256 {digest}); nothing was measured"
    assert begun.untimed() == f"not timed: {identical}"
    assert ending(outcome) == (Status.PASS, f"pass: {identical}", 0)
    assert (outcome.correct, outcome.items, lab.measurements) == (len(toys.CASES), len(toys.CASES), [])
    assert outcome.notes == (
        f"target.py has changed since {main(lab)}; the kernel was checked by the working tree's",
        "targets/toy/target.py is not committed as it is; the verdict is about what is in the working tree",
    )


def test_identical_code_that_other_files_make_wrong_does_not_pass(lab: Lab) -> None:
    begun = begin(lab, toys.KERNEL, target=OTHER_TARGET)
    lab.failing[first(begun).id, 1] = KernelIncorrect("it is wrong now")
    for case in begun.cases:
        if case is first(begun):
            with pytest.raises(KernelIncorrect):
                begun.check_case(case)
        else:
            begun.check_case(case)
    outcome = begun.log()
    assert ending(outcome) == (Status.INCORRECT, "incorrect: it is wrong now", 1)
    assert outcome.notes[0] == (
        f"target.py has changed since {main(lab)}; the kernel was checked by the working tree's"
    )


def test_other_files_that_changed_beside_another_kernel_are_a_note(lab: Lab) -> None:
    outcome = judge(lab, target=OTHER_TARGET)
    assert outcome.status is Status.PASS
    assert len(lab.measurements) == 1
    assert outcome.notes[0] == (
        f"target.py has changed since {main(lab)}; the verdict rests on the working tree's, for both kernels"
    )


def test_a_folder_that_was_renamed_is_a_note(lab: Lab) -> None:
    git(lab.root, "mv", "targets/toy", "targets/other")
    git(lab.root, "commit", "--message", "Before it was renamed")
    shutil.rmtree(lab.root / "targets/other")
    outcome = judge(lab)
    assert outcome.status is Status.PASS
    assert (
        outcome.notes[0] == f"at {main(lab)} target 'toy' was in targets/other; the kernel there is the baseline"
    )


@pytest.fixture
def new(lab: Lab) -> Lab:
    """A laboratory whose target main does not hold."""
    git(lab.root, "rm", "-r", "--cached", "targets")
    git(lab.root, "commit", "--message", "Without")
    return lab


def test_a_new_target_is_checked_and_passes(new: Lab) -> None:
    begun = begin(new)
    assert begun.nothing_to_measure() == ""
    for case in begun.cases:
        begun.check_case(case)
    assert begun.measure_case(first(begun)) is None
    outcome = begun.log()
    sentence = f"target 'toy' is not there at {main(new)}, so that there is nothing that it could be slower than"
    assert begun.untimed() == f"not timed: {sentence}"
    assert ending(outcome) == (Status.PASS, f"pass: {sentence}", 0)
    assert outcome.judgement == Judgement(Verdict.PASS, Cause.NEW)
    assert (outcome.correct, outcome.items) == (len(toys.CASES), len(toys.CASES))


def test_a_new_target_whose_speed_items_were_left_out_does_not_pass(new: Lab) -> None:
    """They would have been skipped; a part is a part."""
    begun = begin(new, selected=PART)
    for case in begun.cases:
        begun.check_case(case)
    assert ending(begun.log()) == (None, report.partial_reason(len(toys.CASES), toys.ITEMS), 13)


def test_a_new_target_of_which_a_part_was_checked_does_not_pass(new: Lab) -> None:
    begun = begin(new)
    begun.check_case(first(begun))
    assert ending(begun.log()) == (None, report.partial_reason(1, len(toys.CASES)), 13)


def test_a_new_target_that_is_wrong_does_not_pass(new: Lab) -> None:
    begun = begin(new)
    begun.failures.append(KernelIncorrect("it is wrong"))
    assert ending(begun.log()) == (Status.INCORRECT, "incorrect: it is wrong", 1)


def test_a_revision_that_cannot_be_asked_is_no_verdict(lab: Lab) -> None:
    begun = begin(lab, revision="v9")
    sentence = "no verdict: git:v9: the repository has no such revision; expected a branch, a tag or a commit"
    assert begun.nothing_to_measure() == sentence
    outcome = begun.log()
    assert ending(outcome) == (None, sentence, 13)
    assert outcome.baseline_revision == ""


# Once, and not after all


def test_what_fails_after_the_verdict_takes_a_pass_back(lab: Lab) -> None:
    begun = begin(lab)
    run_items(begun)
    assert begun.conclude().is_passed
    begun.failures.append(FAULT)
    outcome = begun.log()
    assert ending(outcome) == (Status.INVALID, f"invalid: {FAULT}", 13)
    assert begun.log() is outcome is begun.outcome


def test_it_leaves_a_regression_as_it_is(lab: Lab) -> None:
    lab.judgement = REGRESSED
    begun = begin(lab)
    run_items(begun)
    begun.conclude()
    begun.failures.append(FAULT)
    assert begun.log().status is Status.REGRESSED


def test_a_verdict_that_was_told_stays_where_the_run_is_broken_off_later(lab: Lab) -> None:
    """As when another target's trial is interrupted; one that was not told yet is none."""
    told, concluded, going_on = (begin(lab) for _ in range(3))
    for begun in (told, concluded):
        run_items(begun)
        begun.conclude()
    assert told.log() is told.abandon()
    assert told.abandon().status is Status.PASS
    for begun in (concluded, going_on):
        assert ending(begun.abandon()) == (None, "no verdict: the run was broken off; nothing was logged", 13)


# With a log


def test_a_log_that_is_named_gets_a_row_for_every_verdict(lab: Lab) -> None:
    log = lab.root / "gate.tsv"
    passed = judge(lab, log=log, description="fewer repeats")
    lab.judgement = REGRESSED
    judge(lab, toys.SLOWER, log=log)
    judge(lab, toys.KERNEL, log=log)
    rows = results.read(log)
    assert [(row.status, row.trial) for row in rows] == [("pass", 1), ("regressed", 2), ("pass", 3)]
    assert (passed.trial, passed.log, rows[0].description) == (1, log, "fewer repeats")
    record = history.record_of(lab.root, rows[0])
    assert (record.rules, record.baseline_trial) == (NOT_SLOWER, None)
    assert record.baseline == load.load(discover.inspect(toys.write(lab.root))).kernel.sha256
    assert lab.rows() == ()


def test_a_pass_is_no_baseline_of_the_keep_gate(lab: Lab) -> None:
    log = lab.root / "gate.tsv"
    judge(lab, log=log)
    assert results.baseline(results.read(log), "toy") is None


def test_a_log_that_cannot_serve_is_no_verdict(lab: Lab) -> None:
    log = lab.root / "gate.d"
    log.mkdir()
    sentence = f"no verdict: {log}: cannot be read: Is a directory; nothing was logged"
    assert ending(judge(lab, log=log)) == (None, sentence, 13)


def test_a_log_that_cannot_be_written_is_no_verdict(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "unwritable", lambda path: f"{path}: cannot be written")
    opened = gate.against_revision(begin(lab).target, lab.root, "main", lab.root / "gate.tsv")
    assert opened.unlogged == f"no verdict: {lab.root / 'gate.tsv'}: cannot be written; nothing was logged"


# The keep gate


keep_gate = functools.partial(judge, rules=Rules())


def test_the_keep_gate_judges_against_a_revision_and_writes_nothing(lab: Lab) -> None:
    lab.judgement = Judgement(Verdict.KEEP, Cause.FASTER, SPEEDUP)
    outcome = keep_gate(lab)
    assert (outcome.status, outcome.exit_code, outcome.trial) == (Status.KEEP, 0, None)
    assert outcome.baseline_revision == main(lab)
    assert lab.measurements[0].baseline is not None
    assert (lab.rows(), (lab.root / archive.FOLDER).exists()) == ((), False)


@pytest.mark.parametrize("target", [toys.TARGET, OTHER_TARGET])
def test_the_keep_gate_discards_identical_code_at_once_whatever_else_changed(lab: Lab, target: str) -> None:
    begun = begin(lab, toys.KERNEL, Rules(), target=target)
    assert begun.nothing_to_measure().startswith("discard: the kernel is identical to the baseline, main at ")
    outcome = begun.log()
    assert outcome.exit_code == 10
    changed = () if target == toys.TARGET else (f"target.py has changed since {main(lab)}",)
    assert outcome.notes[:1] == changed
    assert report.correctness(outcome) == "not run (the kernel's code is its baseline's)"


def test_a_new_target_is_a_baseline_of_the_keep_gate_that_no_log_holds(new: Lab) -> None:
    outcome = keep_gate(new)
    sentence = f"baseline: the target is not there at {main(new)}, geomean 800 ns/product"
    assert ending(outcome) == (Status.BASELINE, sentence, 0)
    assert (outcome.figures is None, new.rows()) == (False, ())
