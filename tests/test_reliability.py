"""Whatever ends a trial, and whenever: the log stays whole, nothing survives, the next trial works.

Also what a machine may lack, and what other trials do at the same time.
"""

from __future__ import annotations

import errno
import functools
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import IO

import psutil
import pytest
import toys

from pytest_lance_autoresearch.command import verbs
from pytest_lance_autoresearch.errors import LogError
from pytest_lance_autoresearch.log import archive, results
from pytest_lance_autoresearch.machine import turns
from pytest_lance_autoresearch.plugin import options
from pytest_lance_autoresearch.records import Cause, Rules, Verdict
from pytest_lance_autoresearch.verdict import judge

PATIENCE_S = 600.0
LONGEST_TRIAL_S = 12.0
"""About what a kept toy takes: random moments are drawn from it."""


@pytest.fixture
def judged(judged: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project with a recorded baseline and a faster kernel, not judged yet.

    In this process, two looks of two pairs are enough: nothing here is about how sure a verdict is.
    """
    monkeypatch.setattr(options, "Rules", functools.partial(Rules, pairs=2, max_looks=2, confidence=0.5))
    toys.write(judged.path, text=toys.FASTER)
    return judged


@pytest.fixture
def keeps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first look keeps whatever it sees, however busy the machine is."""
    look = judge.look
    monkeypatch.setattr(
        judge, "look", lambda *seen: replace(look(*seen), verdict=Verdict.KEEP, cause=Cause.FASTER)
    )


def log_of(project: pytest.Pytester) -> Path:
    return project.path / "targets" / "toy" / "results.tsv"


def statuses(project: pytest.Pytester) -> list[str]:
    return [row.status for row in results.read(log_of(project))]


@contextmanager
def trial(project: pytest.Pytester, *options: str) -> Iterator[subprocess.Popen[str]]:
    """A gate run in a process of its own."""
    command = [sys.executable, "-m", "pytest", *toys.GATE, *options]
    with subprocess.Popen(
        command, cwd=project.path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as run:
        try:
            yield run
        finally:
            run.kill()


def shared_memory() -> set[Path]:
    return set(Path("/dev/shm").iterdir()) if Path("/dev/shm").is_dir() else set()


def strike(run: subprocess.Popen[str], blow: str, seen: set[psutil.Process]) -> None:
    """End pytest, or one of its workers, in the way that is named."""
    with suppress(psutil.Error):
        seen.update(psutil.Process(run.pid).children(recursive=True))
    if blow == "worker":
        for worker in random.sample(sorted(seen, key=lambda one: one.pid), min(1, len(seen))):
            with suppress(psutil.Error):
                worker.kill()
    else:
        run.send_signal(signal.Signals[blow])


@pytest.mark.slow
@pytest.mark.parametrize("blow", ["SIGINT", "SIGTERM", "SIGKILL", "worker"])
def test_ended_at_a_random_moment(judged: pytest.Pytester, blow: str) -> None:
    moment_s = random.uniform(0.0, LONGEST_TRIAL_S)
    around, seen = shared_memory(), set[psutil.Process]()
    with trial(judged) as run:
        time.sleep(moment_s)
        strike(run, blow, seen)
        said = run.communicate(timeout=PATIENCE_S)[0]
    where = f"{blow} after {moment_s:.3f} s:\n{said}"
    _, alive = psutil.wait_procs(seen, PATIENCE_S)
    assert not alive, where
    assert shared_memory() <= around, where
    rows = statuses(judged)
    assert rows[0] == "baseline", where
    assert rows[1:] in ([], ["keep"], ["crash"], ["invalid"]), where
    assert verbs.main(["verify", str(log_of(judged))]) == 0, where
    toys.write(judged.path, text=toys.SLOWER)
    assert judged.runpytest(*toys.GATE).ret == 10, where
    assert [*rows, "discard"] == statuses(judged), where
    assert not list((judged.path / archive.FOLDER).glob("**/*.part")), where


def test_a_full_disk_is_said_before_anything_is_measured(
    judged: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(root: Path, name: str, text: bytes) -> None:  # noqa: ARG001
        raise LogError(f"{root / name}: cannot be written: No space left on device")

    monkeypatch.setattr(archive, "_store", full)
    result = judged.runpytest(*toys.GATE)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --keep-gate: *spare-*: cannot be written: No space left on device*"])
    assert statuses(judged) == ["baseline"]


@pytest.mark.usefixtures("keeps")
def test_a_disk_that_fills_up_during_the_trial_loses_no_row(
    judged: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a disk where others take all that is free: only the room that was held is there at the end."""
    store = archive._store

    def stored_in_spare_room(root: Path, name: str, text: bytes) -> None:
        if not name.startswith("spare-"):
            assert not list((root / archive.FOLDER).glob("spare-*")), "the room was not given back"
            assert len(text) < archive.SPARE_BYTES
        store(root, name, text)

    monkeypatch.setattr(archive, "_store", stored_in_spare_room)
    assert judged.runpytest(*toys.GATE).ret == 0
    assert statuses(judged) == ["baseline", "keep"]
    assert not list((judged.path / archive.FOLDER).glob("spare-*"))


def test_room_that_a_killed_trial_held_is_freed_and_another_s_is_not(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    (tmp_path / archive.FOLDER).mkdir()
    left, held = (tmp_path / archive.FOLDER / f"spare-{pid}" for pid in (ended.pid, os.getppid()))
    for path in (left, held):
        path.touch()
    archive.hold_room(tmp_path)
    assert not left.exists()
    assert held.exists()
    assert (tmp_path / archive.FOLDER / f"spare-{os.getpid()}").stat().st_size == archive.SPARE_BYTES


def test_memory_that_cannot_be_shared_is_one_sentence(
    judged: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(*_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", none_left)
    result = judged.runpytest(*toys.GATE, "-x")
    sentence = "1 MiB of memory to share with the kernel's process cannot be had: No space left on device"
    result.stdout.fnmatch_lines([sentence, f"reason: invalid: {sentence}"])
    assert "Traceback" not in result.stdout.str()
    assert statuses(judged) == ["baseline", "invalid"]


def lines_of(stream: IO[str], into: list[str]) -> threading.Thread:
    reader = threading.Thread(target=lambda: into.extend(stream), daemon=True)
    reader.start()
    return reader


def test_a_second_trial_waits_while_the_first_measures_and_says_so(judged: pytest.Pytester) -> None:
    with turns.take(None), trial(judged) as run:
        said: list[str] = []
        assert run.stdout is not None
        reader = lines_of(run.stdout, said)
        deadline = time.monotonic() + PATIENCE_S
        waiting = "toy: waiting for its turn to measure: second in line"
        while time.monotonic() < deadline and not any(waiting in line for line in said):
            time.sleep(0.05)
        assert any(waiting in line for line in said)
        assert run.poll() is None
        run.send_signal(signal.SIGINT)
        reader.join(PATIENCE_S)
    assert statuses(judged) == ["baseline"]


@pytest.mark.usefixtures("keeps")
def test_a_keep_over_a_baseline_that_was_replaced_meanwhile_is_none(
    judged: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another trial's keep is written just before this one's."""
    append = results.append
    first = results.read(log_of(judged))[0]

    def after_another(
        path: Path, row: results.Row, refuse: Callable[[Sequence[results.Row]], None]
    ) -> results.Row:
        if row.status == "keep":
            append(path, first)
        return append(path, row, refuse)

    monkeypatch.setattr(results, "append", after_another)
    result = judged.runpytest(*toys.GATE)
    result.stdout.fnmatch_lines(
        [
            "verdict: invalid",
            "reason: invalid: trial 2 became the baseline meanwhile; this kernel was not compared with it; "
            "run it again",
        ]
    )
    assert result.ret == 13
    assert statuses(judged) == ["baseline", "baseline", "invalid"]


def test_a_log_of_a_newer_version_is_left_alone(judged: pytest.Pytester) -> None:
    newer = log_of(judged).read_text().replace("schema 1", "schema 2", 1)
    log_of(judged).write_text(newer)
    result = judged.runpytest(*toys.GATE, "-x")
    assert result.ret not in (0, 10)
    assert "schema 2, this version reads schema 1; install the version that wrote it" in result.stdout.str()
    assert log_of(judged).read_text() == newer


@pytest.mark.usefixtures("keeps")
def test_a_row_that_was_cut_off_is_kept_beside_the_log(judged: pytest.Pytester) -> None:
    with log_of(judged).open("a") as rows:
        rows.write("2\tke")
    assert judged.runpytest(*toys.GATE).ret == 0
    assert statuses(judged) == ["baseline", "keep"]
    assert log_of(judged).with_name("results.tsv.torn").read_text() == "2\tke\n"
