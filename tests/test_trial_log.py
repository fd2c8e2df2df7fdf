"""What a trial leaves behind: its row, once; what can still take that away; its notes.

Its processes, its measurements and its clock are faked. Every end is in test_trial_end.py.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import toys
from builders import SPEEDUP
from fake_measuring import DISCARD, Lab, ending, installed, run_items

from pytest_lance_autoresearch.errors import AutoresearchError, LogError
from pytest_lance_autoresearch.log import gate, history, results
from pytest_lance_autoresearch.records import Outcome, Status, Window
from pytest_lance_autoresearch.words import report

SLOWER_SENTENCE = "discard: geomean 832 -> 800 ns/product (-3.8 %), slower"
FAULT = AutoresearchError("a fixture failed; the kernel is not to blame")


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    return installed(tmp_path, monkeypatch)


@pytest.fixture
def second(lab: Lab) -> Lab:
    """A laboratory whose log holds a baseline."""
    return lab.with_baseline()


# Once, and not after all


def test_a_trial_is_concluded_once_and_its_processes_end(second: Lab) -> None:
    begun = second.ran()
    assert second.open_processes()
    outcome = begun.conclude()
    assert second.open_processes() == []
    begun.failures.append(FAULT)
    second.judgement = DISCARD
    assert begun.conclude() is outcome is begun.outcome


def test_processes_end_where_concluding_fails(second: Lab) -> None:
    begun = second.ran()
    measurement = second.measurements[-1]
    measurement.evidence = None  # type: ignore[assignment, method-assign]
    with pytest.raises(TypeError):
        begun.conclude()
    assert (second.open_processes(), begun.outcome) == ([], None)


def test_a_row_is_written_once(second: Lab) -> None:
    begun = second.ran()
    outcome = begun.log()
    begun.failures.append(FAULT)
    assert begun.log() is outcome is begun.outcome
    assert [row.status for row in second.rows()] == ["baseline", "keep"]


@pytest.mark.parametrize("text", [toys.KERNEL, toys.FASTER], ids=["baseline", "keep"])
def test_what_fails_after_the_verdict_takes_a_keep_or_a_baseline_back(lab: Lab, text: str) -> None:
    if text == toys.FASTER:
        lab.judge()
    begun = lab.ran(text)
    assert begun.conclude().is_passed
    begun.failures.append(FAULT)
    outcome = begun.log()
    assert ending(outcome) == (Status.INVALID, f"invalid: {FAULT}", 13)
    assert (outcome.figures, outcome.judgement, outcome.failed) == (None, None, 1)
    assert lab.rows()[-1].status == "invalid"
    assert results.baseline(lab.rows(), "toy") == (lab.rows()[0] if text == toys.FASTER else None)


def test_it_leaves_a_discard_as_it_is(second: Lab) -> None:
    second.judgement = DISCARD
    begun = second.ran()
    begun.conclude()
    begun.failures.append(FAULT)
    assert ending(begun.log()) == (Status.DISCARD, SLOWER_SENTENCE, 10)


def test_a_row_that_could_not_be_written_is_not_tried_again(second: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = second.ran()

    def full(path: Path, *_: object) -> results.Row:
        raise LogError(f"{path}: no room")

    with monkeypatch.context() as patched:
        patched.setattr(results, "append", full)
        with pytest.raises(LogError) as raised:
            begun.log()
    reason = begun.conclude().reason
    assert str(raised.value) == f"{second.log_path}: no room; what it would have said: {reason}"
    with pytest.raises(LogError) as again:
        begun.log()
    assert again.value is raised.value
    assert len(second.rows()) == 1
    assert begun.conclude().trial is None


def test_what_is_written_is_what_was_measured_and_by_which_rules(
    second: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[gate.Measured] = []
    write = gate.write

    def spied(*given: object) -> Outcome:
        written.extend(one for one in given if isinstance(one, gate.Measured))
        return write(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(gate, "write", spied)
    second.judge(toys.FASTER, seed=7, description="fewer repeats")
    measurement = second.measurements[-1]
    assert written == [gate.Measured(measurement.evidence(), second.begin().settings.rules, 7)]
    assert second.rows()[-1].description == "fewer repeats"


# Broken off


def test_a_trial_that_is_broken_off_has_no_verdict_and_no_row(second: Lab) -> None:
    """Before its verdict, or with a verdict that nobody wrote down."""
    for concludes in (False, True):
        begun = second.ran()
        if concludes:
            assert begun.conclude().status is Status.KEEP
        sentence = "no verdict: the run was broken off; nothing was logged"
        assert ending(begun.abandon()) == (None, sentence, 13)
        assert second.open_processes() == []
        assert begun.log() is begun.outcome
    assert len(second.rows()) == 1


def test_what_was_logged_or_is_no_verdict_stays(second: Lab) -> None:
    logged = second.ran()
    assert logged.log() is logged.abandon()
    plain = second.begin()
    assert plain.conclude() is plain.abandon()


# Notes


def test_a_kernel_that_is_a_part_says_what_the_whole_gains(lab: Lab) -> None:
    target = f"{toys.TARGET}\nCOST_FRACTION = (0.5, 'a profile')\n"
    for text in (toys.KERNEL, toys.FASTER):
        begun = lab.begin(text, target=target, gate=True)
        run_items(begun)
        outcome = begun.log()
    note = "the whole operation would change by -1.9 %: the kernel is 50 % of it (a profile)"
    assert note in outcome.notes


@pytest.mark.parametrize("gate", [False, True])
def test_calls_that_are_too_short_are_a_note_of_a_baseline_and_of_a_run_without_a_gate(
    lab: Lab, *, gate: bool
) -> None:
    """The exact 50 us are long enough; a candidate has its baseline's calls, and no word about them."""
    run_items(begun := lab.begin(gate=gate))
    short = (
        "a call of 64x32-uniform takes 800 ns, the shortest of 9 cases with short calls; below 50 us the "
        "runner's own cost weighs too much, so let a call of that shape do more"
    )
    assert begun.log().notes == (short,)
    if gate:
        assert short not in lab.judge(toys.FASTER).notes
    lab.window = Window(10, 500_000, None)
    run_items(begun := lab.begin(gate=gate, rebaseline=gate))
    assert begun.log().notes == ()


def test_how_long_it_waited_is_in_the_record_and_a_note_from_a_second_on(second: Lab) -> None:
    note = "waited 70 s for its turn to measure; that counts against no budget"
    for ahead, notes in (((40.0, 30.0), (note,)), ((0.5, 0.25), ())):
        second.ahead = ahead
        outcome = second.judge(toys.SLOWER)
        assert (outcome.waited_s, outcome.notes) == (sum(ahead), notes)
        record = history.record_of(second.root, second.rows()[-1])
        assert record.evidence.waited_s == sum(ahead)
        assert report.as_json(outcome)["waited_s"] == sum(ahead)
        assert f"waited_seconds: {sum(ahead):.1f}" in report.block(outcome)


def test_a_machine_without_turns_is_a_note(second: Lab) -> None:
    second.turn_fault = "/tmp/x: Permission denied; expected a folder of your own"
    assert second.judge(toys.FASTER).notes == (second.turn_fault,)


def test_a_system_without_confinement_is_a_note_where_a_baseline_is_made(lab: Lab) -> None:
    lab.is_confined = False
    first, kept = lab.judge(), lab.judge(toys.FASTER)
    lab.judgement = DISCARD
    discarded = lab.judge(toys.SLOWER)
    for outcome in (first, kept):
        assert report.NOT_CONFINED in outcome.notes
        assert outcome.asides == ()
    assert (report.NOT_CONFINED in discarded.notes, report.NOT_CONFINED in discarded.asides) == (False, True)


def test_a_discard_keeps_the_outcome_of_its_look(second: Lab) -> None:
    second.judgement = replace(DISCARD, worst_case=toys.CASES[0], cases={toys.CASES[0]: SPEEDUP})
    outcome = second.judge(toys.SLOWER)
    assert ending(outcome) == (Status.DISCARD, SLOWER_SENTENCE, 10)
    row = second.rows()[-1]
    assert (row.worst_case, row.worst_speedup, row.interval) == (toys.CASES[0], 1.04, SPEEDUP)
