"""Loads what nested pytest runs import, once: pytester takes back the modules that a nested run loaded, and
numpy cannot be loaded twice in one process. Keeps the tests to themselves."""

import importlib
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import battery
import command_line
import fake_replay
import fake_workers
import hypothesis  # noqa: F401
import lance_wheel
import numpy.random  # noqa: F401
import pytest
import recorded
import scripted
import threadpoolctl
import toys

import pytest_lance_autoresearch.runs.trial  # noqa: F401
from pytest_lance_autoresearch.bench import measure, process
from pytest_lance_autoresearch.kernel_side import compiled
from pytest_lance_autoresearch.machine import environment
from pytest_lance_autoresearch.runs import replay
from pytest_lance_autoresearch.target_files import discover, load, policy, sources

OUTER_RUN = ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_ADDOPTS")
SHORTER = 6
"""How much shorter the windows of trials inside tests are: what they compare differs by a multiple."""


# Threads of BLAS wait for each other by running. With as many of them as cores in every process of the tests, that
# was most of what the tests did: making pq-l2's states took ten times as long.
threadpoolctl.threadpool_limits(1)
for library in ("OMP", "OPENBLAS"):  # what is loaded later, and in other processes
    os.environ[f"{library}_NUM_THREADS"] = "1"


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts what it runs in the background so, and all processes of the tests would inherit it: none could
    # be interrupted, and tests that do so would wait for long.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than cores, for `-n auto`: about half of the time tests wait, for processes and for their ends."""
    return environment.count_cores() + 1


def pytest_configure(config: pytest.Config) -> None:
    """Tests of targets find states where the targets' own items leave them, in pytest's cache."""
    if config.cache is not None:
        battery.Battery.stored = config.cache.mkdir("autoresearch")


@pytest.fixture(scope="session", autouse=True)
def _compiled_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What numba makes of a kernel is kept for all tests of it, in every process that xdist divides them among."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "compiled"
    folder.mkdir(exist_ok=True)
    compiled.keep(str(folder))


@pytest.fixture(autouse=True)
def own_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trial that somebody runs on this machine neither waits for these tests nor is waited for.

    Nested runs do not learn how the outer one was started (pytest-benchmark stops timing under xdist, in CI pytest
    prints every failure twice, and on GitHub verdicts go to the summary of the step), and measure briefly.
    """
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(measure, "WINDOW_NS", measure.WINDOW_NS // SHORTER)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    for name in (*OUTER_RUN, "CI", "BUILD_NUMBER", "GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    os.unsetenv("COLUMNS")  # which readline sets for the processes that are started, and Python does not see


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pytest's cache for projects with the same targets, outside of them: their states are made once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def recorded_toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose log holds the toy as its baseline: a real row, whose windows were measured here."""
    root = tmp_path_factory.mktemp("recorded_toy")
    toys.write(root)
    recorded.baseline(root, *toys.GATE, "--autoresearch-description=the first one")
    return root


@pytest.fixture
def judged(recorded_toy: Path, pytester: pytest.Pytester) -> pytest.Pytester:
    """A copy of it, whose kernel and log may be changed."""
    shutil.copytree(recorded_toy, pytester.path, dirs_exist_ok=True)
    return pytester


@pytest.fixture
def any_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels may contain anything, and do anything: what lies behind these two locks must hold without them."""
    monkeypatch.setattr(policy, "violation_of", lambda *_: "")
    monkeypatch.setattr(process, "CONFINED", False)


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[scripted.Start]:
    """Starts workers that say what a script says, and ends them."""
    with ExitStack() as started:
        yield partial(scripted.start, monkeypatch, started)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> fake_workers.Machine:
    """Workers without processes, whose windows take as long as the machine says."""
    return fake_workers.install(monkeypatch)


@pytest.fixture
def simulate(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The benchmark's hosts, whose pairs are drawn."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "benchmarks"))
    module = importlib.import_module("simulate")
    with module.drawn_pairs():
        yield module


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> command_line.Say:
    """Run a verb; its exit code, and its lines on stdout and stderr."""
    return partial(command_line.said, capsys)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> fake_replay.Measured:
    """What comes of measuring a claim again, where nothing is measured."""
    stand_in = fake_replay.Measured()
    monkeypatch.setattr(replay, "_measure", stand_in)
    return stand_in


# What the tests in tests/upstream share


@pytest.fixture(scope="module")
def lance() -> ModuleType:
    return lance_wheel.lance()


@pytest.fixture(scope="module")
def pa() -> ModuleType:
    return lance_wheel.pyarrow()


@pytest.fixture(scope="module")
def target(request: pytest.FixtureRequest) -> load.Target:
    """The one in the `FOLDER` that a module of tests names."""
    return load.load(discover.inspect(request.module.FOLDER))


@pytest.fixture(scope="module")
def kernel(target: load.Target) -> Any:
    """Its kernel, as a module of this process."""
    return battery.loaded(target, target.kernel)


@pytest.fixture(scope="module")
def port(target: load.Target) -> Any:
    """The port of Lance whose place the kernel has taken."""
    return battery.loaded(target, sources.read(battery.PORTS / target.name / "kernels.py"))
