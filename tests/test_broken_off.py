"""A trial that is broken off from outside: nothing is logged, nothing stays behind, the next run works."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import psutil
import pytest
import toys

from pytest_lance_autoresearch.log import results
from pytest_lance_autoresearch.records import NO_VERDICT_EXIT_CODE

PATIENCE_S = 60.0


@pytest.fixture
def judged(judged: pytest.Pytester) -> pytest.Pytester:
    """With a faster kernel, not judged yet."""
    toys.write(judged.path, text=toys.FASTER)
    return judged


def measuring(project: pytest.Pytester) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    """A gate run in a process of its own, at the moment when both sides' workers exist."""
    command = [sys.executable, "-m", "pytest", *toys.GATE]
    run = subprocess.Popen(command, cwd=project.path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        workers = [child for child in psutil.Process(run.pid).children() if is_worker(child)]
        if len(workers) == 3:
            return run, workers
        time.sleep(0.01)
    run.kill()
    pytest.fail(f"no pair of workers within {PATIENCE_S:g} s: {run.communicate()[0]}")


def is_worker(process: psutil.Process) -> bool:
    """Whether it runs a kernel; not one that ended meanwhile."""
    try:
        return "worker.py" in " ".join(process.cmdline())
    except psutil.Error:
        return False


def gone(workers: list[psutil.Process]) -> bool:
    """Whether all of them end, without anybody's help, in reasonable time."""
    _, alive = psutil.wait_procs(workers, PATIENCE_S)
    return not alive


def statuses(project: pytest.Pytester) -> list[str]:
    return [row.status for row in results.read(project.path / "targets/toy/results.tsv")]


def test_ctrl_c_leaves_no_row_and_no_process(judged: pytest.Pytester) -> None:
    run, workers = measuring(judged)
    run.send_signal(signal.SIGINT)
    output = run.communicate(timeout=PATIENCE_S)[0]
    assert run.returncode == pytest.ExitCode.INTERRUPTED
    assert "reason: no verdict: the run was broken off; nothing was logged" in output.splitlines()
    assert gone(workers)
    assert statuses(judged) == ["baseline"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_an_ended_pytest_takes_its_workers_along(judged: pytest.Pytester, number: signal.Signals) -> None:
    run, workers = measuring(judged)
    run.send_signal(number)
    run.communicate(timeout=PATIENCE_S)
    assert gone(workers)
    assert statuses(judged) == ["baseline"]
    toys.write(judged.path)
    assert judged.runpytest(*toys.GATE).ret == 10
    assert statuses(judged) == ["baseline", "discard"]


def test_an_ended_worker_is_a_crash_with_a_row(judged: pytest.Pytester) -> None:
    run, workers = measuring(judged)
    workers[0].kill()
    workers[1].kill()
    workers[2].kill()
    output = run.communicate(timeout=PATIENCE_S)[0]
    assert run.returncode in (pytest.ExitCode.TESTS_FAILED, NO_VERDICT_EXIT_CODE), output
    assert "(signal SIGKILL) instead of answering" in output
    assert statuses(judged)[-1] in ("crash", "invalid")
