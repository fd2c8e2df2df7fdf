"""LLVM's remarks: which are read, whose they are, what they mean."""

from __future__ import annotations

import pytest

from pytest_lance_autoresearch.assembly import remarks
from pytest_lance_autoresearch.assembly.listing import Place
from pytest_lance_autoresearch.assembly.remarks import Remark

RECORDED = """
remark: kernels.py:9:1: loop not vectorized: cannot prove it is safe to reorder floating-point operations
remark: kernels.py:8:1: loop not vectorized
remark: <unknown>:0:0: loop not vectorized
what a kernel prints: remark
remark: /tmp/kernel-1/kernels.py:15:1: vectorized loop (vectorization width: 4, interleaved count: 4)
remark: kernels.py:9:1: loop not vectorized: cannot prove it is safe to reorder floating-point operations
remark: kernels.py:22:7: loop not vectorized: unsafe dependent memory operations in loop. Use #pragma clang loop
Unknown data dependence.
"""
SUM = Remark(
    Place("kernels.py", 9), "loop not vectorized: cannot prove it is safe to reorder floating-point operations"
)
BARE = Remark(Place("kernels.py", 8), "loop not vectorized")
DONE = Remark(Place("kernels.py", 15), "vectorized loop (vectorization width: 4, interleaved count: 4)")


def test_each_remark_with_a_line_is_read_once() -> None:
    found = remarks.read(RECORDED)
    assert found[:3] == [SUM, BARE, DONE]
    assert [remark.place.line for remark in found] == [9, 8, 15, 22]


def test_a_reason_is_worth_more_than_the_bare_fact() -> None:
    found = remarks.read(RECORDED)
    assert remarks.about(found, [Place("kernels.py", 8), Place("kernels.py", 9)]) == [SUM]
    assert remarks.about(found, [Place("kernels.py", 8)]) == [BARE]
    assert remarks.about(found, [Place("other.py", 9)]) == []


def test_what_could_not_be_moved_is_no_matter_where_there_are_vectors() -> None:
    moved = "remark: kernels.py:15:1: failed to move load: the loop may invalidate its value"
    assert remarks.about(remarks.read(f"{moved}\n{RECORDED}"), [Place("kernels.py", 15)]) == [DONE]
    assert remarks.read(moved)[0].meaning == (
        "it reads the same place again in every pass, since a store might change it: read it into a local before"
    )


def test_what_a_remark_means_is_said_in_plain_words() -> None:
    assert SUM.meaning == (
        "a float sum keeps its order, one addition after the other: fastmath=True, or several sums side by side"
    )
    assert BARE.meaning == DONE.meaning == ""
    assert (SUM.is_vectorized, SUM.is_refusal, DONE.is_vectorized, DONE.is_refusal) == (False, True, True, False)


@pytest.mark.parametrize("text", ["remark: " * 9999, "remark: a.py:1:1: \x00", f"remark: a.py:{'9' * 99}:1: x"])
def test_garbage_is_passed_over(text: str) -> None:
    assert [one for one in remarks.read(text) if one.text.strip("\x00 ")] == []


def test_no_more_are_read_than_anyone_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remarks, "MOST", 3)
    assert len(remarks.read("\n".join(f"remark: a.py:{line}:1: x" for line in range(1, 9)))) == 3
