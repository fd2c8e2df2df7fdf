"""The in-process runner: a kernel in pytest's own process, so that a debugger's breakpoint in it works.

Owns running kernels.py here, with its own path, for correctness only: never a time, never a verdict. Set
NUMBA_DISABLE_JIT=1 as well, so that breakpoints inside compiled functions are reached.
"""

from __future__ import annotations

import importlib
import pickle
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_lance_autoresearch.errors import KernelRaised
from pytest_lance_autoresearch.kernel_side import modules
from pytest_lance_autoresearch.records import Window

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

    from pytest_lance_autoresearch.records import Call, Source
    from pytest_lance_autoresearch.target_files.load import Target


class InProcessRunner:
    """Runs a target's kernel in this process."""

    def __init__(self, target: Target) -> None:
        self._target = target
        name = modules.module_name(target.name, "kernels")
        try:
            self._kernels = _loaded(target.kernel, name)
        except Exception as error:
            loading = f"{target.kernel.path.name}, while it was loaded"
            raise KernelRaised(f"{loading}: the kernel {modules.raised(error)}") from error
        self._bound: dict[str, Any] = {}

    def bind(self, key: str, state: bytes) -> None:
        with modules.importable({modules.module_name(self._target.name, "inputs"): self._target.inputs}):
            own_state = pickle.loads(state)
        self._bound[key] = self._target.wiring.bind(self._kernels, own_state)

    def release(self, key: str) -> None:
        del self._bound[key]

    def run(self, key: str, calls: Sequence[Call], result_bytes: int = 0) -> KeptAnswers:  # noqa: ARG002
        """Run the calls; an exception is the kernel's own, with its traceback. The window has no time."""
        results = [_copied(self._bound[key](*_fresh(call))) for call in calls]
        return KeptAnswers(Window(len(calls), 0, None), results)


def _loaded(kernel: Source, name: str) -> ModuleType:
    """A kernel of a package as anyone imports it; any other from its text, under a name of its own."""
    if not kernel.home.folder:
        return modules.execute_source(name, kernel.text, str(kernel.path))
    if kernel.home.folder not in sys.path:
        sys.path.insert(0, kernel.home.folder)
    return importlib.import_module(kernel.home.module)


@dataclass(frozen=True)
class KeptAnswers:
    """The answers of one window, copied when they were given."""

    window: Window
    results: list[Any]

    def __getitem__(self, index: int) -> Any:
        return self.results[index]


def _fresh(call: Call) -> Call:
    """The same arguments, of which a kernel may change arrays: the oracle is asked with the call as it was."""
    return tuple(value.copy() if isinstance(value, np.ndarray) else value for value in call)


def _copied(result: Any) -> Any:
    """A private copy, since a kernel may reuse its buffers; a wrong type is left for the check to refuse."""
    if isinstance(result, tuple):
        return tuple(_copied(item) for item in result)
    return result.copy() if hasattr(result, "copy") else result
