"""Honest kernels that look suspicious are never refused: every check passes, whether they are faster or not.

Whether the faster ones are kept is measured by benchmarks/honest.py: that takes minutes and a quiet machine.
"""

from __future__ import annotations

from pathlib import Path

import corpus
import pytest

from pytest_lance_autoresearch.target_files import policy

SOME = ("-k", "96x8x or 128x16x or properties")
ITEMS = ("--autoresearch=pq-l2", "--autoresearch-seed=7", "-m", "autoresearch_correctness", *SOME)
"""The checks of two of the three shapes, and the properties, which have all lengths of sub-vectors."""


def test_there_are_ten() -> None:
    assert len(corpus.HONEST) == 10


@pytest.mark.parametrize("name", corpus.HONEST)
def test_its_source_is_accepted(name: str) -> None:
    assert policy.violation(corpus.source("honest", name).encode()) == ""


@pytest.mark.slow
@pytest.mark.parametrize("name", corpus.HONEST)
def test_every_answer_is_right(name: str, shared_cache: Path, pytester: pytest.Pytester) -> None:
    corpus.write_project(pytester.path)
    corpus.kernel(pytester.path, "pq-l2").write_text(corpus.source("honest", name))
    result = pytester.runpytest_inprocess(*ITEMS, *corpus.plain(shared_cache))
    result.assert_outcomes(passed=19, deselected=18)
