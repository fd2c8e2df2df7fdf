"""A kernel is found again by the hash of its bytes, or not at all."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path

import pytest

from pytest_lance_autoresearch import archive
from pytest_lance_autoresearch.errors import LogError
from pytest_lance_autoresearch.log import Row
from pytest_lance_autoresearch.records import Block, PairRecord, Rules, Status, Window

KERNEL = b"def double(values):\n    return values + values\n"
SHA256 = hashlib.sha256(KERNEL).hexdigest()
ROW = Row(trial=3, target="demo", status="keep", kernel=SHA256)
NOWHERE = Path("targets/demo/kernels.py")

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(directory: Path, *arguments: str) -> str:
    """Run git without any settings but these."""
    settings = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"]
    environment = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    command = ["git", *settings, *arguments]
    return subprocess.run(
        command, cwd=directory, env=environment, check=True, capture_output=True, text=True
    ).stdout


@pytest.fixture
def kernel_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """kernels.py in a git repository with `KERNEL` committed and something else in the working tree."""
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "repository" / "targets" / "demo" / "kernels.py"
    path.parent.mkdir(parents=True)
    path.write_bytes(KERNEL)
    git(tmp_path / "repository", "init")
    git(tmp_path / "repository", "add", ".")
    git(tmp_path / "repository", "commit", "-m", "A kernel")
    path.write_bytes(b"edited\n")
    return path


def commit_row(kernel_path: Path, sha256: str = SHA256) -> Row:
    commit = git(kernel_path.parent, "rev-parse", "--short=12", "HEAD").strip()
    return Row(trial=3, target="demo", status="keep", kernel=sha256, commit=commit)


# Kernels


def test_a_kernel_is_found_by_its_hash(tmp_path: Path) -> None:
    assert archive.store_kernel(tmp_path, KERNEL) == SHA256
    assert (tmp_path / ".autoresearch" / "kernels" / f"{SHA256}.py").read_bytes() == KERNEL
    assert archive.find_kernel(tmp_path, ROW, NOWHERE) == KERNEL


def test_a_kernel_that_was_never_stored_is_not_found(tmp_path: Path) -> None:
    assert archive.find_kernel(tmp_path, ROW, NOWHERE) is None
    archive.store_kernel(tmp_path, b"another\n")
    assert archive.find_kernel(tmp_path, ROW, NOWHERE) is None


def test_line_ends_and_other_bytes_survive(tmp_path: Path) -> None:
    text = b"x = 1\r\n\xff\x00"
    row = Row(kernel=archive.store_kernel(tmp_path, text))
    assert archive.find_kernel(tmp_path, row, NOWHERE) == text


def test_a_changed_archive_file_is_not_used_and_is_mended_by_the_next_store(tmp_path: Path) -> None:
    archive.store_kernel(tmp_path, KERNEL)
    stored = tmp_path / ".autoresearch" / "kernels" / f"{SHA256}.py"
    stored.write_bytes(KERNEL + b"# faster\n")
    assert archive.find_kernel(tmp_path, ROW, NOWHERE) is None
    archive.store_kernel(tmp_path, KERNEL)
    assert archive.find_kernel(tmp_path, ROW, NOWHERE) == KERNEL


@needs_git
def test_git_gives_the_committed_kernel_when_the_archive_lacks_it(tmp_path: Path, kernel_path: Path) -> None:
    assert archive.find_kernel(tmp_path, commit_row(kernel_path), kernel_path) == KERNEL


@needs_git
def test_git_gives_it_when_the_archives_file_is_changed(tmp_path: Path, kernel_path: Path) -> None:
    archive.store_kernel(tmp_path, KERNEL)
    (tmp_path / ".autoresearch" / "kernels" / f"{SHA256}.py").write_bytes(b"changed\n")
    assert archive.find_kernel(tmp_path, commit_row(kernel_path), kernel_path) == KERNEL


@needs_git
def test_a_commit_with_another_kernel_is_not_used(tmp_path: Path, kernel_path: Path) -> None:
    row = commit_row(kernel_path, hashlib.sha256(b"edited\n").hexdigest())
    assert archive.find_kernel(tmp_path, row, kernel_path) is None


@needs_git
@pytest.mark.parametrize("commit", ["", "0123456789ab", "no such branch"])
def test_a_commit_that_is_not_there_finds_nothing(tmp_path: Path, kernel_path: Path, commit: str) -> None:
    assert archive.find_kernel(tmp_path, Row(kernel=SHA256, commit=commit), kernel_path) is None


@needs_git
def test_a_commit_is_never_an_option_of_git(tmp_path: Path, kernel_path: Path) -> None:
    (tmp_path / "kept:.").mkdir()
    written = tmp_path / "kept:." / "kernels.py"
    archive.find_kernel(tmp_path, Row(kernel=SHA256, commit=f"--output={tmp_path}/kept"), kernel_path)
    assert not written.exists()


def test_without_git_the_archive_alone_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    row = Row(kernel=SHA256, commit="0123456789ab")
    assert archive.find_kernel(tmp_path, row, NOWHERE) is None
    archive.store_kernel(tmp_path, KERNEL)
    assert archive.find_kernel(tmp_path, row, NOWHERE) == KERNEL


# Trials


def test_a_trials_record_is_stored_as_json_under_its_own_hash(tmp_path: Path) -> None:
    window = Window(4, 6_000_000, None)
    blocks = (Block("2x3-flat", "ABAB", (window, window, window, window)),)
    record = {"status": Status.KEEP, "rules": Rules(), "pairs": [PairRecord(blocks, 1, 2)], "path": Path("a/b")}
    digest = archive.store_trial(tmp_path, "demo", record)
    (stored,) = (tmp_path / ".autoresearch" / "trials").iterdir()
    assert stored.name == f"demo-{digest[:16]}.json"
    assert hashlib.sha256(stored.read_bytes()).hexdigest() == digest
    found = json.loads(stored.read_text())
    assert found["status"] == "keep"
    assert found["rules"]["min_effect"] == 0.01
    assert found["path"] == "a/b"
    (pair,) = found["pairs"]
    assert pair["blocks"][0]["windows"][3] == asdict(Window(4, 6_000_000, None))
    assert (pair["baseline_peak_rss_bytes"], pair["candidate_peak_rss_bytes"]) == (1, 2)


def test_a_record_with_a_number_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        archive.store_trial(tmp_path, "demo", {"speedup": float("nan")})


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
        f"{tmp_path}/.autoresearch/kernels/{SHA256}.py: cannot be written: Not a directory; nothing was logged"
    )


def full_disk(_: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_leaves_no_half_a_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(LogError) as raised:
        archive.store_kernel(tmp_path, KERNEL)
    assert str(raised.value).endswith(
        f"{SHA256}.py: cannot be written: No space left on device; nothing was logged"
    )
    assert archive.find_kernel(tmp_path, ROW, NOWHERE) is None


def test_a_full_disk_leaves_no_partial_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(LogError):
        archive.store_kernel(tmp_path, KERNEL)
    assert list((tmp_path / ".autoresearch" / "kernels").iterdir()) == []
