"""A kernel put back into kernels.py: which one, that nothing is lost, and what cannot be restored."""

from __future__ import annotations

import errno
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import repositories
import toys
from command_line import CLAIM, FIRST, FOURTH, LOG, SECOND, THIRD, Said, Say, write_row

from pytest_lance_autoresearch.log import archive, results
from pytest_lance_autoresearch.machine import files
from pytest_lance_autoresearch.records import Status

KERNEL = "targets/toy/kernels.py"


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def archived(text: str) -> str:
    """Where a kernel lies, as seen from the project."""
    return f".autoresearch/kernels/{sha256(text)}.py"


def holds(text: str, trial: str, how: str = "now holds") -> str:
    """How a sentence about the kernel begins."""
    number, status = trial.split()
    return f"{KERNEL}: {how} the kernel of trial {number} ({status}, sha256 {sha256(text)[:12]})"


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The kernel of a project, its third one: the log says baseline, keep, discard."""
    write_row(tmp_path, FIRST)
    write_row(tmp_path, SECOND, CLAIM)
    write_row(tmp_path, THIRD, status=Status.DISCARD)
    monkeypatch.chdir(tmp_path)
    return tmp_path / KERNEL


# Which kernel.


def test_the_kernel_that_was_kept_last_comes_back_and_the_one_before_is_in_the_archive(
    path: Path, say: Say
) -> None:
    sentence = f"{holds(SECOND, '2 keep')}; what it held before is kept as {archived(THIRD)}"
    assert say("restore", LOG) == Said(0, [sentence], [])
    assert path.read_text() == SECOND
    assert Path(archived(THIRD)).read_text() == THIRD


def test_an_edit_that_was_never_judged_is_archived_first(path: Path, say: Say) -> None:
    path.write_text(FOURTH)
    assert not Path(archived(FOURTH)).exists()
    assert say("restore", LOG).out[0].endswith(f"what it held before is kept as {archived(FOURTH)}")
    assert Path(archived(FOURTH)).read_text() == FOURTH


@pytest.mark.parametrize(("trial", "text"), [("1 baseline", FIRST), ("2 keep", SECOND)])
def test_any_trial_s_kernel_comes_back(path: Path, say: Say, trial: str, text: str) -> None:
    said = say("restore", LOG, "--trial", trial.split(maxsplit=1)[0])
    assert said.out[0].startswith(f"{holds(text, trial)}; ")
    assert path.read_text() == text


def test_nothing_is_done_where_it_is_there_already(path: Path, say: Say) -> None:
    before = path.stat()
    sentence = f"{holds(THIRD, '3 discard', 'already holds')}; nothing was changed"
    assert say("restore", LOG, "--trial", 3) == Said(0, [sentence], [])
    assert path.stat() == before


def test_a_kernel_that_was_deleted_comes_back(path: Path, say: Say) -> None:
    path.unlink()
    sentence = f"{holds(SECOND, '2 keep')}; there was no such file before"
    assert say("restore", LOG) == Said(0, [sentence], [])
    assert path.read_text() == SECOND


def test_its_permissions_stay(path: Path, say: Say) -> None:
    path.chmod(0o640)
    say("restore", LOG)
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_link_stays_a_link(path: Path, say: Say) -> None:
    real = path.rename(path.parent.parent / "real.py")
    path.symlink_to(real)
    say("restore", LOG)
    assert path.is_symlink()
    assert real.read_text() == SECOND


def test_a_kernel_that_the_archive_lost_comes_from_git(path: Path, say: Say) -> None:
    path.write_text(SECOND)
    repositories.commit(Path())
    path.write_text(THIRD)
    Path(archived(SECOND)).unlink()
    assert say("restore", LOG).code == 0
    assert path.read_text() == SECOND


def test_a_clone_without_an_archive_gets_one(path: Path, say: Say) -> None:
    """The log and the kernel are in git, and what is replaced is kept all the same."""
    path.write_text(SECOND)
    repositories.commit(Path())
    shutil.rmtree(archive.FOLDER)
    path.write_text(FOURTH)
    assert say("restore", LOG).out == [
        f"{holds(SECOND, '2 keep')}; what it held before is kept as {archived(FOURTH)}"
    ]
    assert Path(archived(FOURTH)).read_text() == FOURTH


# Whose kernel.


@pytest.fixture
def two(path: Path) -> Path:
    """Another target in the same log."""
    write_row(path.parents[2], FIRST, name="other")
    (path.parents[1] / "other/kernels.py").write_text(THIRD)
    return path


def test_of_several_targets_one_must_be_named(two: Path, say: Say) -> None:
    sentence = f"ERROR: {LOG}: has trials of other, toy; say with --target whose kernel is to be restored"
    assert say("restore", LOG) == Said(2, [], [sentence])
    assert say("restore", LOG, "--target", "other").code == 0
    assert two.read_text() == THIRD
    assert (two.parents[1] / "other/kernels.py").read_text() == FIRST


def test_a_trial_names_its_target(two: Path, say: Say) -> None:
    assert say("restore", LOG, "--trial", 2).code == 0
    assert two.read_text() == SECOND
    sentence = f"ERROR: {LOG}: trial 2 is one of target 'toy', not of 'other'"
    assert say("restore", LOG, "--trial", 2, "--target", "other") == Said(2, [], [sentence])


@pytest.mark.usefixtures("two")
def test_a_target_that_the_log_does_not_know(say: Say) -> None:
    sentence = f"ERROR: {LOG}: has no trial of target 'tay'; expected one of other, toy"
    assert say("restore", LOG, "--target", "tay") == Said(2, [], [sentence])


def test_a_log_beside_its_kernel_needs_no_globs(path: Path, say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the targets of the project are, and from wherever the command is started."""
    kernels = (path.parents[2] / "targets").rename(path.parents[2] / "kernels")
    log = Path(LOG).rename(kernels / "toy" / LOG).resolve()
    monkeypatch.chdir("/")
    assert say("restore", log).code == 0
    assert (kernels / "toy/kernels.py").read_text() == SECOND


def test_targets_that_lie_elsewhere_are_named(path: Path, say: Say) -> None:
    kernels = (path.parents[2] / "targets").rename(path.parents[2] / "kernels")
    sentence = "ERROR: there is no target 'toy' in targets/*; say where it is with --targets"
    assert say("restore", LOG) == Said(2, [], [sentence])
    assert say("restore", LOG, "--targets", "kernels/*").code == 0
    assert (kernels / "toy/kernels.py").read_text() == SECOND


def test_of_two_targets_with_one_name_none_is_touched(path: Path, say: Say) -> None:
    twin = toys.write(path.parents[2] / "more", text=THIRD)
    said = say("restore", LOG, "--targets", "targets/*", "--targets", "more/targets/*")
    places = f"{twin}, {path.parent}"
    assert said == Said(2, [], [f"ERROR: target 'toy': found in {places}; expected one directory of that name"])
    assert path.read_text() == THIRD


# What cannot be restored.


def refused(path: Path, said: Said, sentence: str) -> bool:
    """Whether it was one sentence, and kernels.py is as it was."""
    return said == Said(2, [], [f"ERROR: {sentence}"]) and path.read_text() == THIRD


def test_a_log_or_a_trial_that_is_not_there(path: Path, say: Say) -> None:
    assert refused(path, say("restore", "none.tsv"), "none.tsv: there is no such log")
    assert refused(
        path, say("restore", LOG, "--trial", 4), f"{LOG}: there is no trial 4; the log has trials 1 to 3"
    )
    header = Path(LOG).read_text().splitlines(keepends=True)[: results.HEADER_LINES]
    Path("empty.tsv").write_text("".join(header))
    sentence = "empty.tsv: no trial was logged yet; there is nothing to restore"
    assert refused(path, say("restore", "empty.tsv"), sentence)


def test_a_target_without_a_kept_kernel(path: Path, say: Say) -> None:
    lines = Path(LOG).read_text().splitlines(keepends=True)
    Path(LOG).write_text("".join([*lines[: results.HEADER_LINES], lines[-1]]))
    sentence = f"{LOG}: no kernel of 'toy' was kept yet; --trial N restores that of any trial"
    assert refused(path, say("restore", LOG), sentence)
    assert say("restore", LOG, "--trial", 3).code == 0


@pytest.mark.parametrize("edited", [False, True])
def test_a_kernel_that_is_nowhere(path: Path, say: Say, edited: bool) -> None:
    lost = Path(archived(SECOND))
    lost.write_text(f"{SECOND}# faster!\n") if edited else lost.unlink()
    sentence = (
        f"trial 2: the kernel with sha256 {sha256(SECOND)[:12]} is not in .autoresearch, or was changed there, "
        f"and is not in git"
    )
    assert refused(path, say("restore", LOG), sentence)


def failing(monkeypatch: pytest.MonkeyPatch, is_meant: Callable[[Path], bool]) -> None:
    """A disk without room for the files that are meant."""
    write = files.write_whole

    def write_whole(path: Path, text: bytes) -> None:
        if is_meant(path):
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, text)

    monkeypatch.setattr(files, "write_whole", write_whole)


def test_what_cannot_be_archived_is_not_replaced(path: Path, say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(archived(THIRD)).unlink()
    failing(monkeypatch, lambda place: archive.FOLDER in place.parts)
    sentence = (
        f"{path}: was left as it is, for what it holds cannot be archived: {archived(THIRD)}: cannot be written: "
        f"No space left on device"
    )
    assert refused(path, say("restore", LOG), sentence)


def test_a_kernel_that_cannot_be_replaced(path: Path, say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, lambda place: place.name == "kernels.py")
    sentence = f"{path}: cannot be replaced: No space left on device; it was left as it is"
    assert refused(path, say("restore", LOG), sentence)


def test_a_crash_in_between_leaves_the_kernel_whole(path: Path, monkeypatch: pytest.MonkeyPatch, say: Say) -> None:
    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", crash)
    assert say("restore", LOG) == Said(130, [], ["interrupted"])
    assert path.read_text() == THIRD
    assert sorted(one.name for one in path.parent.iterdir()) == sorted(
        ["inputs.py", "kernels.py", "program.md", "reference.py", "target.py"]
    )


# From the beginning to the end.


@pytest.mark.slow
def test_a_target_is_begun_judged_and_put_back(pytester: pytest.Pytester, say: Say) -> None:
    gate = ("-p", "no:randomly", "-p", "no:cacheprovider", "-q", "--autoresearch=mine", "--keep-gate")
    kernel, log = Path("targets/mine/kernels.py"), Path("targets/mine/results.tsv")
    assert say("new", "mine").code == 0
    first = kernel.read_text()
    assert pytester.runpytest(*gate).ret == 0
    wrong = first.replace("return (self._rows * weights).sum(axis=1)", "return self._rows.sum(axis=1)")
    kernel.write_text(wrong)
    assert pytester.runpytest(*gate, "-x").ret == 1
    assert [row.status for row in results.read(log)] == [Status.BASELINE, Status.INCORRECT]
    assert say("restore", log).code == 0
    assert kernel.read_text() == first
    assert Path(archived(wrong)).read_text() == wrong
    result = pytester.runpytest(*gate)
    assert result.ret == 10
    result.stdout.fnmatch_lines(["reason: discard: the kernel is identical to the baseline, trial 1 *"])
    assert say("verify", log).code == 0
