"""A known slow-down of a kernel, so that a measurement can be tried on a difference whose size is known.

Owns the wrapping of a kernel's public functions and methods. Runs in the worker; times in CPU time, so that a
preempted call is prolonged by a fraction of its work only.
"""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

_clock_ns = time.thread_time_ns
_TRIALS = 2000


def handicapped(kernels: ModuleType, fraction: float) -> Any:
    """The kernel's names, its public functions and methods prolonged by `fraction` of their own CPU time.

    The first call in a chain of calls counts, not those that it makes. Constructors stay as they are: building is
    not timed. So do compiled classes, and objects that can be called, which cannot be wrapped.
    """
    spinner = _Spinner(fraction)
    spinner.learn_own_cost()
    return SimpleNamespace(
        **{name: _wrapped(name, value, spinner, kernels) for name, value in vars(kernels).items()}
    )


class _Spinner:
    """Prolongs calls; what one call was prolonged too much, the next ones are prolonged less."""

    def __init__(self, fraction: float) -> None:
        self._fraction = fraction
        self._own_cost_ns = 0.0
        self._timed_ns = 0
        self._owed_ns = 0.0
        self._is_inside = False

    def learn_own_cost(self) -> None:
        """What the wrapper costs per call beyond what it times; prolonged as well, so that the whole call is."""
        nothing = self.wrap(_nothing)
        fraction, self._fraction = self._fraction, 0.0
        start = _clock_ns()
        for _ in range(_TRIALS):
            nothing()
        self._own_cost_ns = (_clock_ns() - start - self._timed_ns) / _TRIALS
        self._fraction = fraction

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def prolonged(*arguments: Any, **named: Any) -> Any:
            if self._is_inside:
                return function(*arguments, **named)
            self._is_inside = True
            start = _clock_ns()
            try:
                return function(*arguments, **named)
            finally:
                self._prolong(start, _clock_ns())
                self._is_inside = False

        return prolonged

    def _prolong(self, start: int, end: int) -> None:
        self._timed_ns += end - start
        self._owed_ns += self._fraction * (end - start + self._own_cost_ns)
        if self._owed_ns > 0:
            now = end
            while now < end + self._owed_ns:
                now = _clock_ns()
            self._owed_ns -= now - end


def _nothing() -> None:
    pass


def _wrapped(name: str, value: Any, spinner: _Spinner, kernels: ModuleType) -> Any:
    if name.startswith("_"):
        return value
    if inspect.isclass(value):
        return _subclass(value, spinner) if value.__module__ == kernels.__name__ else value
    is_compiled = hasattr(value, "py_func")
    return spinner.wrap(value) if inspect.isroutine(value) or is_compiled else value


def _subclass(kind: type, spinner: _Spinner) -> type:
    methods: dict[str, Any] = {}
    for name, value in inspect.getmembers_static(kind):
        if name != "__call__" and name.startswith("_"):
            continue
        if inspect.isfunction(value):
            methods[name] = spinner.wrap(value)
        elif isinstance(value, staticmethod | classmethod):
            methods[name] = type(value)(spinner.wrap(value.__func__))
    try:
        return type(kind.__name__, (kind,), methods)
    except Exception:
        return kind  # an enumeration, a compiled class, or one that refuses to be derived from
