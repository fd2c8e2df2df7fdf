"""Whose turn it is to measure: first come, first served, among the processes of one user on one machine.

Owns the line and its tickets. A ticket is a file in a folder of the temporary directory: its name is a number, and
its owner holds a lock on it. The system takes the lock back from a process that ended, however it ended: a ticket
whose lock is free is passed over and removed. A lock on the folder makes drawing a ticket one step, and looking at
the others another. What a ticket says serves estimates alone, and is believed only as far as it can be read.
"""

from __future__ import annotations

import fcntl
import math
import os
import tempfile
import weakref
from contextlib import contextmanager, suppress
from errno import EPERM
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, NamedTuple

from pytest_lance_autoresearch.machine import clocks, interrupt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from io import FileIO

_LOOK_S = 0.1
"""Between two looks at those ahead."""
_SHOW_S = 1.0
"""Between two changes that are shown, at least."""
_LONGEST_TICKET = 100
"""Bytes of a ticket that are read: two numbers have room in them."""
_FOREVER_S = 1e9
"""No estimate is as long, and no machine up for as long."""


class Position(NamedTuple):
    """Where a process stands in the line."""

    number: int
    """Counted from the one whose turn it is, who is number 1."""
    seconds: float | None
    """What those ahead still need by their own estimates; None where one of them says nothing that can be read."""


class Turn:
    """A place in the line, and the turn to measure when it comes; until it is given back."""

    def __init__(self, expected_s: float | None) -> None:
        self.waited_s = 0.0
        """0 exactly where nobody was ahead."""
        self.fault = ""
        """Why there is no line to stand in, so that others may measure at the same time; '' where there is one."""
        self._expected_s = expected_s
        self._number = 0
        self._ticket: FileIO | None = None
        _known[:] = [*map(weakref.ref, _own()), weakref.ref(self)]

    def __enter__(self) -> Turn:
        return self

    def __exit__(self, *_: object) -> None:
        self.give_back()

    def give_back(self) -> None:
        """Leave the line, wherever in it. Safe more than once."""
        if self._ticket is not None:
            with suppress(OSError):  # a ticket that cannot be removed is passed over as soon as it is closed
                if os.fstat(self._ticket.fileno()).st_nlink:  # else its name may be another's by now
                    Path(os.fsdecode(self._ticket.name)).unlink()
            self.forget()

    def forget(self) -> None:
        """Let go of a ticket without giving it back: in a child that was forked, it is the parent's."""
        if self._ticket is not None:
            self._ticket.close()
            self._ticket = None

    @property
    def number(self) -> int | None:
        """The number of its ticket, while it has one."""
        return None if self._ticket is None else self._number

    def position(self) -> Position | None:
        """Where it stands; None when its turn has come, or where nobody can take turns."""
        try:
            with _folder() as folder:
                if self._ticket is None:
                    self._draw(folder)
                ahead = [ticket for number, ticket in _living(folder) if number < self._number]
                if ahead:
                    return _behind(ahead, clocks.now_s())
                self._note(clocks.now_s())
        except OSError as error:
            self.fault = (
                f"{_path()}: {error.strerror}; expected a folder of your own in which trials take turns; another "
                f"trial may have measured at the same time; set TMPDIR to a folder that you can write to"
            )
        return None

    def _draw(self, folder: Path) -> None:
        self._number = max(_numbers(folder), default=0) + 1
        self._ticket = (folder / str(self._number)).open("xb", buffering=0)
        fcntl.flock(self._ticket, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._note(self._expected_s)

    def _note(self, number: float | None) -> None:
        """A line of the ticket: how long its turn will take, then since when it has it."""
        assert self._ticket is not None
        with suppress(OSError):  # a full disk costs the others an estimate, and nobody a turn
            self._ticket.write(f"{number}\n".encode())


_known: list[weakref.ref[Turn]] = []
"""This process's own. No WeakSet: it has a callback, in which the exception of a Ctrl-C would get lost."""


def _own() -> list[Turn]:
    return [turn for known in _known if (turn := known()) is not None]


def _forget() -> None:
    """A forked child has its parent's files open, which would keep the tickets of a killed parent alive."""
    for turn in _own():
        turn.forget()


os.register_at_fork(after_in_child=_forget)


def take(expected_s: float | None, show: Callable[[Position], None] = lambda _: None) -> Turn:
    """Wait for the turn to measure, which will take about so many seconds (None: nobody knows).

    `show` is told the position when it changes, about once a second at most, and never where nobody is ahead.
    """
    turn, start_s, shown, shown_s = Turn(expected_s), clocks.now_s(), None, -math.inf
    try:
        while (position := turn.position()) is not None:
            now_s = clocks.now_s()
            if position != shown and now_s - shown_s >= _SHOW_S:
                show(position)
                shown, shown_s = position, now_s
            interrupt.obey()
            sleep(_LOOK_S)
            turn.waited_s = clocks.now_s() - start_s
    except BaseException:
        turn.give_back()
        raise
    return turn


def others_measure() -> bool:
    """Whether another process has the turn now."""
    own = {turn.number for turn in _own()}
    try:
        with _folder() as folder:
            first = next((number for number, _ in _living(folder)), None)
    except OSError:
        return False
    return first is not None and first not in own


def _path() -> Path:
    return Path(tempfile.gettempdir()) / f"pytest-lance-autoresearch-{os.getuid()}"


@contextmanager
def _folder() -> Iterator[Path]:
    """The folder of the tickets, in which nobody else draws or looks meanwhile; OSError where it cannot serve."""
    path = _path()
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if os.fstat(fd).st_uid != os.getuid():
            raise PermissionError(EPERM, "belongs to another user", str(path))
        fcntl.flock(fd, fcntl.LOCK_EX)
        try:
            yield path
        finally:
            fcntl.flock(fd, fcntl.LOCK_UN)  # closing alone would not, where a thread forked a child meanwhile
    finally:
        os.close(fd)


def _numbers(folder: Path) -> list[int]:
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdecimal())


def _living(folder: Path) -> Iterator[tuple[int, bytes]]:
    """Number and text of each ticket whose owner lives, in order; those of others are removed on the way."""
    for number in _numbers(folder):
        path = folder / str(number)
        with suppress(FileNotFoundError), path.open("rb", buffering=0) as ticket:  # given back a moment ago
            try:
                fcntl.flock(ticket, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                yield number, ticket.read(_LONGEST_TICKET)
            else:
                path.unlink()


def _behind(tickets: Sequence[bytes], now_s: float) -> Position:
    needed = [_needed_s(ticket, now_s) for ticket in tickets]
    known = [seconds for seconds in needed if seconds is not None]
    return Position(len(tickets) + 1, sum(known) if len(known) == len(needed) else None)


def _needed_s(ticket: bytes, now_s: float) -> float | None:
    """What is left of its owner's estimate: all of it before the turn begins, 0 once it is used up."""
    whole = [line for line in ticket.splitlines(keepends=True) if line.endswith(b"\n")]
    try:
        expected_s, since_s = float(whole[0]), float(whole[1]) if len(whole) > 1 else now_s
    except (IndexError, ValueError):
        return None
    if not (0 <= expected_s < _FOREVER_S and 0 <= since_s < _FOREVER_S):
        return None
    return max(0.0, expected_s - max(0.0, now_s - since_s))
