"""A worker that says what a script says, in a real process that starts at once: it imports no numpy.

A script is lines of Python, with the names below; `say` answers, `taken` waits for an order and `go` for the byte
that opens a window. `READY` and `UNTIL` are how such scripts begin.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import mkdtemp

import pytest
import toys

from pytest_lance_autoresearch.bench.process import KernelProcess
from pytest_lance_autoresearch.kernel_side import worker

TIMEOUT_S = 20.0
PREAMBLE = """
import mmap, os, signal, struct, sys, time
arguments_fd, results_fd, orders, answers, _, arguments_bytes, results_bytes = map(int, sys.argv[1:8])
arguments, results = mmap.mmap(arguments_fd, arguments_bytes), mmap.mmap(results_fd, results_bytes)
FIRST = 16384  # where the first result lies

def say(answer, text=""):
    data = struct.pack("<q", len(text)) + text.encode()
    results[:len(data)] = data
    os.write(answers, answer)

def taken():
    head = os.read(orders, 8)
    if not head:
        os._exit(0)
    missing, = struct.unpack("<q", head)
    while missing:
        missing -= len(os.read(orders, missing))

def go():
    say(b"r")
    assert os.read(orders, 1) == b"g"

def store(*values):
    results[FIRST:FIRST + 64] = struct.pack("<8q", 1, 1, 1, 1, len(values), 0, 0, 0)
    results[FIRST + 1600:FIRST + 1600 + len(values)] = bytes(values)

"""
READY = "say(b'r')\nfor _ in range(2): taken(); say(b'd')\n"
"""A worker that has loaded everything, and waits for its first order."""
UNTIL = {
    "it starts": "",
    "its target is loaded": "say(b'r'); taken()\n",
    "its kernel is loaded": "say(b'r'); taken(); say(b'd'); taken()\n",
    "it is bound": f"{READY}taken()\n",
}
"""What a worker does before its answer about each of these is due."""

Start = Callable[..., KernelProcess]


def start(
    monkeypatch: pytest.MonkeyPatch, started: ExitStack, script: str, *, checks_bounds: bool = False
) -> KernelProcess:
    """Start one; `started` is what closes it."""
    file = Path(mkdtemp()) / "scripted.py"
    file.write_text(PREAMBLE + script)
    monkeypatch.setattr(worker, "__file__", str(file))
    process = KernelProcess(toys.loaded(), toys.loaded().kernel, TIMEOUT_S, checks_bounds=checks_bounds)
    started.callback(process.close)
    process.introduce()
    return process
