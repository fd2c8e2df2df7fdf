"""An audit: what it measures and what was measured before, how long it takes, and what an interrupt leaves."""

from __future__ import annotations

import math
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import toys
from builders import everywhere, pair
from command_line import CLAIM, FIRST, LOG, SECOND, THIRD, Say, write_row
from fake_replay import GAIN, LOSS, Measured, auditor

from pytest_lance_autoresearch.errors import KernelCrashed, LogError
from pytest_lance_autoresearch.log import archive, history, results
from pytest_lance_autoresearch.machine import environment, turns
from pytest_lance_autoresearch.records import Interval, Progress, Replay, Rules, Step
from pytest_lance_autoresearch.runs import claims
from pytest_lance_autoresearch.runs import replay as replaying
from pytest_lance_autoresearch.runs.stopwatch import Stopwatch
from pytest_lance_autoresearch.words.wording import about


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A log of a baseline and a keep, with its archive."""
    write_row(tmp_path, FIRST)
    write_row(tmp_path, SECOND, CLAIM)
    return tmp_path / LOG


# What was measured before


def test_what_was_measured_is_kept_with_all_that_it_rests_on(path: Path, measured: Measured, say: Say) -> None:
    say("replay", path, 2, "--pairs", 6)
    baseline, row = results.read(path)
    (found,) = archive.replays(path.parent)
    assert found == Replay(
        target="toy",
        trial=2,
        against=None,  # of which the record says nothing here
        candidate=row.kernel,
        baseline=baseline.kernel,
        harness=row.harness,
        host=environment.host(),
        time=found.time,
        versions=environment.versions(),
        pairs=6,
        confidence=0.95,
        speedup=GAIN,
        cases={"64x32-uniform": GAIN},
        seconds=found.seconds,
    )
    assert measured.per_look == {3}


def test_an_audit_measures_only_what_was_not_measured_before(path: Path, measured: Measured, say: Say) -> None:
    """By replay or by an audit that was broken off; what failed is tried again."""
    write_row(path.parent, THIRD, CLAIM)
    say("replay", path, 2)
    (kept,) = archive.replays(path.parent)
    measured.of[THIRD, SECOND] = KernelCrashed("64x32-uniform: its process ended")
    said = say("audit", path)
    replicates = "claimed 1.200x [1.100, 1.300], measured 1.250x [1.150, 1.350]: replicates"
    assert said.out[2:] == [
        f"trial 2: {replicates}; measured at {kept.time}",
        "all that were measured replicate: 2 claims measured again, 1 of them before, 1 could not be",
    ]
    assert said.err == [
        "2 claims to measure, in 4 pairs of processes each: no trial says how long that takes",
        "1 claim measured before, and not measured again; --again measures everything",
        "toy: measuring trial 3 against trial 1 again, in 4 pairs of processes",
        "toy: measuring trial 3 again, in 4 pairs of processes  0 s left",
    ]
    del measured.of[THIRD, SECOND]
    measured.asked.clear()
    assert say("audit", path).out[-1] == "all replicate: 3 claims measured again, 2 of them before"
    assert measured.asked == [(THIRD, SECOND)]


def test_all_of_it_may_be_measured_anew(path: Path, measured: Measured, say: Say) -> None:
    say("audit", path)
    said = say("audit", path, "--again")
    assert said.out[-1] == "all replicate: 1 claim measured again"
    assert len(measured.asked) == len(archive.replays(path.parent)) == 2


def test_the_newest_measurement_serves(path: Path, measured: Measured, say: Say) -> None:
    say("audit", path)
    (first,) = archive.replays(path.parent)
    archive.store_replay(path.parent, replace(first, time="2999-01-01T00:00:00+00:00", speedup=LOSS))
    said = say("audit", path)
    assert said.code == 1
    assert said.out[0].endswith(": DOES NOT REPLICATE; measured at 2999-01-01T00:00:00+00:00")
    assert len(measured.asked) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"pairs": 8},
        {"host": "another"},
        {"versions": {"numba": "0.1"}},
        {"harness": "inputs:1"},
        {"candidate": "a" * 64},
        {"baseline": "b" * 64},
        {"trial": 3},
        {"target": "other"},
        {"confidence": 0.9},
    ],
)
def test_what_was_measured_otherwise_does_not_serve(path: Path, measured: Measured, other: dict[str, Any]) -> None:
    auditor(path).replay(2)
    (kept,) = archive.replays(path.parent)
    (planned,) = auditor(path).plan()
    assert planned.known == kept
    shutil.rmtree(path.parent / archive.FOLDER / "audits")
    archive.store_replay(path.parent, replace(kept, **other))
    (planned,) = auditor(path).plan()
    assert planned.known is None
    assert measured.asked == [(SECOND, FIRST)]


def test_a_measurement_that_cannot_be_kept_is_told_all_the_same(
    path: Path, measured: Measured, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise LogError("audits/x.json: cannot be written: No space left on device")

    monkeypatch.setattr(archive, "store_replay", full)
    said = say("replay", path, 2)
    assert said.code == 0
    assert said.err[1] == (
        "trial 2 was measured, but the next audit will not know of it: audits/x.json: cannot be written: No space "
        "left on device"
    )
    assert measured.asked == [(SECOND, FIRST)]


def test_the_total_alone(path: Path, measured: Measured, say: Say) -> None:
    write_row(path.parent, THIRD, CLAIM)
    measured.of[THIRD, FIRST] = Interval(1.4, 1.5, 1.6)
    said = say("audit", path, "--total-only")
    assert [line.split(":")[0] for line in said.out] == ["toy, trial 3 against trial 1", "all replicate"]
    assert measured.asked == [(THIRD, FIRST)]
    assert [(one.trial, one.against) for one in archive.replays(path.parent)] == [(3, 1)]


def test_the_total_of_a_single_keep_is_that_keep(path: Path, measured: Measured, say: Say) -> None:
    assert say("audit", path, "--total-only").out[0].startswith("trial 2: ")
    assert measured.asked == [(SECOND, FIRST)]


@pytest.mark.parametrize(
    ("measured_first", "said"),
    [
        (0, "none of 3 claims was measured to its end, and nothing was kept"),
        (1, "1 of 3 claims was measured and kept; the same command measures the others"),
        (2, "2 of 3 claims were measured and kept; the same command measures the others"),
    ],
)
def test_an_interrupted_audit_says_what_there_is_and_goes_on_from_there(
    path: Path, say: Say, monkeypatch: pytest.MonkeyPatch, measured_first: int, said: str
) -> None:
    write_row(path.parent, THIRD, CLAIM)
    measured = Measured()

    def interrupted(*given: Any) -> replaying.Measured:
        if len(measured.asked) == measured_first:
            raise KeyboardInterrupt
        return measured(*given)

    monkeypatch.setattr(replaying, "_measure", interrupted)
    broken_off = say("audit", path)
    assert (broken_off.code, len(broken_off.out)) == (130, measured_first)
    assert broken_off.err[-1] == f"interrupted: {said}"
    monkeypatch.setattr(replaying, "_measure", measured)
    assert say("audit", path).code == 0
    assert measured.asked == [(THIRD, FIRST), (THIRD, SECOND), (SECOND, FIRST)]


# How long it takes

EACH = Rules().blocks
BLOCKS = 4 * EACH * len(toys.TIMED)
"""Of a claim."""


@dataclass
class Ticking:
    """Stands for the measuring: a block takes a second of its clock, and is shown when it begins."""

    now_s: float = 0.0

    def __call__(self, _: object, __: object, ___: object, show: Any, turn: Any) -> replaying.Measured:
        with turn(10.0):
            for pair_and_case in range(4 * len(toys.TIMED)):
                for number in range(EACH):
                    show(toys.TIMED[pair_and_case % len(toys.TIMED)], Step(number, EACH), None)
                    self.now_s += 1.0
        return replaying.Measured(GAIN, {})


@pytest.fixture
def ticking(path: Path, monkeypatch: pytest.MonkeyPatch) -> Ticking:
    """Two keeps, in whose trials a pair took twice as long as it does now; one other measures for 500 s first."""
    write_row(path.parent, THIRD, CLAIM)
    made, is_first = Ticking(), iter([True])

    def take(seconds: float, show: Callable[[turns.Position], None]) -> turns.Turn:
        if next(is_first, False):
            show(turns.Position(2, 500.0))
            made.now_s += 500.0
        return turns.Turn(seconds)

    monkeypatch.setattr(turns, "take", take)
    monkeypatch.setattr(replaying, "Stopwatch", lambda: Stopwatch(lambda: made.now_s))
    monkeypatch.setattr(claims, "_pair_s", lambda *_: 2.0 * BLOCKS / 4)
    monkeypatch.setattr(replaying, "_measure", made)
    return made


def test_how_long_an_audit_takes_is_said_beforehand_and_all_the_time(path: Path, ticking: Ticking) -> None:
    shown: list[Progress] = []
    one = auditor(path, watch=shown.append)
    plan = one.plan()
    assert one.expected_s(plan) == 3 * 2.0 * BLOCKS
    found = list(one.audit(plan))
    assert [each.measured for each in found] == [GAIN] * 3
    events = [(each.what, each.left_s) for each in shown if each.is_event]
    assert events == [
        ("measuring trial 3 against trial 1 again, in 4 pairs of processes", 6.0 * BLOCKS),
        ("waiting for its turn to measure: second in line, about 8 min", None),
        ("measuring trial 3 again, in 4 pairs of processes", 2.0 * BLOCKS),  # half as long as was expected
        ("measuring trial 2 again, in 4 pairs of processes", 1.0 * BLOCKS),
    ]
    blocks = [each for each in shown if each.step is not None]
    assert [each.step for each in blocks] == [Step(number + 1, BLOCKS) for number in range(BLOCKS)] * 3
    assert [each.seconds for each in blocks] == list(range(3 * BLOCKS))
    first, second, *_ = blocks
    assert (first.what, first.left_s) == (f"trial 3 against trial 1, {toys.TIMED[0]}", 6.0 * BLOCKS)
    assert second.left_s == (BLOCKS - 1) + 4.0 * BLOCKS
    assert [each.left_s for each in blocks[-3:]] == [3.0, 2.0, 1.0]
    assert [each.seconds for each in archive.replays(path.parent)] == [BLOCKS] * 3
    assert ticking.now_s == 500.0 + 3 * BLOCKS


def test_it_is_said_in_one_line(path: Path, ticking: Ticking, say: Say) -> None:
    said = say("audit", path)
    assert said.err[0] == f"3 claims to measure, in 4 pairs of processes each: that takes {about(6.0 * BLOCKS)}"
    assert said.err[1] == (
        f"toy: measuring trial 3 against trial 1 again, in 4 pairs of processes  {6 * BLOCKS} s left"
    )
    assert ticking.now_s > 0


@pytest.mark.parametrize(
    ("pairs", "seconds", "expected"),
    [
        ([8.0, 12.0, None], 900.0, 10.0),
        ([None, None, None], 900.0, 300.0),
        ([None], None, None),
        ([], 900.0, None),
    ],
)
def test_a_pair_takes_what_it_took_in_the_trial_or_its_part_of_the_whole(
    path: Path, pairs: list[float | None], seconds: float | None, expected: float | None
) -> None:
    row = results.read(path)[1]
    record = history.record_of(path.parent, row)
    measured = tuple(replace(pair(everywhere([0.1])), seconds=one) for one in pairs)
    evidence = replace(record.evidence, pairs=measured)
    assert claims._pair_s(replace(record, evidence=evidence), replace(row, seconds=seconds)) == expected


def test_a_claim_whose_trial_does_not_say_takes_as_long_as_the_others(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_row(path.parent, THIRD, CLAIM)
    monkeypatch.setattr(claims, "_pair_s", lambda _, row: 10.0 if row.trial == 3 else None)
    one = auditor(path)
    assert one.expected_s(one.plan()) == 3 * 4 * 10.0


def test_where_there_is_nothing_to_measure_it_takes_no_time(path: Path, measured: Measured, say: Say) -> None:
    say("audit", path)
    sentence = "1 claim measured before, and not measured again; --again measures everything"
    assert say("audit", path).err == [sentence]
    assert len(measured.asked) == 1


# Cases


def test_each_case_has_the_interval_of_its_own_blocks_and_none_where_they_are_too_few() -> None:
    ratios = {"often": [0.01 * number for number in range(6)], "seldom": [0.5]}
    few = pair({case: values[:1] for case, values in ratios.items()})
    rest = pair({"often": ratios["often"][1:], "seldom": ratios["seldom"]})
    found = replaying._figures([few, rest])
    assert set(found.cases) == {"often"}
    one = found.cases["often"]
    assert [math.log(value) for value in (one.low, one.point, one.high)] == pytest.approx([0.0, 0.025, 0.05])


# Real kernels


@pytest.mark.slow
def test_an_audit_that_was_interrupted_goes_on(path: Path) -> None:
    """In a process of its own, by a real Ctrl-C, when its first claim is told."""
    write_row(path.parent, THIRD, CLAIM)
    command = [sys.executable, "-m", "pytest_lance_autoresearch", "audit", str(path), "--pairs", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        first = run.stdout.readline()
        run.send_signal(signal.SIGINT)
        rest, told = run.communicate(timeout=120)
    assert first.startswith("toy, trial 3 against trial 1: claimed 1.440x ")
    assert (run.returncode, rest) == (130, "")
    assert told.splitlines()[-1] == (
        "interrupted: 1 of 3 claims was measured and kept; the same command measures the others"
    )
    (kept,) = archive.replays(path.parent)
    assert (kept.trial, kept.against, kept.pairs, set(kept.cases)) == (3, 1, 2, set(toys.TIMED))
    assert kept.seconds > 0
    again = subprocess.run([*command, "--total-only"], capture_output=True, text=True, check=False, timeout=60)
    assert again.stdout.splitlines()[0] == f"{first.rstrip()}; measured at {kept.time}"
