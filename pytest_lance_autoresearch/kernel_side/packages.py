"""A kernel that is a module of a package: executed from its given text, wherever the package is imported from.

Owns the finder that stands for the kernel's own file, and what it finds where there is to be no kernel.
"""

from __future__ import annotations

import importlib
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

from pytest_lance_autoresearch.kernel_side import modules
from pytest_lance_autoresearch.records import Home

_NO_KERNEL = b"""
class _Nothing:
    __getattr__ = __call__ = lambda self, *_, **__: self


def __getattr__(name):
    if name.startswith('__'):
        raise AttributeError(name)
    return _Nothing()
"""
"""A module that has every name, so that a package can import any of them."""


def load(text: bytes, filename: str, home: Home) -> ModuleType | None:
    """Import the kernel's module, whose package is imported first; tracebacks find it as `filename`.

    Once in a process, before anything else imports the package: what that finds of the kernel is this text, too.
    Without a text nothing is imported, and whoever imports the package later finds nothing of a kernel.
    """
    if not home.folder:
        return modules.execute_source(home.module, text, filename)
    sys.path.insert(0, home.folder)
    sys.meta_path.insert(0, _Finder(home.module, text or _NO_KERNEL, filename))
    return importlib.import_module(home.module) if text else None


class _Finder:
    """Finds one module, and makes it of the text."""

    def __init__(self, module: str, text: bytes, filename: str) -> None:
        self._module, self._text, self._filename = module, text, filename

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        if name != self._module:
            return None
        return ModuleSpec(name, self, origin=self._filename)  # type: ignore[arg-type]  # it does what a loader must

    def create_module(self, _spec: ModuleSpec) -> None:
        """As usual."""

    def exec_module(self, module: ModuleType) -> None:
        module.__file__ = self._filename
        modules.run_source(module, self._text, self._filename)
