"""The end of a session on the terminal: colours, and whose rows pytest-benchmark's table shows."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pytest_lance_autoresearch.plugin import ending
from pytest_lance_autoresearch.plugin.suite import SUITE
from pytest_lance_autoresearch.records import Status

COLOURS = {
    **dict.fromkeys(("keep", "keep (simpler)", "baseline", "pass"), "green"),
    **dict.fromkeys(("none", "inconclusive", "invalid"), "purple"),
    **dict.fromkeys(("incorrect", "crash", "timeout", "refused", "regressed"), "red"),
}


def test_every_verdict_has_the_colour_of_what_it_means() -> None:
    for value, colour in COLOURS.items():
        assert ending._colour(f"verdict: {value}") == {colour: True}
    assert {*map(str, Status)} - set(COLOURS) == {"discard"}
    assert ending._colour("verdict: discard") == ending._colour("reason: keep: geomean") == {}


OWN, OTHERS = {"fullname": "targets/toy/kernels.py::test_speed[a]"}, {"fullname": "tests/test_x.py::test_x"}


def shown(*typed: str, gate: str = "", terminal: bool = False, addopts: Sequence[str] = ()) -> list[Any]:
    """What is left of a table with a row of a target, and one of others beside another target's."""
    suite = SimpleNamespace(options=SimpleNamespace(gate=gate), own_items={OWN["fullname"]})
    config = SimpleNamespace(
        stash={SUITE: suite},
        pluginmanager=SimpleNamespace(getplugin=lambda _: SimpleNamespace(isatty=terminal)),
        getini=lambda _: list(addopts),
        invocation_params=SimpleNamespace(args=typed),
    )
    return ending.without_own_rows(cast("pytest.Config", config), [("toy", [OWN]), (None, [OTHERS, OWN])])


def test_rows_of_targets_are_shown_to_a_person_who_asks_for_no_verdict() -> None:
    whole = [("toy", [OWN]), (None, [OTHERS, OWN])]
    assert shown(terminal=True) == whole
    for found in (shown(), shown(gate="--keep-gate"), shown(gate="--keep-gate", terminal=True)):
        assert found == [(None, [OTHERS])]


def test_rows_of_targets_are_shown_where_they_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = [("toy", [OWN]), (None, [OTHERS, OWN])]
    assert shown("--benchmark-columns=min,max", gate="--keep-gate") == whole
    assert shown("--benchmark-sort", "name", gate="--keep-gate") == whole
    assert shown(gate="--keep-gate", addopts=["--benchmark-verbose"]) == whole
    assert shown("--benchmark-json=x.json", "--benchmark-disable-gc", gate="--keep-gate") != whole
    monkeypatch.setenv("PYTEST_ADDOPTS", "--benchmark-group-by=name")
    assert shown(gate="--keep-gate") == whole
