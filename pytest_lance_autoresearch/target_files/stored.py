"""States with the published seed that are stored on disk, from one run to the next.

Owns which states may be stored, what finds one again, the form of its file, and how much the folder holds. What
cannot be read or written costs time and nothing else: the state is made.
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import platform
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_lance_autoresearch.errors import TargetError
from pytest_lance_autoresearch.target_files import generate, load, policy, seeds

if TYPE_CHECKING:
    from pytest_lance_autoresearch.records import Case
    from pytest_lance_autoresearch.target_files.load import Target

FORMAT = 1
"""To be raised with any change of what a file means."""
MOST_BYTES = 2_000_000_000
"""What the folder holds at most, of all targets together."""
LARGEST_BYTES = MOST_BYTES // 4
MODULES = (*policy.MODULES, "bisect", "heapq", "operator", "struct")
"""What inputs.py may import: nothing that knows of files, clocks, the environment or the project's own code."""
_SUFFIX = ".state"
_DIGEST_BYTES = hashlib.sha256().digest_size
_NUMPY = {("numpy", "dtype"), ("numpy", "ndarray")} | {
    (f"numpy.{core}.{module}", name)
    for core in ("_core", "core")
    for module, name in (("numeric", "_frombuffer"), ("multiarray", "_reconstruct"), ("multiarray", "scalar"))
}
"""What numpy's arrays and numbers are made again by, in any of its versions."""


def is_possible(target: Target) -> bool:
    """Whether states depend on inputs.py and their `rng` alone: it is read as strictly as a kernel."""
    return not policy.violation(target.files["inputs.py"], MODULES)


class StoredStates:
    """The stored states of one target; `is_possible` must hold."""

    def __init__(self, target: Target, folder: Path) -> None:
        self._target = target
        self._folder = folder
        self._made_by = (
            FORMAT,
            sys.version,
            platform.platform(),
            np.__version__,
            metadata.version("numba"),
            target.name,
            hashlib.sha256(target.files["inputs.py"]).hexdigest(),
        )
        self._takes_note = False
        """Whether inputs.py changed by making a state: without the making, the next one might differ."""

    def of(self, case: Case, make: Callable[[Case], Any]) -> tuple[Any, int]:
        """The case's state, made and stored where it is not there; how many bytes it has when pickled."""
        path = self._path(case)
        text = _read(path)
        if text is not None:
            with suppress(Exception):
                return self._unpickled(text), len(text)
        before = self._memory()
        with _noted_warnings() as warned:
            state = make(case)
        text = generate.pickled(self._target, state)
        self._takes_note |= before is None or before != self._memory()
        if not self._takes_note and not warned and self._comes_back(text):
            _write(path, text)
        return state, len(text)

    def _path(self, case: Case) -> Path:
        """Named by all that the state is made of; its stream of numbers stands for the seed and the case."""
        stream = generate.state_rng(self._target, case, seeds.PUBLISHED_SEED).bit_generator.state
        parts = (*self._made_by, case.id, case.shape, case.distribution, stream)
        return self._folder / f"{hashlib.sha256(repr(parts).encode()).hexdigest()}{_SUFFIX}"

    def _unpickled(self, text: bytes) -> Any:
        return _Unpickler(text, self._target.inputs).load()

    def _comes_back(self, text: bytes) -> bool:
        """Whether a kernel's process would be sent the very same bytes of the state that is read again."""
        with suppress(Exception):
            return generate.pickled(self._target, self._unpickled(text)) == text
        return False

    def _memory(self) -> bytes | None:
        """All that inputs.py could note something in; None where that cannot be told."""
        own = list(_defined_in(self._target.inputs))
        held = [_data(holder) for holder in (self._target.inputs, *own)]
        defaults = [(one.__defaults__, one.__kwdefaults__) for one in own if isinstance(one, FunctionType)]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                return load.pickled(self._target, (held, defaults), "inputs.py")
        except TargetError:
            return None


class _Unpickler(pickle.Unpickler):
    """Makes arrays, numbers, containers of them and the target's own classes, and calls nothing else."""

    def __init__(self, text: bytes, inputs: ModuleType) -> None:
        super().__init__(io.BytesIO(text))
        self._inputs = inputs

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _NUMPY:
            return super().find_class(module, name)
        own = vars(self._inputs).get(name) if module == self._inputs.__name__ else None
        if isinstance(own, type) and own.__module__ == module:
            return own
        raise pickle.UnpicklingError(f"{module}.{name}")


def _defined_in(module: ModuleType) -> Iterator[FunctionType | type]:
    for value in vars(module).values():
        if isinstance(value, FunctionType | type) and value.__module__ == module.__name__:
            yield value


def _data(holder: ModuleType | FunctionType | type) -> list[tuple[str, Any]]:
    """What a module, function or class holds, without the code in it and what Python itself notes."""
    return [
        (name, value)
        for name, value in vars(holder).items()
        if not name.startswith("__") and not callable(value) and not _is_code(value)
    ]


def _is_code(value: Any) -> bool:
    return isinstance(value, ModuleType) or hasattr(value, "__get__")


@contextmanager
def _noted_warnings() -> Iterator[list[warnings.WarningMessage]]:
    """Warnings are shown as ever; a state that came with one is not stored, or it would be shown only once."""
    noted: list[warnings.WarningMessage] = []
    try:
        with warnings.catch_warnings(record=True) as noted:
            yield noted
    finally:
        for one in noted:
            warnings.showwarning(one.message, one.category, one.filename, one.lineno, one.file, one.line)


def _read(path: Path) -> bytes | None:
    """What this user stored there, whole; None otherwise. Noted as used."""
    try:
        with path.open("rb") as file:
            is_own = os.fstat(file.fileno()).st_uid == os.geteuid()
            digest, text = file.read(_DIGEST_BYTES), file.read()
    except OSError:
        return None
    with suppress(OSError):  # a folder that cannot be written can be read
        os.utime(path)
    return text if is_own and digest == _digest(path, text) else None


def _write(path: Path, text: bytes) -> None:
    """Store it whole or not at all: another process never sees a part of it."""
    if len(text) > LARGEST_BYTES:
        return
    with suppress(OSError):
        _make_room(path.parent, len(text) + _DIGEST_BYTES)
        descriptor, name = tempfile.mkstemp(_SUFFIX, dir=path.parent)
        try:
            with open(descriptor, "wb") as file:  # noqa: PTH123  # a descriptor is no path
                file.write(_digest(path, text))
                file.write(text)
            Path(name).replace(path)
        finally:
            Path(name).unlink(missing_ok=True)


def _digest(path: Path, text: bytes) -> bytes:
    """Of the text and of the name that it belongs to."""
    digest = hashlib.sha256(path.name.encode())
    digest.update(text)
    return digest.digest()


def _make_room(folder: Path, size: int) -> None:
    """Remove what was used longest ago, until `size` bytes more fit; another process may do the same."""
    stored = []
    for path in folder.glob(f"*{_SUFFIX}"):
        with suppress(FileNotFoundError):
            status = path.stat()
            stored.append((status.st_mtime_ns, status.st_size, path))
    total = size + sum(one_size for _, one_size, _ in stored)
    for _, one_size, path in sorted(stored):
        if total <= MOST_BYTES:
            break
        path.unlink(missing_ok=True)
        total -= one_size
