"""What a kernel is worth to an evolutionary loop, and what the frameworks are handed of it.

The loops themselves, with the real frameworks, are in `tests/evolution`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import fake_measuring
import pytest
import toys
from fake_measuring import KEEP, Lab

from pytest_lance_autoresearch.errors import TrialInvalid
from pytest_lance_autoresearch.interface import (
    Cause,
    Interval,
    Judgement,
    Outcome,
    Rules,
    Status,
    TargetError,
    Verdict,
    scores,
    shinka,
)

WRONG = toys.KERNEL.replace("weights, x)", "weights, x) + 1")
FAST = Interval(1.9, 2.0, 2.1)
SLOW = Interval(0.4, 0.5, 0.6)
FAULT = "invalid: target 'toy': inputs.py, line 20, raised OSError: [Errno 5] the disk is gone"


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    return fake_measuring.installed(tmp_path, monkeypatch)


@pytest.fixture
def folder(lab: Lab) -> Path:
    return toys.write(lab.root)


def outcome(
    status: Status | None, cause: Cause | None = None, speedup: Interval | None = None, **cases: Interval
) -> Outcome:
    """A trial's end; `judgement.verdict` plays no part in a score."""
    judgement = Judgement(Verdict.DISCARD, cause, speedup, cases) if cause else None
    return Outcome("toy", "product", 0, 0, 1, 1.0, status=status, reason="why", judgement=judgement)


@pytest.mark.parametrize(
    ("end", "value", "is_correct"),
    [
        (outcome(Status.KEEP, Cause.FASTER, FAST), 1.9, True),
        (outcome(Status.INCONCLUSIVE, Cause.BUDGET, FAST), 1.9, True),
        (outcome(Status.INCONCLUSIVE, Cause.BUDGET, Interval(0, 2, 9)), 0, True),
        (outcome(Status.DISCARD, Cause.SLOWER, SLOW), 0.4, True),
        (outcome(Status.DISCARD, Cause.CASE_REGRESSED, FAST), 1, True),
        (outcome(Status.REGRESSED, Cause.CASE_REGRESSED, FAST), 1, True),
        (outcome(Status.DISCARD, Cause.IDENTICAL), 1, True),
        (outcome(Status.PASS, Cause.IDENTICAL), 1, True),
        (outcome(Status.DISCARD, Cause.MEMORY), 0, True),
        (outcome(Status.INCORRECT), 0, False),
        (outcome(Status.CRASH), 0, False),
        (outcome(Status.TIMEOUT), 0, False),
        (outcome(Status.REFUSED), 0, False),
    ],
)
def test_what_is_certain_counts(end: Outcome, value: float, is_correct: bool) -> None:
    score = scores.score(end)
    assert (score.value, score.is_correct, score.verdict) == (value, is_correct, end.status)


@pytest.mark.parametrize("status", [Status.INVALID, None])
def test_without_a_verdict_there_is_no_score(status: Status | None) -> None:
    with pytest.raises(TrialInvalid, match=r"^why$"):
        scores.score(outcome(status))


def test_the_feedback_is_the_sentence_and_the_cases_the_least_first() -> None:
    score = scores.score(outcome(Status.KEEP, Cause.FASTER, FAST, large=FAST, small=SLOW))
    assert score.feedback == (
        "why\nsmall: speed-up 0.5000 [0.4000, 0.6000]\nlarge: speed-up 2.0000 [1.9000, 2.1000]"
    )


def test_all_candidates_are_measured_against_what_the_baseline_was(lab: Lab, folder: Path) -> None:
    initial = folder.parent / "initial.py"
    initial.write_text(toys.SLOWER)
    scale = scores.Scale(folder, initial, Rules(max_seconds=7))
    initial.write_text(toys.FASTER)
    assert KEEP.speedup is not None
    assert scale.score(toys.FASTER.encode()).value == KEEP.speedup.low
    assert scale.score(toys.SLOWER.encode()).value == 1
    (measured,) = lab.measurements
    assert measured.baseline is not None
    assert measured.baseline.text == toys.SLOWER.encode()
    assert measured.rules is not None
    assert measured.rules.max_seconds == 7


def test_a_wrong_kernel_is_told_its_case_and_not_measured(lab: Lab, folder: Path) -> None:
    score = scores.Scale(folder, folder / "kernels.py").score(WRONG.encode())
    assert (score.value, score.is_correct, score.verdict, score.cases) == (0, False, "incorrect", "")
    assert score.reason.startswith("incorrect: 64x32-uniform, published call 1 of 3: result: ")
    assert not any(one.measured for one in lab.measurements)


def test_a_loop_without_a_target_does_not_begin(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="holds no target"):
        scores.Scale(tmp_path, "initial.py")


def evaluated(folder: Path, kernel: str) -> dict[str, Any]:
    """What ShinkaEvolve reads of a kernel that its script was started for, by file."""
    program, results = folder.parent / "main.py", folder.parent / "gen_1" / "results"
    program.write_text(kernel)
    arguments = ["--program_path", str(program), "--results_dir", str(results)]
    shinka.evaluate(folder, baseline=folder / "kernels.py", arguments=arguments)
    return {path.stem: json.loads(path.read_text()) for path in results.iterdir()}


@pytest.mark.usefixtures("lab")
def test_shinka_reads_the_score_and_the_sentence(folder: Path) -> None:
    found = evaluated(folder, toys.FASTER)
    assert found.keys() == {"correct", "metrics"}
    assert found["correct"] == {"correct": True, "error": None}
    feedback = found["metrics"].pop("text_feedback")
    assert found["metrics"] == {"combined_score": 1.03, "public": {"verdict": "keep"}, "private": {}}
    assert feedback.startswith("keep: ")


@pytest.mark.usefixtures("lab")
def test_shinka_reads_what_is_wrong(folder: Path) -> None:
    found = evaluated(folder, WRONG)
    assert found["metrics"]["combined_score"] == 0
    assert not found["correct"]["correct"]
    assert found["correct"]["error"] == found["metrics"]["text_feedback"]
    assert found["correct"]["error"].startswith("incorrect: 64x32-uniform, ")


@pytest.mark.usefixtures("lab")
def test_shinka_reads_nothing_where_the_kernel_is_not_to_blame(folder: Path) -> None:
    (folder / "inputs.py").write_text(
        toys.INPUTS.replace("    scale =", '    raise OSError(5, "the disk is gone")\n    scale =')
    )
    with pytest.raises(SystemExit) as ended:
        evaluated(folder, toys.FASTER)
    assert str(ended.value) == FAULT
    assert not list(folder.parent.glob("gen_1/**/*.json"))


@pytest.mark.usefixtures("lab")
def test_shinka_is_told_which_file_is_missing(folder: Path) -> None:
    arguments = ["--program_path", "main.py", "--results_dir", "gen_1"]
    with pytest.raises(SystemExit, match=r"^\[Errno 2\] No such file or directory: 'initial\.py'$"):
        shinka.evaluate(folder, baseline="initial.py", arguments=arguments)
