"""How a trial ends: the outcome of each kind of run and of each failure.

Its processes, its measurements and its clock are faked. What comes before is in test_trial.py, its row in
test_trial_log.py.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import toys
from builders import SPEEDUP
from fake_measuring import CASE_S, REFUSAL, Lab, ending, first, installed, run_items

from pytest_lance_autoresearch.errors import (
    AutoresearchError,
    KernelCrashed,
    KernelIncorrect,
    KernelRaised,
    KernelRefused,
    KernelTimeout,
    TargetError,
    TrialInvalid,
)
from pytest_lance_autoresearch.log import archive, history
from pytest_lance_autoresearch.machine import environment
from pytest_lance_autoresearch.records import Calibration, Cause, Doubt, Judgement, Progress, Status, Step, Verdict
from pytest_lance_autoresearch.runs import calibration
from pytest_lance_autoresearch.runs.conclusion import failed_reason, status_of
from pytest_lance_autoresearch.words import report

FOUND = Calibration(
    target="toy",
    host=environment.host(),
    time="2026-11-22T10:00:00+00:00",
    runs=20,
    seconds=12.0,
    resolution=0.006,
    pair_sd=0.002,
    injected=0.02,
    seen=20,
    measured=0.021,
)


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    return installed(tmp_path, monkeypatch)


@pytest.fixture
def second(lab: Lab) -> Lab:
    """A laboratory whose log holds a baseline."""
    return lab.with_baseline()


# Every end


def test_a_first_kernel_becomes_the_baseline(lab: Lab) -> None:
    outcome = lab.judge()
    sentence = "baseline: first kernel of this target in the log, geomean 800 ns/product"
    assert ending(outcome) == (Status.BASELINE, sentence, 0)
    assert (outcome.trial, outcome.baseline_trial, outcome.log) == (1, None, lab.log_path)
    assert (outcome.correct, outcome.failed, outcome.items) == (toys.ITEMS, 0, toys.ITEMS)
    assert (outcome.windows, outcome.seconds) == (2 * len(toys.TIMED), CASE_S * len(toys.TIMED))
    assert outcome.figures is not None
    assert outcome.figures.ns_per_op == dict.fromkeys(toys.TIMED, 800.0)


def test_a_new_baseline_says_which_one_it_replaces(second: Lab) -> None:
    sentence = "baseline: recorded in place of trial 1, geomean 800 ns/product"
    assert ending(second.judge(toys.FASTER, rebaseline=True)) == (Status.BASELINE, sentence, 0)


def test_a_faster_kernel_is_kept(second: Lab) -> None:
    outcome = second.judge(toys.FASTER)
    sentence = (
        "keep: geomean 832 -> 800 ns/product (-3.8 %), no case slower than 5 %, confirmed in fresh processes"
    )
    assert ending(outcome) == (Status.KEEP, sentence, 0)
    assert (outcome.trial, outcome.baseline_trial) == (2, 1)
    assert outcome.judgement == second.judgement
    assert [row.status for row in second.rows()] == ["baseline", "keep"]


def test_a_budget_that_ended_is_inconclusive(second: Lab) -> None:
    doubt = Doubt(None, SPEEDUP, 30.0)
    second.judgement = Judgement(Verdict.INCONCLUSIVE, Cause.BUDGET, SPEEDUP, doubt=doubt)
    sentence = (
        "inconclusive: geomean 832 -> 800 ns/product (-3.8 %), undecided when the time budget of 600 s ended: "
        "the interval of the overall change is -4.8 % to -2.9 %; about 30 s more at this rate or a quieter "
        "machine would settle it"
    )
    assert ending(second.judge(toys.FASTER)) == (Status.INCONCLUSIVE, sentence, 12)


@pytest.mark.parametrize(
    ("refusal", "sentence"),
    [
        (
            REFUSAL,
            "discard: building 64x32-sparse takes 2.0 -> 80.0 ms of CPU (limit 10.0 ms); nothing was timed",
        ),
        (
            replace(REFUSAL, cause=Cause.MEMORY, candidate_peak_rss_bytes=99 * 2**20),
            "discard: peak RSS 50.0 -> 99.0 MB (limit 62.5 MB); nothing was timed",
        ),
    ],
)
def test_a_candidate_that_costs_too_much_is_a_discard_with_a_row(
    second: Lab, refusal: Judgement, sentence: str
) -> None:
    """Every item that a verdict needs has passed: none of them times anything."""
    second.refusal = refusal
    outcome = second.judge(toys.FASTER)
    assert ending(outcome) == (Status.DISCARD, sentence, 10)
    assert (outcome.correct, outcome.failed, outcome.items) == (len(toys.CASES), 0, len(toys.CASES))
    assert (outcome.judgement, outcome.figures, outcome.disturbance) == (refusal, None, None)
    row = second.rows()[-1]
    assert (row.status, row.description, row.geomean_ns, row.speedup) == ("discard", sentence, None, None)
    assert history.record_of(second.root, row).cause is refusal.cause


def test_an_identical_kernel_is_discarded_whatever_ran(second: Lab) -> None:
    begun = second.begin(gate=True)
    sentence = begun.nothing_to_measure()
    assert sentence == (
        f"discard: the kernel is identical to the baseline, trial 1 (sha256 {begun.target.kernel.sha256[:12]}); "
        f"nothing was measured"
    )
    outcome = begun.log()
    assert ending(outcome) == (Status.DISCARD, sentence, 10)
    assert (outcome.judgement, outcome.figures) == (Judgement(Verdict.DISCARD, Cause.IDENTICAL), None)


def test_a_partial_run_has_no_verdict_and_no_row(lab: Lab) -> None:
    begun = lab.begin(gate=True)
    begun.check_case(begun.cases[0])
    begun.measure_case(begun.cases[0])
    begun.check_speed_once(begun.cases[1])
    sentence = (
        f"no verdict: 2 of {toys.ITEMS} items ran; a verdict needs all of them, run without -k, -m, --lf or ids"
    )
    assert ending(begun.log()) == (None, sentence, 13)
    assert lab.rows() == ()


@pytest.mark.parametrize("gate", [False, True])
def test_a_wrong_kernel_has_no_time(lab: Lab, *, gate: bool) -> None:
    """Its first failure is the reason, and comes before a fault of its target."""
    begun = lab.begin(gate=gate)
    case, other = begun.cases[-1], begun.cases[0]
    lab.failing |= {(other.id, 1): TargetError("at fault"), (case.id, 1): KernelIncorrect("it is wrong\nhow")}
    for each in (other, case):
        with pytest.raises(AutoresearchError):
            begun.check_case(each)
    lab.failing.clear()
    run_items(begun)
    outcome = begun.log()
    assert ending(outcome) == (Status.INCORRECT if gate else None, "incorrect: it is wrong", int(gate))
    assert (outcome.figures, outcome.failed) == (None, 2)
    assert [(row.status, row.geomean_ns) for row in lab.rows()] == [("incorrect", None)] * gate


def test_a_refused_kernel_runs_in_no_process(lab: Lab) -> None:
    begun = lab.begin(f"import os\n{toys.KERNEL}", gate=True)
    for _ in range(2):
        with pytest.raises(KernelRefused):
            begun.check_case(first(begun))
    with pytest.raises(KernelRefused):
        begun.measure_case(first(begun))
    outcome = begun.log()
    assert outcome.status is Status.REFUSED
    assert outcome.reason.startswith("refused: kernels.py, line 1: imports 'os'; a kernel may import ")
    assert (outcome.correct, outcome.failed, outcome.exit_code) == (0, 3, 1)
    assert lab.processes == []


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (KernelIncorrect("a wrong sum\nmore"), Status.INCORRECT),
        (KernelRaised("a wrong sum\nmore"), Status.INCORRECT),
        (KernelCrashed("a wrong sum\nmore"), Status.CRASH),
        (KernelTimeout("a wrong sum\nmore"), Status.TIMEOUT),
        (KernelRefused("a wrong sum\nmore"), Status.REFUSED),
        (TargetError("a wrong sum\nmore"), Status.INVALID),
        (TrialInvalid("a wrong sum\nmore"), Status.INVALID),
    ],
)
def test_a_failure_decides_how_a_trial_ends(lab: Lab, failure: AutoresearchError, status: Status) -> None:
    """In an item, or while it is decided."""
    assert (status_of(failure), failed_reason(failure)) == (status, f"{status}: a wrong sum")
    begun = lab.ran()
    begun.failures.append(failure)
    assert (begun.conclude().status, begun.conclude().reason) == (status, f"{status}: a wrong sum")
    lab.judge()
    lab.judgement = failure
    outcome = lab.judge(toys.FASTER)
    assert (outcome.status, outcome.reason) == (status, f"{status}: a wrong sum")
    assert (outcome.failed, outcome.figures, outcome.judgement) == (1, None, None)


def test_a_changed_harness_is_invalid_whatever_ran(second: Lab) -> None:
    begun = second.begin(toys.FASTER, target=toys.TARGET.replace("return 1", "return 2"), gate=True)
    run_items(begun)
    sentence = (
        "target.py changed since the baseline, trial 1; speeds before and after such a change cannot be "
        "compared; undo it, or record a new baseline with --autoresearch-rebaseline"
    )
    assert begun.nothing_to_measure() == sentence
    assert ending(begun.log()) == (Status.INVALID, f"invalid: {sentence}", 13)


def test_a_log_that_cannot_serve_is_no_verdict_and_no_row(lab: Lab) -> None:
    begun = lab.begin(gate=True, require_baseline=True)
    sentence = report.baseline_missing(lab.log_path, "toy")
    assert begun.nothing_to_measure() == sentence
    assert ending(begun.log()) == (None, sentence, 13)
    assert not lab.log_path.exists()


def test_there_is_something_to_measure_without_a_gate_or_with_another_kernel(second: Lab) -> None:
    assert second.begin().nothing_to_measure() == ""
    assert second.begin(toys.FASTER, gate=True).nothing_to_measure() == ""


def test_without_a_gate_there_are_figures_and_no_verdict(lab: Lab) -> None:
    begun = lab.begin()
    run_items(begun)
    outcome = begun.log()
    assert ending(outcome) == (None, "no verdict without a gate; add --keep-gate", 0)
    assert outcome.figures is not None
    assert (outcome.trial, lab.rows()) == (None, ())
    partly = lab.begin()
    partly.measure_case(first(partly))
    assert partly.conclude().figures is None


def test_in_process_there_is_neither(lab: Lab) -> None:
    begun = lab.begin(in_process=True)
    for case in begun.cases:
        begun.check_case(case)
        if case.timed:
            begun.check_speed_once(case)
    outcome = begun.log()
    assert ending(outcome) == (None, "no verdict: the kernel ran in pytest's own process, without being timed", 0)
    assert (outcome.correct, outcome.figures, lab.processes) == (len(toys.CASES), None, [])
    assert begun.count_untimed() == toys.ITEMS


# Calibration


def test_a_calibration_is_kept_and_is_what_its_run_came_to(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """It sees every timed case's state, the trial's seed and its budget."""
    begun = lab.begin(calibrate=True, seed=7)

    def found(target: object, _processes: object, states: dict[object, object], *rest: object) -> Calibration:
        seed, budget, watch = rest
        assert (target, seed) == (begun.target, 7)
        assert list(states) == [case for case in begun.cases if case.timed]
        assert isinstance(budget, calibration.Budget)
        assert budget.left_s() == begun.settings.rules.max_seconds
        lab.now_s += begun.settings.rules.max_seconds
        assert budget.left_s() == 0.0
        assert callable(watch)
        watch(Progress("toy", "calibrating", Step(1, 20), None, budget.seconds()))
        return FOUND

    monkeypatch.setattr(calibration, "calibrate", found)
    for case in begun.cases:
        begun.check_case(case)
    begun.calibrate()
    assert archive.find_calibration(lab.root, environment.host(), "toy") == FOUND
    assert [(one.what, one.seconds) for one in lab.shown] == [("calibrating", 600.0)]
    outcome = begun.log()
    assert ending(outcome) == (
        None,
        "this host tells +-0.6 % on toy in 12 s; a slow-down of 2 % was seen in 20 of 20 runs, as +2.1 %",
        0,
    )
    assert outcome.correct == outcome.items == len(toys.CASES) + 1


def test_a_calibration_that_failed_or_did_not_run_is_none(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though there is an earlier one."""
    archive.store_calibration(lab.root, FOUND)
    items = len(toys.CASES) + 1
    assert lab.begin(calibrate=True).conclude().reason == report.partial_reason(0, items)

    def unmoved(*_: object) -> Calibration:
        raise TargetError(report.unmoved("toy", toys.CASES[0], 0.001, 0.02))

    monkeypatch.setattr(calibration, "calibrate", unmoved)
    begun = lab.begin(calibrate=True, seed=7)
    with pytest.raises(TargetError) as raised:
        begun.calibrate()
    assert (raised.value.seed, begun.conclude().reason) == (7, f"invalid: {raised.value}")
