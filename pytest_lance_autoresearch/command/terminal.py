"""What a verb prints: lines on stdout and stderr, as the stream can show them, and where its work stands.

Owns how wide the terminal is, and whether it is given colours.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Literal, TextIO

from pytest_lance_autoresearch.errors import AutoresearchError
from pytest_lance_autoresearch.machine import live
from pytest_lance_autoresearch.words import report, wording

if TYPE_CHECKING:
    from pytest_lance_autoresearch.records import Progress

Colour = Literal["bold", "red", "green", "magenta"]
MOST_LINES = 10
"""Of a fault."""
_CODES: dict[Colour, int] = {"bold": 1, "red": 31, "green": 32, "magenta": 35}
"""Those that can be read on white and on black: yellow and cyan cannot be on white, and blue not on black."""


def say(*lines: str, paint: Callable[[str], Colour | None] = lambda _: None) -> None:
    """Print the lines; `paint` gives each its colour, where there are colours."""
    _write(sys.stdout, lines, paint)


def state(*sentences: str) -> None:
    """Print the sentences, on several lines each where the terminal is narrower."""
    say(*wrapped(sentences))


def columns(stream: TextIO | None = None) -> int | None:
    """How wide the terminal is; None where the stream, or stdout, is none and COLUMNS does not say how wide."""
    stream = stream or sys.stdout
    if (told := os.environ.get("COLUMNS", "")).isdecimal() and int(told) > 0:
        return int(told)
    return os.get_terminal_size(stream.fileno()).columns if stream.isatty() else None


def wrapped(lines: Iterable[str], stream: TextIO | None = None) -> list[str]:
    """The lines, those that are wider than the terminal on several of it."""
    room = columns(stream)
    if room is None:
        return list(lines)
    return [part for line in lines for part in wording.wrapped(line, room, long_words=False) or [""]]


def tell(*lines: str) -> None:
    """Say what is no part of the answer, on several lines each where the terminal is narrower."""
    _write(sys.stderr, wrapped(lines, sys.stderr))


def tell_fault(fault: AutoresearchError) -> None:
    """Say what could not be done."""
    tell(*_fault_lines(fault))


def _fault_lines(fault: AutoresearchError) -> list[str]:
    """The fault's headline, and below it where it happened or what was printed, as far as there is room."""
    headline, *rest = f"ERROR: {fault}".splitlines()
    if len(rest) >= MOST_LINES:
        shown = MOST_LINES - 2
        rest = [*rest[:shown], f"... and {len(rest) - shown} more lines"]
    return [headline, *(f"  {line}" for line in rest)]


class Live:
    """Where long work stands, on stderr; what a verb says meanwhile comes after `take_back`."""

    def __init__(self) -> None:
        self._line = live.LiveLine(_show, lambda: live.Place(live.columns(sys.stderr)))

    def __call__(self, progress: Progress) -> None:
        self._line.show(wording.printable(report.live_line(progress)), is_event=progress.is_event)

    def take_back(self) -> None:
        self._line.take_back()

    close = take_back


def _show(text: str) -> None:
    _put(sys.stderr, text)


def _write(stream: TextIO, lines: Iterable[str], paint: Callable[[str], Colour | None] = lambda _: None) -> None:
    """A foreign log may hold anything."""
    has_colours = stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    shown = ((wording.printable(line), paint(line) if has_colours else None) for line in lines)
    _put(
        stream,
        "".join(f"\x1b[{_CODES[colour]}m{line}\x1b[0m\n" if colour else f"{line}\n" for line, colour in shown),
    )


def _put(stream: TextIO, text: str) -> None:
    """A stream may take ASCII only, or nothing at all, as on a full disk: then what is buffered goes nowhere."""
    encoding = stream.encoding or "utf-8"
    try:
        print(text.encode(encoding, "backslashreplace").decode(encoding), end="", file=stream, flush=True)
    except BrokenPipeError:
        raise
    except OSError as fault:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        raise AutoresearchError(f"the answer could not be written: {fault.strerror}") from fault
