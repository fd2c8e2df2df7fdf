"""What stands on a host for as long as it is needed, and does what it is told, one order after the other.

Owns how an order ends: with what came of it, or with a fault that has a sentence. Knows nothing of Ray, and is all
of this package that Ray starts.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pytest_lance_autoresearch.errors import AutoresearchError

Make = Callable[..., Any]
"""A function or class of this package, found by its name where the station stands."""


@dataclass(frozen=True)
class Done:
    """What came of an order, or the fault that ended it."""

    value: Any = None
    fault: AutoresearchError | None = None

    def result(self) -> Any:
        """The value; raises the fault."""
        if self.fault is not None:
            raise self.fault
        return self.value


class Station:
    """Makes its tool at its first order, so that what is wrong with it is told as any other fault is."""

    def __init__(self) -> None:
        self._tool: Any = None

    def ready(self) -> None:
        """Nothing: who is answered knows that it stands."""

    def equip(self, make: Make, *arguments: Any) -> Done:
        """Make the tool that later orders are for, in place of any other."""
        self.dismiss()
        done = self._call(make, *arguments)
        self._tool = done.value
        return Done(fault=done.fault)

    def order(self, verb: str, *arguments: Any) -> Done:
        """What a method of the tool returns."""
        return self._call(getattr(self._tool, verb), *arguments)

    def dismiss(self) -> None:
        """Let the tool give back what it has."""
        if self._tool is not None:
            self._tool.close()
            self._tool = None

    def _call(self, function: Make, *arguments: Any) -> Done:
        """What a function returns, at the priority of other programs: Ray gives its own processes a low one."""
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, 0)
        try:
            return Done(function(*arguments))
        except AutoresearchError as fault:
            return Done(fault=fault)
