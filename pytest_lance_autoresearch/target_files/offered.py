"""What the modules that every kernel may import offer it.

Owns that question: of numba and llvmlite it is a list, of numpy and the standard library what they call public
themselves. What else lies in a module is often another one: 'numba.extending.os', 'dataclasses.types'.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Mapping
from importlib.util import find_spec
from types import ModuleType


def words(text: str) -> frozenset[str]:
    """Its words."""
    return frozenset(text.split())


TYPES = words(
    "b1 bool bool_ boolean byte c16 c8 char complex128 complex64 deferred_type double f4 f8 float32 float64 i1 i2 "
    "i4 i8 int16 int32 int64 int8 int_ intc intp long_ longlong none optional short size_t ssize_t u1 u2 u4 u8 "
    "uchar uint uint16 uint32 uint64 uint8 uintc uintp ulong ulonglong ushort void"
)
"""Numba's names of plain types."""
OFFERED: Mapping[str, frozenset[str]] = {
    "numba": TYPES
    | words(
        "experimental extending from_dtype get_parallel_chunksize get_thread_id guvectorize jit literal_unroll "
        "literally njit parallel_chunksize pndindex prange set_parallel_chunksize stencil typed typeof types "
        "vectorize"
    ),
    "numba.experimental": frozenset({"jitclass"}),
    "numba.extending": frozenset({"register_jitable"}),
    "numba.typed": frozenset({"Dict", "List"}),
    "numba.types": TYPES
    | words(
        "Array CPointer DictType List ListType NamedTuple NamedUniTuple NestedArray Optional Record Set Tuple "
        "UniTuple float16 unicode_type voidptr"
    ),
}
"""By module. What numba does by the name of a symbol, or at an address, is not among them."""
_SUBMODULES = words(
    "collections.abc numpy.char numpy.dtypes numpy.emath numpy.exceptions numpy.fft numpy.linalg numpy.ma "
    "numpy.polynomial numpy.polynomial.chebyshev numpy.polynomial.hermite numpy.polynomial.hermite_e "
    "numpy.polynomial.laguerre numpy.polynomial.legendre numpy.polynomial.polynomial numpy.random numpy.rec "
    "numpy.strings numpy.typing"
)
"""Public ones, whether the module around them lists them or not."""


def is_module(path: str, offered: Mapping[str, frozenset[str]] = OFFERED) -> bool:
    """Whether a dotted name is that of a module in one of those that a kernel may import."""
    return path in offered or path in _SUBMODULES


def beyond(path: str, offered: Mapping[str, frozenset[str]] = OFFERED) -> str:
    """What a kernel may not use of a dotted name, as part of a sentence; '' where it may use all of it."""
    root, *names = path.split(".")
    if root in offered:
        return _not_listed(root, names, offered)
    with warnings.catch_warnings():  # of what is out of date
        warnings.simplefilter("ignore")
        return _not_public(root, names)


def _not_listed(module: str, names: list[str], offered: Mapping[str, frozenset[str]]) -> str:
    for name in names:
        if module not in offered or is_special(name):
            return ""
        if name not in offered[module]:
            listed = ", ".join(sorted(offered[module] - TYPES))
            types = " and its types" if offered[module] >= TYPES else ""
            return f"'{module}.{name}'; of '{module}' a kernel may use {listed}{types}"
        module = f"{module}.{name}"
    return ""


def _not_public(root: str, names: list[str]) -> str:
    module: object = sys.modules.get(root) or importlib.import_module(root)
    path = root
    for name in names:
        if not isinstance(module, ModuleType) or is_special(name):
            return ""
        if f"{path}.{name}" not in _SUBMODULES and not _is_public(module, path, name):
            return f"'{path}.{name}', which is no public name of '{path}'"
        module, path = getattr(module, name, None), f"{path}.{name}"
    return ""


def _is_public(module: ModuleType, path: str, name: str) -> bool:
    """Whether it is among the names that the module lists, or where it lists none, begins with a letter.

    So is another name for a listed function, as `numpy.abs` is in numpy 1.24. A name that is not there at all
    may be another version's, and leads nowhere.
    """
    listed = getattr(module, "__all__", None)
    if name in (listed or ()):
        return True
    if hasattr(module, name):
        value = getattr(module, name)
        if listed is None:
            return not name.startswith("_") and not isinstance(value, ModuleType)
        return callable(value) and any(getattr(module, other, None) is value for other in listed)
    return not hasattr(module, "__path__") or find_spec(f"{path}.{name}") is None


def is_special(name: str) -> bool:
    """Whether Python gives it a meaning."""
    return len(name) > 4 and name.startswith("__") and name.endswith("__")
