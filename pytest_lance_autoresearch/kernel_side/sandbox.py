"""Confines a worker to computing, with what the system lets any process do to itself.

Owns a limit on what a process writes to any one file, its output among them, and two locks of Linux that a
process can put on and never take off, without being root: Landlock (no file is written or executed outside some
folders, nobody outside is signalled or traced: landlock(7)) and seccomp (no process, thread, socket or change of
scheduling: seccomp(2)). Where the system lacks them, nothing happens; no verdict rests on them, since the parent
looks for what they prevent.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import resource
import signal
import struct
import sys
from collections.abc import Sequence

MAX_FILE_BYTES = 64 * 2**20
"""Far above compiled code that numba keeps on disk, far below a disk."""
_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_SECCOMP = 22
_SECCOMP_MODE_FILTER = 2
_RET_ERRNO = 0x0005_0000
_RET_ALLOW = 0x7FFF_0000
_LOAD, _JUMP_IF_EQUAL, _JUMP_IF_SET, _RETURN = 0x20, 0x15, 0x45, 0x06
_CLONE_THREAD = 0x0001_0000
_INSTRUCTION = struct.Struct("<HBBI")

_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_LANDLOCK_VERSION = 1
_LANDLOCK_PATH_BENEATH = 1
_WRITING = sum(1 << bit for bit in (1, *range(4, 13)))
"""Write, remove and make: LANDLOCK_ACCESS_FS_* of linux/landlock.h, without executing and reading."""
_EXECUTING = 1 << 0
_REFERRING, _TRUNCATING = 1 << 13, 1 << 14
_TCP = 0b11
_SCOPES = 0b11
"""Abstract sockets and signals."""

_SYSCALLS = {
    "x86_64": (
        0xC000_003E,
        {
            "clone": 56,
            "fork": 57,
            "vfork": 58,
            "execve": 59,
            "kill": 62,
            "ptrace": 101,
            "setpriority": 141,
            "sched_setparam": 142,
            "sched_setscheduler": 144,
            "sched_setaffinity": 203,
            "perf_event_open": 298,
            "process_vm_readv": 310,
            "process_vm_writev": 311,
            "sched_setattr": 314,
            "bpf": 321,
            "execveat": 322,
            "userfaultfd": 323,
            "socket": 41,
            "socketpair": 53,
        },
    ),
    "aarch64": (
        0xC000_00B7,
        {
            "clone": 220,
            "execve": 221,
            "kill": 129,
            "ptrace": 117,
            "setpriority": 140,
            "sched_setparam": 118,
            "sched_setscheduler": 119,
            "sched_setaffinity": 122,
            "perf_event_open": 241,
            "process_vm_readv": 270,
            "process_vm_writev": 271,
            "sched_setattr": 274,
            "bpf": 280,
            "execveat": 281,
            "userfaultfd": 282,
            "socket": 198,
            "socketpair": 199,
        },
    ),
}
"""The audit number and the refused system calls, by machine; those of later kernels are the same on all."""
_LATER_SYSCALLS = {"pidfd_send_signal": 424, "io_uring_setup": 425, "pidfd_open": 434, "pidfd_getfd": 438}
_CLONE3 = 435
"""Its flags cannot be seen by a filter; as if it were not there, the C library uses clone."""


def confine(writable: Sequence[str], *, threads: bool = False) -> None:
    """Put on what this system has. Never raises, never undone.

    `writable` are the folders that stay writable; `threads` lets the process have more of them, and no processes.
    It is killed with its parent: one that is stopped or loops would not see the end of its orders.
    """
    _limit_files()
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0:
        _restrict_files(libc, writable)
        _refuse_system_calls(libc, threads=threads)


def is_confined(pid: int | str) -> bool:
    """Whether the system says that a process is filtered; asked by the parent, who need not believe the worker."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:  # noqa: PTH123
            fields = dict(line.split(":", 1) for line in status)
    except OSError:
        return False
    return fields.get("Seccomp", "0").strip() == str(_SECCOMP_MODE_FILTER)


def _limit_files() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    most = MAX_FILE_BYTES if hard == resource.RLIM_INFINITY else min(hard, MAX_FILE_BYTES)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))


def _restrict_files(libc: ctypes.CDLL, writable: Sequence[str]) -> None:
    version = libc.syscall(_LANDLOCK_CREATE, None, 0, _LANDLOCK_VERSION)
    if version < 1:
        return
    changing = _WRITING | (_REFERRING if version >= 2 else 0) | (_TRUNCATING if version >= 3 else 0)
    fields = [changing | _EXECUTING, *([_TCP] if version >= 4 else []), *([_SCOPES] if version >= 6 else [])]
    attributes = struct.pack(f"<{len(fields)}Q", *fields)
    ruleset = libc.syscall(_LANDLOCK_CREATE, attributes, len(attributes), 0)
    if ruleset < 0:
        return
    try:
        for folder in (*writable, "/dev/null"):
            _allow(libc, ruleset, folder, changing if os.path.isdir(folder) else 1 << 1)  # noqa: PTH112
        libc.syscall(_LANDLOCK_RESTRICT, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(libc: ctypes.CDLL, ruleset: int, path: str, access: int) -> None:
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        libc.syscall(_LANDLOCK_ADD, ruleset, _LANDLOCK_PATH_BENEATH, struct.pack("<Qi", access, fd), 0)
    finally:
        os.close(fd)


def _refuse_system_calls(libc: ctypes.CDLL, *, threads: bool) -> None:
    found = _SYSCALLS.get(platform.machine())
    if found is None:
        return
    audit, numbers = found
    refused = sorted([*numbers.values(), *_LATER_SYSCALLS.values()])
    program = _filter(audit, refused, numbers["clone"] if threads else None)
    code = ctypes.create_string_buffer(program, len(program))
    head = struct.pack("HxxxxxxP", len(program) // _INSTRUCTION.size, ctypes.addressof(code))
    libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, head, 0, 0)


def _filter(audit: int, refused: Sequence[int], clone: int | None) -> bytes:
    """A classic BPF program: EPERM for the refused numbers, ENOSYS for clone3, everything else is allowed.

    So is clone, where its number is given and it asks for a thread.
    """
    count = len(refused)
    threads = [
        (_JUMP_IF_EQUAL, 0, 4, clone),
        (_LOAD, 0, 0, 16),  # the first argument, its lower half: the flags
        (_JUMP_IF_SET, 0, 1, _CLONE_THREAD),
        (_RETURN, 0, 0, _RET_ALLOW),
        (_RETURN, 0, 0, _RET_ERRNO | errno.EPERM),
    ]
    steps = [
        (_LOAD, 0, 0, 4),  # the architecture
        (_JUMP_IF_EQUAL, 1, 0, audit),
        (_RETURN, 0, 0, _RET_ERRNO | errno.ENOSYS),  # a foreign calling convention
        (_LOAD, 0, 0, 0),  # the system call's number
        *(threads if clone is not None else ()),
        (_JUMP_IF_EQUAL, count + 2, 0, _CLONE3),
        *((_JUMP_IF_EQUAL, count - i, 0, number) for i, number in enumerate(refused)),
        (_RETURN, 0, 0, _RET_ALLOW),
        (_RETURN, 0, 0, _RET_ERRNO | errno.EPERM),
        (_RETURN, 0, 0, _RET_ERRNO | errno.ENOSYS),
    ]
    return b"".join(_INSTRUCTION.pack(*step) for step in steps)
