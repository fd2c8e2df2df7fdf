"""What a verb prints: lines on stdout and stderr, as the stream can show them.

Owns how wide the terminal is, and whether it is given colours.
"""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal, TextIO

from pytest_lance_autoresearch.words import wording

Colour = Literal["bold", "red", "green", "cyan"]
_CODES: dict[Colour, int] = {"bold": 1, "red": 31, "green": 32, "cyan": 36}


def say(*lines: str, paint: Callable[[str], Colour | None] = lambda _: None) -> None:
    """Print the lines; `paint` gives each its colour, where there are colours."""
    _write(sys.stdout, lines, paint)


def columns() -> int | None:
    """How wide the terminal is; None where stdout is none, unless COLUMNS says how wide it is to be taken for."""
    if (told := os.environ.get("COLUMNS", "")).isdecimal() and int(told) > 0:
        return int(told)
    return os.get_terminal_size(sys.stdout.fileno()).columns if sys.stdout.isatty() else None


def wrapped(lines: Iterable[str]) -> list[str]:
    """The lines, those that are wider than the terminal on several of it."""
    room = columns()
    if room is None:
        return list(lines)
    wrap = textwrap.TextWrapper(room, break_on_hyphens=False, break_long_words=False).wrap
    return [part for line in lines for part in wrap(line) or [""]]


def tell(line: str) -> None:
    """Say what is no part of the answer."""
    _write(sys.stderr, [line])


def shown(path: Path) -> str:
    """A path as one would type it here."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _write(stream: TextIO, lines: Iterable[str], paint: Callable[[str], Colour | None] = lambda _: None) -> None:
    """A foreign log may hold anything, a stream take ASCII only."""
    has_colours = stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    shown = ((wording.printable(line), paint(line) if has_colours else None) for line in lines)
    text = "\n".join(f"\x1b[{_CODES[colour]}m{line}\x1b[0m" if colour else line for line, colour in shown)
    encoding = stream.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), file=stream, flush=True)
