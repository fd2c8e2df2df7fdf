"""The folder of a worker in the temporary directory.

Owns making it, holding it while it is in use, and sweeping those whose owner was killed. A lock on the folder says
that it is in use: the system takes the lock back from a process that ended, however it ended.
"""

from __future__ import annotations

import fcntl
import functools
import os
import shutil
import stat
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

WORK, CACHE, KERNEL, LOG, PACKAGE = "work", "numba", "kernels.py", "log", "package"
_PREFIX = "kernel-"
_CONTENTS = {WORK, CACHE, KERNEL, LOG}
"""A folder that holds all of these is a worker's, and is locked if anyone uses it; its name alone says little."""


MAX_COMPILED_BYTES = 64 * 2**20
"""Of compiled code that is taken over from one process to the next; a kernel with more is compiled every time."""
Compiled = Mapping[str, bytes]
"""Machine code that a process has kept: the files of its cache folder."""
NOTHING_COMPILED: Compiled = {}
_FILE_BYTES = 4096
"""What a file counts beside its bytes, so that there are not too many of them."""


class Scratch:
    """One worker's folder, until it is closed.

    `compiled` is what an earlier worker of the same kernel kept, `package` what the kernel is imported among.
    """

    def __init__(self, kernel: bytes, compiled: Compiled, package: Mapping[str, bytes] = NOTHING_COMPILED) -> None:
        _sweep(Path(tempfile.gettempdir()))
        self._directory = tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True)
        self.path = Path(self._directory.name)
        self._lock = _open(self.path)
        with suppress(OSError):  # on a file system without locks nothing is swept either
            _lock(self._lock)
        (self.path / WORK).mkdir()
        (self.path / CACHE).mkdir()
        (self.path / LOG).touch()
        (self.path / KERNEL).write_bytes(kernel)
        for name, data in compiled.items():
            (self.path / CACHE / name).write_bytes(data)
        for name, data in package.items():
            path = self.path / PACKAGE / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def compiled(self) -> Compiled:
        """What the worker has kept; nothing where it is too much, or where something else lies there too."""
        try:
            return _compiled_files(self.path / CACHE)
        except OSError:
            return NOTHING_COMPILED

    def close(self) -> None:
        self._directory.cleanup()
        os.close(self._lock)


def _compiled_files(folder: Path) -> Compiled:
    """The files in a folder that a kernel may write to, meanwhile too: nothing there is followed or waited for.

    OSError where there is anything but plain files with numba's two endings, or too much.
    """
    found: dict[str, bytes] = {}
    room, fd = MAX_COMPILED_BYTES, _open(folder)
    try:
        with os.scandir(fd) as entries:
            for entry in entries:
                found[entry.name] = _compiled_file(entry.name, fd, room)
                room -= len(found[entry.name]) + _FILE_BYTES
    finally:
        os.close(fd)
    return found


def _compiled_file(name: str, folder: int, room: int) -> bytes:
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    with os.fdopen(fd, "rb") as file:
        is_plain = stat.S_ISREG(os.fstat(fd).st_mode) and name.endswith((".nbi", ".nbc"))
        data = file.read(room + 1) if is_plain and room >= 0 else b""
    if not is_plain or len(data) > room:
        raise OSError(f"'{name}' is not compiled code, or there is too much of it")
    return data


@functools.cache
def _sweep(directory: Path) -> None:
    """Remove the workers' folders there that are this user's and nobody uses; once in a process is enough."""
    for path in directory.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            _remove_abandoned(path)


def _remove_abandoned(path: Path) -> None:
    """OSError when it is not a folder, belongs to another user or is in use."""
    fd = _open(path)
    try:
        if os.fstat(fd).st_uid == os.getuid() and {entry.name for entry in path.iterdir()} >= _CONTENTS:
            _lock(fd)
            shutil.rmtree(path, ignore_errors=True)
    finally:
        os.close(fd)


def _open(folder: Path) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def _lock(fd: int) -> None:
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
