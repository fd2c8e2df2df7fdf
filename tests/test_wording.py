"""How texts are made to fit, and how paths are written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_lance_autoresearch.words import wording


@pytest.mark.parametrize(
    ("text", "most", "shown"),
    [
        ("all of it", 9, "all of it"),
        ("all of it in one loop", 20, "all of it in one ..."),
        ("all of it, in one loop", 17, "all of it, in ..."),
        ("all of it, in one loop", 14, "all of it ..."),
        ("indivisible" * 3, 14, "indivisible..."),
        ("a " + "indivisible" * 3, 14, "a indivisib..."),
    ],
)
def test_a_text_that_is_cut_ends_behind_a_word(text: str, most: int, shown: str) -> None:
    assert wording.cut(text, most) == shown
    assert len(shown) <= most


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("it took 12 ms", ["it took", "12 ms"]),
        ("it took -5.2 % of it", ["it took", "-5.2 % of", "it"]),
        ("it took 5 GB/s at once", ["it took", "5 GB/s at", "once"]),
        ("it took 5 months", ["it took 5", "months"]),
        ("a-hyphen-stays-whole", ["a-hyphen-s", "tays-whole"]),
    ],
)
def test_a_number_and_its_unit_stay_on_one_line(text: str, lines: list[str]) -> None:
    assert wording.wrapped(text, 10) == lines


def test_a_text_has_as_many_lines_as_it_may_have() -> None:
    assert wording.wrapped("one two three four", 9, most=1) == ["one ..."]
    assert wording.wrapped("one two three four", 9, hanging="  ") == ["one two", "  three", "  four"]
    assert wording.wrapped("a/long/path is", 9, long_words=False) == ["a/long/path", "is"]


def test_a_path_is_shown_as_one_would_type_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    assert wording.shown(here / "a.tsv") == wording.shown(Path("a.tsv")) == "a.tsv"
    assert wording.shown(tmp_path / "a.tsv") == f"..{os.sep}a.tsv"
    assert wording.shown(Path("/x")) == "/x"
