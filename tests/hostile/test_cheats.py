"""Every cheat of the corpus ends in something other than a keep, with the right sentence, and leaves nothing.

Most are refused by their source. Each is tried once more with the reading of the source switched off, because
nothing rests on it: what lies behind must refuse it too, or it must have gained nothing.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import corpus
import psutil
import pytest

from pytest_lance_autoresearch import __main__, policy

IMPORTS: Final = "imports '{}'; a kernel may import"
TABLE: Final = "distance table: .* values differ by more than their limit"
GAINED_NOTHING: Final = r"(discard|inconclusive): "
NO_THREAD: Final = "the kernel raised RuntimeError: can't start new thread"
NOT_PERMITTED: Final = r"raised PermissionError: \[Errno 1(3\] Permission denied|\] Operation not permitted)"

BY_ITS_SOURCE: Final = {
    "always_equal": "defines '__eq__'; a kernel's class may define",
    "async_thread": IMPORTS.format("threading"),
    "clock_c_patch": IMPORTS.format("ctypes"),
    "clock_rebind": IMPORTS.format("time"),
    "env_switch": IMPORTS.format("os"),
    "exit_at_import": IMPORTS.format("os"),
    "exit_in_third_call": IMPORTS.format("os"),
    "helper_process": IMPORTS.format("os"),
    "lazy_array_proxy": "defines '__array__'; a kernel's class may define",
    "lazy_subclass": "derives a class from 'numpy.ndarray'; results are plain arrays",
    "log_writer": IMPORTS.format("os"),
    "lookahead": "uses '.base'; a kernel sees the arguments of its own call only",
    "oracle_patch": "changes 'numpy.allclose'; modules stay as they are",
    "oracle_thief": IMPORTS.format("gc"),
    "pickle_gadget": "defines '__reduce__'; a kernel's class may define",
    "poller": IMPORTS.format("threading"),
    "priority": IMPORTS.format("os"),
    "pytest_exit": IMPORTS.format("pytest"),
    "report_patch": IMPORTS.format("gc"),
    "seed_replay": IMPORTS.format("sys"),
    "skip": IMPORTS.format("pytest"),
    "unittest_skip": IMPORTS.format("unittest.SkipTest"),
    "thread_pool": IMPORTS.format("concurrent.futures.ThreadPoolExecutor"),
    "two_cores": "imports 'numba.set_num_threads'; a kernel reaches no files, threads or foreign memory",
    "xfail": IMPORTS.format("pytest"),
}
BEHIND_IT: Final = {
    "always_equal": "the kernel returned a Equal; expected numpy.ndarray or a tuple of them",
    "async_thread": NO_THREAD,
    "call_count": TABLE,
    "clock_c_patch": GAINED_NOTHING,
    "clock_rebind": GAINED_NOTHING,
    "env_switch": TABLE,
    "exit_at_import": r"the kernel's process ended \(exit code 0\) instead of answering",
    "exit_in_third_call": r"the kernel's process ended \(exit code 0\) instead of answering",
    "fp16_tables": TABLE,
    "helper_process": NOT_PERMITTED,
    "input_zeroing": TABLE,
    "last_call_replay": TABLE,
    "lazy_array_proxy": "the kernel returned a Later; expected numpy.ndarray or a tuple of them",
    "lazy_subclass": "the kernel returned a Yes; expected numpy.ndarray or a tuple of them",
    "log_writer": NOT_PERMITTED,
    "lookahead": TABLE,
    "memo_content": GAINED_NOTHING,
    "memo_fingerprint": TABLE,
    "memo_id": TABLE,
    "nan_flood": "distance table: .*: kernel nan, reference",
    "oracle_patch": TABLE,
    "oracle_thief": TABLE,
    "pickle_gadget": "the kernel returned a Gadget; expected numpy.ndarray or a tuple of them",
    "poller": NO_THREAD,
    "priority": NOT_PERMITTED,
    "pytest_exit": "the kernel raised Exit: done",
    "recycled_memory": "top-k (ids|distances.*): ",
    "report_patch": GAINED_NOTHING,
    "seed_replay": GAINED_NOTHING,
    "size_switch": "top-k distances: 10 of 10 ranks are wrong",
    "skip": "the kernel raised Skipped: not today",
    "skip_nth": "top-k distances of the returned ids: ",
    "unittest_skip": "the kernel raised SkipTest: not today",
    "stale_out": TABLE,
    "thread_pool": NO_THREAD,
    "two_cores": "the kernel raised ValueError: The number of threads must be between 1 and 1",
    "xfail": "the kernel raised XFailed: expected",
}


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose log holds the committed kernel as its baseline."""
    root = tmp_path_factory.mktemp("recorded")
    corpus.write_project(root)
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", *corpus.GATE]
    done = subprocess.run(command, cwd=root, env=own, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    return root


@pytest.fixture
def project(recorded: Path, pytester: pytest.Pytester) -> Path:
    shutil.copytree(recorded, pytester.path, dirs_exist_ok=True)
    return pytester.path


@contextmanager
def nothing_left_behind(root: Path) -> Iterator[None]:
    """What a trial may change: one more row in the log, and more files in the archive."""

    def files() -> dict[Path, bytes]:
        found = (path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
        return {path.relative_to(root): path.read_bytes() for path in found}

    def surroundings() -> tuple[object, ...]:
        process = psutil.Process()
        return process.nice(), process.cpu_affinity(), process.children(), sorted(Path("/dev/shm").iterdir())

    log = Path("targets", "pq-l2", "results.tsv")
    kernel = log.with_name("kernels.py")
    before, around = files(), surroundings()
    yield
    after = files()
    assert surroundings() == around
    assert not list(root.glob("**/kernel-*"))
    assert after[log].startswith(before[log])
    assert after[log].count(b"\n") == before[log].count(b"\n") + 1
    for path, content in before.items():
        assert path in (log, kernel) or after[path] == content, path
    new = {path.parts[0] for path in after.keys() - before.keys()}
    assert new <= {".autoresearch", "block.json"}, new
    assert __main__.main(["verify", str(root / log)]) == 0


def test_the_corpus_and_the_sentences_are_complete() -> None:
    assert set(corpus.CHEATS) == set(BEHIND_IT)
    for name in corpus.CHEATS:
        assert corpus.source("cheats", name).count('\n\n"""') >= 1, f"{name} does not open with how it works"


@pytest.mark.parametrize("name", corpus.CHEATS)
def test_what_a_source_may_not_contain_is_refused_by_its_line(name: str) -> None:
    violation = policy.violation(corpus.source("cheats", name).encode())
    if name in BY_ITS_SOURCE:
        assert re.match(rf"kernels\.py, line \d+: {re.escape(BY_ITS_SOURCE[name])}", violation), violation
    else:
        assert violation == ""


def test_a_refused_source_is_a_row_and_nothing_is_run(project: Path, pytester: pytest.Pytester) -> None:
    with nothing_left_behind(project):
        block = corpus.trial(pytester, corpus.source("cheats", "exit_at_import"))
    assert (block["verdict"], block["exit"]) == ("invalid", 1)
    assert BY_ITS_SOURCE["exit_at_import"] in block["reason"]


@pytest.mark.slow
@pytest.mark.parametrize("name", corpus.CHEATS)
def test_no_cheat_is_kept_even_where_its_source_is_not_read(
    name: str, project: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policy, "violation", lambda _: "")
    with nothing_left_behind(project):
        block = corpus.trial(pytester, corpus.source("cheats", name))
    assert block["exit"] != 0
    assert not block["verdict"].startswith(("keep", "baseline"))
    assert re.search(BEHIND_IT[name], block["reason"], re.DOTALL), block["reason"]
