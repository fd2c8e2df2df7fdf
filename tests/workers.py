"""Real worker processes, ready for their first order."""

from __future__ import annotations

from typing import Any

from pytest_lance_autoresearch.bench.process import KernelProcess
from pytest_lance_autoresearch.target_files.load import Target

TIMEOUT_S = 20.0


def started(target: Target, timeout_s: float = TIMEOUT_S, **options: Any) -> KernelProcess:
    """A process that has loaded the target's kernel; one that fails to is ended."""
    process = KernelProcess(target, target.kernel, timeout_s, **options)
    process.introduce()
    return process
