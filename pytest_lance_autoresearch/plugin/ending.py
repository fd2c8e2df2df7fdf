"""The end of a session: its exit status, the blocks after everything else, and their JSON.

Owns where they are written and in which colour; their words are `report`'s.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from pytest_lance_autoresearch.plugin.observers import reporter_of
from pytest_lance_autoresearch.plugin.suite import SUITE
from pytest_lance_autoresearch.records import NO_VERDICT_EXIT_CODE

if TYPE_CHECKING:
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
    """The blocks of all trials, and the faults that kept trials from having one; the JSON too, if it is wanted."""
    from pytest_lance_autoresearch.words import report

    reporter = reporter_of(config)
    write = reporter.write_line if reporter else lambda line, **_: print(line, file=sys.stdout)  # noqa: T201
    for outcome in outcomes:
        for line in report.block(outcome):
            write(line, **_colour(line))
    path = config.stash[SUITE].options.json
    if path is not None:
        told = [*config.stash[SUITE].faults.values(), *faults]
        faults += _write_json(path, [report.as_json(outcome) for outcome in outcomes], told)
    for fault in faults:
        write(f"ERROR: {fault}", red=True)


def _colour(line: str) -> dict[str, bool]:
    key, _, value = line.partition(": ")
    if key != "verdict":
        return {}
    good = value.startswith(("keep", "baseline"))
    return {"green" if good else "yellow" if value in ("none", "inconclusive") else "red": True, "bold": True}


def _write_json(path: Path, blocks: list[dict[str, object]], faults: list[str]) -> list[str]:
    """The sentence about why it could not be written, if it could not."""
    try:
        path.write_text(json.dumps({"trials": blocks, "faults": faults}, indent=2, allow_nan=False) + "\n")
    except OSError as error:
        return [f"--autoresearch-json={path}: cannot be written: {error.strerror}"]
    return []
