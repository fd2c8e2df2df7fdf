"""The gate about a kernel whose answers may be approximate, whole: what is kept, and what the log says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import toys
from test_gate import GATE, block, rows

from pytest_lance_autoresearch.command.verbs import main
from pytest_lance_autoresearch.log import codec, history
from pytest_lance_autoresearch.records import Rules

INPUTS = """
from typing import NamedTuple
import numpy as np

K = 10

class Shape(NamedTuple):
    rows: int

class State(NamedTuple):
    values: np.ndarray

SHAPES = (Shape(2000), Shape(2400), Shape(2011))
DISTRIBUTIONS = ("uniform", "normal", "squares")
EDGE_DISTRIBUTIONS = ("zeros", "large")

def make_state(shape, distribution, rng):
    return State(drawn(distribution, shape.rows, rng))

def make_call(shape, distribution, state, rng):
    return (drawn(distribution, 1, rng),)

def drawn(distribution, count, rng):
    values = rng.standard_normal(count) if distribution == "normal" else rng.random(count)
    power, scale = {"squares": (2, 1), "zeros": (1, 0), "large": (1, 1e12)}.get(distribution, (1, 1))
    return scale * values**power
"""

TARGET = """
import numpy as np
from pytest_lance_autoresearch import compare
from pytest_lance_autoresearch.records import Lossy

UNIT = "query"
LOSSY = Lossy(0.01, dict.fromkeys(("uniform", "normal", "squares", "zeros", "large"), 0.85))

def ops(shape):
    return 1

def bind(impl, state):
    return impl.Kernel(state.values).nearest

def check(actual, expected, call):
    return compare.recall(actual, np.abs(expected - call[0]), 10)
"""

REFERENCE = """
class Kernel:
    def __init__(self, values):
        self.values = values

    def nearest(self, query):
        return self.values
"""

KERNEL = """import numpy as np


class Kernel:
    def __init__(self, values):
        self.values = values

    def nearest(self, query):
        return np.argsort(np.abs(self.values - query))[:10]
"""
FASTER = KERNEL.replace(
    "np.argsort(np.abs(self.values - query))", "np.argpartition(np.abs(self.values - query), 10)"
)
SLOPPY = FASTER.replace(
    "self.values = values", "self.values = np.where(np.arange(values.size) % 20, values, np.inf)"
)
"""It passes the check of correctness: it finds 19 rows of 20, which is above the floor."""
BLIND = FASTER.replace(
    "self.values = values", "self.values = np.where(np.arange(values.size) % 2, values, np.inf)"
)


@pytest.fixture
def judged(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project whose log holds a baseline."""
    write(pytester.path, KERNEL)
    assert pytester.runpytest(*GATE).ret == 0
    return pytester


def write(root: Path, text: str, **changed: str) -> None:
    toys.write(root, text=text, **{"inputs": INPUTS, "target": TARGET, "reference": REFERENCE, **changed})


def test_a_kernel_below_the_floor_is_incorrect(judged: pytest.Pytester) -> None:
    write(judged.path, BLIND)
    result = judged.runpytest(*GATE)
    assert result.ret == 1
    found = block(result)
    assert found["verdict"] == "incorrect"
    assert found["reason"].startswith("incorrect: 2000-")
    assert ": the recall of 32 published calls is 0." in found["reason"]
    assert found["reason"].endswith("; expected at least 0.85")


@pytest.mark.slow
def test_more_speed_for_less_recall_is_a_discard(judged: pytest.Pytester) -> None:
    write(judged.path, SLOPPY)
    result = judged.runpytest(*GATE, "--autoresearch-description=every twentieth row left out")
    assert result.ret == 10
    found = block(result)
    assert found["reason"].startswith("discard: geomean ")
    assert ", but the recall of 2" in found["reason"]
    assert " points (limit -1); recall 0.9" in found["reason"]
    both, _, of_a_case = found["recall"].partition("; ")
    assert both.endswith(" (baseline 1.0000)")
    assert of_a_case.endswith(" points")
    row = rows(judged.path)[-1]
    assert row.description == f"every twentieth row left out; recall {both}"
    assert main(["verify", "targets/toy/results.tsv"]) == 0


@pytest.mark.slow
def test_the_same_recall_with_more_speed_is_a_keep(judged: pytest.Pytester) -> None:
    write(judged.path, FASTER)
    result = judged.runpytest(*GATE, "--autoresearch-json=verdict.json")
    assert (result.ret, block(result)["verdict"]) == (0, "keep")
    assert block(result)["recall"].startswith("1.0000 (baseline 1.0000); ")
    (told,) = json.loads((judged.path / "verdict.json").read_text())["trials"]
    assert {one["baseline"] for one in told["recalls"].values()} == {1.0}
    row = rows(judged.path)[-1]
    pairs = codec.trial_from_json(history.record_text(judged.path, row)).evidence.pairs
    assert [pair.recalled for pair in pairs[: Rules.pairs]] == [()] * Rules.pairs, "its states are published"
    assert all(pair.recalled for pair in pairs[Rules.pairs :])
    assert sum(one.calls for pair in pairs for one in pair.recalled) > 9 * 600


def test_a_target_that_becomes_lossy_begins_anew(judged: pytest.Pytester) -> None:
    """What was judged exactly is not compared with what need not be exact."""
    write(judged.path, FASTER, target=TARGET.replace("0.85", "0.8"))
    result = judged.runpytest(*GATE)
    assert result.ret == 13
    assert "target.py changed since the baseline, trial 1; speeds before and after" in block(result)["reason"]
