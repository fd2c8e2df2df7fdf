"""Committed kernels read nothing behind their arguments in a call of every case, which no comparison tells."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from battery import NAMES

TESTS = Path(__file__).parent
READS_BEHIND = """
import ctypes, guarded, numpy as np
array = guarded.guarded(np.arange(3, dtype=np.uint16))
assert array.tolist() == [0, 1, 2]
print(ctypes.c_uint16.from_address(array.ctypes.data + {place}).value)
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=TESTS, capture_output=True, text=True, check=False, timeout=900
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_kernel_reads_nothing_behind_its_arguments(name: str) -> None:
    done = run("guarded.py", name)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_lies_behind_an_array_cannot_be_read() -> None:
    """Establishes that the test before this one can fail."""
    assert run("-c", READS_BEHIND.format(place=4)).stdout == "2\n"
    assert run("-c", READS_BEHIND.format(place=6)).returncode in (-signal.SIGSEGV, -signal.SIGBUS)
