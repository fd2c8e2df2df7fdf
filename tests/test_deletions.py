"""Targets that a revision has and the working tree has no more: which folders of a commit are meant."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import repositories
from builders import SOURCES, write_target

from pytest_lance_autoresearch.log import deletions, git
from pytest_lance_autoresearch.target_files import discover, load

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project below the top of its repository, with targets 'kept' and 'old', whose oracles differ."""
    folder = tmp_path / "mono" / "[my] project"
    write(folder / "targets" / "kept")
    write(folder / "targets" / "old")
    repositories.commit(folder.parent)
    return folder


def write(folder: Path, **changed: str | None) -> Path:
    own = {"reference.py": f"{SOURCES['reference.py']}# {folder.name}\n"}
    return write_target(folder, {**own, **{f"{stem}.py": text for stem, text in changed.items()}})


def told(project: Path, *globs: str, name: str = "main") -> list[str]:
    globs = globs or discover.DEFAULT_GLOBS
    layouts = discover.discover(project, globs, discover.UNFINISHED)
    targets = [load.load(layout) for layout in layouts if not layout.faults]
    return deletions.notes(name, project, globs, layouts, targets)


def sentence(project: Path, name: str = "old", folder: str = "targets/old") -> str:
    commit = repositories.git(project, "rev-parse", "--short=12", "main").strip()
    return (
        f"at main at {commit} target '{name}' was in [my] project/{folder}, and it is there no more; "
        f"nothing of it was judged"
    )


def test_what_is_still_there_is_not_deleted(project: Path) -> None:
    assert told(project) == []
    (project / "targets/old/target.py").unlink()
    assert told(project) == []  # a gate without names tells what it lacks


def test_a_folder_that_is_gone_or_is_a_target_no_more(project: Path) -> None:
    for name in ("inputs.py", "reference.py", "target.py"):
        (project / "targets/old" / name).unlink()
    assert told(project) == [sentence(project)]
    shutil.rmtree(project / "targets/old")
    assert told(project) == [sentence(project)]


def test_a_folder_that_was_renamed_is_not_deleted(project: Path) -> None:
    (project / "targets/old").rename(project / "targets/new")
    assert told(project) == []


def test_one_that_was_renamed_and_rewritten_is(project: Path) -> None:
    """Nobody can know that the new target is the old one."""
    shutil.rmtree(project / "targets/old")
    write(project / "targets/new")
    assert told(project) == [sentence(project)]


def test_a_pattern_and_what_was_never_a_target_are_no_targets(project: Path) -> None:
    write(project / "targets" / "_pattern")
    write(project / "targets" / "half", inputs=None)
    write(project / "targets" / "headless", kernels=None)
    write(project / "elsewhere" / "other")
    repositories.commit(project.parent)
    for folder in ("targets/_pattern", "targets/half", "targets/headless", "elsewhere"):
        shutil.rmtree(project / folder)
    assert told(project) == []


@pytest.mark.parametrize("path", ['"../../src/kernel.py"', "'a' + 'b'"])
def test_a_kernel_that_lies_elsewhere_makes_a_target(project: Path, path: str) -> None:
    """In whatever way target.py says so."""
    write(project / "targets" / "out", kernels=None, target=f"KERNEL = {path}\n{SOURCES['target.py']}")
    repositories.commit(project.parent)
    shutil.rmtree(project / "targets/out")
    assert told(project) == [sentence(project, "out", "targets/out")]


def test_a_revision_that_cannot_be_asked_tells_of_nothing(project: Path) -> None:
    shutil.rmtree(project / "targets/old")
    assert told(project, name="v9") == []
    (project.parent / ".git").rename(project.parent / "gone")
    assert told(project) == []


def test_several_are_told_in_order_and_each_once(project: Path) -> None:
    for name in ("zoo", "ape"):
        write(project / "targets" / name)
    repositories.commit(project.parent)
    for name in ("zoo", "ape"):
        shutil.rmtree(project / "targets" / name)
    assert told(project, "targets/*", "targets/z*") == [
        sentence(project, name, f"targets/{name}") for name in ("ape", "zoo")
    ]


@pytest.mark.parametrize(
    ("pattern", "is_found"),
    [
        ("targets/*", True),
        ("./targets/o?d", True),
        ("**", True),
        ("**/old", True),
        ("targets/**/old", True),
        ("*/[n-p]ld", True),
        ("../[[]my] project/targets/*", True),
        ("*", False),
        ("targets/*/*", False),
        ("other/*", False),
        ("../../*/targets/*", False),
    ],
)
def test_globs_find_in_a_commit_what_they_find_on_the_disk(project: Path, pattern: str, *, is_found: bool) -> None:
    on_disk = [layout.name for layout in discover.discover(project, [pattern])]
    assert ("old" in on_disk) == is_found
    shutil.rmtree(project / "targets/old")
    assert told(project, pattern) == [sentence(project)] * is_found


def test_the_tree_is_not_listed_for_a_commit_that_is_not_there(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git, "paths_at", lambda *_: None)
    assert told(project) == []
