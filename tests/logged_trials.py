"""Trials of the toy, judged from made-up windows and logged as the gate does."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from pathlib import Path

import toys
from builders import evidence, figures, measured, outcome

from pytest_lance_autoresearch.log import gate, results
from pytest_lance_autoresearch.records import Outcome, Pair, Rules, Status
from pytest_lance_autoresearch.target_files import discover, load
from pytest_lance_autoresearch.verdict import judge


def write_row(root: Path, looks: list[list[Pair]], kernel: str, *, rebaseline: bool = False) -> results.Row:
    """Log a first baseline, or judge the looks beside the best kept kernel and log the verdict."""
    target, opened = _opened(root, kernel, rebaseline=rebaseline)
    if opened.baseline is None:
        first = outcome(Status.BASELINE, "baseline")
        return _logged(opened, target, first, measured(), "the first")
    sizes = opened.baseline.code_size, target.kernel.code_size
    seen = evidence(*chain(*looks), looks=len(looks), sizes=sizes)
    judgement = judge.look(seen, Rules())
    judged = replace(outcome(Status(judgement.verdict), "judged"), figures=figures(), judgement=judgement)
    return _logged(opened, target, judged, gate.Measured(seen, Rules(), 1), "an idea")


def write_failure(root: Path, kernel: str) -> results.Row:
    """Log a kernel whose answers were wrong."""
    target, opened = _opened(root, kernel)
    return _logged(opened, target, outcome(Status.INCORRECT, "incorrect: wrong"), measured(), "a wrong idea")


def _opened(root: Path, kernel: str, *, rebaseline: bool = False) -> tuple[load.Target, gate.Gate]:
    target = load.load(discover.inspect(toys.write(root, text=kernel)))
    return target, gate.open_gate(target, root, target.layout.log_path, rebaseline=rebaseline)


def _logged(
    opened: gate.Gate, target: load.Target, ended: Outcome, seen: gate.Measured, description: str
) -> results.Row:
    assert opened.log_path is not None
    against = opened.row.trial if opened.row else None
    gate.write(opened, target, replace(ended, target="toy", baseline_trial=against), seen, description)
    return results.read(opened.log_path)[-1]
