"""Nothing that a project's fixtures do to the time is measured."""

from __future__ import annotations

import ast
import sys
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import toys

import pytest_lance_autoresearch
from pytest_lance_autoresearch.bench import process
from pytest_lance_autoresearch.bench.process import KernelProcess
from pytest_lance_autoresearch.kernel_side import wire
from pytest_lance_autoresearch.machine import clocks

FOLDER = Path(pytest_lance_autoresearch.__file__).parent
REPLACEABLE = {"time", "monotonic", "perf_counter", "time_ns", "monotonic_ns", "perf_counter_ns"}
"""What freezegun replaces in every loaded module; time-machine replaces the time of day only."""
OWNERS = {"clocks", "handicap", "profiling"}
"""The latter two run in the kernel's process, which loads nothing of the project's tests."""


def freeze(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop time, as freezegun does."""
    real = {id(getattr(time, name)): name for name in REPLACEABLE}
    for module in list(sys.modules.values()):
        names = [name for name, value in list(vars(module).items()) if id(value) in real]
        for name in names:
            monkeypatch.setattr(module, name, int if real[id(vars(module)[name])].endswith("_ns") else float)


@pytest.fixture
def frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    freeze(monkeypatch)
    assert time.monotonic() == time.perf_counter_ns() == 0


@pytest.mark.usefixtures("frozen")
def test_the_clock_goes_on() -> None:
    before = clocks.now_ns()
    while clocks.now_ns() == before:
        pass
    assert 0 < before < clocks.now_ns()
    assert clocks.now_s() * 1e9 >= before


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.py")), ids=lambda path: path.stem)
def test_no_other_module_asks_a_clock_that_can_be_replaced(path: Path) -> None:
    if path.stem in OWNERS:
        return
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            assert "time" not in {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module == "time":
            assert {alias.name for alias in node.names} == {"sleep"}
        if isinstance(node, ast.Attribute):
            assert node.attr not in {"now", "utcnow", "today"}


class Frozen(datetime):
    """As freezegun's."""

    @classmethod
    def now(cls, _tz: object = None) -> Frozen:
        return cls(2012, 1, 14, tzinfo=UTC)


def test_the_date_is_the_real_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ours = [module for name, module in sys.modules.items() if name.startswith("pytest_lance_autoresearch.")]
    for module in ours:
        for name in [name for name, value in vars(module).items() if value is datetime]:
            monkeypatch.setattr(module, name, Frozen)
    (tmp_path / "new").touch()
    written = datetime.fromtimestamp((tmp_path / "new").stat().st_mtime, UTC)
    said = clocks.utc()
    assert said.endswith("+00:00")
    assert abs(datetime.fromisoformat(said) - written) < timedelta(days=1)


FREEZING = """
import pytest
import test_clocks


@pytest.fixture(autouse=True)
def frozen(monkeypatch):
    test_clocks.freeze(monkeypatch)
"""


def test_a_project_that_freezes_time_is_measured(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = []
    run = KernelProcess.run_window

    def recorded(self: KernelProcess, window: wire.PackedWindow, **named: bool) -> process.WindowAnswers:
        given.append(run(self, window, **named))
        return given[-1]

    monkeypatch.setattr(process.KernelProcess, "run_window", recorded)
    pytester.makeconftest(FREEZING)
    toys.write(pytester.path)
    result = pytester.runpytest("-q", "-p", "no:randomly", "-k", "64x32-uniform")
    result.assert_outcomes(passed=2, deselected=toys.ITEMS - 2)
    assert given
    assert all(answers.window.wall_ns > 0 for answers in given)


@pytest.mark.usefixtures("frozen", "any_source")
def test_a_process_that_stays_and_says_nothing_is_not_waited_for_without_end(tmp_path: Path) -> None:
    from pytest_lance_autoresearch.errors import KernelCrashed
    from pytest_lance_autoresearch.target_files import discover, load

    silent = "import os, sys, time\nos.close(int(sys.argv[4]))\ntime.sleep(60)"
    target = load.load(discover.inspect(toys.write(tmp_path, text=toys.kernel("return result", silent))))
    started = KernelProcess(target, target.kernel, 20.0)
    with closing(started), pytest.raises(KernelCrashed) as raised:
        started.introduce()
    assert str(raised.value) == (
        "kernels.py, while it was loaded: the kernel's process ended (without a word) instead of answering"
    )
