"""The benchmarks that reach into the package still find what they reach for."""

from __future__ import annotations

from pathlib import Path

import pytest
import toys

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def test_a_trial_runs_with_every_defence_switched_off(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(BENCHMARKS))
    toys.write(pytester.path, text=toys.kernel("return result", setup="import threading"))
    run = ("-p", "no:randomly", "-p", "no:cacheprovider", "-q", "--autoresearch=toy", "--keep-gate")
    assert pytester.runpytest_subprocess(*run).ret == 1
    assert pytester.runpytest_subprocess("-p", "without_defences", *run).ret == 0
