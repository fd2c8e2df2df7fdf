"""The end of a session: its exit status, the blocks after everything else, and the files that hold them too.

Owns where they are written and in which colour, and whether pytest-benchmark's table is; the words are `report`'s.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from typing import TYPE_CHECKING, Any

from pytest_lance_autoresearch.plugin import github
from pytest_lance_autoresearch.plugin.observers import reporter_of
from pytest_lance_autoresearch.plugin.suite import SUITE
from pytest_lance_autoresearch.records import NO_VERDICT_EXIT_CODE, Status

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest

    from pytest_lance_autoresearch.plugin.suite import Suite
    from pytest_lance_autoresearch.records import Outcome


def set_status(session: pytest.Session, suite: Suite, outcomes: list[Outcome]) -> None:
    """The verdict's exit code, unless something besides the gates failed."""
    if session.testsfailed > suite.closed_gates:
        return
    codes = [outcome.exit_code for outcome in outcomes]
    if len(outcomes) < len(suite.selected):
        codes.append(NO_VERDICT_EXIT_CODE)
    session.exitstatus = max(codes, default=NO_VERDICT_EXIT_CODE)


def print_end(config: pytest.Config, outcomes: list[Outcome], faults: list[str]) -> None:
    """The blocks of all trials, and the faults that kept trials from having one; files too, if they are wanted."""
    from pytest_lance_autoresearch.words import report

    reporter, suite = reporter_of(config), config.stash[SUITE]
    write = reporter.write_line if reporter else lambda line, **_: print(line, file=sys.stdout)  # noqa: T201
    for line in report.blocks(outcomes):
        write(line, **_colour(line))
    told = [*suite.faults.values(), *faults]
    faults += filter(None, _written(suite, outcomes, told))
    for fault in faults:
        write(f"ERROR: {fault}", red=True)
    if suite.options.gate and github.is_here():
        for line in github.commands(outcomes, suite.layouts(), told):
            write(line)


def without_own_rows(config: pytest.Config, groups: list[tuple[Any, list[Any]]]) -> list[tuple[Any, list[Any]]]:
    """What pytest-benchmark's table is to show: of targets nothing, where the block says it shorter.

    Their rows are shown where options about the table are given, and to a person who asks for no verdict.
    """
    suite, reporter = config.stash[SUITE], reporter_of(config)
    typed = [*config.getini("addopts"), *shlex.split(os.environ.get("PYTEST_ADDOPTS", ""))]
    flags = {argument.partition("=")[0] for argument in (*typed, *config.invocation_params.args)}
    is_terminal = reporter is not None and reporter.isatty
    if (is_terminal and not suite.options.gate) or flags & {f"--benchmark-{name}" for name in _ABOUT_THE_TABLE}:
        return groups
    others = ((name, [row for row in rows if row["fullname"] not in suite.own_items]) for name, rows in groups)
    return [(name, rows) for name, rows in others if rows]


_ABOUT_THE_TABLE = (
    *("columns", "sort", "group-by", "name", "time-unit", "verbose"),
    *("compare", "compare-fail", "csv", "histogram", "cprofile"),
)
"""Options of pytest-benchmark that need its rows, or say how they are to be shown."""


def _written(suite: Suite, outcomes: list[Outcome], faults: list[str]) -> Iterator[str]:
    """Write what is wanted; the sentences about what could not be written, '' for what could."""
    from pytest_lance_autoresearch.words import markdown, report

    options = suite.options
    if options.json is not None:
        found = {"trials": [report.as_json(outcome) for outcome in outcomes], "faults": faults}
        yield _write(options.json, "json", json.dumps(found, indent=2, allow_nan=False) + "\n")
    table = markdown.table(outcomes, faults)
    if options.markdown is not None:
        yield _write(options.markdown, "markdown", table)
    if options.gate and github.is_here():
        yield github.write_summary(table)


def _colour(line: str) -> dict[str, bool]:
    """What is good, in doubt or wrong has a colour that can be read on dark and on light; a discard has none."""
    key, _, value = line.partition(": ")
    if key != "verdict" or value == Status.DISCARD:
        return {}
    good = value.startswith((Status.KEEP, Status.BASELINE, Status.PASS))
    in_doubt = value in ("none", Status.INCONCLUSIVE, Status.INVALID)
    return {"green" if good else "yellow" if in_doubt else "red": True, "bold": good}


def _write(path: Path, option: str, text: str) -> str:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        return f"--autoresearch-{option}={path}: cannot be written: {error.strerror}"
    return ""
