"""The end of a session: its exit status, the blocks after everything else, and the files that hold them too.

Owns where they are written and in which colour, and whether pytest-benchmark's table is; the words are `report`'s.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from typing import TYPE_CHECKING, Any

from pytest_lance_autoresearch.plugin import github, reports
from pytest_lance_autoresearch.plugin.observers import reporter_of
from pytest_lance_autoresearch.plugin.suite import SUITE
from pytest_lance_autoresearch.records import NO_VERDICT_EXIT_CODE, Status

if TYPE_CHECKING:
    import pytest

    from pytest_lance_autoresearch.plugin.reports import Lost
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


def print_end(config: pytest.Config, outcomes: list[Outcome], faults: list[str], notes: list[str]) -> bool:
    """The blocks of all trials, the faults that kept trials from having one, and notes; files too, where wanted.

    Returns whether every report is where it was wanted. One that could not be written stands before the blocks.
    """
    from pytest_lance_autoresearch.words import report

    reporter, suite = reporter_of(config), config.stash[SUITE]
    write = reporter.write_line if reporter else lambda line, **_: print(line, file=sys.stdout)  # noqa: T201
    told = [*suite.faults.values(), *faults]
    lost, unseen = _write_reports(suite, outcomes, told, notes)
    for line in reports.printed([*lost, *unseen]):
        write(line)
    for line in report.blocks(outcomes):
        write(line, **_colour(line))
    for fault in [*faults, *map(str, lost)]:
        write(f"ERROR: {fault}", red=True)
    for note in [*notes, *(f"{one}; no verdict changes by that" for one in unseen)]:
        write(f"NOTE: {note}")
    if suite.options.gate and github.is_here():
        for line in github.commands(outcomes, suite.layouts(), [*told, *map(str, lost)], notes):
            write(line)
    return not lost


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


def _write_reports(
    suite: Suite, outcomes: list[Outcome], faults: list[str], notes: list[str]
) -> tuple[list[Lost], list[Lost]]:
    """Write what is wanted, if there is anything to say; the reports that were lost, and so the step's summary."""
    from pytest_lance_autoresearch.words import markdown, report

    if not (outcomes or faults):
        return [], []
    found = {"trials": [report.as_json(outcome) for outcome in outcomes], "faults": faults, "notes": notes}
    table = markdown.table(outcomes, faults, notes)
    texts = {"json": json.dumps(found, indent=2, allow_nan=False) + "\n", "markdown": table}
    lost = [reports.write(name, path, texts[name]) for name, path in suite.options.reports.items()]
    unseen = github.write_summary(table) if suite.options.gate and github.is_here() else None
    return list(filter(None, lost)), [unseen] if unseen else []


def _colour(line: str) -> dict[str, bool]:
    """What is good, in doubt or wrong has a colour that can be read on dark and on light; a discard has none.

    Yellow cannot be read on white, nor can what many terminals make of bold green.
    """
    key, _, value = line.partition(": ")
    if key != "verdict" or value == Status.DISCARD:
        return {}
    good = value.startswith((Status.KEEP, Status.BASELINE, Status.PASS))
    in_doubt = value in ("none", Status.INCONCLUSIVE, Status.INVALID)
    return {"green" if good else "purple" if in_doubt else "red": True}
