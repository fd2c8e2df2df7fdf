"""One thread at a time: who has the baton works, and lays it down while it waits for another process.

Owns who has it. A target's own code need not bear several threads; its kernels' processes work side by side.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class _Held(threading.local):
    """The baton that the present thread has."""

    lock: threading.Lock | None = None


_held = _Held()


@contextmanager
def held(lock: threading.Lock) -> Iterator[None]:
    """Work while no other thread with the same baton does."""
    with lock:
        _held.lock = lock
        try:
            yield
        finally:
            _held.lock = None


@contextmanager
def laid_down() -> Iterator[None]:
    """Let others work meanwhile; nothing happens where there is no baton."""
    lock = _held.lock
    if lock is None:
        yield
        return
    lock.release()
    try:
        yield
    finally:
        lock.acquire()
