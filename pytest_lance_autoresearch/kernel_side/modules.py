"""Modules made of the bytes of their source, and never of byte code.

Owns executing a file of a target, under a name that is the same in every process, what is said of one that fails,
and where in the user's own files that was. Used on both sides: for `kernels.py` only in the kernel's own process,
except by the in-process runner.
"""

from __future__ import annotations

import io
import linecache
import os
import sys
import sysconfig
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

from pytest_lance_autoresearch.errors import TargetError

if TYPE_CHECKING:
    from pytest_lance_autoresearch.records import Layout, Source

_IMPORTING = threading.RLock()
"""Held while modules are importable: what one thread takes back, another may be about to need."""
_PACKAGES = ("site-packages", "dist-packages")
_NOT_THE_USERS = tuple(
    f"{folder}{os.sep}"
    for folder in (Path(__file__).parents[1], Path(os.__file__).parent, sysconfig.get_path("stdlib"))
)
"""This package and the standard library."""
SHOWN = 200
"""Characters of a line of source that a message shows."""


class Place(NamedTuple):
    """A line of one of the user's files; written as pytest writes it, so that a click leads there."""

    file: str
    line: int
    function: str = ""
    """'' where the line could not be compiled."""
    source: str = ""

    def __str__(self) -> str:
        path, here = Path(self.file), Path.cwd()
        return f"{path.relative_to(here) if path.is_relative_to(here) else path}:{self.line}"

    @property
    def described(self) -> str:
        """With what stands there, which is not shown whole where it is very long."""
        source = self.source if len(self.source) <= SHOWN else f"{self.source[:SHOWN]}..."
        return f"{self}{self.function and f', in {self.function}'}: {source}".removesuffix(": ")


def places(error: BaseException) -> list[Place]:
    """Where the user's own files raised it, the innermost place last; of what cannot be compiled, its line."""
    found = [
        Place(frame.filename, frame.lineno, frame.name, (frame.line or "").strip())
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.lineno is not None and _is_the_users(frame.filename)
    ]
    if isinstance(error, SyntaxError) and error.filename and _is_the_users(error.filename):
        line = error.lineno or 1  # an encoding that is unknown is told without a line
        found.append(Place(error.filename, line, source=(error.text or "").strip()))
    return found


def raised(error: BaseException) -> str:
    """What was raised and where, on one line, and all places that lead there below it."""
    what = error.msg if isinstance(error, SyntaxError) else str(error)
    first, *more = f"raised {type(error).__name__}: {what}".removesuffix(": ").splitlines()
    found = places(error)
    where = f", at {found[-1]}" if found else ""
    return "\n".join([f"{first}{where}", *more, *(f"  {place.described}" for place in found)])


def _is_the_users(filename: str) -> bool:
    """Whether it is a file, and one that was not installed."""
    is_installed = filename.startswith(_NOT_THE_USERS) or any(part in Path(filename).parts for part in _PACKAGES)
    return not (filename.startswith("<") or is_installed)


def execute(layout: Layout, stem: str, text: bytes, siblings: dict[str, ModuleType]) -> ModuleType:
    """Run a target's module from its bytes, with its siblings importable by their plain names."""
    path = layout.directory / f"{stem}.py"
    try:
        with importable(siblings):
            return execute_source(module_name(layout.name, stem), text, str(path))
    except (Exception, SystemExit) as error:
        what = error.msg if isinstance(error, SyntaxError) else str(error)
        raise TargetError(
            f"target '{layout.name}': {stem}.py does not load: {type(error).__name__}: {what}"
            f"{_where(error, str(path))}"
        ) from error


@contextmanager
def blaming(layout: Layout, file: str) -> Iterator[None]:
    """Turns an exception in a target's own files into a TargetError that names file and line.

    `file` is named when none of the target's files is in the traceback. Where one of them called what raised, that
    place is named as well.
    """
    try:
        yield
    except TargetError:
        raise
    except Exception as error:
        found = places(error)
        own = [place for place in found if Path(place.file).parent == layout.directory]
        where = f"{Path(own[-1].file).name}, line {own[-1].line}," if own else file
        deeper = f", at {found[-1]}" if own and found[-1] is not own[-1] else ""
        raise TargetError(
            f"target '{layout.name}': {where} raised {type(error).__name__}: {error}{deeper}"
        ) from error


def module_name(target: str, stem: str) -> str:
    """The name under which a target's module is registered, the same in every process (pickle needs it)."""
    return f"autoresearch_{stem}_{target}"


def execute_kernel(target: str, kernel: Source) -> ModuleType:
    """Run a kernel of one file as that target's, in this process."""
    return execute_source(module_name(target, "kernels"), kernel.text, str(kernel.path))


def execute_source(name: str, text: bytes, filename: str) -> ModuleType:
    """Compile and run `text` as the module `name`; tracebacks and debuggers find it as `filename`."""
    module = ModuleType(name)
    module.__file__ = filename
    previous = sys.modules.get(name)
    sys.modules[name] = module
    try:
        run_source(module, text, filename)
    except BaseException:
        sys.modules.pop(name)
        if previous is not None:
            sys.modules[name] = previous
        raise
    return module


def run_source(module: ModuleType, text: bytes, filename: str) -> None:
    """Run `text` in a module that exists already."""
    lines = io.StringIO(text.decode("utf-8", "replace"), newline=None).readlines()  # a form feed ends no line
    linecache.cache[filename] = (len(text), None, lines, filename)
    exec(compile(text, filename, "exec", dont_inherit=True), module.__dict__)


@contextmanager
def importable(modules: dict[str, ModuleType]) -> Iterator[None]:
    """Make `import inputs` find the target's own module while one of its siblings is executed."""
    with _IMPORTING:
        hidden = {name: sys.modules.get(name) for name in modules}
        sys.modules.update(modules)
        try:
            yield
        finally:
            for name, module in hidden.items():
                if module is None:
                    sys.modules.pop(name, None)
                else:
                    sys.modules[name] = module


def _where(error: BaseException, filename: str) -> str:
    """' (line N)' for the innermost place of the user's if it is in that file, else that place; or nothing."""
    found = places(error)
    if not found:
        return ""
    return f" (line {found[-1].line})" if found[-1].file == filename else f", at {found[-1]}"
