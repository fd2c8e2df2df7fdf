"""The command line as a test uses it: logs written without measuring, and what a verb said of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import toys
from builders import evidence, outcome

from pytest_lance_autoresearch.command.verbs import main
from pytest_lance_autoresearch.log import gate, results
from pytest_lance_autoresearch.records import Cause, Interval, Judgement, Rules, Status, Verdict
from pytest_lance_autoresearch.target_files import discover, load

LOG = "results.tsv"
DOCUMENTED = Rules()
FIRST, SECOND, THIRD, FOURTH, FIFTH = (f"{toys.KERNEL}NUMBER = {number}\n" for number in range(5))
CLAIM = Interval(1.1, 1.2, 1.3)


def write_row(
    root: Path,
    text: str,
    claim: Interval | None = None,
    *,
    status: Status = Status.KEEP,
    name: str = "toy",
    rebaseline: bool = False,
    rules: Rules | None = DOCUMENTED,
) -> results.Row:
    """Log a kernel without measuring it: as a baseline where the gate knows none, else with what is claimed."""
    target = load.load(discover.inspect(toys.write(root, name, text)))
    opened = gate.open_gate(target, root, root / LOG, rebaseline=rebaseline)
    ended = outcome(status if opened.row else Status.BASELINE)
    judgement = Judgement(Verdict(status), Cause.FASTER, claim) if claim else None
    handed_over = gate.Measured(evidence(), rules, seed=1)  # type: ignore[arg-type]  # None: another version's
    gate.write(opened, target, replace(ended, target=name, judgement=judgement), handed_over, "")
    return results.read(root / LOG)[-1]


@dataclass
class Said:
    """What a verb said."""

    code: int
    out: list[str]
    err: list[str]


Say = Callable[..., Said]
"""Runs a verb with its arguments."""


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> Said:
    code = main(list(map(str, arguments)))
    out, err = capsys.readouterr()
    return Said(code, out.splitlines(), err.splitlines())
