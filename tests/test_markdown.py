"""The table in Markdown, whole, and what of a foreign text it lets through."""

from __future__ import annotations

from dataclasses import replace

from builders import SPEEDUP, figures, outcome

from pytest_lance_autoresearch.records import Cause, Judgement, Outcome, Status, Verdict
from pytest_lance_autoresearch.words import markdown

HEAD = "| target | verdict | speed-up | time | memory | why |\n| --- | --- | --- | --- | --- | --- |\n"


def passed() -> Outcome:
    return replace(
        outcome(Status.PASS, "pass: not slower"),
        figures=figures(),
        judgement=Judgement(Verdict.PASS, Cause.NOT_SLOWER, SPEEDUP),
    )


def cells(one: Outcome) -> list[str]:
    return markdown.table([one], []).splitlines()[2].removeprefix("| ").removesuffix(" |").split(" | ")


def test_a_row_for_each_target_the_notes_below_and_then_the_faults() -> None:
    first = replace(passed(), notes=("waited 70 s for its turn to measure; that counts against no budget",))
    second = replace(outcome(None, "no verdict: git:v9: why"), target="other", notes=("a note", "another"))
    assert markdown.table([first, second], ["target 'third': missing target.py"]) == (
        f"{HEAD}"
        "| demo | **pass** | 1.0400 [1.0300, 1.0500] | 1.00 us/query | 300 MB | pass: not slower |\n"
        "| other | **none** |  |  |  | no verdict: git:v9: why |\n"
        "\n"
        "- demo: waited 70 s for its turn to measure; that counts against no budget\n"
        "- other: a note\n"
        "- other: another\n"
        "- target 'third': missing target.py\n"
    )


def test_notes_of_the_whole_run_follow_those_of_its_targets() -> None:
    one = replace(outcome(None, "x"), notes=("its own",))
    points = markdown.table([one], ["a fault"], ["of all"]).splitlines()[4:]
    assert points == ["- demo: its own", "- of all", "- a fault"]


def test_a_name_that_is_no_text_is_spelt_out() -> None:
    """A folder's, as git has it: the table is UTF-8."""
    assert markdown.table([], ["in old\udcff"]) == "- in old\\\\udcff\n"


def test_rows_without_a_note_end_the_table() -> None:
    assert markdown.table([outcome(Status.INVALID, "invalid: x")], []) == (
        f"{HEAD}| demo | **invalid** |  |  |  | invalid: x |\n"
    )


def test_without_a_row_there_are_the_faults_alone() -> None:
    assert markdown.table([], ["target 'third': missing target.py"]) == "- target 'third': missing target.py\n"


def test_a_smaller_kernel_is_kept_for_that() -> None:
    kept = replace(passed(), status=Status.KEEP, judgement=Judgement(Verdict.KEEP, Cause.SIMPLER, SPEEDUP))
    assert cells(kept)[1] == "**keep (simpler)**"


def test_what_was_not_measured_is_an_empty_cell() -> None:
    assert cells(replace(passed(), judgement=Judgement(Verdict.PASS, Cause.IDENTICAL)))[2] == ""
    assert cells(replace(passed(), figures=replace(figures(), peak_rss_bytes=None)))[4] == ""


def test_a_sentence_of_which_a_kernel_made_a_part_is_shown_as_it_is() -> None:
    """On one line of the table: no cell, no link, no picture, no element and no style of its own."""
    said = "crash: ValueError: a | b\n![x](https://example.org/*y*)\t<img src=`z`> &lt; \\ _u_"
    assert cells(replace(passed(), reason=said))[-1] == (
        "crash: ValueError: a \\| b !\\[x](https://example.org/\\*y\\*) \\<img src=\\`z\\`> \\&lt; \\\\ \\_u\\_"
    )
    assert markdown.table([], ["a <b>\nc"]) == "- a \\<b> c\n"
