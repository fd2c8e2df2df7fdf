"""What changed between two kernels is shown line by line, coloured, cut where it is long, and never obeyed."""

from __future__ import annotations

import re

from pytest_lance_autoresearch.page import differences
from pytest_lance_autoresearch.page.differences import between

BEFORE = b"def run(x):\n    # one\n    return x\n"
AFTER = b"def run(x):\n    # one\n    y = 2 * x\n    return y\n"


def plain(found: differences.Difference) -> list[str]:
    return [f"{line.sign} {line.text.striptags()}" for line in found.lines]


def test_what_went_and_what_came_stand_among_what_stayed() -> None:
    found = between(BEFORE, AFTER)
    assert found is not None
    assert [line.rstrip() for line in plain(found)] == [
        "@ line 1",
        "  def run(x):",
        "  # one",
        "- return x",
        "+ y = 2 * x",
        "+ return y",
    ]
    assert (found.added, found.removed, found.left_out) == (2, 1, 0)


def test_words_have_their_colours_whatever_line_they_begin_in() -> None:
    found = between(b"x = 1\n", b'"""of\ntwo lines"""\n')
    assert found is not None
    assert [str(line.text) for line in found.lines if line.sign == "+"] == [
        '<span class="string">&quot;&quot;&quot;of</span>',
        '<span class="string">two lines&quot;&quot;&quot;</span>',
    ]


def test_each_kind_of_word_has_its_colour() -> None:
    found = between(b"", b"@njit(cache=True)\ndef run(x1):  # if\n    return x1 * 1e-5 if x1 else 0\n")
    assert found is not None
    coloured = re.findall(r'<span class="(\w+)">(.*?)</span>', "".join(str(line.text) for line in found.lines))
    assert coloured == [
        ("name", "@njit"),
        ("keyword", "True"),
        ("keyword", "def"),
        ("name", "run"),
        ("comment", "# if"),
        ("keyword", "return"),
        ("numeral", "1e-5"),
        ("keyword", "if"),
        ("keyword", "else"),
        ("numeral", "0"),
    ]


def test_a_kernel_s_text_is_shown_and_not_obeyed() -> None:
    found = between(b"", "x = '<b>' # \x1b\u202e\t\r\n".encode() + b"</pre><script>\xff")
    assert found is not None
    text = "".join(str(line.text) for line in found.lines)
    assert "<b>" not in text
    assert "<script>" not in text
    assert r"\x1b\u202e" in text
    assert "\ufffd" in text


def test_the_same_kernel_has_no_difference() -> None:
    assert between(BEFORE, BEFORE) == differences.Difference((), 0, 0, 0)


def test_a_long_difference_is_cut_and_counted_whole() -> None:
    long = "".join(f"x{i} = {i}\n" for i in range(1000)).encode()
    found = between(b"", long)
    assert found is not None
    assert len(found.lines) == differences.MOST_LINES
    assert found.added == 1000
    assert found.left_out == 1002 - differences.MOST_LINES  # its place, and the empty line that it replaces


def test_what_is_too_long_is_not_compared() -> None:
    assert between(b"", bytes(differences.MOST_BYTES + 1)) is None
