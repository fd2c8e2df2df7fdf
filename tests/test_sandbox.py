"""A confined kernel computes, and does nothing else: tried in real workers, on systems that have the locks."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path
from time import sleep

import psutil
import pytest
import toys
import workers

from pytest_lance_autoresearch.bench import process
from pytest_lance_autoresearch.bench.process import KernelProcess
from pytest_lance_autoresearch.errors import KernelCrashed, KernelRaised
from pytest_lance_autoresearch.kernel_side import sandbox
from pytest_lance_autoresearch.target_files import discover, load, policy
from pytest_lance_autoresearch.words import report

needs_linux = pytest.mark.skipif(
    not sys.platform.startswith("linux") or platform.machine() not in ("x86_64", "aarch64"),
    reason="seccomp and Landlock are Linux's",
)
HAS_LANDLOCK = "landlock" in (
    Path("/sys/kernel/security/lsm").read_text() if Path("/sys/kernel/security/lsm").exists() else "landlock"
)
needs_landlock = pytest.mark.skipif(not HAS_LANDLOCK, reason="this kernel was built without Landlock")


def start(tmp_path: Path, setup: str) -> KernelProcess:
    """A worker in which `setup` ran when the kernel was loaded."""
    target = load.load(discover.inspect(toys.write(tmp_path, text=toys.kernel("return result", setup))))
    return workers.started(target, 10.0)


@pytest.fixture(autouse=True)
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "violation_of", lambda *_: "")


@needs_linux
@pytest.mark.parametrize(
    "what",
    [
        "import threading; threading.Thread(target=print).start()",
        "import os; os.fork()",
        "import subprocess; subprocess.run(['/bin/true'])",
        "import os; os.execv('/bin/true', ['true'])",
        "import socket; socket.socket()",
        "import socket; socket.socketpair()",
        "import os; os.kill(os.getppid(), 9)",
        "import os; os.nice(1)",
        "import os; os.sched_setaffinity(0, {0})",
        "import os; os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))",
        "import multiprocessing as m; m.get_context('spawn').Process(target=print).start()",
    ],
)
def test_a_kernel_starts_nothing_and_changes_nothing_about_its_scheduling(tmp_path: Path, what: str) -> None:
    with pytest.raises(KernelRaised, match=r"not permitted|can't start new thread"):
        start(tmp_path, what)


@needs_linux
@needs_landlock
@pytest.mark.parametrize(
    "what",
    [
        "open({file!r}, 'a')",
        "import os; os.truncate({file!r}, 0)",
        "import os; os.unlink({file!r})",
        "import os; os.rename({file!r}, {file!r} + '.old')",
        "import os; os.mkdir({file!r} + '.d')",
        "import os; os.symlink({file!r}, {file!r} + '.l')",
        "open('/dev/shm/answers', 'w')",
        "import os; open(f'/proc/{{os.getppid()}}/mem', 'rb')",
    ],
)
def test_a_kernel_changes_no_file_and_reads_no_other_process(tmp_path: Path, what: str) -> None:
    log = tmp_path / "results.tsv"
    log.write_text("trial\n")
    with pytest.raises(KernelRaised, match=r"PermissionError: \[Errno (1|13)\]"):
        start(tmp_path, what.format(file=str(log)))
    assert log.read_text() == "trial\n"
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith("kernel-")) == [
        "results.tsv",
        "targets",
    ]


@needs_linux
@pytest.mark.parametrize(
    "what",
    [
        "open('/dev/null', 'w').write('x')",
        "open('scratch', 'w').write('x')",
        "import tempfile; tempfile.TemporaryFile().write(b'x')",
        "print('hello')",
        "import math, json, decimal",
        "np.linalg.svd(np.ones((300, 300)))",
        "from numba import njit; njit(lambda x: x + 1)(1)",
    ],
)
def test_what_an_honest_kernel_and_its_compiler_need_is_there(tmp_path: Path, what: str) -> None:
    worker = start(tmp_path, f"{what}\n")
    try:
        assert worker.is_confined
        assert not sandbox.is_confined(os.getpid())
    finally:
        worker.close()


@needs_linux
@pytest.mark.slow
def test_numba_keeps_its_cache_in_the_workers_own_folder(tmp_path: Path) -> None:
    setup = (
        "from numba import njit\n@njit(cache=True)\ndef f(x):\n    return x + 1\nf(1)\nassert f.stats.cache_misses"
    )
    start(tmp_path, setup).close()


@needs_linux
def test_a_kernel_that_prints_without_end_fills_no_disk(tmp_path: Path) -> None:
    with pytest.raises(KernelRaised, match=r"raised OSError: \[Errno 27\] File too large"):
        start(tmp_path, "while True: print('x' * 2**20)")


@needs_linux
def test_a_kernel_may_still_end_itself(tmp_path: Path) -> None:
    with pytest.raises(KernelCrashed, match="signal SIGABRT"):
        start(tmp_path, "import os; os.abort()")


# With threads

CONFINED = """
import ctypes, os, subprocess, threading
from pytest_lance_autoresearch.kernel_side import sandbox
sandbox.confine([], threads=True)
"""
CLONE = 56 if os.uname().machine == "x86_64" else 220
THREAD, PROCESS, NEW_USER = 0x00010000, 17, 0x10000000


def confined(code: str) -> str:
    """What code prints in a process that may have threads."""
    run = [sys.executable, "-c", CONFINED + code]
    return subprocess.run(run, capture_output=True, text=True, check=True, timeout=60).stdout.strip()


@needs_linux
def test_a_confined_kernel_of_several_threads_starts_threads() -> None:
    code = "thread = threading.Thread(target=print, args=('here',)); thread.start(); thread.join()"
    assert confined(code) == "here"


@needs_linux
@pytest.mark.parametrize(
    "what",
    [
        "os.fork()",
        "subprocess.run(['/bin/true'])",
        "os.posix_spawn('/bin/true', ['true'], {})",
        "os.kill(os.getppid(), 0)",
        "os.sched_setaffinity(0, {0})",
    ],
)
def test_and_no_process_and_goes_nowhere_else(what: str) -> None:
    assert confined(f"try: {what}\nexcept PermissionError: print('refused')") == "refused"


@needs_linux
@pytest.mark.parametrize("flags", [0, PROCESS, 0x100 | PROCESS, 0x4000 | 0x100 | PROCESS, NEW_USER | PROCESS])
def test_what_clone_makes_is_a_thread_or_nothing(flags: int) -> None:
    """Whatever else is asked for; the last but one is vfork's."""
    code = (
        f"libc = ctypes.CDLL(None, use_errno=True)\nfound = libc.syscall({CLONE}, {flags}, 0, 0, 0, 0)\n"
        "os.write(1, f'{found} {ctypes.get_errno()}'.encode())"
    )
    assert confined(code) == "-1 1"


@needs_linux
def test_clone3_is_not_there_so_that_nobody_hides_its_flags() -> None:
    code = "libc = ctypes.CDLL(None, use_errno=True)\nprint(libc.syscall(435, 0, 0), ctypes.get_errno())"
    assert confined(code) == "-1 38"


@needs_linux
def test_a_process_that_is_stopped_ends_with_its_parent(tmp_path: Path) -> None:
    """Or it would be there for good."""
    child = f"{CONFINED}\nprint(os.getpid(), flush=True); threading.Event().wait()"
    (tmp_path / "child.py").write_text(child)
    parent = (
        "import os, signal, subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, {str(tmp_path / 'child.py')!r}], stdout=subprocess.PIPE)\n"
        "print(int(child.stdout.readline()), flush=True)\n"
        "os.kill(child.pid, signal.SIGSTOP)\nos.kill(os.getpid(), signal.SIGKILL)"
    )
    run = subprocess.run([sys.executable, "-c", parent], capture_output=True, text=True, check=False, timeout=60)
    assert is_over(int(run.stdout))


def is_over(pid: int) -> bool:
    for _ in range(1000):  # ten seconds, where it takes none
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        sleep(0.01)
    return False


# Elsewhere


def test_other_systems_have_no_such_locks() -> None:
    """In a process of its own: the limit on files, which they have too, is never taken off again."""
    code = (
        "import sys; sys.platform = 'darwin'\n"
        "from pytest_lance_autoresearch.kernel_side.sandbox import *\n"
        "confine(['/nowhere']); print(is_confined('self'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "False\n"


@needs_linux
def test_a_system_that_refuses_the_locks_is_no_error() -> None:
    """The second lock on a process that has none of the system calls left; nothing raises."""
    code = (
        "from pytest_lance_autoresearch.kernel_side.sandbox import *\n"
        "confine([]); confine([]); print(is_confined('self'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "True\n"


def test_a_process_that_is_gone_is_not_confined() -> None:
    assert not sandbox.is_confined(2**22 + 1)


@needs_linux
def test_a_trial_says_when_its_kernel_was_not_confined(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    toys.write(pytester.path)
    """In the block where a kernel becomes the baseline, and in every JSON."""
    run = ("-q", "-p", "no:randomly", "--autoresearch=toy", "--autoresearch-json=out.json")
    gate = (*run, "--keep-gate", "--autoresearch-rebaseline")
    assert "does not confine" not in str(pytester.runpytest(*gate).stdout)
    monkeypatch.setattr(process, "CONFINED", False)
    pytester.runpytest(*gate).stdout.fnmatch_lines([f"note: {report.NOT_CONFINED}"])
    assert "does not confine" not in str(pytester.runpytest(*run, "-k", "correctness and uniform").stdout)
    assert report.NOT_CONFINED in (pytester.path / "out.json").read_text()
