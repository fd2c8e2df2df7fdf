"""What GitHub Actions shows of the verdicts: the summary of the step, and annotations of the kernels' files.

Owns how that system is seen and spoken to; see docs.github.com, "Workflow commands" and "Variables".
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_lance_autoresearch.plugin.reports import Lost
from pytest_lance_autoresearch.records import Status

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_lance_autoresearch.records import Layout, Outcome

_DATA = {"%": "%25", "\r": "%0D", "\n": "%0A"}
_PROPERTY = {**_DATA, ":": "%3A", ",": "%2C"}
_UNSURE = (Status.INCONCLUSIVE, Status.INVALID, None)


def is_here() -> bool:
    return os.environ.get("GITHUB_ACTIONS") == "true"


def write_summary(markdown: str) -> Lost | None:
    """Add to the step's summary; what was lost where that fails."""
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if not path:
        return None
    try:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(f"\n{markdown}")
    except OSError as error:
        return Lost(f"GITHUB_STEP_SUMMARY={path}", str(error.strerror), markdown)
    return None


def commands(
    outcomes: Sequence[Outcome], layouts: Mapping[str, Layout], faults: Sequence[str], notes: Sequence[str]
) -> list[str]:
    """One workflow command for each target, about the file of its kernel, and one for each fault and each note."""
    of_targets = [_annotation(outcome, layouts[outcome.target].kernel_path) for outcome in outcomes]
    others = [("error", fault) for fault in faults] + [("notice", note) for note in notes]
    return [*of_targets, *(f"::{kind}::{_escaped(text, _DATA)}" for kind, text in others)]


def _annotation(outcome: Outcome, kernel: Path) -> str:
    kind = "notice" if outcome.is_passed else "warning" if outcome.status in _UNSURE else "error"
    workspace = os.environ.get("GITHUB_WORKSPACE") or Path.cwd()
    place = os.path.relpath(kernel, workspace)
    properties = {"file": place, "line": "1", "title": f"{outcome.target}: {outcome.status or 'no verdict'}"}
    told = ",".join(f"{name}={_escaped(value, _PROPERTY)}" for name, value in properties.items())
    return f"::{kind} {told}::{_escaped(outcome.reason, _DATA)}"


def _escaped(text: str, characters: Mapping[str, str]) -> str:
    return "".join(characters.get(character, character) for character in text)
