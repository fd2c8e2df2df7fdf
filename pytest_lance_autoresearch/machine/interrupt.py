"""Ctrl-C ends a session, even where its exception gets lost; so does being told to end, where that is wanted.

Owns the handler that remembers that SIGINT came. The KeyboardInterrupt that it raises inside a callback, of the
garbage collector or of ctypes, is printed at most, and the session would go on and end as if nothing had happened.
So whoever is about to begin something looks here first.
"""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

_watching: list[Watch] = []
_ENDING = (signal.SIGTERM, signal.SIGHUP)


class Watch:
    """Remembers an interrupt while it watches, and leaves the rest to the handler that was there."""

    def __init__(self) -> None:
        self.came = False
        self._before: Callable[[int, FrameType | None], object] | None = None

    def start(self) -> None:
        """Watch, where a handler can be set: in the main thread, unless interrupts are ignored."""
        before = signal.getsignal(signal.SIGINT)
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and callable(before) and self not in _watching:
            self._before = before
            _watching.append(self)
            signal.signal(signal.SIGINT, self._handle)

    def stop(self) -> None:
        """Put the former handler back; what came stays remembered. Safe more than once."""
        if self in _watching:
            _watching.remove(self)
            signal.signal(signal.SIGINT, self._before)

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Not watching inside, and watching again afterwards if it did before."""
        was_watching = self in _watching
        self.stop()
        try:
            yield
        finally:
            if was_watching:
                self.start()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.came = True
        if self._before is not None:
            self._before(number, frame)


@contextmanager
def orderly_end() -> Iterator[None]:
    """Inside, a signal that tells the process to end is a SystemExit: what is open is closed, and nothing is left.

    The exit code is the shell's for that signal. One that is ignored or handled already is left alone.
    """
    is_main = threading.current_thread() is threading.main_thread()
    taken = [number for number in _ENDING if is_main and signal.getsignal(number) is signal.SIG_DFL]
    for number in taken:
        signal.signal(number, _end)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def _end(number: int, _: FrameType | None) -> None:
    raise SystemExit(128 + number)


def obey() -> None:
    """KeyboardInterrupt if one came and was lost."""
    if any(watch.came for watch in _watching):
        raise KeyboardInterrupt
