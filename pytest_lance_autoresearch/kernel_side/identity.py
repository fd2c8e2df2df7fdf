"""What a compiled function is made of, so that machine code is taken over for the same function only.

Owns telling two functions apart that stand at the same place of a kernel. numba freezes what a function finds in
its globals and in the scope around it when it compiles: two of them may share every line and differ in a number.
"""

from __future__ import annotations

import dis
import hashlib
import sys
from collections.abc import Iterator
from enum import Enum
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

_LIBRARIES = {*sys.stdlib_module_names, "numpy", "numba", "llvmlite"}
"""Top-level modules whose own functions and classes are the same in every process."""


class Unknown(Exception):
    """Something that the function uses has no text that says all of it."""


def digest(dispatcher: Any) -> str:
    """The same for two compiled functions only if all that numba makes machine code of is the same.

    That is the code, the options, and every value that the code finds outside, functions that it calls included.
    Unknown where that cannot be told.
    """
    return hashlib.sha256(repr(_told(dispatcher, ())).encode()).hexdigest()


def _told(value: Any, around: tuple[int, ...]) -> Any:
    """Nested tuples of texts that say all of a value; `around` are the ids of what it was found in."""
    if id(value) in around:
        return "recursion", around.index(id(value))
    around = (*around, id(value))
    kind = type(value).__qualname__
    if value is None or type(value) in (bool, int, float, complex, str, bytes):
        return kind, repr(value)
    if isinstance(value, np.ndarray | np.generic):
        return _array(np.asarray(value), kind)
    if isinstance(value, tuple | list):
        return kind, getattr(value, "_fields", ()), *(_told(item, around) for item in value)
    if isinstance(value, set | frozenset):
        return kind, *sorted((_told(item, around) for item in value), key=repr)
    if isinstance(value, dict):
        return kind, *sorted(((_told(k, around), _told(v, around)) for k, v in value.items()), key=repr)
    if isinstance(value, CodeType):
        return _code(value, around)
    if hasattr(value, "py_func") and hasattr(value, "targetoptions"):
        return kind, *_function(value.py_func, around), *_settings(value, around)
    return _by_name(value, around)


def _array(array: np.ndarray[Any, Any], kind: str) -> Any:
    if array.dtype.hasobject:
        raise Unknown("an array of objects")
    return kind, repr(array.dtype), array.shape, array.strides, hashlib.sha256(array.tobytes()).hexdigest()


def _code(code: CodeType, around: tuple[int, ...]) -> Any:
    """Without where its source lies."""
    names = code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars
    form = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags
    return code.co_code, code.co_exceptiontable, *names, *form, *(_told(one, around) for one in code.co_consts)


def _function(function: FunctionType, around: tuple[int, ...]) -> Iterator[Any]:
    """Its code, and what it finds outside of itself."""
    yield function.__qualname__
    yield _code(function.__code__, around)
    yield _told(function.__defaults__, around)
    yield _told(function.__kwdefaults__, around)
    for cell in function.__closure__ or ():
        yield _told(cell.cell_contents, around)
    for name in sorted(_global_names(function.__code__)):
        if name in function.__globals__:
            yield name, _told(function.__globals__[name], around)


def _global_names(code: CodeType) -> set[str]:
    inner = (_global_names(constant) for constant in code.co_consts if isinstance(constant, CodeType))
    own = {step.argval for step in dis.get_instructions(code) if step.opname == "LOAD_GLOBAL"}
    return own.union(*inner)


def _settings(dispatcher: Any, around: tuple[int, ...]) -> Iterator[Any]:
    """How it is compiled: the options, the types of its variables, and the signatures where no more may follow."""
    yield _told(dispatcher.targetoptions, around)
    yield _told(dict(dispatcher.locals or {}), around)
    yield None if dispatcher._can_compile else tuple(map(str, dispatcher.signatures))


def _by_name(value: Any, around: tuple[int, ...]) -> Any:
    """What is found again by its name: modules, what libraries hold, numba's numbers, and enumerations.

    An intrinsic of the kernel's own is told by the function that it was made of, and LLVM's types and constants by
    how LLVM writes them.
    """
    from llvmlite import ir
    from numba.core import extending, types

    kind = type(value).__qualname__
    if isinstance(value, extending._Intrinsic):
        prefers_literals = getattr(value, "_prefer_literal", False)  # an option since numba 0.58
        return kind, prefers_literals, *_function(value._defn, around)
    if isinstance(value, ir.Constant | ir.IntType | ir.FloatType | ir.DoubleType | ir.VectorType | ir.PointerType):
        return kind, str(value)
    if isinstance(value, FunctionType) and not _is_of_a_library(value.__module__):
        return kind, *_function(value, around)
    if isinstance(value, ModuleType) and _is_of_a_library(value.__name__):
        return kind, value.__name__
    if isinstance(value, types.Number | types.Boolean):
        return kind, value.name
    if isinstance(value, type) and issubclass(value, Enum):
        return kind, value.__qualname__, *(_told(member, around) for member in value)
    if isinstance(value, Enum):
        return kind, value.name, _told(value.value, around)
    if isinstance(value, type) and issubclass(value, tuple) and hasattr(value, "_fields"):
        return kind, value.__qualname__, *value._fields
    return kind, _library_name(value)


def _library_name(value: Any) -> str:
    """Where a library holds a function, a class or the like; ufuncs do not say that they are numpy's."""
    module, name = getattr(value, "__module__", None) or "numpy", getattr(value, "__name__", "")
    held = getattr(sys.modules.get(module), name, None) if name else None
    if held is not value or not _is_of_a_library(module):
        raise Unknown(f"a {type(value).__qualname__}")
    return f"{module}.{name}"


def _is_of_a_library(module: str) -> bool:
    return module.partition(".")[0] in _LIBRARIES
