"""A kernel's calls with Python's own profiler around them: which Python function took how long.

Owns the form of the profile: lines of `NANOSECONDS CALLS FILE LINE NAME`, the longest first.
"""

from __future__ import annotations

import cProfile
from collections.abc import Callable
from pathlib import Path
from types import CodeType
from typing import Any

import numpy as np

MOST_LINES = 100
MAX_BYTES = 2**15
"""Of a profile; what is longer is cut off."""


class Profiled:
    """A function, profiled in every call."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._profile = cProfile.Profile()

    def __call__(self, *arguments: Any) -> Any:
        return self._profile.runcall(self._function, *arguments)

    def text(self) -> np.ndarray[Any, Any]:
        """The profile so far, as bytes."""
        entries = sorted(self._profile.getstats(), key=lambda entry: -entry.inlinetime)
        lines = (_line(entry.inlinetime, entry.callcount, entry.code) for entry in entries[:MOST_LINES])
        return np.frombuffer("\n".join(lines).encode("utf-8", "replace")[:MAX_BYTES], np.uint8)


def _line(seconds: float, calls: int, code: CodeType | str) -> str:
    """What Python did not write itself has no file: '-' stands for it."""
    if isinstance(code, str):
        return f"{seconds * 1e9:.0f} {calls} - 0 {code.strip('<>')}"
    return f"{seconds * 1e9:.0f} {calls} {Path(code.co_filename).name} {code.co_firstlineno} {code.co_qualname}"
