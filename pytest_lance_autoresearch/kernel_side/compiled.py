"""Machine code that numba made of a kernel, kept in its process's cache folder and loaded from there.

Owns making numba keep all that it compiles, whatever the kernel says. A kernel is started many times in one trial,
and compiled once. What is loaded is the same code, at another place in memory: where it lies is what the processes
of a trial are to differ by. Where numba cannot keep something, or `identity` cannot tell what it was made of, it
is compiled again.
"""

from __future__ import annotations

import warnings
from contextlib import suppress
from typing import Any

from pytest_lance_autoresearch.kernel_side import identity


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

        def __init__(self, kernel_function: Any) -> None:
            super().__init__(kernel_function.py_func)
            self._function = kernel_function

        def _index_key(self, sig: Any, codegen: Any) -> Any:
            """Made when it is compiled or looked up: what a function finds in its globals may come after it.

            numba's own key knows no global and no constant.
            """
            return sig, codegen.magic_tuple(), identity.digest(self._function)

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
            self._cache = Kept(self)

    dispatcher.__init__ = initialised
    dispatcher.enable_caching = lambda _: None  # it is on already, whatever a kernel asks for
