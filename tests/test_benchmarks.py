"""The benchmarks that reach into the package still find what they reach for."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import toys

from pytest_lance_autoresearch.machine import clocks

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def test_a_trial_runs_with_every_defence_switched_off(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(BENCHMARKS))
    toys.write(pytester.path, text=toys.kernel("return result", setup="import threading"))
    run = ("-p", "no:randomly", "-p", "no:cacheprovider", "-q", "--autoresearch=toy", "--keep-gate")
    assert pytester.runpytest_subprocess(*run).ret == 1
    assert pytester.runpytest_subprocess("-p", "without_defences", *run).ret == 0


def test_every_second_of_a_look_is_counted_once_and_under_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A window is no part of its packing, and what happens in a warm-up or a binding is no part of the blocks."""
    now = SimpleNamespace(s=0.0)

    def passing(seconds: float, *inside: Callable[[], Any]) -> Any:
        now.s += seconds
        for each in inside:
            each()
        return SimpleNamespace(window=SimpleNamespace(wall_ns=0.75e9))

    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setattr(clocks, "now_s", lambda: now.s)
    looks = importlib.import_module("looks")
    watch = looks.Stopwatch()

    def run_window() -> Any:
        return passing(1.0)

    window = watch.timed("packing", run_window)
    binding = watch.timed("binding", lambda: passing(8.0, window))
    oracle = watch.timed("oracle", lambda: passing(16.0))
    watch.timed("warm-up", lambda: passing(32.0, window, oracle))()
    watch.timed("blocks", lambda: passing(64.0, window, binding, window, oracle))()
    assert watch.seconds == {
        "rest": 0.0,
        "warm-up": 49.0,
        "blocks": 64.0,
        "packing": 0.5,
        "windows": 1.5,
        "binding": 9.0,
        "oracle": 16.0,
    }


def test_what_a_look_is_made_of_is_there_to_be_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    looks = importlib.import_module("looks")
    functions = [
        (owner, name) for part in (looks.STEPS, looks.PARTS) for each in part.values() for owner, name in each
    ]
    before = [getattr(owner, name) for owner, name in functions]
    with looks.watching(looks.Stopwatch()):
        assert not {*before} & {getattr(owner, name) for owner, name in functions}
    assert before == [getattr(owner, name) for owner, name in functions]
