"""The page of a night holds what the log holds, counted. It asks nothing of anyone; foreign text stays text."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

import page_reader
import pytest
import written_nights
from written_nights import Written

from pytest_lance_autoresearch.command import drawing
from pytest_lance_autoresearch.log import results
from pytest_lance_autoresearch.log.night import Trial
from pytest_lance_autoresearch.page import axes, belief, content, differences, facts, html, palette, pictures
from pytest_lance_autoresearch.page.belief import Kind
from pytest_lance_autoresearch.records import Calibration, Cause, Interval, Status
from pytest_lance_autoresearch.words import report, wording

LESSONS = "# Lessons\n\n- <b>no slices</b>\n- \x1b[31m\u202e red\n"
PARTS = ("best", "cases", "forest", "time", "tried", "trials", "changes", "price", "host", "lessons")


def facts_of(written: Written) -> list[facts.Facts]:
    root = written.root if written.archived else None
    return facts.read(written.log, results.read(written.log), root, ("targets/*",))


def section_of(written: Written) -> content.Section:
    (section,) = content.sections(facts_of(written))
    return section


def page_of(*written: Written, refresh_s: int = 0) -> page_reader.Page:
    found = [one for each in written for one in facts_of(each)]
    empty = [results.no_trial(each.log) for each in written if not results.read(each.log)]
    return page_reader.read(html.page(found, empty, "2026-11-27 06:00 UTC", "0", refresh_s))


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """Thirteen trials that ended in every way, audited, with lessons and a torn row."""
    written = written_nights.eventful(tmp_path_factory.mktemp("night"))
    rows = results.read(written.log)
    written.audit(rows[11], rows[8], Interval(1.15, 1.16, 1.17))
    written.log.with_name("lessons.md").write_text(LESSONS)
    with written.log.open("ab") as log:
        log.write(b"14\t2026")
    return written


@pytest.fixture(scope="module")
def page(night: Written) -> page_reader.Page:
    return page_of(night)


# What is on it


def test_every_trial_is_a_row_a_point_and_a_sentence(page: page_reader.Page) -> None:
    rows = [tag for tag in page.of("tr") if re.fullmatch(r"toy-trial-\d+", tag.attributes.get("id", ""))]
    assert len(rows) == 13
    for size in ("broad", "slim"):
        points = {tag.attributes["href"] for tag in page.of("a", inside=f"div.{size}")}
        assert points == {f"#{row.attributes['id']}" for row in rows}
    sentences = page.of("details", inside="td.idea")
    assert len(sentences) == 13
    assert "crash: what trial 5 came to" in sentences[4].text


def test_every_point_says_its_status_and_its_description(page: page_reader.Page) -> None:
    said = [tag.text for tag in page.of("title", inside="div.broad")]
    assert "trial 2: keep, -18.1 % [-18.2 %, -18.0 %]: unrolled" in said
    assert "trial 7: refused: ended as refused" in said


def test_a_keep_for_smaller_code_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(written_nights.CAUSES, Status.KEEP, Cause.SIMPLER)
    written = written_nights.begun(tmp_path)
    written.add(Status.BASELINE)
    written.add(Status.KEEP, 0.0)
    page = page_of(written)
    cells = [" ".join(cell.text.split()) for cell in page.of("td", inside="tbody.", class_="whole")]
    assert f"{palette.mark_of(Status.KEEP).symbol} keep (simpler)" in cells
    assert any(tag.text.startswith("trial 2: keep (simpler), ") for tag in page.of("title", inside="div.broad"))


def test_statuses_are_told_by_shape_and_word(page: page_reader.Page) -> None:
    cells = [" ".join(cell.text.split()) for cell in page.of("td", inside="tbody.", class_="whole")]
    for status in (
        Status.BASELINE,
        Status.KEEP,
        Status.DISCARD,
        Status.INCONCLUSIVE,
        Status.CRASH,
        Status.INVALID,
    ):
        assert f"{palette.mark_of(status).symbol} {status}" in cells
    marks = palette.MARKS
    assert len({mark.symbol for mark in marks}) == len({mark.marker for mark in marks}) == len(marks)
    assert {status for mark in palette.MARKS for status in mark.ends} == set(Status)


def test_cases_carry_their_numbers_claimed_and_audited(page: page_reader.Page) -> None:
    rows = page.of("tr", inside="table.heat")
    assert [" ".join(row.text.split()) for row in rows] == [
        "casenow, claimednow, auditedtrial 11trial 12",
        "all cases1.16 [1.16, 1.16]1.16 [1.15, 1.17]1.111.16",
        "2x3-flat1.16 [1.16, 1.16]1.16 [1.15, 1.17]1.111.16",
        "2x3-sorted1.16 [1.16, 1.16]1.16 [1.15, 1.17]1.111.16",
        "50x1-flat1.16 [1.16, 1.16]–1.111.16",  # noqa: RUF001
    ]


def test_the_headline_and_the_remarks_come_first(page: page_reader.Page) -> None:
    assert page.texts("p", class_="headline") == [
        "13 trials, of which 4 came after the newest baseline, trial 9; of these, 2 were kept. The best kernel is "
        "1.16 times as fast as the kernel of trial 9 (claimed 1.162 [1.160, 1.164]; audited 1.160 [1.150, 1.170] "
        "on 2026-11-27)."
    ]
    names = page.texts("h3")
    assert names[0] == "Is it to be believed?"
    assert len(names) == 1 + len(PARTS)


def test_what_was_tried_since_the_last_keep(page: page_reader.Page) -> None:
    (tried,) = page.texts("ul", class_="tried")
    assert tried == "trial 13 ▼ discard, +0.0 % [-0.1 %, +0.1 %]: the last"


def test_differences_between_keeps_the_first_one_open(page: page_reader.Page) -> None:
    changes = page.of("details", class_="change")
    assert ["open" in change.attributes for change in changes] == [True, False, False]
    titles = [" ".join(tag.text.split()) for tag in page.of("summary", inside="details.change")]
    assert titles == [
        "trial 11 to trial 12: +3 −2 lines: an idea",  # noqa: RUF001
        "trial 9 to trial 11: +2 −3 lines: an idea",  # noqa: RUF001
        "trial 9 to trial 12: +1 −1 lines: All that was kept, in one.",  # noqa: RUF001
    ]


def test_the_host_and_what_it_can_tell_apart(night: Written) -> None:
    (found,) = facts_of(night)
    calibration = Calibration(
        "toy", "vm (one)", "2026-11-25T00:00:00+00:00", 20, 30.0, 0.004, 0.003, 0.02, 19, 0.02
    )
    told = content.section(replace(found, calibrations=(calibration,)), "toy", "toy").host
    assert told == (
        ("host", "vm (one)"),
        ("host", "vm (two)"),
        (
            "calibration",
            "this host tells +-0.4 % on toy in 30 s; a slow-down of 2 % was seen in 19 of 20 runs, as +2.0 % "
            "(calibrated 2026-11-25)",
        ),
        ("versions", "numpy 2.0"),
        ("intervals", "half of them are narrower than +-0.11 %"),
    )


def test_where_the_time_went_adds_up(night: Written) -> None:
    section = section_of(night)
    for spent, trial in zip(section.spent, section.night.trials, strict=True):
        assert sum(spent) - spent.waited == pytest.approx(trial.row.seconds)
    assert [name for name, *_ in section.totals] == ["windows", "items, compiling, the rest"]


# What it must not do


def test_it_asks_no_network_and_runs_nothing(page: page_reader.Page) -> None:
    assert not {tag.name for tag in page.tags} & {"script", "iframe", "object", "embed", "link", "form", "img"}
    used = {name for tag in page.tags for name in tag.attributes}
    assert "src" not in used
    assert not [name for name in used if name.startswith("on")]
    links = {tag.attributes["href"] for tag in page.of("a")}
    assert all(link.startswith("#") for link in links)
    assert "url(http" not in page.source
    assert "@import" not in page.source
    (policy,) = page.of("meta", **{"http-equiv": "Content-Security-Policy"})
    assert policy.attributes["content"] == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def test_every_link_leads_somewhere_and_every_name_is_there_once(page: page_reader.Page) -> None:
    assert [name for name, count in page.ids.items() if count > 1] == []
    targets = {tag.attributes["href"].removeprefix("#") for tag in page.of("a")}
    targets |= {tag.attributes["xlink:href"].removeprefix("#") for tag in page.of("use")}
    targets |= set(re.findall(r"url\(#([^)]+)\)", page.source))
    targets |= {tag.attributes["aria-labelledby"] for tag in page.of("section")}
    assert targets <= set(page.ids)


def test_foreign_text_is_shown_and_not_obeyed(page: page_reader.Page) -> None:
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", page.source)
    hostile = page.of("tr", id="toy-trial-3")[0].text
    assert "<script>alert(1)</script> \"'&amp; \\u202eevil\\u202c \\x1b[31m \u00fcber \u6f22\u5b57" in hostile
    (lessons,) = page.of("pre", class_="lessons")
    assert lessons.text == "# Lessons\n\n- <b>no slices</b>\n- \\x1b[31m\\u202e red\n"


def test_pictures_take_the_page_s_colours(page: page_reader.Page) -> None:
    drawn = "".join(re.findall(r"<svg.*?</svg>", page.source, re.DOTALL))
    assert not re.findall(r"#[0-9a-f]{6}\b", drawn)
    assert set(re.findall(r"var\(--(\w+)\)", drawn)) <= set(palette.COLOURS)
    assert page.source.count("prefers-color-scheme: dark") == 2


@pytest.mark.parametrize("ground", ["light", "dark"])
def test_text_can_be_read_on_its_ground(ground: str) -> None:
    """Contrast of at least 4.5, as WCAG 2.1 asks of text; 3 of what is drawn."""
    style = Path(html.__file__).with_name("report.css").read_text()
    below = re.findall(r"--ground: (#[0-9a-f]{6})", style)[ground == "dark"]
    for name in ("ink", "grey", "blue", "green", "vermillion"):
        assert contrast(getattr(palette.COLOURS[name], ground), below) >= 4.5, name
    for mark in palette.MARKS:
        assert contrast(getattr(palette.COLOURS[mark.colour], ground), below) >= 3, mark.word


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_every_number_s_ground_is_its_own_and_its_text_can_be_read_on_it() -> None:
    scale = palette.scale([0.8, 2.87, 8.42])
    assert [scale.heat(speedup) for speedup in (1.0, 2.87, 8.42)] == [
        ("faster", 0.0),
        ("faster", 0.37),
        ("faster", 0.75),
    ]
    assert palette.scale([1.01]).heat(1.01).strength < 0.05, "what hardly differs is hardly coloured"
    style = Path(html.__file__).with_name("report.css").read_text()
    for ground, below in zip(("light", "dark"), re.findall(r"--ground: (#[0-9a-f]{6})", style), strict=True):
        for colour in palette.GROUNDS.values():
            mixed = mix(getattr(colour, ground), below, palette.MOST_GROUND)
            assert contrast(getattr(palette.COLOURS["ink"], ground), mixed) >= 4.5


def mix(colour: str, below: str, part: float) -> str:
    pairs = ((int(colour[i : i + 2], 16), int(below[i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{round(part * one + (1 - part) * other):02x}" for one, other in pairs)


def test_no_line_ends_within_a_date_an_interval_or_a_quantity() -> None:
    assert html._whole("1.2 [1.1, 1.3] on 2026-11-27, 95 % of 3 min <b>") == (
        '1.2 <span class="whole">[1.1, 1.3]</span> on <span class="whole">2026-11-27</span>, '
        '<span class="whole">95 %</span> of <span class="whole">3 min</span> &lt;b&gt;'
    )


def test_what_was_measured_again_is_shown_of_every_trial_of_that_kernel_and_explained(tmp_path: Path) -> None:
    written = written_nights.begun(tmp_path)
    first = written.add(Status.BASELINE)
    written.add(Status.INCONCLUSIVE, 0.1, kernel="x = 1\n")
    assert "Measured again" not in page_of(written).of("main")[0].text
    kept = written.add(Status.KEEP, 0.1, kernel="x = 1\n")
    written.audit(kept, first, Interval(1.09, 1.1, 1.11))
    page = page_of(written)
    cells = {" ".join(tag.text.split()) for tag in page.of("td", **{"data-name": "measured again"})}
    assert (cells, len(page.of("td", **{"data-name": "measured again"}))) == ({"-9.1 % [-9.9 %, -8.3 %]"}, 2)
    explained = (
        "Measured again: the change that an audit found later, of the same kernel beside the same baseline; "
        "trials of one kernel share it."
    )
    assert explained in page.of("main")[0].text


# Whether to believe it


def kinds(section: content.Section) -> dict[str, Kind]:
    return {remark.text: remark.kind for remark in section.remarks}


def test_what_was_looked_at(night: Written) -> None:
    section = section_of(night)
    log = night.log
    assert kinds(section) == {
        f"{log}: line 16 was cut off after 7 bytes, as by a crash; the trial that wrote it has no row, and the "
        f"next one moves what is left to 'results.tsv.torn'.": Kind.LOOK,
        "The trials since the newest baseline ran on 2 hosts; what is claimed is a product of gains that were "
        "measured on different machines.": Kind.LOOK,
        "What is claimed replicates: measured again on 2026-11-27, it was 1.160x [1.150, 1.170], with 95 % "
        "confidence over 4 pairs of processes.": Kind.GOOD,
        f"The chain of 13 rows is unbroken, and the archive holds the kernels and records that they name. Their "
        f"verdicts were not computed again from raw windows; 'python -m pytest_lance_autoresearch verify {log}' "
        f"does that.": Kind.GOOD,
        "1 of 6 measured trials ended inconclusive: trial 10.": Kind.KNOW,
        "The target has 2 baselines in this log; what is claimed counts from the newest, trial 9.": Kind.KNOW,
    }
    assert section.summary == "2 points to look at before you believe it."


def test_nothing_against_it(tmp_path: Path) -> None:
    written = written_nights.begun(tmp_path)
    first, second = written.add(Status.BASELINE), written.add(Status.KEEP, 0.1)
    written.audit(second, first, Interval(1.09, 1.1, 1.11))
    assert section_of(written).summary == "Nothing that was looked at speaks against it."


def test_an_audit_that_does_not_replicate(tmp_path: Path) -> None:
    written = written_nights.begun(tmp_path)
    first, second = written.add(Status.BASELINE), written.add(Status.KEEP, 0.1)
    written.audit(second, first, Interval(0.99, 1.0, 1.01))
    (against,) = [remark for remark in section_of(written).remarks if remark.kind is Kind.LOOK]
    assert against.text == (
        "What is claimed does NOT replicate: measured again on 2026-11-27, it was 1.000x [0.990, 1.010], with "
        "95 % confidence over 4 pairs of processes."
    )


def test_an_audit_of_an_older_keep_is_none_of_the_newest(tmp_path: Path) -> None:
    written = written_nights.begun(tmp_path)
    first, second = written.add(Status.BASELINE), written.add(Status.KEEP, 0.1)
    written.audit(second, first, Interval(1.09, 1.1, 1.11))
    written.add(Status.KEEP, 0.1)
    section = section_of(written)
    assert section.audit is None
    assert (
        f"Nobody has measured the kernel of trial 3 against the baseline again; "
        f"'python -m pytest_lance_autoresearch audit {written.log}' does."
    ) in kinds(section)


def test_what_was_changed_is_found_without_judging_again(tmp_path: Path) -> None:
    written = written_nights.begun(tmp_path)
    for status, gain in ((Status.BASELINE, 0.0), (Status.KEEP, 0.1), (Status.CRASH, 0.0)):
        written.add(status, gain)
    rows = results.read(written.log)
    (tmp_path / ".autoresearch/kernels" / f"{rows[1].kernel}.py").write_text("pass\n")
    text = written.log.read_text()
    written.log.write_text(text.replace("\t30.0\t", "\t31.0\t", 1))
    found = next(remark for remark in section_of(written).remarks if remark.details)
    assert found.text == (
        f"The check of 3 rows found 2 faults. Their verdicts were not computed again from raw windows; "
        f"'python -m pytest_lance_autoresearch verify {written.log}' does that."
    )
    assert found.details == (
        "trial 2: does not follow from the row before it; one of the two was changed",
        f"trial 2: its kernel (sha256 {rows[1].kernel[:12]}) is not in the archive, or was changed",
    )


def test_a_missing_row_leaves_the_claim_unknown(tmp_path: Path) -> None:
    written = written_nights.begun(tmp_path)
    kept = [written.add(status, 0.1) for status in (Status.BASELINE, Status.KEEP, Status.KEEP)]
    written.audit(kept[2], kept[0], Interval(1.15, 1.16, 1.17))
    first, second, baseline, _, last = written.log.read_text().splitlines(keepends=True)
    written.log.write_text("".join([first, second, baseline, last]))
    section = section_of(written)
    assert section.headline == (
        "2 trials: the baseline and 1 after it, of which 1 was kept. What is claimed is not known: trial 2 was "
        "changed or is missing; run verify. Audited: 1.160 [1.150, 1.170] on 2026-11-27."
    )
    assert section.remarks[0].text == (
        "What is claimed is not known: trial 2 was changed or is missing; run verify. The kernel that was kept "
        "last was measured again on 2026-11-27: 1.160x [1.150, 1.170]."
    )
    assert section.cases is not None
    assert {(row.claimed, row.after) for row in section.cases.rows} == {(None, (None,))}
    assert content.title(section.night) == "A night on toy: what is claimed is not known, 1 of 1 kept"
    page_of(written)


def test_a_missing_baseline_is_one_story(tmp_path: Path) -> None:
    written = written_nights.begun(tmp_path)
    for status in (Status.BASELINE, Status.KEEP, Status.DISCARD):
        written.add(status, 0.1)
    first, second, _, *others = written.log.read_text().splitlines(keepends=True)
    written.log.write_text("".join([first, second, *others]))
    section = section_of(written)
    unknown = "not known: trial 1 was changed or is missing; run verify"
    assert section.headline == f"2 trials, no baseline among them. What is claimed is {unknown}."
    assert content.title(section.night) == "A night on toy: what is claimed is not known, 1 of 2 kept"
    assert [remark.text for remark in section.remarks if "measured" in remark.text] == [
        "The row of the baseline is missing, so nothing that was kept can be measured against it again."
    ]
    page_of(written)


def test_a_changed_row_is_marked_and_has_a_line_without_a_mark(tmp_path: Path) -> None:
    written = written_nights.begun(tmp_path)
    for status, gain in (
        (Status.BASELINE, 0.0),
        (Status.KEEP, 0.1),
        (Status.DISCARD, -0.01),
        (Status.DISCARD, -0.02),
    ):
        written.add(status, gain)
    third = results.read(written.log)[2]
    written.log.write_text(written.log.read_text().replace(f"\t{third.speedup:.5f}\t", "\t9.00000\t", 1))
    section = section_of(written)
    assert [row.trial.marked_status for row in section.trials] == [
        "baseline",
        "keep",
        "discard (changed)",
        "discard",
    ]
    assert [row.trial.row.trial for row in pictures.forest_rows(section)] == [2, 3, 4]
    assert "A line without a mark is a trial whose row was changed: what was measured there is not known." in list(
        pictures.under_forest(section)
    )
    drawn = pictures.as_file(section, "forest", "svg").decode()
    assert [
        word for word in ("2 keep", "3 discard (changed)", "4 discard") if f">{word}</text>" not in drawn
    ] == []
    assert "discard (changed)" in " ".join(page_of(written).of("tbody")[-2].text.split())


def test_verdicts_by_thresholds_of_another_version_are_to_know(night: Written) -> None:
    (read,) = facts.read(night.log, results.read(night.log), night.root, ())

    def by_others(trial: Trial) -> Trial:
        assert trial.digest is not None
        return replace(trial, digest=replace(trial.digest, min_effect=None, version="0.0.9"))

    measured = [trial for trial in read.night.trials if trial.row.interval]
    for foreign, ending in (
        (measured[:1], "does that where their thresholds are known."),
        (measured, "they name."),
    ):
        trials = tuple(by_others(trial) if trial in foreign else trial for trial in read.night.trials)
        remarks = belief.remarks(replace(read, night=replace(read.night, trials=trials)))
        (said,) = report.of_other_versions(["0.0.9"] * len(foreign))
        assert belief.Remark(Kind.KNOW, f"{said}.") in remarks
        (checked,) = (remark for remark in remarks if "is unbroken" in remark.text)
        assert checked.text.endswith(ending)


def test_a_busy_machine_and_a_queue_are_said(night: Written) -> None:
    (found,) = facts_of(night)
    trials = [
        replace(t, digest=replace(t.digest, waited=0.2, waited_s=40.0)) if t.digest and t.row.interval else t
        for t in found.night.trials
    ]
    said = {
        r.text: r.kind for r in belief.remarks(replace(found, night=replace(found.night, trials=tuple(trials))))
    }
    assert (
        said[
            "20.0 % of the windows' time was spent waiting for a core, and was taken off; the most was 20.0 %, in "
            "trial 2. 0 of 2304 blocks were disturbed too much, and were set aside."
        ]
        is Kind.LOOK
    )
    assert said["6 trials waited for a turn to measure, 4 min 0 s in all."] is Kind.KNOW


def test_of_many_trials_the_first_are_named(tmp_path: Path) -> None:
    written = written_nights.begun(tmp_path)
    written.add(Status.BASELINE)
    for _ in range(12):
        written.add(Status.INCONCLUSIVE, 0.01)
    assert (
        kinds(section_of(written))[
            "12 of 12 measured trials ended inconclusive: trials 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 2 more."
        ]
        is Kind.LOOK
    )


def test_other_versions_are_said(night: Written) -> None:
    (found,) = facts_of(night)
    versions = (
        facts.Versions(1, {"numpy": "1.0", "numba": "1"}),
        facts.Versions(13, {"numpy": "2.0", "numba": "1"}),
    )
    said = [remark.text for remark in belief.remarks(replace(found, versions=versions))]
    assert "Trial 1 and trial 13 ran with different versions of numpy." in said


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.6, "1 min 0 s"), (250, "4 min 10 s"), (12_300, "3 h 25 min")]
)
def test_how_long_something_took(seconds: float, text: str) -> None:
    assert wording.span(seconds) == text


def test_the_documents_give_the_rules_own_numbers() -> None:
    said = (Path(__file__).parent.parent / "docs" / "report.md").read_text()
    assert f"more than {belief.MUCH_WAITING * 100:g} % of the windows' time" in said
    assert belief.MANY_OPEN == 1 / 3
    assert "more than a third of those that were measured" in said
    assert f"the {content.MOST_KEEPS} newest keeps" in said
    assert f"the {pictures.FOREST_TRIALS} newest that were measured" in said
    assert f"{differences.MOST_LINES} lines of each of the {content.MOST_DIFFERENCES} newest" in said
    assert f"more than {axes.NEAR} times as fast as the best kernel" in said
    assert f"every {drawing.REFRESH_S} s" in said


# Logs that lack something


def test_a_log_without_its_archive(tmp_path: Path) -> None:
    written = written_nights.begun(tmp_path, archived=False)
    for status, gain in ((Status.BASELINE, 0.0), (Status.KEEP, 0.1), (Status.REFUSED, 0.0)):
        written.add(status, gain)
    section = section_of(written)
    assert section.headline == (
        "3 trials: the baseline and 2 after it, of which 1 was kept. The best kernel is 1.11 times as fast as the "
        "first kernel (claimed 1.105 [1.104, 1.106]; not audited)."
    )
    assert (
        kinds(section)[
            "The chain of 3 rows is unbroken, but there is no archive beside the log: neither kernels nor records "
            "could be checked."
        ]
        is Kind.LOOK
    )
    assert section.changes[0].fault == (
        f"The kernel of trial 1 is not in the archive; 'python -m pytest_lance_autoresearch show {written.log} 2 "
        f"--diff' looks for it in git too."
    )
    assert [name for name, *_ in section.totals] == ["not known"]
    page = page_of(written)
    assert len(page.of("details", inside="td.idea")) == 3
    assert (
        "The verdict's sentence is not known: the log has no archive." in page.of("tr", id="toy-trial-3")[0].text
    )


def test_records_that_are_gone_leave_their_rows(tmp_path: Path) -> None:
    written = written_nights.eventful(tmp_path)
    shutil.rmtree(tmp_path / ".autoresearch/digests")
    gone = results.read(written.log)[11].record
    next((tmp_path / ".autoresearch/trials").glob(f"*{gone[:16]}*")).unlink()
    section = section_of(written)
    assert "1 of the 13 trials has no record that can be read; nothing but the row is known there." in kinds(
        section
    )
    assert section.cases is not None
    assert all(
        of_first and of_second is None for of_first, of_second in (row.after for row in section.cases.rows[1:])
    )
    assert section.cases.rows[1].claimed is None


def test_an_edited_log_with_a_number_twice_is_shown_row_by_row(tmp_path: Path) -> None:
    written = written_nights.begun(tmp_path, archived=False)
    written.add(Status.BASELINE)
    written.add(Status.KEEP, 0.1)
    with written.log.open("a") as log:
        log.write(written.log.read_text().splitlines()[-1] + "\n")
    page = page_of(written)
    assert [name for name in page.ids if "-trial-" in name] == ["toy-trial-1", "toy-trial-2", "toy-trial-2--2"]
    assert max(page.ids.values()) == 1


def test_a_log_of_the_regression_gate_claims_nothing_and_shows_all(tmp_path: Path) -> None:
    written = written_nights.begun(tmp_path)
    written.add(Status.PASS, 0.0)
    written.add(Status.REGRESSED, -0.1)
    section = section_of(written)
    assert section.headline == "2 trials, no baseline among them: nothing is claimed."
    assert [row.mark.word for row in section.trials] == ["passed", "regressed"]
    assert [row.trial.row.trial for row in pictures.forest_rows(section)] == [1, 2]


@pytest.mark.parametrize(
    ("trials", "headline"),
    [
        ([Status.CRASH], "1 trial, no baseline among them: nothing is claimed."),
        ([Status.BASELINE], "1 trial: the baseline. The first kernel is still the best."),
        (
            [Status.CRASH, Status.BASELINE, Status.CRASH],
            "3 trials, of which 1 came after the baseline, trial 2; of these, none was kept. The first kernel is "
            "still the best.",
        ),
        (
            [Status.BASELINE, Status.CRASH, Status.BASELINE],
            "3 trials; the last is the newest baseline, trial 3. The kernel of trial 3 is still the best.",
        ),
    ],
)
def test_nights_without_a_keep(tmp_path: Path, trials: list[Status], headline: str) -> None:
    written = written_nights.begun(tmp_path)
    for status in trials:
        written.add(status)
    page = page_of(written)
    assert page.texts("p", class_="headline") == [headline]
    text = " ".join(page.of("main")[0].text.split())
    assert "Nothing was kept, so no case gained anything." in text
    assert "No trial was measured beside a baseline." in text
    assert "Fewer than two kernels were kept, so there is nothing to compare." in text
    assert "There is no lessons.md, or it is empty." in text


def test_an_empty_log_is_said(tmp_path: Path) -> None:
    written = written_nights.begun(tmp_path)
    assert f"{results.no_trial(written.log)}." in page_of(written).of("main")[0].text


def test_two_logs_of_one_target_and_two_targets_of_one_log(tmp_path: Path) -> None:
    one, other = written_nights.begun(tmp_path / "one"), written_nights.begun(tmp_path / "other")
    for written in (one, other):
        written.add(Status.BASELINE)
        written.add(Status.KEEP, 0.1)
    other.add(Status.BASELINE, target="a <b>")
    page = page_of(one, other)
    assert [tag.attributes["id"] for tag in page.of("section")] == ["toy", "a-b-", "toy--2"]
    names = [f"toy ({one.log})", "a <b>", f"toy ({other.log})"]
    assert page.texts("h2") == names
    assert page.texts("title")[0] == f"2 targets: {', '.join(names)}"
    assert [tag.text for tag in page.of("a", inside="nav.")] == names
    table = page.of("table")[0]
    assert " ".join(table.text.split()).startswith("target trials kept".replace(" ", ""))
    assert len([row for row in page.of("tr", inside="tbody.") if row.text.startswith(("toy", "a <b>"))]) == 3
    assert max(page.ids.values()) == 1


# Many trials


def test_the_forest_shows_the_newest_and_the_table_all(tmp_path: Path) -> None:
    written = written_nights.begun(tmp_path, archived=False)
    written.add(Status.BASELINE)
    for _ in range(pictures.FOREST_TRIALS + 5):
        written.add(Status.DISCARD, -0.01)
    page = page_of(written)
    staircase, forest = (
        [tag for tag in page.of("a", inside="div.broad") if tag.attributes["href"] == f"#toy-trial-{number}"]
        for number in (2, 66)
    )
    assert (len(staircase), len(forest)) == (1, 2)
    assert "These are the newest 60; the table of trials has all." in page.of("main")[0].text


def test_a_page_that_goes_on_reads_itself_again(night: Written) -> None:
    (refresh,) = page_of(night, refresh_s=5).of("meta", **{"http-equiv": "refresh"})
    assert refresh.attributes["content"] == "5"
    assert not page_of(night).of("meta", **{"http-equiv": "refresh"})


# In a browser

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FRAMES = """<!doctype html>
<iframe style="width:390px;height:900px;border:0" src="page.html"></iframe>
<iframe style="width:1280px;height:900px;border:0" src="page.html"></iframe>
<iframe style="width:720px;height:900px;border:0" src="paper.html"></iframe>
<p></p>
<script>
const seen = inner => {
  const root = inner.contentDocument.documentElement, all = what => [...root.querySelectorAll(what)];
  const hides = box => box.scrollWidth - box.clientWidth;
  const isShown = part => part.checkVisibility({contentVisibilityAuto: true, contentVisibilityProperty: true});
  return {
    hidden: [hides(root), hides(root.querySelector(".tall"))],
    pictures: all("svg").filter(isShown).length,
    trials: all("tr[id]").filter(isShown).length,
    sentences: all(".idea p").filter(isShown).length,
    differences: all("pre.code").filter(isShown).length,
  };
};
onload = () => {
  const found = [...document.querySelectorAll("iframe")].map(seen);
  document.querySelector("p").textContent = "found " + JSON.stringify(found);
};
</script>
"""
"""The page on a telephone, on a screen, and with the rules for paper on a sheet of it."""


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")
def test_a_browser_shows_it_all_and_never_scrolls_it_sideways(night: Written, tmp_path: Path) -> None:
    page = html.page(facts_of(night), [], "", "")
    (tmp_path / "page.html").write_bytes(page)
    (tmp_path / "paper.html").write_bytes(page.replace(b"@media print", b"@media all"))
    frames = tmp_path / "frames.html"
    frames.write_text(FRAMES)
    said = re.search(r"found (\[.*\])</p>", dumped(frames.as_uri()))
    assert said is not None
    telephone, screen, paper = json.loads(said[1])
    shown = {"hidden": [0, 0], "pictures": 3, "trials": 13}
    assert telephone == screen == {**shown, "sentences": 0, "differences": 1}
    assert paper == {**shown, "sentences": 13, "differences": 3}


def dumped(address: str) -> str:
    """What a browser makes of it; the path of its socket must be short, and folders of pytest's lie deep."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        command = [
            *(str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"),
            *("--disable-background-networking", "--disable-component-update", "--allow-file-access-from-files"),
            *(f"--user-data-dir={folder}", "--dump-dom", address),
        ]
        own = {**os.environ, "TMPDIR": folder}
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120, env=own)
    assert done.returncode == 0, done.stderr
    return done.stdout
