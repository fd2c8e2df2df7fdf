"""The public Python interface: plain calls load a target, and judge a kernel of it as the gate would."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import fake_measuring
import pytest
import toys
from fake_measuring import Lab, ending

from pytest_lance_autoresearch import interface
from pytest_lance_autoresearch.interface import LogError, Progress, RegressionRules, Status, TargetError
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
    assert not lab.measurements
    assert interface.judge(target, baseline=toys.KERNEL.encode(), rules=RegressionRules()).status is Status.PASS


def test_a_wrong_kernel_is_an_outcome(lab: Lab, target: interface.Target) -> None:
    wrong = toys.KERNEL.replace("weights, x)", "weights, x) + 1")
    assert wrong != toys.KERNEL
    outcome = interface.judge(target, wrong.encode(), baseline=toys.KERNEL.encode())
    assert outcome.status is Status.INCORRECT
    assert outcome.reason.startswith("incorrect: ")
    assert not lab.measurements
    assert not lab.open_processes()


@pytest.mark.usefixtures("lab")
def test_what_it_does_can_be_watched(target: interface.Target) -> None:
    seen: list[Progress] = []
    interface.judge(target, toys.FASTER.encode(), baseline=toys.KERNEL.encode(), watch=seen.append)
    assert {one.target for one in seen} == {"toy"}


@pytest.mark.parametrize("sides", [{}, {"log": "a.tsv", "baseline": b""}])
def test_just_one_baseline(target: interface.Target, sides: dict[str, str | bytes]) -> None:
    with pytest.raises(ValueError, match=r"^judge\(\) needs either log= or baseline=, to know what"):
        interface.judge(target, **sides)  # type: ignore[arg-type]


def test_a_folder_without_a_target(tmp_path: Path) -> None:
    with pytest.raises(TargetError) as raised:
        interface.load(tmp_path)
    expected = "expected inputs.py, kernels.py, program.md, reference.py, target.py"
    assert str(raised.value) == f"{tmp_path}: holds no target; {expected}"


def test_a_target_with_a_fault(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="target 'toy': "):
        interface.load(toys.write(tmp_path, target=toys.TARGET.replace("UNIT", "UNITS")))


def test_a_log_that_cannot_be_written_costs_no_measuring(
    lab: Lab, target: interface.Target, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LogError):
        interface.judge(target, log=tmp_path / "file" / "log.tsv")
    assert not lab.measurements


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
