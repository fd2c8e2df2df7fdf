"""Machine code that numba made of a kernel, kept in its process's cache folder and loaded from there.

Owns making numba keep all that it compiles, whatever the kernel says. A kernel is started many times in one trial,
and compiled once. What is loaded is the same code, at another place in memory: where it lies is what the processes
of a trial are to differ by. Where numba cannot keep something, it compiles it again.
"""

from __future__ import annotations

import warnings
from contextlib import suppress
from types import CodeType
from typing import Any


def keep(folder: str) -> None:
    """From now on, keep what is compiled in the folder, and look there first; imports numba."""
    with suppress(ImportError, AttributeError):  # a later numba that does this in another way compiles every time
        from numba.core import caching, dispatcher

        _install(folder, caching, dispatcher.Dispatcher)


def _install(folder: str, caching: Any, dispatcher: Any) -> None:
    class Locator(caching._CacheLocator):  # type: ignore[misc]  # numba is not typed
        """The folder, for every function: the kernel's file is the same in all the processes that share it."""

        def __init__(self, function: Any, _path: str) -> None:
            self._line = function.__code__.co_firstlineno

        def ensure_cache_path(self) -> None:
            pass

        def get_cache_path(self) -> str:
            return folder

        def get_source_stamp(self) -> int:
            return 0

        def get_disambiguator(self) -> str:
            return str(self._line)

        @classmethod
        def from_function(cls, function: Any, path: str) -> Any:
            return cls(function, path)

    class Implementation(caching.CompileResultCacheImpl):  # type: ignore[misc]
        _locator_classes = (Locator,)

    class Kept(caching.FunctionCache):  # type: ignore[misc]
        _impl_class = Implementation

        def __init__(self, function: Any, options: dict[str, Any]) -> None:
            super().__init__(function)
            self._made_of = repr((_identity(function.__code__), sorted(options.items(), key=repr)))

        def _index_key(self, sig: Any, codegen: Any) -> Any:
            """numba's own key knows the byte code alone: two functions of one line may differ in a constant."""
            return (*super()._index_key(sig, codegen), self._made_of)

        def load_overload(self, sig: Any, target_context: Any) -> Any:
            with suppress(Exception):
                return super().load_overload(sig, target_context)
            return None

        def save_overload(self, sig: Any, data: Any) -> None:
            with suppress(Exception), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                super().save_overload(sig, data)

    initialise = dispatcher.__init__

    def initialised(self: Any, *arguments: Any, **named: Any) -> None:
        initialise(self, *arguments, **named)
        with suppress(Exception):
            self._cache = Kept(self.py_func, self.targetoptions)

    dispatcher.__init__ = initialised
    dispatcher.enable_caching = lambda _: None  # it is on already, whatever a kernel asks for


def _identity(code: CodeType) -> tuple[Any, ...]:
    """What a function computes, without where its source lies."""
    constants = (_identity(one) if isinstance(one, CodeType) else repr(one) for one in code.co_consts)
    return code.co_code, code.co_names, code.co_freevars, *constants
