"""A kernel that was ever committed is found by its bytes, whatever the clone and whatever the environment says."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import repositories
from repositories import clone, commit

from pytest_lance_autoresearch.log import git

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")

FIRST, SECOND, THIRD = (f"def double(values):\n    return {n} * values / {n}\n".encode() for n in (1, 2, 3))
SHALLOW = (
    'git (this clone is shallow; fetch the whole history with "git fetch --unshallow --tags origin '
    "'+refs/heads/*:refs/remotes/origin/*'\", in actions/checkout with 'fetch-depth: 0')"
)


def sha256(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


def found(path: Path, text: bytes, *commits: str) -> bool:
    """Whether git gives the kernel with these bytes."""
    given = git.kernel(path, sha256(text), commits)
    assert given in (text, None)
    return given is not None


@pytest.fixture
def kernel_path(tmp_path: Path) -> Path:
    """kernels.py below a repository's top, with the first and the second kernel committed and the third not."""
    path = tmp_path / "repository" / "targets" / "demo" / "kernels.py"
    path.parent.mkdir(parents=True)
    for text in (FIRST, SECOND):
        path.write_bytes(text)
        commit(tmp_path / "repository")
    path.write_bytes(THIRD)
    return path


@pytest.fixture
def repository(kernel_path: Path) -> Path:
    return kernel_path.parents[2]


# Which kernels are found


def test_every_committed_kernel_is_found_and_no_other(kernel_path: Path) -> None:
    assert [found(kernel_path, text) for text in (FIRST, SECOND, THIRD)] == [True, True, False]


def test_a_kernel_that_was_committed_after_its_row_is_found(kernel_path: Path, repository: Path) -> None:
    noted = git.commit(kernel_path, sha256(THIRD))
    commit(repository)
    assert found(kernel_path, THIRD, noted)
    copy = clone(repository, repository.with_name("clone"))
    assert found(copy / "targets/demo/kernels.py", THIRD, noted)


def test_a_kernel_of_another_branch_is_found(kernel_path: Path, repository: Path) -> None:
    repositories.git(repository, "checkout", "-b", "idea")
    commit(repository)
    repositories.git(repository, "checkout", "main")
    assert found(kernel_path, THIRD)
    copy = clone(repository, repository.with_name("clone"))
    assert found(copy / "targets/demo/kernels.py", THIRD)


@pytest.mark.usefixtures("kernel_path")
def test_a_kernel_of_a_branch_whose_change_a_merge_left_out_is_found(repository: Path) -> None:
    repositories.git(repository, "checkout", "-b", "idea")
    commit(repository)
    repositories.git(repository, "checkout", "main")
    (repository / "notes").touch()
    commit(repository)
    repositories.git(repository, "merge", "--strategy", "ours", "idea")
    repositories.git(repository, "branch", "--delete", "idea")
    copy = clone(repository, repository.with_name("clone"))
    assert found(copy / "targets/demo/kernels.py", THIRD)


def test_a_kernel_whose_commit_was_taken_back_is_found(kernel_path: Path, repository: Path) -> None:
    commit(repository)
    repositories.git(repository, "reset", "--hard", "HEAD^")
    assert found(kernel_path, THIRD)


def test_a_kernel_of_a_commit_that_no_branch_holds_is_found_by_that_commit(
    kernel_path: Path, repository: Path
) -> None:
    noted = commit(repository)
    repositories.git(repository, "reset", "--hard", "HEAD^")
    repositories.git(repository, "reflog", "expire", "--expire=now", "--all")
    assert not found(kernel_path, THIRD)
    assert found(kernel_path, THIRD, noted)
    assert found(kernel_path, THIRD, f"{noted}+")


@pytest.mark.usefixtures("kernel_path")
def test_a_kernel_of_before_its_target_was_renamed_is_found(repository: Path) -> None:
    repositories.git(repository, "checkout", "--", ".")
    repositories.git(repository, "mv", "targets/demo", "targets/doubling")
    commit(repository)
    assert found(repository / "targets/doubling/kernels.py", FIRST)


@pytest.mark.parametrize("checked_out", [b"\r\n", b"\n"])
def test_a_kernel_whose_line_ends_git_converts_is_given_as_it_was_measured(
    kernel_path: Path, repository: Path, checked_out: bytes
) -> None:
    committed = b"\n" if checked_out == b"\r\n" else b"\r\n"
    kernel_path.write_bytes(THIRD.replace(b"\n", committed))
    noted = commit(repository)
    measured = THIRD.replace(b"\n", checked_out)
    assert found(kernel_path, measured)
    assert git.commit(kernel_path, sha256(measured)) == noted


@pytest.mark.parametrize("noted", ["", "+", "0123456789ab", "no such branch", "HEAD", "--all"])
def test_a_commit_that_is_not_there_hides_nothing(kernel_path: Path, noted: str) -> None:
    assert found(kernel_path, FIRST, noted)
    assert not found(kernel_path, THIRD, noted)


def test_a_commit_is_never_an_option_of_git(tmp_path: Path, kernel_path: Path) -> None:
    (tmp_path / "kept:.").mkdir()
    assert not found(kernel_path, THIRD, f"--output={tmp_path}/kept")
    assert not list((tmp_path / "kept:.").iterdir())


# Whatever the clone


def test_a_kernel_in_no_repository_is_not_in_git(tmp_path: Path) -> None:
    path = tmp_path / "kernels.py"
    path.write_bytes(FIRST)
    assert not found(path, FIRST, "0123456789ab")
    assert git.commit(path, sha256(FIRST)) == ""
    assert git.searched(tmp_path) == "git"


def test_a_shallow_clone_is_said_to_be_one(kernel_path: Path, repository: Path) -> None:
    copy = clone(repository, repository.with_name("clone"), "--depth=1")
    path = copy / "targets/demo/kernels.py"
    assert [found(path, text) for text in (FIRST, SECOND)] == [False, True]
    assert git.searched(path.parent) == SHALLOW
    assert git.searched(kernel_path.parent) == "git"


@pytest.mark.usefixtures("kernel_path")
def test_a_partial_and_sparse_clone_fetches_what_it_lacks(repository: Path) -> None:
    repositories.git(repository, "config", "uploadpack.allowFilter", "true")
    repositories.git(repository, "config", "uploadpack.allowAnySHA1InWant", "true")
    copy = clone(repository, repository.with_name("clone"), "--filter=blob:none", "--sparse")
    (copy / "targets/demo").mkdir(parents=True)
    assert found(copy / "targets/demo/kernels.py", FIRST)


@pytest.mark.usefixtures("kernel_path")
def test_a_partial_clone_whose_origin_is_gone_lacks_it_without_an_error(repository: Path) -> None:
    repositories.git(repository, "config", "uploadpack.allowFilter", "true")
    copy = clone(repository, repository.with_name("clone"), "--filter=blob:none")
    repository.rename(repository.with_name("gone"))
    path = copy / "targets/demo/kernels.py"
    assert [found(path, text) for text in (FIRST, SECOND)] == [False, True]


def test_a_kernel_in_a_submodule_is_looked_for_there(tmp_path: Path, repository: Path) -> None:
    above = tmp_path / "above"
    above.mkdir()
    (above / "notes").touch()
    commit(above)
    repositories.git(above, "submodule", "add", f"file://{repository}", "kernels")
    noted = commit(above)
    path = above / "kernels/targets/demo/kernels.py"
    assert found(path, FIRST)
    assert git.commit(path, sha256(SECOND)) != noted


def test_a_second_work_tree_sees_the_whole_history(kernel_path: Path, repository: Path) -> None:
    commit(repository)
    repositories.git(repository, "worktree", "add", "--detach", "../second", "HEAD^^")
    path = repository.parent / "second/targets/demo/kernels.py"
    assert path.read_bytes() == FIRST
    assert found(path, THIRD)
    assert kernel_path.read_bytes() == THIRD


def test_a_repository_of_somebody_else_is_told_in_gits_words(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    path = repository / "targets/demo/kernels.py"
    assert not found(path, FIRST)
    assert git.commit(path, sha256(FIRST)) == ""
    assert git.searched(repository).startswith("git (it says 'fatal: ")
    assert str(repository) in git.searched(repository)


# The commit of a row


def test_the_commit_is_marked_where_it_does_not_hold_the_kernel(kernel_path: Path, repository: Path) -> None:
    head = repositories.git(repository, "rev-parse", "--short=12", "HEAD").strip()
    assert git.commit(kernel_path, sha256(SECOND)) == head
    assert git.commit(kernel_path, sha256(THIRD)) == f"{head}+"


def test_a_kernel_that_git_does_not_know_is_in_no_commit(kernel_path: Path, repository: Path) -> None:
    other = kernel_path.parent.with_name("other") / "kernels.py"
    other.parent.mkdir()
    other.write_bytes(SECOND)
    head = repositories.git(repository, "rev-parse", "--short=12", "HEAD").strip()
    assert git.commit(other, sha256(SECOND)) == f"{head}+"


def test_a_repository_without_a_commit_has_none(tmp_path: Path) -> None:
    repositories.git(tmp_path, "init")
    assert git.commit(tmp_path / "kernels.py", sha256(FIRST)) == ""
    assert not found(tmp_path / "kernels.py", FIRST)


# Whatever the environment says


@pytest.mark.parametrize("has_own", [True, False])
def test_another_repository_of_the_environment_is_not_asked(
    tmp_path: Path, kernel_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch, has_own: bool
) -> None:
    """Git's hooks name their repository in the environment of what they run."""
    head = repositories.git(repository, "rev-parse", "--short=12", "HEAD").strip()
    other = tmp_path / "other"
    other.mkdir()
    (other / "kernels.py").write_bytes(THIRD)
    commit(other)
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git/index"))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(other / ".git/objects"))
    monkeypatch.setenv("GIT_PREFIX", "nowhere/")
    if has_own:
        assert git.commit(kernel_path, sha256(SECOND)) == head
        assert [found(kernel_path, text) for text in (FIRST, THIRD)] == [True, False]
    else:
        assert git.commit(tmp_path / "kernels.py", sha256(THIRD)) == ""
        assert not found(tmp_path / "kernels.py", THIRD)


def write_git(folder: Path, script: str) -> None:
    """A program named git in the folder."""
    program = folder / "git"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


def test_a_git_that_does_not_answer_is_ended_with_all_that_it_started(
    tmp_path: Path, kernel_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git, "ANSWER_S", 0.2)
    monkeypatch.setattr(git, "SEARCH_S", 0.2)
    write_git(tmp_path, f"sleep 600 & echo $! > {tmp_path}/helper; wait")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    while not (tmp_path / "helper").exists() or not (tmp_path / "helper").read_text():
        assert not found(kernel_path, FIRST, "0123456789ab")
    with suppress(psutil.NoSuchProcess):
        helper = psutil.Process(int((tmp_path / "helper").read_text()))
        while helper.status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)


def test_git_can_ask_nobody_for_a_password(
    tmp_path: Path, kernel_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_git(tmp_path, f"(exec < /dev/tty) 2> {tmp_path}/terminal; env > {tmp_path}/environment; cat > /dev/null")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("GIT_ASKPASS", "/usr/bin/a-window")
    assert not found(kernel_path, FIRST)
    assert "/dev/tty" in (tmp_path / "terminal").read_text()
    told = (tmp_path / "environment").read_text().splitlines()
    assert {"GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=false", "SSH_ASKPASS_REQUIRE=never"} <= set(told)


@pytest.mark.parametrize("script", ["exit 1", "echo nonsense", "printf '\\377\\000 blob 9\\n'", "kill $$"])
def test_a_git_that_fails_or_answers_nonsense_gives_nothing(
    tmp_path: Path, kernel_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    write_git(tmp_path, script)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert not found(kernel_path, FIRST, "0123456789ab")


def test_without_git_nothing_is_known(kernel_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not found(kernel_path, FIRST)
    assert git.commit(kernel_path, sha256(FIRST)) == ""
    assert git.searched(kernel_path.parent) == "git"
