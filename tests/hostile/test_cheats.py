"""Every cheat of the corpus ends in something other than a keep, with the right sentence, and leaves nothing.

Most are refused by their source. Each is tried once more with the reading of the source switched off, because
nothing rests on it: what lies behind must refuse it too, or it must have gained nothing.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, Final

import builders
import corpus
import psutil
import pytest
import reading_ahead
import recorded

from pytest_lance_autoresearch.bench import process, scratch
from pytest_lance_autoresearch.command import verbs
from pytest_lance_autoresearch.plugin import options
from pytest_lance_autoresearch.records import Rules, Verdict
from pytest_lance_autoresearch.target_files import load, policy
from pytest_lance_autoresearch.verdict import judge, view

IMPORTS: Final = "imports '{}'; a kernel may import"
ITEM: Final = "the kernel returned a tuple whose item 2 is a {}; expected a numpy.ndarray or a number"
VALUES: Final = r"values: \d+ of \d+ values differ"
TABLE: Final = "distance table: .* values differ by more than their limit"
GAINED_NOTHING: Final = r"(discard|inconclusive): "
CPU_DISAGREES: Final = "; wall and CPU time must agree|undecided after the last look"
BEHIND_AN_ARRAY: Final = "it probably read or wrote past the end of an array"
NOT_DONE: Final = "the kernel wrote no result"
NO_THREAD: Final = "the kernel raised RuntimeError: can't start new thread"
NOT_PERMITTED: Final = r"raised PermissionError: \[Errno 1(3\] Permission denied|\] Operation not permitted)"

BY_ITS_SOURCE: Final = {
    "bitpack/two_cores": "asks for parallel code; one thread is the rule",
    "pq-l2/always_equal": "defines '__eq__'; a kernel's class may define",
    "pq-l2/async_thread": IMPORTS.format("threading"),
    "pq-l2/clock_c_patch": IMPORTS.format("ctypes"),
    "pq-l2/clock_rebind": IMPORTS.format("time"),
    "pq-l2/early_answer": IMPORTS.format("os"),
    "pq-l2/env_switch": IMPORTS.format("os"),
    "pq-l2/exit_at_import": IMPORTS.format("os"),
    "pq-l2/exit_in_third_call": IMPORTS.format("os"),
    "pq-l2/helper_process": IMPORTS.format("os"),
    "pq-l2/lazy_array_proxy": "defines '__array__'; a kernel's class may define",
    "pq-l2/lazy_subclass": "derives a class from 'numpy.ndarray'; results are plain arrays",
    "pq-l2/log_writer": IMPORTS.format("os"),
    "pq-l2/lookahead": "uses '.base'; a kernel sees the arguments of its own call only",
    "pq-l2/oracle_patch": "changes 'numpy.allclose'; modules stay as they are",
    "pq-l2/oracle_thief": IMPORTS.format("gc"),
    "pq-l2/pickle_gadget": "defines '__reduce__'; a kernel's class may define",
    "pq-l2/poller": IMPORTS.format("threading"),
    "pq-l2/priority": IMPORTS.format("os"),
    "pq-l2/pytest_exit": IMPORTS.format("pytest"),
    "pq-l2/report_patch": IMPORTS.format("gc"),
    "pq-l2/seed_replay": IMPORTS.format("sys"),
    "pq-l2/skip": IMPORTS.format("pytest"),
    "pq-l2/unittest_skip": IMPORTS.format("unittest.SkipTest"),
    "pq-l2/thread_pool": IMPORTS.format("concurrent.futures.ThreadPoolExecutor"),
    "pq-l2/two_cores": "imports 'numba.set_num_threads'; of 'numba' a kernel may use",
    "pq-l2/xfail": IMPORTS.format("pytest"),
}
BEHIND_IT: Final = {
    "bitpack/first_page_replay": VALUES,
    "bitpack/folded_output": VALUES,
    "bitpack/known_sizes": VALUES,
    "bitpack/left_alone": VALUES,
    "bitpack/memo_widths": VALUES,
    "bitpack/payload_zeroed": "the kernel changed its argument 0",
    "bitpack/shrunk_output": "the kernel raised ValueError",
    "bitpack/spot_chunks": VALUES,
    "bitpack/two_cores": GAINED_NOTHING,
    "pq-l2/always_equal": ITEM.format("Equal"),
    "pq-l2/async_thread": NO_THREAD,
    "pq-l2/call_count": TABLE,
    "pq-l2/clock_c_patch": GAINED_NOTHING,
    "pq-l2/clock_rebind": GAINED_NOTHING,
    "pq-l2/early_answer": f"{CPU_DISAGREES}|{NOT_DONE}|{TABLE}",
    "pq-l2/env_switch": TABLE,
    "pq-l2/exit_at_import": r"the kernel's process ended \(exit code 0\) instead of answering",
    "pq-l2/exit_in_third_call": r"the kernel's process ended \(exit code 0\) instead of answering",
    "pq-l2/fp16_tables": TABLE,
    "pq-l2/helper_process": NOT_PERMITTED,
    "pq-l2/input_zeroing": TABLE,
    "pq-l2/last_call_replay": TABLE,
    "pq-l2/lazy_array_proxy": ITEM.format("Later"),
    "pq-l2/lazy_subclass": ITEM.format("Yes"),
    "pq-l2/log_writer": NOT_PERMITTED,
    "pq-l2/lookahead": BEHIND_AN_ARRAY,
    "pq-l2/memo_content": GAINED_NOTHING,
    "pq-l2/memo_fingerprint": TABLE,
    "pq-l2/memo_id": TABLE,
    "pq-l2/nan_flood": "distance table: .*: kernel nan, reference",
    "pq-l2/oracle_patch": TABLE,
    "pq-l2/oracle_thief": TABLE,
    "pq-l2/pickle_gadget": ITEM.format("Gadget"),
    "pq-l2/poller": NO_THREAD,
    "pq-l2/priority": NOT_PERMITTED,
    "pq-l2/pytest_exit": "the kernel raised Exit: done",
    "pq-l2/recycled_memory": "top-k (ids|distances.*): ",
    "pq-l2/report_patch": GAINED_NOTHING,
    "pq-l2/seed_replay": GAINED_NOTHING,
    "pq-l2/size_switch": "top-k distances: 10 of 10 ranks are wrong",
    "pq-l2/skip": "the kernel raised Skipped: not today",
    "pq-l2/skip_nth": "top-k distances of the returned ids: ",
    "pq-l2/unittest_skip": "the kernel raised SkipTest: not today",
    "pq-l2/stale_out": TABLE,
    "pq-l2/thread_pool": NO_THREAD,
    "pq-l2/two_cores": "the kernel raised ValueError: The number of threads must be between 1 and 1",
    "pq-l2/xfail": "the kernel raised XFailed: expected",
}


Code = Mapping[tuple[str, bool], scratch.Compiled]
"""Machine code by target, and whether indices are checked."""
BRIEF: Final = partial(Rules, pairs=2, max_looks=view.LEAST_LOOKS)
"""As few looks as a keep needs, and as short: more only take longer to give up what is as fast."""


@pytest.fixture(scope="session")
def ports(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> Path:
    """A project whose logs hold the ports as their baselines."""
    root = tmp_path_factory.mktemp("ports")
    corpus.write_project(root)
    for target in corpus.CLASSES:
        recorded.baseline(root, *corpus.gate(target, shared_cache))
    return root


@pytest.fixture
def project(ports: Path, pytester: pytest.Pytester) -> Path:
    shutil.copytree(ports, pytester.path, dirs_exist_ok=True)
    return pytester.path


@pytest.fixture(scope="session")
def of_the_ports(ports: Path) -> Code:
    """Their machine code, made once instead of in each process of a trial."""
    keys = product(corpus.CLASSES, (False, True))
    return {(name, checks): corpus.compiled(ports, name, checks_bounds=checks) for name, checks in keys}


@pytest.fixture
def compiled_ports(of_the_ports: Code, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every process of a kernel begins with it; of a cheat's own code nothing is taken over from another trial."""
    begin = process.KernelProcess.__init__

    def begin_compiled(
        self: process.KernelProcess,
        target: load.Target,
        *arguments: Any,
        checks_bounds: bool = False,
        compiled: scratch.Compiled = scratch.NOTHING_COMPILED,
        **named: Any,
    ) -> None:
        own = {**of_the_ports[target.name, checks_bounds], **compiled}
        begin(self, target, *arguments, checks_bounds=checks_bounds, compiled=own, **named)

    monkeypatch.setattr(process.KernelProcess, "__init__", begin_compiled)


@contextmanager
def nothing_left_behind(root: Path, target: str) -> Iterator[None]:
    """What a trial may change: one more row in its target's log, and more files in the archive."""

    def files() -> dict[Path, bytes]:
        found = (path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
        return {path.relative_to(root): path.read_bytes() for path in found}

    def surroundings() -> tuple[object, ...]:
        process = psutil.Process()
        return process.nice(), process.cpu_affinity(), process.children(), sorted(Path("/dev/shm").iterdir())

    log = Path("targets", target, "results.tsv")
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
    assert verbs.main(["verify", str(root / log)]) == 0


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


def test_what_had_gained_something_would_be_kept() -> None:
    """One pair or one block less, and nothing is."""
    rules = BRIEF()
    gain = builders.everywhere(builders.spread(0.2, count=rules.blocks))
    pairs = builders.pairs_of_a_look(gain, count=rules.pairs) * rules.max_looks
    assert judge.look(builders.evidence(*pairs, looks=rules.max_looks), rules).verdict is Verdict.KEEP


@pytest.mark.slow
def test_a_refused_source_is_a_row_and_nothing_is_run(
    project: Path, shared_cache: Path, pytester: pytest.Pytester
) -> None:
    name = "pq-l2/exit_at_import"
    with nothing_left_behind(project, "pq-l2"):
        block = corpus.trial(pytester, shared_cache, "pq-l2", corpus.source("cheats", name))
    assert (block["verdict"], block["exit"]) == ("refused", 1)
    assert BY_ITS_SOURCE[name] in block["reason"]


@pytest.mark.slow
@pytest.mark.usefixtures("compiled_ports")
@pytest.mark.parametrize("name", corpus.CHEATS)
def test_no_cheat_is_kept_even_where_its_source_is_not_read(
    name: str, project: Path, shared_cache: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policy, "violation_of", lambda *_: "")
    monkeypatch.setattr(options, "Rules", BRIEF)
    target = corpus.target_of(name)
    with nothing_left_behind(project, target):
        block = corpus.trial(pytester, shared_cache, target, corpus.source("cheats", name))
    assert block["exit"] != 0
    assert not block["verdict"].startswith(("keep", "baseline"))
    assert re.search(BEHIND_IT[name], block["reason"], re.DOTALL), block["reason"]


@pytest.mark.slow
def test_who_reads_ahead_with_an_intrinsic_is_refused_by_what_its_calls_take_without(
    pytester: pytest.Pytester, shared_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its source passes: it does not say what an intrinsic loads. Where it is checked, it loads nothing more."""
    monkeypatch.setattr(options, "Rules", BRIEF)
    (pytester.path / "pytest.ini").write_text("[pytest]\n")
    gate = ("--autoresearch=ahead", "--keep-gate", *corpus.plain(shared_cache))
    reading_ahead.write(pytester.path, reading_ahead.KERNEL)
    assert pytester.runpytest_inprocess(*gate).ret == 0
    kernel = pytester.path / "targets" / "ahead" / "kernels.py"
    kernel.write_text(reading_ahead.AHEAD)
    with nothing_left_behind(pytester.path, "ahead"):
        block = corpus.trial(pytester, shared_cache, "ahead", reading_ahead.AHEAD)
    assert (block["verdict"], block["cause"], block["exit"]) == ("refused", "works ahead", 1)
    assert re.search(r"but its calls take \d+ % longer where nothing can be known of later ones", block["reason"])


def test_who_reads_ahead_wherever_it_is_asked_ends_where_it_is_checked(
    pytester: pytest.Pytester, shared_cache: Path
) -> None:
    reading_ahead.write(pytester.path, reading_ahead.HEADLESS)
    (pytester.path / "pytest.ini").write_text("[pytest]\n")
    block = corpus.trial(pytester, shared_cache, "ahead", reading_ahead.HEADLESS)
    assert (block["verdict"], block["exit"]) == ("crash", 1)
    assert BEHIND_AN_ARRAY in block["reason"]
