"""A pytest plugin that switches off what protects a trial from its kernel; for benchmarks/defences.py only.

Off: reading the source, confinement, the looks for threads, CPU time and changed inputs, bounds checks, secret
calls, the comparison of timed answers with the oracle.
"""

from __future__ import annotations

from typing import Any

import pytest

from pytest_lance_autoresearch.bench import cpu, measure, process
from pytest_lance_autoresearch.runs import trial
from pytest_lance_autoresearch.target_files import policy

_start = process.KernelProcess.__init__


def _start_unchecked(self: process.KernelProcess, *arguments: Any, **options: Any) -> None:
    _start(self, *arguments, **options | {"checks_bounds": False})


def _nothing(*_: Any, **__: Any) -> None:
    pass


def pytest_configure() -> None:
    off = pytest.MonkeyPatch()
    off.setattr(policy, "violation_of", lambda *_: "")
    off.setattr(process, "CONFINED", False)
    off.setattr(process.KernelProcess, "__init__", _start_unchecked)
    off.setattr(process.KernelProcess, "_refuse_threads", _nothing)
    off.setattr(process.WindowAnswers, "_refuse_changed_inputs", _nothing)
    off.setattr(cpu, "_clock_id", lambda _: None)
    off.setattr(trial.Trial, "_checks_secretly", False)
    off.setattr(measure, "_chosen", lambda *_, **__: ())
