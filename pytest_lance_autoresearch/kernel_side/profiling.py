"""A kernel's calls with Python's tracing on: which line of its source took how long, compiled code included.

Owns the form of the profile: lines of `NANOSECONDS TIMES FILE LINE FUNCTION`, the longest first. Tracing slows
Python down, and nothing else; what is called of others' code counts for the line that calls it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

import numpy as np

MOST_LINES = 100
MAX_BYTES = 2**15
"""Of a profile; what is longer is cut off."""
_OTHERS = (str(Path(__file__).parents[1]), sys.prefix, sys.base_prefix, "<frozen", "<string>")
"""What the files of others' code begin with."""


class _Line(NamedTuple):
    code: CodeType
    number: int


class Profiled:
    """A function, traced in every call."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._ns: dict[_Line, int] = {}
        self._times: dict[_Line, int] = {}
        self._at: _Line | None = None
        self._since_ns = 0

    def __call__(self, *arguments: Any) -> Any:
        before = sys.gettrace()
        sys.settrace(self._entered)
        try:
            return self._function(*arguments)
        finally:
            sys.settrace(before)
            self._go_on(None)

    def _entered(self, frame: FrameType, _event: str, _value: object) -> Callable[..., Any] | None:
        return None if frame.f_code.co_filename.startswith(_OTHERS) else self._traced

    def _traced(self, frame: FrameType, event: str, _value: object) -> Callable[..., Any]:
        caller = frame.f_back if event == "return" else frame
        is_known = caller is not None and not caller.f_code.co_filename.startswith(_OTHERS)
        self._go_on(_Line(caller.f_code, caller.f_lineno) if caller is not None and is_known else None)
        if event == "line" and self._at is not None:
            self._times[self._at] = self._times.get(self._at, 0) + 1
        return self._traced

    def _go_on(self, line: _Line | None) -> None:
        """From now on it is at that line."""
        if self._at is not None:
            self._ns[self._at] = self._ns.get(self._at, 0) + time.perf_counter_ns() - self._since_ns
        self._at, self._since_ns = line, time.perf_counter_ns()

    def text(self) -> np.ndarray[Any, Any]:
        """The profile so far, as bytes."""
        longest = sorted(self._ns.items(), key=lambda item: -item[1])[:MOST_LINES]
        told = "\n".join(self._told(line, ns) for line, ns in longest)
        return np.frombuffer(told.encode("utf-8", "replace")[:MAX_BYTES], np.uint8)

    def _told(self, line: _Line, ns: int) -> str:
        code = line.code
        return f"{ns} {self._times.get(line, 0)} {Path(code.co_filename).name} {line.number} {code.co_qualname}"
