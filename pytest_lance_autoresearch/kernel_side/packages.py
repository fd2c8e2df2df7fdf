"""A kernel that is a module of a package: executed from its given text, wherever the package is imported from.

Owns the finder that stands for the kernel's own file and those of the modules that it runs with, and what it finds
where there is to be no kernel.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, MappingProxyType, ModuleType

from pytest_lance_autoresearch.errors import TargetError
from pytest_lance_autoresearch.kernel_side import modules
from pytest_lance_autoresearch.records import Home

_NO_OTHERS: Mapping[str, bytes] = MappingProxyType({})
_NO_KERNEL = b"""
class _Nothing:
    __getattr__ = __call__ = lambda self, *_, **__: self


def __getattr__(name):
    if name.startswith('__'):
        raise AttributeError(name)
    return _Nothing()
"""
"""A module that has every name, so that a package can import any of them."""


def load(text: bytes, filename: str, home: Home, beside: Mapping[str, bytes] = _NO_OTHERS) -> ModuleType | None:
    """Import the kernel's module, whose package is imported first; tracebacks find it as `filename`.

    Once in a process, before anything else imports the package: that finds this text of the kernel, and of modules
    `beside` it what was read of them, whatever their files hold by now. Without a text nothing is imported, and
    whoever imports the package later finds nothing of a kernel.
    """
    if not home.folder:
        return modules.execute_source(home.module, text, filename)
    _refuse_taken(home)
    sys.path.insert(0, home.folder)
    sys.meta_path[:0] = [_Finder(home.module, text or _NO_KERNEL, filename), _Reader(beside)]
    return importlib.import_module(home.module) if text else None


def _refuse_taken(home: Home) -> None:
    """TargetError where the kernel's name, or that of its outermost package, has been given to something else."""
    name = home.module.partition(".")[0]
    taken = sys.modules.get(name)
    leads_there = str(Path(home.folder, name)) in getattr(taken, "__path__", ())
    if home.module in sys.modules or not (taken is None or leads_there):
        where = getattr(taken, "__file__", None) or "Python itself"
        raise TargetError(
            f"target.KERNEL: the kernel would be imported as '{home.module}', and '{name}' is taken by {where}; "
            f"expected a package, or a module in none, with a name of its own"
        )


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


class _Reader:
    """Finds modules where they lie, and makes them of the texts that were read there."""

    def __init__(self, texts: Mapping[str, bytes]) -> None:
        self._texts = texts

    def find_spec(self, name: str, path: Sequence[str] | None = None, *_: object) -> ModuleSpec | None:
        found = PathFinder.find_spec(name, path) if name in self._texts else None
        if found is not None and found.origin is not None:
            found.loader = _Loader(name, found.origin, self._texts[name])
        return found


class _Loader(SourceFileLoader):
    """Loads a file's text as it was read."""

    def __init__(self, name: str, path: str, text: bytes) -> None:
        super().__init__(name, path)
        self._text = text

    def get_code(self, _name: str) -> CodeType:
        return compile(self._text, self.path, "exec", dont_inherit=True)
