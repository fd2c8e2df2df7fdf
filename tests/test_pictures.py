"""Pictures as files: what they show, and that those of the documents say what their logs do."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import written_nights
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from pytest_lance_autoresearch.log import archive, results
from pytest_lance_autoresearch.page import axes, content, embedded, facts, palette, pictures
from pytest_lance_autoresearch.records import Interval, Status

DOCUMENTED = Path(__file__).parent.parent / "docs" / "nights"


def section_of(log: Path, root: Path | None) -> content.Section:
    (section,) = content.sections(facts.read(log, results.read(log), root, ("targets/*",)))
    return section


@pytest.fixture(scope="module")
def section(tmp_path_factory: pytest.TempPathFactory) -> content.Section:
    written = written_nights.eventful(tmp_path_factory.mktemp("night"))
    return section_of(written.log, written.root)


@pytest.mark.parametrize("picture", pictures.PICTURES)
def test_every_picture_is_drawn_in_both_formats(section: content.Section, picture: str) -> None:
    assert pictures.as_file(section, picture, "png").startswith(b"\x89PNG")
    drawn = pictures.as_file(section, picture, "svg").decode()
    assert "A night on toy: 1.16 times as fast is claimed, 2 of 4 kept" in drawn
    assert "<a " not in drawn, "a picture of its own leads nowhere"


def test_a_picture_is_the_same_each_time(section: content.Section) -> None:
    assert len({pictures.as_file(section, "staircase", "svg") for _ in range(2)}) == 1


def test_every_way_to_end_has_its_word(section: content.Section) -> None:
    drawn = pictures.as_file(section, "staircase", "svg").decode()
    words = (
        "baseline",
        "kept",
        "discarded",
        "inconclusive",
        "incorrect",
        "crash",
        "timeout",
        "refused",
        "invalid",
    )
    assert [word for word in words if f">{word}</text>" not in drawn] == []


def test_cases_are_named_whatever_is_in_their_names(tmp_path: Path) -> None:
    """A log may hold anything; neither mathematics nor a missing letter stops a picture."""
    written = written_nights.begun(tmp_path)
    written.add(Status.BASELINE, cases=("$\\frac$", "\u6f22\x1b"))
    written.add(Status.KEEP, 0.1, cases=("$\\frac$", "\u6f22\x1b"))
    section = section_of(written.log, tmp_path)
    assert "$\\frac$" in pictures.as_file(section, "cases", "svg").decode()
    assert pictures.as_file(section, "cases", "png")


def test_what_cannot_be_drawn_is_said(tmp_path: Path) -> None:
    written = written_nights.begun(tmp_path)
    written.add(Status.BASELINE)
    section = section_of(written.log, tmp_path)
    assert {picture: pictures.lacking(section, picture) for picture in pictures.PICTURES} == {
        "staircase": "",
        "cases": "nothing was kept",
        "forest": "no trial was measured beside a baseline",
        "time": "",
    }


@pytest.mark.parametrize(
    ("points", "kept", "seen"),
    [
        ([0.9, 1.3], [1.3], [0.9, 1.0, 1.3]),
        ([0.1, 1.02], [1.02], [1.0, 1.02]),
        ([0.5, 9.0], [9.0], [0.5, 1.0, 9.0]),
        ([1.5, 1.01], [], [1.0, 1.01]),
    ],
)
def test_what_is_far_off_does_not_press_the_rest_together(
    points: list[float], kept: list[float], seen: list[float]
) -> None:
    low, high = axes.edges([Interval(point, point, point) for point in points], kept)
    assert [point for point in sorted({1.0, *points}) if low <= point <= high] == seen


def test_a_gain_is_as_strong_as_a_loss() -> None:
    scale = palette.scale([0.25, 2.0])
    assert scale.heat(4.0) == ("faster", palette.MOST_GROUND)
    assert scale.heat(0.25) == ("slower", palette.MOST_GROUND)
    assert scale.heat(2.0).strength == scale.heat(0.5).strength


def test_a_trial_without_a_speed_up_has_no_place_among_the_speeds(section: content.Section) -> None:
    placed, _ = pictures._climbed(section)
    assert [one.row.trial.row.trial for one in placed] == [1, 2, 3, 9, 10, 11, 12, 13]
    assert pictures._ends(section) == ["incorrect", "crash", "timeout", "refused", "invalid"]
    drawn = pictures.as_file(section, "staircase", "svg").decode()
    assert [end for end in pictures._ends(section) if f">{end}</text>" not in drawn] == []


def test_a_line_is_drawn_where_the_best_kernel_is_known(section: content.Section) -> None:
    lines = [(at, [f"{one:.2f}" for one in stairs]) for at, stairs in pictures._stairs(section.night.trials)]
    assert lines == [(1, ["1.00", *["1.22"] * 7]), (9, ["1.00", "1.00", "1.11", "1.16", "1.16"])]


def test_no_line_is_drawn_from_a_damaged_row_on(tmp_path: Path) -> None:
    written = written_nights.begun(tmp_path)
    for status, gain in ((Status.BASELINE, 0.0), (Status.KEEP, 0.1), (Status.KEEP, 0.1), (Status.KEEP, 0.1)):
        written.add(status, gain)
    lines = written.log.read_text().splitlines(keepends=True)
    written.log.write_text("".join([*lines[:4], *lines[5:]]))
    section = section_of(written.log, tmp_path)
    assert [(at, len(stairs)) for at, stairs in pictures._stairs(section.night.trials)] == [(1, 2)]
    assert pictures._ends(section) == [pictures.NO_PLACE]
    assert list(pictures.under_staircase(section)) == [
        "The line is the best kernel so far.",
        "Each mark is a trial: its height is how fast its own kernel was, the bar its interval.",
        "A trial without a speed-up stands below, in the row of how it ended.",
        "Where the line ends, a row was changed or is missing: from there on neither the best kernel's height is "
        "known nor that of a trial beside it.",
        "Every mark leads to its trial's row in the table.",
    ]


def test_a_log_without_a_baseline_has_no_line(tmp_path: Path) -> None:
    written = written_nights.begun(tmp_path)
    written.add(Status.PASS, 0.0)
    section = section_of(written.log, tmp_path)
    assert list(pictures._stairs(section.night.trials)) == []
    assert next(pictures.under_staircase(section)).startswith("Each mark is a trial")


def test_what_goes_on_beyond_an_edge_ends_in_an_arrowhead(section: content.Section) -> None:
    said = "An arrowhead at the edge: the bar goes on beyond it, or the mark lies there itself."
    for under in (pictures.under_staircase, pictures.under_forest):
        assert said in under(section)
    for picture in ("staircase", "forest"):
        with embedded.styled():
            panel = pictures.PICTURES[picture](section, pictures.BROAD_IN).axes[0]
        edge = (panel.get_ylim() if picture == "staircase" else panel.get_xlim())[0]
        marks = [one for one in panel.collections if isinstance(one, PathCollection)]
        heads = [np.asarray(one.get_offsets()) for one in marks if str(one.get_label()).startswith("_")]
        assert [edge in head for head in heads] == [True], "trial 3 is far slower"


def test_nothing_is_said_of_arrowheads_where_there_are_none(tmp_path: Path) -> None:
    written = written_nights.begun(tmp_path)
    written.add(Status.BASELINE)
    written.add(Status.KEEP, 0.1)
    section = section_of(written.log, tmp_path)
    said = [*pictures.under_staircase(section), *pictures.under_forest(section)]
    assert not [sentence for sentence in said if "arrowhead" in sentence]


def test_an_axis_of_speed_ups_names_1() -> None:
    for drawn in (axes.Edges(0.97, 9.0), axes.Edges(0.8, 2.2), axes.Edges(0.99, 1.02)):
        panel = Figure().add_subplot()
        axes.speedups(panel, "y", drawn)
        assert [tick for tick in panel.get_yticks() if tick == pytest.approx(1)]


@pytest.mark.parametrize("log", sorted(DOCUMENTED.glob("*-results.tsv")))
def test_a_documented_night_s_picture_says_what_its_log_and_its_page_do(log: Path) -> None:
    target = log.name.removesuffix("-results.tsv")
    section = section_of(log, None)
    page, drawn = (log.with_name(f"{target}{suffix}").read_text() for suffix in (".md", ".svg"))
    assert f"{target}.svg)" in page
    assert f"plot docs/nights/{log.name} -o docs/nights/{target}.svg" in page
    assert section.night.claimed is not None
    assert f"{section.night.claimed.point:.2f} times as fast was claimed" in page
    assert content.title(section.night) in drawn
    assert len(re.findall("<use ", drawn)) >= len(section.trials)


def test_a_documented_night_has_no_archive_of_its_own() -> None:
    assert not (DOCUMENTED / archive.FOLDER).exists()
