"""The folders of workers whose pytest was killed are swept by the next one, and nothing else is."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import toys
import workers

from pytest_lance_autoresearch.bench import scratch
from pytest_lance_autoresearch.bench.scratch import NOTHING_COMPILED, Scratch
from pytest_lance_autoresearch.target_files import discover, load

HOLDING = (
    "from pytest_lance_autoresearch.bench.scratch import Scratch\n"
    "s = Scratch(b'', {}); print(s.path, flush=True); input()"
)


@pytest.fixture(autouse=True)
def _forgets() -> None:
    scratch._sweep.cache_clear()


def another(tmp_path: Path) -> tuple[subprocess.Popen[str], Path]:
    """Another pytest with a worker's folder, as far as this matters here."""
    own = {**os.environ, "TMPDIR": str(tmp_path)}
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=own
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def end(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_a_folder_lives_as_long_as_it_is_used() -> None:
    folder = Scratch(b"kernel", NOTHING_COMPILED)
    assert (folder.path / scratch.KERNEL).read_bytes() == b"kernel"
    assert {path.name for path in folder.path.iterdir()} == {"kernels.py", "log", "numba", "work"}
    assert folder.path.parent == Path(tempfile.gettempdir())
    folder.close()
    assert not folder.path.exists()


def test_what_a_killed_process_left_behind_is_swept_and_what_a_living_one_uses_is_not(tmp_path: Path) -> None:
    process, folder = another(tmp_path)
    (folder / scratch.WORK / "deep").mkdir()
    own = Scratch(b"", NOTHING_COMPILED)
    assert folder.is_dir()
    end(process)
    scratch._sweep.cache_clear()
    later = Scratch(b"", NOTHING_COMPILED)
    assert not folder.exists()
    assert own.path.is_dir()
    own.close()
    later.close()


def abandoned(tmp_path: Path) -> Path:
    process, folder = another(tmp_path)
    end(process)
    return folder


def test_other_peoples_folders_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = abandoned(tmp_path)
    monkeypatch.setattr(os, "getuid", lambda: 4711)
    scratch._sweep(tmp_path)
    assert folder.is_dir()


def test_what_only_has_such_a_name_stays(tmp_path: Path) -> None:
    (tmp_path / "kernel-build" / "work").mkdir(parents=True)
    (tmp_path / "kernel-4711.json").touch()
    kept = tmp_path / "kept"
    abandoned(tmp_path).rename(kept)
    (tmp_path / "kernel-link").symlink_to(kept)
    before = {*tmp_path.rglob("*")}
    scratch._sweep(tmp_path)
    assert {*tmp_path.rglob("*")} == before


def test_a_file_system_without_locks_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    folder = Scratch(b"", NOTHING_COMPILED)
    scratch._sweep.cache_clear()
    other = Scratch(b"", NOTHING_COMPILED)
    assert folder.path.is_dir()
    folder.close()
    other.close()


def test_a_worker_that_is_closed_leaves_nothing(tmp_path: Path) -> None:
    target = load.load(discover.inspect(toys.write(tmp_path)))
    workers.started(target).close()
    assert not list(tmp_path.glob("kernel-*"))
