"""A log has one archive; a kernel is found there again by the hash of its bytes, or not at all."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import repositories

from pytest_lance_autoresearch.errors import LogError
from pytest_lance_autoresearch.log import archive, codec
from pytest_lance_autoresearch.records import (
    Block,
    Evidence,
    Interval,
    Pair,
    Replay,
    Rules,
    Status,
    TrialRecord,
    Window,
)
from pytest_lance_autoresearch.words.wording import shown

RECORD = TrialRecord(
    target="demo",
    status=Status.KEEP,
    reason="keep: faster",
    cause=None,
    candidate="a" * 64,
    baseline="b" * 64,
    baseline_trial=1,
    harness="inputs:1",
    host="here",
    versions={"numpy": "2.0"},
    seed="12",
    rules=Rules(),
    evidence=Evidence(90),
)
KERNEL = b"def double(values):\n    return values + values\n"
SHA256 = hashlib.sha256(KERNEL).hexdigest()
NOWHERE = Path("targets/demo/kernels.py")

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


# Kernels


def test_a_kernel_is_found_by_its_hash(tmp_path: Path) -> None:
    assert archive.store_kernel(tmp_path, KERNEL) == SHA256
    assert (tmp_path / ".autoresearch" / "kernels" / f"{SHA256}.py").read_bytes() == KERNEL
    assert archive.kernel(tmp_path, SHA256) == KERNEL


def test_a_kernel_that_was_never_stored_is_not_found(tmp_path: Path) -> None:
    assert archive.kernel(tmp_path, SHA256) is None
    archive.store_kernel(tmp_path, b"another\n")
    assert archive.kernel(tmp_path, SHA256) is None


def test_line_ends_and_other_bytes_survive(tmp_path: Path) -> None:
    text = b"x = 1\r\n\xff\x00"
    assert archive.kernel(tmp_path, archive.store_kernel(tmp_path, text)) == text


def test_a_changed_archive_file_is_not_used_and_is_mended_by_the_next_store(tmp_path: Path) -> None:
    archive.store_kernel(tmp_path, KERNEL)
    stored = tmp_path / ".autoresearch" / "kernels" / f"{SHA256}.py"
    stored.write_bytes(KERNEL + b"# faster\n")
    assert archive.kernel(tmp_path, SHA256) is None
    archive.store_kernel(tmp_path, KERNEL)
    assert archive.kernel(tmp_path, SHA256) == KERNEL


@needs_git
def test_git_gives_the_kernel_that_the_archive_lacks_or_has_changed(tmp_path: Path) -> None:
    kernel_path = tmp_path / "repository/kernels.py"
    kernel_path.parent.mkdir()
    kernel_path.write_bytes(KERNEL)
    repositories.commit(kernel_path.parent)
    assert archive.find_kernel(tmp_path, SHA256, kernel_path, []) == KERNEL
    archive.store_kernel(tmp_path, KERNEL)
    (tmp_path / ".autoresearch" / "kernels" / f"{SHA256}.py").write_bytes(b"changed\n")
    assert archive.find_kernel(tmp_path, SHA256, kernel_path, []) == KERNEL


def test_without_git_the_archive_alone_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    commits = ["0123456789ab"]
    assert archive.find_kernel(tmp_path, SHA256, NOWHERE, commits) is None
    archive.store_kernel(tmp_path, KERNEL)
    assert archive.find_kernel(tmp_path, SHA256, NOWHERE, commits) == KERNEL


# Trials


def test_a_trials_record_is_stored_as_json_under_its_own_hash(tmp_path: Path) -> None:
    window = Window(4, 6_000_000, None)
    blocks = (Block("2x3-flat", "ABAB", (window, window, window, window)),)
    record = replace(RECORD, evidence=Evidence(90, 100, (Pair(blocks, {"2x3-flat": 5.5}, 1, 2),)))
    digest = archive.store_trial(tmp_path, record)
    (stored,) = (tmp_path / ".autoresearch" / "trials").iterdir()
    assert stored.name == f"demo-{digest[:16]}.json"
    assert hashlib.sha256(stored.read_bytes()).hexdigest() == digest
    found = json.loads(stored.read_text())
    assert found["status"] == "keep"
    assert found["rules"]["min_effect"] == 0.01
    assert found["schema"] == codec.SCHEMA
    (pair,) = found["evidence"]["pairs"]
    assert pair["blocks"][0]["windows"][3] == asdict(Window(4, 6_000_000, None))
    assert (pair["baseline_peak_rss_bytes"], pair["candidate_peak_rss_bytes"]) == (1, 2)


# What was measured again

AGAIN = Replay(
    target="demo",
    trial=3,
    against=1,
    candidate="a" * 64,
    baseline="b" * 64,
    harness="inputs:1",
    host="here",
    time="2026-11-02T09:00:00+00:00",
    versions={"numpy": "2.0"},
    pairs=4,
    confidence=0.95,
    speedup=Interval(1.1, 1.2, 1.3),
    cases={"2x3-flat": Interval(0.9, 1.0, 1.1)},
    seconds=40.5,
)


def test_what_was_measured_again_is_found_as_it_was_stored_the_newest_last(tmp_path: Path) -> None:
    assert archive.replays(tmp_path) == []
    newer = replace(AGAIN, time="2026-11-03T09:00:00+00:00", against=None)
    oldest = replace(AGAIN, target="another", time="2026-11-01T09:00:00+00:00")
    for each in (newer, AGAIN, oldest):
        archive.store_replay(tmp_path, each)
    assert archive.replays(tmp_path) == [oldest, AGAIN, newer]


def test_it_lies_in_a_file_of_its_own_whole_json(tmp_path: Path) -> None:
    archive.store_replay(tmp_path, AGAIN)
    (path,) = (tmp_path / ".autoresearch/audits").iterdir()
    assert re.fullmatch(r"demo-[0-9a-f]{16}\.json", path.name)
    assert json.loads(path.read_text()) == asdict(AGAIN)


@pytest.mark.parametrize(
    ("found", "edited"),
    [
        ('"trial": 3', '"trial": "3"'),
        ('"against": 1', '"by": 1, "against": false'),
        ('"time": "2026-11-02T09:00:00+00:00"', '"time": "yesterday"'),
        ('"low": 1.1', '"low": 0.0'),
        ('"low": 1.1', '"low": 1.25'),
        ('"high": 1.3', '"high": null'),
        ('"low": 0.9', '"low": -1'),
        ("{", ""),
    ],
)
def test_what_cannot_be_read_counts_as_not_measured(tmp_path: Path, found: str, edited: str) -> None:
    archive.store_replay(tmp_path, AGAIN)
    (path,) = (tmp_path / ".autoresearch/audits").iterdir()
    text = path.read_text()
    assert found in text
    path.write_text(text.replace(found, edited, 1))
    assert archive.replays(tmp_path) == []


# Which folder it lies in


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """The log of a target in a package below a project's top; neither has an archive."""
    path = tmp_path / "top/package/targets/demo/results.tsv"
    path.parent.mkdir(parents=True)
    return path


def test_a_first_archive_lies_at_the_sessions_root_where_the_log_is_below_it(tmp_path: Path, kept: Path) -> None:
    assert archive.home(kept, tmp_path / "top") == tmp_path / "top"
    assert archive.home(kept, tmp_path / "top/package") == tmp_path / "top/package"


@pytest.mark.parametrize("root", ["top/package/targets/other", "elsewhere"])
def test_a_first_archive_lies_beside_a_log_outside_the_sessions_root(
    tmp_path: Path, kept: Path, root: str
) -> None:
    assert archive.home(kept, tmp_path / root) == kept.parent


@pytest.mark.parametrize(("first", "second"), [("top", "top/package"), ("top/package", "top")])
def test_one_log_has_one_archive_wherever_its_trials_are_started(
    tmp_path: Path, kept: Path, first: str, second: str
) -> None:
    archive.store_kernel(archive.home(kept, tmp_path / first), KERNEL)
    for root in (first, second, "elsewhere"):
        assert archive.home(kept, tmp_path / root) == tmp_path / first
    assert archive.root_of(kept) == tmp_path / first


def test_a_log_behind_a_link_has_its_archive_where_it_is_itself(tmp_path: Path, kept: Path) -> None:
    kept.touch()
    link = tmp_path / "results.tsv"
    link.symlink_to(kept)
    assert archive.home(link, tmp_path / "top/package") == tmp_path / "top/package"
    (tmp_path / "root").symlink_to(tmp_path / "top/package")
    assert archive.home(kept, tmp_path / "root") == tmp_path / "root"


def test_a_log_without_an_archive_is_said_to_have_none(tmp_path: Path, kept: Path) -> None:
    (tmp_path / "top/package/targets/other/.autoresearch").mkdir(parents=True)
    with pytest.raises(LogError) as raised:
        archive.root_of(kept)
    assert str(raised.value) == (
        f"{kept}: no folder above it holds .autoresearch; name the one that does with --root"
    )


def test_what_an_earlier_version_stored_further_up_is_still_found(tmp_path: Path, kept: Path) -> None:
    """It wrote to the session's root, so that one log could have two archives."""
    top, package = tmp_path / "top", tmp_path / "top/package"
    archive.store_kernel(top, KERNEL)
    digest = archive.store_trial(top, RECORD)
    archive.store_kernel(package, b"another\n")
    assert archive.home(kept, top) == package
    assert archive.kernel(package, SHA256) == KERNEL
    assert codec.trial_from_json(archive.trial_path(package, "demo", digest).read_bytes()) == RECORD
    assert archive.trial_path(package, "demo", "0" * 64) == (
        package / ".autoresearch/trials/demo-0000000000000000.json"
    )


# The folder


def test_the_archive_keeps_itself_out_of_git(tmp_path: Path) -> None:
    archive.store_kernel(tmp_path, KERNEL)
    assert (tmp_path / ".autoresearch" / ".gitignore").read_text() == "*\n"


def test_an_ignore_file_of_ones_own_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".autoresearch").mkdir()
    (tmp_path / ".autoresearch" / ".gitignore").write_text("trials/\n")
    archive.store_kernel(tmp_path, KERNEL)
    assert (tmp_path / ".autoresearch" / ".gitignore").read_text() == "trials/\n"


def test_nothing_but_the_file_itself_is_left_behind(tmp_path: Path) -> None:
    archive.store_kernel(tmp_path, KERNEL)
    archive.store_kernel(tmp_path, KERNEL)
    assert [path.name for path in (tmp_path / ".autoresearch" / "kernels").iterdir()] == [f"{SHA256}.py"]


def test_an_archive_that_cannot_be_written_is_said_so(tmp_path: Path) -> None:
    (tmp_path / ".autoresearch").write_text("a file where the folder belongs")
    with pytest.raises(LogError) as raised:
        archive.store_kernel(tmp_path, KERNEL)
    assert str(raised.value) == (
        f"{shown(tmp_path / '.autoresearch/kernels' / SHA256)}.py: cannot be written: Not a directory"
    )


def full_disk(_: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_leaves_no_half_a_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(LogError) as raised:
        archive.store_kernel(tmp_path, KERNEL)
    assert str(raised.value).endswith(f"{SHA256}.py: cannot be written: No space left on device")
    assert archive.kernel(tmp_path, SHA256) is None


def test_a_full_disk_leaves_no_partial_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(LogError):
        archive.store_kernel(tmp_path, KERNEL)
    assert list((tmp_path / ".autoresearch" / "kernels").iterdir()) == []
