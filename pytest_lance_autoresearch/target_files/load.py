"""A target's files, read once and turned into modules.

Owns reading and hashing `inputs.py`, `target.py` and `reference.py`, and what is sent to a kernel's process.
`kernels.py` is read here and executed nowhere in this process, except by the in-process runner.
"""

from __future__ import annotations

import functools
import hashlib
import os
import pickle
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from pytest_lance_autoresearch.errors import TargetError
from pytest_lance_autoresearch.kernel_side import modules
from pytest_lance_autoresearch.target_files import packages, sources

if TYPE_CHECKING:
    from pytest_lance_autoresearch.records import Layout, Lossy, Source

HARNESS_FILES = ("inputs.py", "reference.py", "target.py")
"""What the measured party must not change; each is fingerprinted."""
IMPORTS = "imports"
"""What the modules are called that a kernel in a package runs with."""


@dataclass(frozen=True, eq=False)
class Target:
    """A loaded target: its modules, its kernel's bytes and the fingerprint of everything else."""

    layout: Layout
    inputs: ModuleType
    wiring: ModuleType
    """The module of target.py."""
    kernel: Source
    files: dict[str, bytes]
    fingerprint: str
    """'inputs:<digest>,reference:...,target:...', the first 16 hex digits of each file's sha256; of a kernel in a
    package also 'imports:...', of all modules beside it that it runs with."""
    beside: dict[str, bytes] = field(default_factory=dict)
    """Of a kernel in a package: the modules that it runs with and that lie in the same folder, by name."""
    working_directory: Path = field(default_factory=Path.cwd)
    """Where its files were loaded, for those that open others by a relative path."""

    @property
    def imports(self) -> tuple[str, ...]:
        """What its kernel may import beside what every kernel may."""
        return _imports(self.layout, self.wiring)

    @property
    def threads(self) -> int:
        """How many its kernel may use."""
        return getattr(self.wiring, "THREADS", 1)

    @property
    def has_intrinsics(self) -> bool:
        """Whether its kernel may define intrinsics of its own."""
        return getattr(self.wiring, "INTRINSICS", False)

    @property
    def lossy(self) -> Lossy | None:
        """What it demands of its kernels' recall; None where answers are exact."""
        return getattr(self.wiring, "LOSSY", None)

    @property
    def is_imported_here(self) -> bool:
        """Whether this process has imported the kernel's file, whose code then ran where the clock is.

        By whatever name, and through whatever link.
        """
        try:
            own = self.layout.kernel_path.stat()
        except OSError:
            return False
        files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
        return any(_is_that_file(file, own) for file in files if isinstance(file, str))

    @property
    def name(self) -> str:
        return self.layout.name

    @functools.cached_property
    def reference(self) -> ModuleType:
        """The oracle's module; executed at first use, since it may import packages that take long to load."""
        siblings = {"inputs": self.inputs}
        return modules.execute(self.layout, "reference", self.files["reference.py"], siblings)

    @functools.cached_property
    def has_properties(self) -> bool:
        return callable(getattr(self.wiring, "properties", None))


def load(layout: Layout) -> Target:
    """Read and execute a target's plain modules; its first fault is raised as TargetError."""
    if layout.faults:
        raise TargetError(layout.faults[0])
    files = {name: (layout.directory / name).read_bytes() for name in HARNESS_FILES}
    inputs = modules.execute(layout, "inputs", files["inputs.py"], {})
    wiring = modules.execute(layout, "target", files["target.py"], {"inputs": inputs})
    named = getattr(wiring, "KERNEL", "")
    if layout.declared.path != named:
        raise TargetError(f"target '{layout.name}': target.KERNEL is {named!r}; {packages.EXPECTED}")
    if not layout.kernel:
        return Target(layout, inputs, wiring, sources.read(layout.kernel_path), files, fingerprint(files))
    kernel, imports = (
        sources.read(layout.kernel_path, packages.home_of(layout.kernel_path)),
        _imports(layout, wiring),
    )
    for name in imports:
        if fault := packages.unfound(kernel.home, name):
            raise TargetError(f"target '{layout.name}': target.IMPORTS names '{name}', {fault}")
    beside = packages.own_modules(packages.OnDisk(Path(kernel.home.folder)), kernel.home.module, imports)
    read = files | {IMPORTS: b"".join(f"{name} {len(text)}\n".encode() + text for name, text in beside.items())}
    return Target(layout, inputs, wiring, kernel, files, fingerprint(read), beside)


def _imports(layout: Layout, wiring: ModuleType) -> tuple[str, ...]:
    """What the kernel may import beside what every kernel may."""
    named: tuple[str, ...] = getattr(wiring, "IMPORTS", ())
    if not isinstance(named, tuple) or not all(map(_is_module_name, named)):
        raise TargetError(
            f"target '{layout.name}': target.IMPORTS is {named!r}; expected a tuple of names of modules, such as "
            f"('scipy.special',)"
        )
    return named


def _is_that_file(file: str, known: os.stat_result) -> bool:
    try:
        return os.path.samestat(Path(file).stat(), known)
    except (OSError, ValueError):
        return False


def _is_module_name(name: object) -> bool:
    return isinstance(name, str) and all(part.isidentifier() for part in name.split("."))


def fingerprint(files: dict[str, bytes]) -> str:
    """One short digest per file, so that a change can be named from the log alone."""
    digests = ((name.removesuffix(".py"), hashlib.sha256(text).hexdigest()[:16]) for name, text in files.items())
    return ",".join(f"{stem}:{digest}" for stem, digest in sorted(digests))


def pickled(target: Target, value: object, origin: str) -> bytes:
    """What is sent to a kernel's process; its classes are found by the name of the target's module.

    `origin` is the function of inputs.py that made the value.
    """
    try:
        with modules.importable({modules.module_name(target.name, "inputs"): target.inputs}):
            return pickle.dumps(value, protocol=5)
    except Exception as error:
        raise TargetError(
            f"target '{target.name}': {origin} returned what cannot be sent to another process: {error}; "
            f"expected arrays, numbers and tuples of them, or a class at the top of inputs.py"
        ) from error
