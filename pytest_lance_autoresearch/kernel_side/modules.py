"""Modules made of the bytes of their source, and never of byte code.

Owns executing a file of a target, under a name that is the same in every process, and the sentence about one that
fails. Used on both sides: for `kernels.py` only in the kernel's own process, except by the in-process runner.
"""

from __future__ import annotations

import io
import linecache
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from pytest_lance_autoresearch.errors import TargetError

if TYPE_CHECKING:
    from pytest_lance_autoresearch.records import Layout

_IMPORTING = threading.RLock()
"""Held while modules are importable: what one thread takes back, another may be about to need."""


def execute(layout: Layout, stem: str, text: bytes, siblings: dict[str, ModuleType]) -> ModuleType:
    """Run a target's module from its bytes, with its siblings importable by their plain names."""
    path = layout.directory / f"{stem}.py"
    try:
        with importable(siblings):
            return execute_source(module_name(layout.name, stem), text, str(path))
    except (Exception, SystemExit) as error:
        what = error.msg if isinstance(error, SyntaxError) else str(error)
        line = _line_in(error, str(path))
        raise TargetError(
            f"target '{layout.name}': {stem}.py does not load: {type(error).__name__}: {what}{line}"
        ) from error


@contextmanager
def blaming(layout: Layout, file: str) -> Iterator[None]:
    """Turns an exception in a target's own files into a TargetError that names file and line.

    `file` is named when none of the target's files is in the traceback.
    """
    try:
        yield
    except TargetError:
        raise
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if Path(frame.filename).parent == layout.directory]
        where = f"{Path(own[-1].filename).name}, line {own[-1].lineno}," if own else file
        raise TargetError(f"target '{layout.name}': {where} raised {type(error).__name__}: {error}") from error


def module_name(target: str, stem: str) -> str:
    """The name under which a target's module is registered, the same in every process (pickle needs it)."""
    return f"autoresearch_{stem}_{target}"


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


def _line_in(error: BaseException, filename: str) -> str:
    """' (line N)' of the innermost place in that file, or nothing."""
    if isinstance(error, SyntaxError) and error.filename == filename:
        return f" (line {error.lineno})"
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == filename]
    return f" (line {lines[-1]})" if lines else ""
