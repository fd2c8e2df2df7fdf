"""The public Python interface: plain calls load a target, and judge a kernel of it as the gate would."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fake_measuring
import pytest
import toys
from fake_measuring import Lab, ending

from pytest_lance_autoresearch import interface
from pytest_lance_autoresearch.interface import LogError, Progress, RegressionRules, Rules, Status, TargetError
from pytest_lance_autoresearch.interface.scores import Scale
from pytest_lance_autoresearch.log import archive, results


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    return fake_measuring.installed(tmp_path, monkeypatch)


@pytest.fixture
def target(lab: Lab) -> interface.Target:
    return interface.load(toys.write(lab.root))


def written(folder: Path, text: str) -> Path:
    path = folder / "candidate.py"
    path.write_text(text)
    return path


def test_a_kernel_is_judged_against_the_log_and_logged(lab: Lab, target: interface.Target, tmp_path: Path) -> None:
    log = tmp_path / "mine.tsv"
    assert interface.judge(target, log=log).status is Status.BASELINE
    outcome = interface.judge(target, written(tmp_path, toys.FASTER), log=log, description="an idea")
    assert (outcome.status, outcome.trial, outcome.baseline_trial, outcome.log) == (Status.KEEP, 2, 1, log)
    kept = archive.kernel(archive.root_of(log), last_row(log).kernel)
    assert kept == toys.FASTER.encode()
    assert last_row(log).description == "an idea"
    assert not lab.open_processes()
    assert not list(tmp_path.glob(f"{archive.FOLDER}/spare-*"))


def last_row(log: Path) -> results.Row:
    return results.read(log)[-1]


def test_a_kernel_is_judged_against_another_source_and_nothing_is_logged(
    lab: Lab, target: interface.Target, tmp_path: Path
) -> None:
    outcome = interface.judge(target, toys.FASTER.encode(), baseline=target.layout.kernel_path)
    assert (outcome.status, outcome.trial, outcome.baseline_trial, outcome.log) == (Status.KEEP, None, None, None)
    assert not list(tmp_path.glob("**/*.tsv"))
    assert not (tmp_path / archive.FOLDER).exists()
    (measured,) = lab.measurements
    assert measured.baseline is not None
    assert measured.baseline.text == toys.KERNEL.encode()


def test_a_kernel_that_is_its_baseline_is_not_measured(lab: Lab, target: interface.Target) -> None:
    outcome = interface.judge(target, baseline=toys.KERNEL.encode())
    sentence = (
        f"discard: the kernel is identical to the baseline, kernels.py as it was given "
        f"(sha256 {target.kernel.sha256[:12]}); nothing was measured"
    )
    assert ending(outcome) == (Status.DISCARD, sentence, 10)
    assert not any(one.measured for one in lab.measurements)
    assert interface.judge(target, baseline=toys.KERNEL.encode(), rules=RegressionRules()).status is Status.PASS


def test_a_wrong_kernel_is_an_outcome(lab: Lab, target: interface.Target) -> None:
    wrong = toys.KERNEL.replace("weights, x)", "weights, x) + 1")
    assert wrong != toys.KERNEL
    outcome = interface.judge(target, wrong.encode(), baseline=toys.KERNEL.encode())
    assert outcome.status is Status.INCORRECT
    assert outcome.reason.startswith("incorrect: ")
    assert not any(one.measured for one in lab.measurements)
    assert not lab.open_processes()


@pytest.mark.usefixtures("lab")
def test_what_it_does_can_be_watched(target: interface.Target) -> None:
    seen: list[Progress] = []
    interface.judge(target, toys.FASTER.encode(), baseline=toys.KERNEL.encode(), watch=seen.append)
    assert {one.target for one in seen} == {"toy"}


# What cannot be meant.


def fault(call: Callable[[], object]) -> str:
    """What the exception of a wrong argument says, with its type."""
    with pytest.raises((TypeError, ValueError)) as raised:
        call()
    return f"{type(raised.value).__name__}: {raised.value}"


def test_just_one_baseline(target: interface.Target) -> None:
    sentence = "ValueError: judge() needs either log= or baseline=, to know what the kernel is judged against"
    assert fault(lambda: interface.judge(target)) == sentence
    sentence = (
        "ValueError: judge() was given both log= and baseline=; expected one, which the kernel is judged against"
    )
    assert fault(lambda: interface.judge(target, log="a.tsv", baseline=b"")) == sentence


@pytest.mark.parametrize(
    ("found", "told"), [("targets/toy", "'targets/toy', a str"), (None, "None"), (b"", "an object of type bytes")]
)
def test_a_target_is_a_target(found: Any, told: str) -> None:
    sentence = f"TypeError: found {told} as the target; expected a Target, as load() returns it"
    assert fault(lambda: interface.judge(found, log="a.tsv")) == sentence
    assert fault(lambda: interface.tournament(found, [], log="a.tsv")) == sentence


@pytest.mark.parametrize(
    ("rules", "sentence"),
    [
        (
            {"max_seconds": 9},
            "TypeError: found an object of type dict as the rules; expected Rules or RegressionRules",
        ),
        (Rules, "TypeError: found an object of type type as the rules; expected Rules or RegressionRules"),
        (Rules(max_seconds=-1), "ValueError: rules.max_seconds is -1; expected a number above 0"),
        (Rules(max_seconds=math.nan), "ValueError: rules.max_seconds is nan; expected a number above 0"),
        (Rules(max_seconds="9"), "ValueError: rules.max_seconds is '9'; expected a number above 0"),  # type: ignore[arg-type]
        (Rules(confidence=99), "ValueError: rules.confidence is 99; expected a fraction such as 0.99"),
        (
            RegressionRules(slowdown_limit=2),
            "ValueError: rules.slowdown_limit is 2; expected a fraction such as 0.01",
        ),
    ],
)
def test_rules_are_rules(lab: Lab, target: interface.Target, rules: Any, sentence: str) -> None:
    assert fault(lambda: interface.judge(target, log="a.tsv", rules=rules)) == sentence
    assert fault(lambda: interface.tournament(target, [], log="a.tsv", rules=rules)) == sentence
    assert fault(lambda: Scale(target.layout.directory, b"", rules)) == sentence  # type: ignore[arg-type]
    assert not lab.processes


def test_seconds_are_above_0(target: interface.Target) -> None:
    sentence = "ValueError: timeout_s is 0; expected a number above 0"
    assert fault(lambda: interface.judge(target, log="a.tsv", timeout_s=0)) == sentence
    assert fault(lambda: interface.tournament(target, [], timeout_s=0)) == sentence
    sentence = "ValueError: max_seconds is inf; expected a number above 0"
    assert fault(lambda: interface.tournament(target, [], max_seconds=math.inf)) == sentence


def test_a_source_is_no_path(target: interface.Target) -> None:
    text = "\nimport numpy as np\n"
    sentence = (
        "ValueError: a source is bytes, and a path is one line; found a str of several: 'import numpy as np'..."
    )
    assert fault(lambda: interface.judge(target, text, baseline=b"")) == sentence
    assert fault(lambda: interface.judge(target, b"", baseline=text)) == sentence
    assert fault(lambda: interface.tournament(target, [text])) == sentence
    sentence = "TypeError: a kernel is a path, or its source as bytes; found an object of type int"
    assert fault(lambda: interface.judge(target, 1, baseline=b"")) == sentence  # type: ignore[arg-type]
    sentence = "TypeError: tournament() was given one kernel; expected a list of kernels"
    assert fault(lambda: interface.tournament(target, "a.py")) == sentence


def test_a_folder_is_named() -> None:
    sentence = "TypeError: load() was given None; expected the path of a target's folder"
    assert fault(lambda: interface.load(None)) == sentence  # type: ignore[arg-type]
    sentence = "ValueError: load() was given an empty path; expected that of a target's folder"
    assert fault(lambda: interface.load("")) == sentence


# What is wrong with what was named.


def test_a_folder_without_a_target(tmp_path: Path) -> None:
    with pytest.raises(TargetError) as raised:
        interface.load(tmp_path)
    expected = "expected inputs.py, kernels.py, program.md, reference.py, target.py"
    assert str(raised.value) == f"{tmp_path}: holds no target; {expected}"


def test_a_target_with_a_fault(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="target 'toy': "):
        interface.load(toys.write(tmp_path, target=toys.TARGET.replace("UNIT", "UNITS")))


@pytest.mark.parametrize(
    ("log", "sentence"),
    [
        ("no/such/l.tsv", "no/such: there is no such folder; a judged trial leaves its row there"),
        ("file/l.tsv", "file: there is no such folder; a judged trial leaves its row there"),
        ("folder", "folder: cannot be read: Is a directory"),
        (
            "file",
            "file: line 1 is not '# pytest-lance-autoresearch results, schema 1'; expected a log written by this "
            "plugin",
        ),
    ],
)
def test_a_log_that_cannot_take_a_row_is_refused_before_anything_runs(
    lab: Lab, target: interface.Target, monkeypatch: pytest.MonkeyPatch, log: str, sentence: str
) -> None:
    monkeypatch.chdir(lab.root)
    Path("folder").mkdir()
    Path("file").write_text("no log\n")
    with pytest.raises(LogError) as raised:
        interface.judge(target, log=log)
    assert str(raised.value) == sentence
    assert not lab.processes
    assert not Path(archive.FOLDER).exists()


def test_a_folder_that_cannot_be_written_is_refused_at_once(
    lab: Lab, target: interface.Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(LogError) as raised:
        interface.judge(target, log=lab.root / "l.tsv")
    sentence = "cannot be written; a judged trial leaves its row or its archive there"
    assert str(raised.value) == f"{lab.root}: {sentence}"
    assert not lab.processes


@pytest.mark.slow
def test_a_real_kernel_without_pytest(tmp_path: Path) -> None:
    """In a process that never imports pytest, as an evaluator's."""
    folder, wrong = toys.write(tmp_path), toys.KERNEL.replace("weights, x)", "weights, x) + 1")
    program = f"""
import sys
from pytest_lance_autoresearch.interface import judge, load, as_json
target = load({str(folder)!r})
wrong = judge(target, {wrong.encode()!r}, baseline=target.layout.kernel_path)
equal = judge(target, {toys.KERNEL.encode()!r} + b"ONE = 1\\n", log="log.tsv")
assert "pytest" not in sys.modules
print(wrong.status, as_json(equal)["verdict"], equal.trial)
"""
    ran = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ran.stdout == "incorrect baseline 1\n"
