"""`report` and `plot`: which logs are drawn, where to, anew after each row; one sentence for each fault."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import page_reader
import pytest
import written_nights
from command_line import Said, said
from written_nights import Written

from pytest_lance_autoresearch.command import drawing
from pytest_lance_autoresearch.log import archive, digests, results
from pytest_lance_autoresearch.page import pictures
from pytest_lance_autoresearch.records import Interval, Status
from pytest_lance_autoresearch.words import wording


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Written:
    """A night of two trials, in the current folder."""
    monkeypatch.chdir(tmp_path)
    found = written_nights.begun(tmp_path)
    found.log = Path("targets/toy/results.tsv")
    found.add(Status.BASELINE)
    found.add(Status.KEEP, 0.1)
    return found


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Any:
    return lambda *arguments: said(capsys, *arguments)


def sections(path: Path) -> list[str]:
    return [tag.attributes["id"] for tag in page_reader.read(path.read_bytes()).of("section")]


def size_kb(path: str) -> int:
    return round(Path(path).stat().st_size / 1000)


# A page


def test_a_log_becomes_a_page(written: Written, say: Any) -> None:
    found = say("report", written.log, "-o", "night.html")
    assert found == Said(
        0,
        [f"wrote night.html: 1 target, 2 trials, {size_kb('night.html')} kB; open it in a browser"],
        [],
    )
    assert sections(Path("night.html")) == ["toy"]


def test_without_a_log_those_of_all_targets_are_drawn(written: Written, say: Any) -> None:
    other = Written(written.root, Path("targets/other/results.tsv"))
    other.log.parent.mkdir()
    other.add(Status.BASELINE, target="other")
    assert say("report").code == 0
    assert sections(Path("report.html")) == ["other", "toy"]
    assert "targets/toy/results.tsv" in Path("report.html").read_text()


def test_another_log_s_archive_is_none_of_a_log_s_but_for_audits(
    written: Written, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rows = results.read(written.log)
    assert drawing._archive(None, written.log, rows) == written.root
    foreign = written_nights.begun(tmp_path_factory.mktemp("other"))
    foreign.add(Status.BASELINE, kernel="OTHER = 1\n")
    assert drawing._archive(foreign.root, written.log, rows) is None
    foreign.audit(rows[1], rows[0], Interval(1.0, 1.1, 1.2))
    assert drawing._archive(foreign.root, written.log, rows) == foreign.root
    shutil.rmtree(archive.FOLDER)
    assert drawing._archive(None, written.log, rows) is None


def test_a_log_that_is_named_twice_is_drawn_once(written: Written, say: Any) -> None:
    assert say("report", written.log, written.log.resolve()).code == 0
    assert sections(Path("report.html")) == ["toy"]


def test_a_log_that_cannot_be_read_is_told_beside_the_others(written: Written, say: Any) -> None:
    found = say("report", written.log, "none.tsv")
    assert (found.code, found.err) == (2, ["ERROR: none.tsv: there is no such log"])
    assert found.out[0].startswith("wrote report.html: 1 target, 2 trials, ")
    assert "<p>none.tsv: there is no such log.</p>" in Path("report.html").read_text()
    Path("report.html").unlink()
    assert say("report", "none.tsv") == Said(2, [], ["ERROR: none.tsv: there is no such log"])
    assert not Path("report.html").exists()


def test_what_is_to_be_typed_names_the_archive_again_where_it_was_named(written: Written, say: Any) -> None:
    assert say("report", written.log, "--root", ".").code == 0
    typed = f"python -m pytest_lance_autoresearch audit {written.log} --root ."
    assert typed in " ".join(page_reader.read(Path("report.html").read_bytes()).of("main")[0].text.split())
    assert say("report", written.log).code == 0
    assert "--root" not in Path("report.html").read_text()


def test_the_log_is_left_as_it_is(written: Written, say: Any) -> None:
    before = written.log.read_bytes()
    say("report")
    assert written.log.read_bytes() == before


@pytest.mark.usefixtures("written")
def test_digests_that_are_missing_are_made_at_once(say: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "MANY", 1)
    kept = sorted(Path(".autoresearch/digests").iterdir())
    before = [path.read_bytes() for path in kept]
    for path in kept:
        path.unlink()
    assert say("report").code == 0
    assert [path.read_bytes() for path in kept] == before


# What cannot be


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["report", "no.tsv"], "no.tsv: there is no such log"),
        (["report", "targets"], "targets: is a folder; expected a log, such as targets/results.tsv"),
        (
            ["report", "kernel.txt"],
            "kernel.txt: line 1 is not '# pytest-lance-autoresearch results, schema 1'; expected a log written by "
            "this plugin",
        ),
        (
            ["report", "-o", "targets/toy/results.tsv"],
            "targets/toy/results.tsv: would overwrite a log; name another file",
        ),
        (
            ["report", "targets/log.html", "-o", "targets/log.html"],
            "targets/log.html: would overwrite a log; name another file",
        ),
        (["report", "-o", "kernels.py"], "kernels.py: would overwrite a source; name another file"),
        (["report", "-o", "targets"], "targets: is a folder; name a file in it, such as targets/night.html"),
        (["report", "-o", "night.md"], "night.md: expected a name that ends in .html or .htm"),
        (["report", "-o", "no/night.html"], "no/night.html: there is no folder no; make it first"),
        (
            ["plot", "targets/toy/results.tsv", "-o", "night.pdf"],
            "night.pdf: expected a name that ends in .png or .svg",
        ),
        (["plot", "empty.tsv", "-o", "x.png"], "empty.tsv: no trial was logged yet; there is nothing to draw"),
        (
            ["plot", "targets/toy/results.tsv", "-o", "x.png", "--target", "pq"],
            "targets/toy/results.tsv: has no trial of 'pq'; name one with --target: toy",
        ),
    ],
)
def test_what_cannot_be_drawn_is_one_sentence(
    written: Written, say: Any, arguments: list[str], sentence: str
) -> None:
    Path("empty.tsv").touch()
    Path("kernel.txt").write_text("def f(): pass\n")
    Path("targets/log.html").write_bytes(written.log.read_bytes())
    assert say(*arguments) == Said(2, [], [f"ERROR: {sentence}"])


def test_where_no_log_is_that_is_said(tmp_path: Path, say: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sentence = f"ERROR: {tmp_path}: there is no log below it in targets/*/results.tsv; name one"
    assert say("report") == Said(2, [], [sentence])


@pytest.mark.usefixtures("written")
def test_a_full_disk_leaves_the_page_of_before(say: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("report.html").write_text("before")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", full)
    assert say("report") == Said(2, [], ["ERROR: report.html: cannot be written: No space left on device"])
    assert Path("report.html").read_text() == "before"


@pytest.mark.parametrize("lacking", ["matplotlib", "jinja2"])
def test_without_the_extra_that_is_said(
    written: Written, say: Any, lacking: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = [name for name in sys.modules if name.startswith("pytest_lance_autoresearch.page")]
    for name in [*own, *(name for name in sys.modules if name.split(".")[0] == lacking)]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, lacking, None)
    sentence = (
        f"ERROR: drawing needs '{lacking}', which is not installed; "
        f"type: pip install 'pytest-lance-autoresearch[report]'"
    )
    assert say("report", written.log) == Said(2, [], [sentence])


# A picture


def test_a_picture_is_a_file(written: Written, say: Any) -> None:
    found = say("plot", written.log, "-o", "night.png", "--picture", "forest")
    assert found == Said(0, ["wrote night.png: the picture 'forest' of target 'toy'"], [])
    assert Path("night.png").read_bytes().startswith(b"\x89PNG")


def test_a_picture_is_of_one_target(written: Written, say: Any) -> None:
    written.add(Status.BASELINE, target="other")
    sentence = f"ERROR: {written.log}: has several targets; name one with --target: other, toy"
    assert say("plot", written.log, "-o", "x.svg") == Said(2, [], [sentence])
    assert say("plot", written.log, "-o", "x.svg", "--target", "other").code == 0
    sentence = f"ERROR: {written.log}: nothing was kept, so there is no picture 'cases'"
    found = say("plot", written.log, "-o", "x.svg", "--target", "other", "--picture", "cases")
    assert found == Said(2, [], [sentence])


def test_the_pictures_that_can_be_named_are_those_that_are_drawn() -> None:
    assert list(drawing.PICTURES) == list(pictures.PICTURES)


# Watching


class Clock:
    """Stands for the pauses of a watch: in each, the next thing happens; after the last, Ctrl-C."""

    def __init__(self, *happens: Any) -> None:
        self.happens = list(happens)

    def sleep(self, _: float) -> None:
        if not self.happens:
            raise KeyboardInterrupt
        self.happens.pop(0)()


def test_a_watched_page_follows_the_night(written: Written, say: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, bool]] = []

    def look() -> None:
        page = page_reader.read(Path("report.html").read_bytes())
        seen.append(
            (
                len([tag for tag in page.tags if tag.name == "tr" and "id" in tag.attributes]),
                "refresh" in page.source,
            )
        )

    def half_a_row() -> None:
        with written.log.open("ab") as log:
            log.write(b"4\t2026")

    clock = Clock(look, lambda: written.add(Status.CRASH), look, half_a_row, look, look)
    monkeypatch.setattr(drawing, "sleep", clock.sleep)
    found = say("report", "--watch")
    assert (found.code, found.err) == (
        130,
        [
            "report.html is written anew after each trial; Ctrl-C ends the watch",
            "interrupted: report.html has all trials so far",
        ],
    )
    assert [line.partition(", ")[2].partition(",")[0] for line in found.out] == ["2 trials", *["3 trials"] * 2]
    assert seen == [(2, True), (3, True), (3, True), (3, True)]
    assert "refresh" not in Path("report.html").read_text()


def test_a_watch_that_ends_beside_a_broken_log_leaves_the_page_as_it_was(
    written: Written, say: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before: list[bytes] = []

    def broken() -> None:
        before.append(Path("report.html").read_bytes())
        written.log.write_text("no log\n")

    monkeypatch.setattr(drawing, "sleep", Clock(broken).sleep)
    found = say("report", "--watch")
    assert (found.code, found.err[-1]) == (130, "interrupted: report.html has all trials that could be read")
    assert [Path("report.html").read_bytes()] == before


def test_a_watch_waits_for_a_log_and_outlives_a_broken_one(
    tmp_path: Path, say: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    log = written_nights.begun(tmp_path).log
    monkeypatch.setattr(drawing, "sleep", Clock(lambda: log.write_text("no log\n"), log.unlink).sleep)
    found = say("report", log, "--watch", "-o", "night.html")
    assert found.code == 130
    assert found.err[1:-1] == [
        f"ERROR: {log}: line 1 is not '# pytest-lance-autoresearch results, schema 1'; expected a log written by "
        f"this plugin"
    ]
    assert [line.partition(" kB")[0].rpartition(",")[0] for line in found.out] == [
        "wrote night.html: no trial yet"
    ] * 2
    assert f"{wording.shown(log)}: no trial was logged yet." in Path("night.html").read_text()
    assert results.read(log) == ()
