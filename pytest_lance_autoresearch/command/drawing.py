"""The verbs that draw what logs say: a page to open in the morning, and its pictures as files.

Owns which logs are drawn, where to, and when anew. Nothing but the file that is named is written, and no log is
changed.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, NoReturn

from pytest_lance_autoresearch.command import reading, writing
from pytest_lance_autoresearch.command.terminal import state, tell, tell_fault
from pytest_lance_autoresearch.command.verb import NOT_DONE, Verb
from pytest_lance_autoresearch.errors import AutoresearchError, LogError
from pytest_lance_autoresearch.log import archive, origins, results
from pytest_lance_autoresearch.machine import clocks, environment
from pytest_lance_autoresearch.target_files import discover
from pytest_lance_autoresearch.words import wording

if TYPE_CHECKING:
    from pytest_lance_autoresearch.page.content import Section
    from pytest_lance_autoresearch.page.facts import Facts

PAGE = Path("report.html")
PICTURES = ("staircase", "cases", "forest", "time")
POLL_S = 1.0
REFRESH_S = 5
"""How often an open page that is watched reads itself again."""
_EXTRA = ("matplotlib", "jinja2", "markupsafe")


def report(arguments: argparse.Namespace) -> int:
    """Write one page about the night, to open in a browser: what happened, and whether to believe it."""
    _needs_extra()
    writing.refuse(arguments.output, arguments.logs, "night.html", (".html", ".htm"))
    if arguments.watch:
        _watch(arguments)
    logs = _logs(arguments)
    if not logs:
        globs = " or ".join(f"{glob}/results.tsv" for glob in reading.globs(arguments))
        raise AutoresearchError(f"{Path.cwd()}: there is no log below it in {globs}; name one")
    return NOT_DONE if _draw(arguments, logs, reading.read) else 0


def plot(arguments: argparse.Namespace) -> int:
    """Draw one picture of a log as a file of its own, PNG or SVG."""
    _needs_extra()
    writing.refuse(arguments.output, [arguments.log], "night.png", (".png", ".svg"))
    section = _section(arguments)
    from pytest_lance_autoresearch.page import pictures

    if why := pictures.lacking(section, arguments.picture):
        raise AutoresearchError(f"{arguments.log}: {why}, so there is no picture '{arguments.picture}'")
    drawn = pictures.as_file(section, arguments.picture, arguments.output.suffix[1:])
    writing.write(arguments.output, drawn)
    state(f"wrote {arguments.output}: the picture '{arguments.picture}' of target '{section.name}'")
    return 0


def _watch(arguments: argparse.Namespace) -> NoReturn:
    """Write the page anew after each row, until Ctrl-C; what cannot be read now may be whole a moment later."""
    tell(f"{arguments.output} is written anew after each trial; Ctrl-C ends the watch")
    changes = _changes(lambda: _logs(arguments))
    try:
        while True:
            logs = next(changes)
            try:
                _draw(arguments, logs, results.read, REFRESH_S)
            except AutoresearchError as fault:
                tell_fault(fault)
    except KeyboardInterrupt:
        found, faults = reading.each(_logs(arguments), results.read)
        if found or not faults:
            _write_page(arguments, found, faults)
        kept = "has all trials so far" if not faults else "has all trials that could be read"
        raise KeyboardInterrupt(f"{arguments.output} {kept}") from None


def _changes(logs: Callable[[], Sequence[Path]]) -> Iterator[Sequence[Path]]:
    """The logs, at once and whenever one of them has changed."""
    before: list[tuple[Path, int, int]] | None = None
    while True:
        found = logs()
        now = [(log, *_stamp(log)) for log in found]
        if now != before:
            yield found
        before = now
        sleep(POLL_S)


def _stamp(log: Path) -> tuple[int, int]:
    with suppress(OSError):
        seen = log.stat()
        return seen.st_size, seen.st_mtime_ns
    return 0, 0


def _logs(arguments: argparse.Namespace) -> list[Path]:
    """The logs that are named, each once, or those where the targets are."""
    if not arguments.logs:
        return [Path(wording.shown(log)) for log in discover.logs(Path.cwd(), reading.globs(arguments))]
    return list({log.resolve(): log for log in arguments.logs}.values())


def _draw(
    arguments: argparse.Namespace,
    logs: Sequence[Path],
    read: Callable[[Path], Sequence[results.Row]],
    refresh_s: int = 0,
) -> Sequence[str]:
    """Write the page about the logs that can be read, if there is one; the sentences about the others."""
    found, faults = reading.each(logs, read)
    if found or not faults:
        state(_write_page(arguments, found, faults, refresh_s))
    return faults


def _write_page(
    arguments: argparse.Namespace,
    found: Mapping[Path, Sequence[results.Row]],
    faults: Sequence[str],
    refresh_s: int = 0,
) -> str:
    """Write the page, with the sentences about logs that cannot be read; the sentence about it."""
    from pytest_lance_autoresearch.page import html

    facts = [one for log, rows in found.items() for one in _facts(arguments, log, rows)]
    empty = [results.no_trial(log) for log, rows in found.items() if not rows]
    version = environment.versions()["pytest-lance-autoresearch"]
    written = f"{clocks.utc()[:16].replace('T', ' ')} UTC"
    text = html.page(facts, [*faults, *empty], written, version, refresh_s)
    writing.write(arguments.output, text)
    rows = sum(map(len, found.values()))
    targets = {one.night.target for one in facts}
    told = f"{wording.many(len(targets), 'target')}, {wording.many(rows, 'trial')}" if rows else "no trial yet"
    size_kb = max(1, round(len(text) / 1000))
    return f"wrote {arguments.output}: {told}, {size_kb} kB; open it in a browser"


def _facts(arguments: argparse.Namespace, log: Path, rows: Sequence[results.Row]) -> list[Facts]:
    from pytest_lance_autoresearch.page import facts

    root = _archive(arguments.root, log, rows)
    return facts.read(log, rows, root, reading.globs(arguments), arguments.root)


def _archive(named: Path | None, log: Path, rows: Sequence[results.Row]) -> Path | None:
    """The folder with the log's own archive, or with audits of it at least; None where nothing of it is kept."""
    with suppress(LogError):
        return origins.own_archive(log, rows, named)
    with suppress(LogError):
        root, kernels = named or archive.root_of(log), {row.kernel for row in rows}
        return root if any(one.candidate in kernels for one in archive.replays(root)) else None
    return None


def _section(arguments: argparse.Namespace) -> Section:
    """The target that is drawn: the one that is named, or the only one of the log."""
    from pytest_lance_autoresearch.page import content

    log, name = arguments.log, arguments.target
    found = {one.night.target: one for one in _facts(arguments, log, reading.read(log))}
    if not found:
        raise AutoresearchError(f"{results.no_trial(log)}; there is nothing to draw")
    if name is None and len(found) == 1:
        (name,) = found
    if name not in found:
        what = "has several targets" if name is None else f"has no trial of '{name}'"
        raise AutoresearchError(f"{log}: {what}; name one with --target: {', '.join(found)}")
    (section,) = content.sections([found[name]])
    return section


def _needs_extra() -> None:
    """AutoresearchError where what draws is not installed."""
    try:
        import pytest_lance_autoresearch.page.html  # noqa: F401
    except ModuleNotFoundError as error:
        lacking = (error.name or "").partition(".")[0]
        if lacking not in _EXTRA:
            raise
        raise AutoresearchError(
            f"drawing needs '{lacking}', which is not installed; "
            f"type: pip install 'pytest-lance-autoresearch[report]'"
        ) from None


def _add_logs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "logs", nargs="*", type=Path, metavar="LOG", help="the logs (default: those of all targets)"
    )
    parser.add_argument(
        "-o", "--output", type=Path, default=PAGE, metavar="FILE", help=f"the file to write ({PAGE})"
    )
    parser.add_argument("--watch", action="store_true", help="write it anew after each trial, until Ctrl-C")
    reading.add_root(parser)
    reading.add_targets(parser)


def _add_picture(parser: argparse.ArgumentParser) -> None:
    reading.add_archive(parser)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="which .png or .svg")
    parser.add_argument("--picture", choices=PICTURES, default=PICTURES[0], help=f"which one ({PICTURES[0]})")
    parser.add_argument("--target", metavar="NAME", help="of which target, where the log has several")
    reading.add_targets(parser)


VERBS: Mapping[str, Verb] = {"report": Verb(report, _add_logs), "plot": Verb(plot, _add_picture)}
