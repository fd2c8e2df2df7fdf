"""Pictures as files: what they show, and that those of the documents say what their logs do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import written_nights

from pytest_lance_autoresearch.log import archive, results
from pytest_lance_autoresearch.page import content, facts, palette, pictures
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
    assert [mark.word for mark in palette.MARKS if f">{mark.word}</text>" not in drawn] == ["passed", "regressed"]


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
    low, high = pictures._edges([Interval(point, point, point) for point in points], kept)
    assert [point for point in sorted({1.0, *points}) if low <= point <= high] == seen


@pytest.mark.parametrize(
    ("speedup", "ground"), [(1.0, ("blue", 0.0)), (4.0, ("blue", 1.0)), (0.25, ("orange", 1.0))]
)
def test_a_gain_is_as_strong_as_a_loss(speedup: float, ground: tuple[str, float]) -> None:
    assert palette.heat(speedup) == ground


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
