"""The files that a run's reports go to.

Owns that what lies there is this run's or nothing, and the sentences about one that cannot be written. What stands
in a report is `ending`'s.
"""

from __future__ import annotations

import os
import shlex
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pytest_lance_autoresearch.words import wording

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class Lost(NamedTuple):
    """A report that could not be written."""

    place: str
    """The option or the variable that names its file, and that."""
    why: str
    text: str

    def __str__(self) -> str:
        return f"{self.place}: cannot be written: {self.why}; what it would have held is printed above"


def printed(lost: Sequence[Lost]) -> Iterator[str]:
    """Lines that keep what was lost, each text once."""
    for text in dict.fromkeys(one.text for one in lost):
        yield f"{wording.listed([one.place for one in lost if one.text == text])} would have held:"
        yield from text.splitlines()


def option(name: str, path: Path) -> str:
    """As it is typed."""
    return f"--autoresearch-{name}={path}"


def forget(path: Path) -> None:
    """Take away what an earlier run left, so that nobody takes it for this one's; devices and pipes hold nothing.

    A file that cannot be taken away, such as one that is mounted by itself, is emptied.
    """
    with suppress(OSError):
        if path.is_file():
            place = path.resolve()
            try:
                place.unlink()
            except OSError:
                os.truncate(place, 0)


def unwritable(name: str, path: Path) -> str:
    """Why a report cannot be written there, found out before anything is measured; '' where it can."""
    where = option(name, path)
    try:
        if not path.exists() or path.is_file() or path.is_dir():  # a pipe may have no reader yet
            path.open("ab").close()
            forget(path)
    except IsADirectoryError:
        return f"{where}: that is a folder; expected a file; name one in it, such as {path / 'report'}"
    except FileNotFoundError as error:
        if path.parent.exists():  # such as /proc, or a link that leads nowhere
            return _denied(where, error)
        make = f"mkdir -p {shlex.quote(str(path.parent))}"
        return f"{where}: there is no folder {path.parent}; expected one that is there; make it with {make}"
    except NotADirectoryError:
        nearest = next(one for one in path.parents if one.exists())
        return f"{where}: {nearest} is no folder; expected the report's file in one; name another file"
    except OSError as error:
        return _denied(where, error)
    return ""


def _denied(where: str, error: OSError) -> str:
    return f"{where}: cannot be written: {error.strerror}; expected a file that can be; name another one"


def write(name: str, path: Path, text: str) -> Lost | None:
    """Write a report whole; what was lost where that fails, of which nothing is left there."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        forget(path)
        return Lost(option(name, path), str(error.strerror), text)
    return None
