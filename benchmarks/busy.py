"""Other processes that always want a core, for as long as a measurement lasts."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

BURN = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: sum(range(1_000_000))"
"""Ends when its parent does, however that ends."""


@contextmanager
def beside(count: int) -> Iterator[None]:
    """So many of them beside what is done inside."""
    with ExitStack() as stack:
        for _ in range(count):
            burning = subprocess.Popen([sys.executable, "-c", BURN])
            stack.callback(burning.wait)
            stack.callback(burning.kill)
        yield
