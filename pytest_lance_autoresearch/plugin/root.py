"""Which project a session is about: the one that pytest was started in, whatever the values of options are.

Owns the root that targets are looked for below. pytest reads its ini file before a plugin can declare its options,
and takes the value in `--baseline ../other/results.tsv` for a path to be tested: it would move to that project,
read its ini file, and judge its kernel.
"""

from __future__ import annotations

import os
import shlex
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_ADDOPTS = "PYTEST_ADDOPTS"


def restarted(config: pytest.Config) -> int | pytest.ExitCode | None:
    """The exit code of a session started again with each value joined to its option; None where they were."""
    given = config.invocation_params.args
    environment = shlex.split(os.environ.get(_ADDOPTS, ""))
    paths = frozenset(config.getoption("file_or_dir", None) or ())  # none where pytest only shows its help
    arguments, addopts = joined(given, paths), joined(environment, paths)
    if (arguments, addopts) == (list(given), environment):
        return None
    for folder in config.getini("pythonpath"):
        with suppress(ValueError):
            sys.path.remove(str(folder))  # it may be the other project's
    with _addopts(addopts):
        return pytest.main(arguments, plugins=config.invocation_params.plugins)


def joined(arguments: Sequence[str], paths: frozenset[str]) -> list[str]:
    """The arguments, the value of each long option joined to it where it exists on the disk.

    `paths` are those to be tested. Short options are pytest's own, and it knows their values.
    """
    found: list[str] = []
    for argument in arguments:
        option = found[-1] if found and "--" not in found else ""
        takes_it = option.startswith("--") and "=" not in option and argument not in paths
        if takes_it and not argument.startswith("-") and _exists(argument):
            found[-1] = f"{option}={argument}"
        else:
            found.append(argument)
    return found


def of(config: pytest.Config) -> Path:
    """Where the targets are looked for.

    The ini file's folder; an ini file of another place (`-c ci/pytest.ini`, `-c /dev/null`) tells nothing of the
    project, and then it is `--rootdir`, or where pytest was started. Without an ini file it is what was named.
    """
    started, is_given = config.invocation_params.dir, bool(config.getoption("rootdir", None))
    if config.inipath is not None:
        folder = config.inipath.parent
        is_elsewhere = config.getoption("inifilename", None) and not started.is_relative_to(folder)
        return folder if not is_elsewhere else config.rootpath if is_given else started
    is_named = config.args_source is pytest.Config.ArgsSource.ARGS
    return config.rootpath if is_named or is_given else started


def _exists(path: str) -> bool:
    """Whether pytest may have taken it for a path: a node id is one up to its first '::'."""
    with suppress(OSError, ValueError):
        return Path(path.split("::", maxsplit=1)[0]).exists()
    return False


@contextmanager
def _addopts(arguments: Sequence[str]) -> Iterator[None]:
    before = os.environ.get(_ADDOPTS)
    if before is not None:
        os.environ[_ADDOPTS] = shlex.join(arguments)
    try:
        yield
    finally:
        if before is not None:
            os.environ[_ADDOPTS] = before
