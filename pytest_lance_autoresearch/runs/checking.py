"""Candidates that are checked side by side in one process.

Owns who works when: a target's own code need not bear several threads, and what is waited for are the kernels'
processes.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING

from pytest_lance_autoresearch.errors import AutoresearchError
from pytest_lance_autoresearch.machine import baton

if TYPE_CHECKING:
    from pytest_lance_autoresearch.runs.trial import Trial


def check(
    trial: Trial,
    lock: Lock,
    begin: Callable[[], None] = lambda: None,
    is_over: Callable[[], bool] = lambda: False,
) -> None:
    """All of a trial's correctness, which ends its processes; all threads have the same lock.

    What fails the trial notes. `begin` is called when it has its turn, `is_over` asked before each item.
    """
    try:
        with suppress(AutoresearchError):
            with baton.held(lock):
                begin()
                trial.check_cases(is_over)
            with lock:  # Hypothesis works in one thread at a time, from one end to the other
                trial.check_beyond(is_over)
    finally:
        trial.close()
