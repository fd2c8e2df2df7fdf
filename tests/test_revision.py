"""A target's files at a revision: found whatever the repository looks like, or one sentence about why not."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pytest
import repositories
from builders import SOURCES, write_target
from repositories import clone, commit

from pytest_lance_autoresearch.errors import RevisionUnknown
from pytest_lance_autoresearch.log import git, revision
from pytest_lance_autoresearch.log.revision import Revision
from pytest_lance_autoresearch.target_files import discover, load

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")

FIRST = SOURCES["kernels.py"].encode()
SECOND = FIRST.replace(b"values + values", b"values * 2")


class Plain(NamedTuple):
    """A revision, with the kernel's bytes alone."""

    name: str
    commit: str
    kernel: bytes | None
    moved_from: str = ""
    changed: tuple[str, ...] = ()
    is_committed: bool = True


def plain(one: Revision) -> Plain:
    text = one.kernel.text if one.kernel else None
    return Plain(one.name, one.commit, text, one.moved_from, one.changed, one.is_committed)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository whose first commit holds the target 'demo' with its first kernel, on branch main."""
    folder = tmp_path / "project"
    write_target(folder / "targets" / "demo")
    commit(folder)
    return folder


def target(project: Path, name: str = "demo") -> load.Target:
    return load.load(discover.inspect(project / "targets" / name))


def edit(project: Path, text: bytes = SECOND) -> None:
    (project / "targets/demo/kernels.py").write_bytes(text)


def found(project: Path, name: str = "main") -> Revision:
    return revision.find(target(project), name)


def refused(project: Path, name: str) -> str:
    with pytest.raises(RevisionUnknown) as raised:
        found(project, name)
    return str(raised.value)


def head(project: Path) -> str:
    return repositories.git(project, "rev-parse", "HEAD").strip()


# What is found


def test_the_kernel_is_that_of_the_revision_and_not_the_one_in_the_working_tree(project: Path) -> None:
    edit(project)
    one = found(project)
    assert plain(one) == Plain("main", head(project)[:12], FIRST, is_committed=False)
    assert str(one) == f"main at {head(project)[:12]}"


def test_what_is_checked_out_is_committed(project: Path) -> None:
    assert found(project).is_committed
    edit(project)
    commit(project)
    assert plain(found(project, "HEAD^")) == Plain("HEAD^", git.resolve(project, "HEAD^")[:12], FIRST)


def branch(project: Path) -> str:
    repositories.git(project, "branch", "feature/old")
    return "feature/old"


def light_tag(project: Path) -> str:
    repositories.git(project, "tag", "v1")
    return "v1"


def annotated_tag(project: Path) -> str:
    repositories.git(project, "tag", "--annotate", "--message", "The first", "v1.0")
    return "v1.0"


def whole_commit(project: Path) -> str:
    return head(project)


def short_commit(project: Path) -> str:
    return head(project)[:8]


@pytest.mark.parametrize("named", [branch, light_tag, annotated_tag, whole_commit, short_commit])
def test_a_revision_is_a_branch_a_tag_or_a_commit(project: Path, named: Callable[[Path], str]) -> None:
    name = named(project)
    first = head(project)
    edit(project)
    commit(project)
    assert plain(found(project, name)) == Plain(name, first[:12], FIRST)


def test_a_commit_is_called_by_its_first_digits_and_not_twice(project: Path) -> None:
    commit = head(project)
    assert {str(found(project, name)) for name in (commit, commit[:8], commit[:12])} == {commit[:12]}


def test_a_branch_of_the_repository_that_was_cloned(project: Path, tmp_path: Path) -> None:
    edit(clone(project, tmp_path / "clone"))
    assert plain(found(tmp_path / "clone", "origin/main")).kernel == FIRST


def test_a_project_below_the_top_of_its_repository(tmp_path: Path) -> None:
    """Another project has a target of the same name, and a folder has a blank and a letter that is not ASCII."""
    mine, other = (tmp_path / "mono" / name for name in ("mein Café", "other"))
    for folder in (mine, other):
        write_target(folder / "targets" / "demo")
    (other / "targets/demo/kernels.py").write_bytes(SECOND)
    commit(tmp_path / "mono")
    edit(mine, b"x = 1\n")
    assert (plain(found(mine)).kernel, found(mine).moved_from) == (FIRST, "")


def test_names_that_are_not_utf_8_elsewhere_in_the_repository(project: Path) -> None:
    odd = Path(os.fsdecode(os.fsencode(project / "old") + b"\xff"))
    shutil.move(project / "targets/demo", odd)
    commit(project)
    first = head(project)
    (project / "targets").mkdir(exist_ok=True)
    shutil.move(odd, project / "targets/demo")
    one = found(project, first)
    assert (plain(one).kernel, one.moved_from) == (FIRST, os.fsdecode(b"old\xff"))


def test_a_folder_that_was_renamed(project: Path) -> None:
    first = head(project)
    repositories.git(project, "mv", "targets/demo", "targets/doubling")
    (project / "targets/doubling/kernels.py").write_bytes(SECOND)
    one = revision.find(target(project, "doubling"), "main")
    assert plain(one) == Plain("main", first[:12], FIRST, moved_from="targets/demo", is_committed=False)


def test_a_copy_is_a_new_target_and_so_is_one_that_nobody_committed(project: Path) -> None:
    """The folder that it was copied from is still there; of another kernel, the reference is another one."""
    shutil.copytree(project / "targets/demo", project / "targets/copy")
    write_target(project / "targets/new", {"reference.py": "def double(values):\n    return values + values\n"})
    shutil.rmtree(project / "targets/demo")
    assert revision.find(target(project, "new"), "main").kernel is None
    repositories.git(project, "checkout", "--", ".")
    one = revision.find(target(project, "copy"), "main")
    assert (one.kernel, one.moved_from, one.changed) == (None, "", ())


@pytest.mark.parametrize("name", ["inputs.py", "reference.py", "target.py"])
def test_other_files_that_changed(project: Path, name: str) -> None:
    path = project / "targets/demo" / name
    path.write_bytes(path.read_bytes() + b"# once more\n")
    assert found(project).changed == (name,)


def test_a_file_that_was_not_there_has_changed_and_program_md_has_no_part_in_it(project: Path) -> None:
    repositories.git(project, "rm", "--cached", "targets/demo/target.py", "targets/demo/program.md")
    repositories.git(project, "commit", "--message", "Without")
    assert found(project).changed == ("target.py",)


def test_the_commit_is_listed_once(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel and its target's folder are looked for in the same list, which is long in a large repository."""
    listed: list[str] = []
    listing = git.paths_at

    def noted(folder: Path, commit: str) -> list[PurePosixPath] | None:
        listed.append(commit)
        return listing(folder, commit)

    monkeypatch.setattr(git, "paths_at", noted)
    repositories.git(project, "mv", "targets/demo", "targets/doubling")
    assert revision.find(target(project, "doubling"), "main").moved_from == "targets/demo"
    assert listed == [head(project)]


def test_other_files_that_nobody_committed(project: Path) -> None:
    """What program.md says has no part in it."""
    folder = project / "targets/demo"
    (folder / "program.md").write_text("# Another\n")
    assert found(project).uncommitted == ()
    (folder / "target.py").write_text(f"{SOURCES['target.py']}# once more\n")
    repositories.git(project, "rm", "--cached", "targets/demo/reference.py")
    assert set(found(project).uncommitted) == {"targets/demo/reference.py", "targets/demo/target.py"}


def test_line_ends_that_git_converts_are_no_change(project: Path) -> None:
    for path in (project / "targets/demo").iterdir():
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert plain(found(project)) == Plain("main", head(project)[:12], FIRST)


# What cannot be asked


def test_a_name_that_nothing_has(project: Path) -> None:
    assert refused(project, "v9") == (
        "git:v9: the repository has no such revision; expected a branch, a tag or a commit"
    )


@pytest.mark.parametrize("name", ["--all", "-q", "main..main", "^main"])
def test_a_name_that_is_an_option_or_no_commit(project: Path, name: str) -> None:
    assert refused(project, name) == (
        f"git:{name}: the repository has no such revision; expected a branch, a tag or a commit"
    )


@pytest.mark.parametrize(
    ("name", "kind"), [("HEAD^{tree}", "tree"), ("HEAD:targets", "tree"), ("main:targets/demo/kernels.py", "blob")]
)
def test_a_name_of_something_else_than_a_commit(project: Path, name: str, kind: str) -> None:
    assert refused(project, name) == f"git:{name} is a {kind} and no commit; expected a branch, a tag or a commit"


def test_a_branch_that_only_the_origin_has(project: Path, tmp_path: Path) -> None:
    """As in a checkout of a pull request, which has no branch of its own."""
    copy = clone(project, tmp_path / "clone")
    repositories.git(copy, "checkout", "--detach")
    repositories.git(copy, "branch", "--delete", "main")
    assert refused(copy, "main") == (
        "git:main: this clone has no such branch, and its origin has; did you mean git:origin/main?"
    )
    assert plain(found(copy, "origin/main")).kernel == FIRST


def test_a_clone_that_is_shallow(project: Path, tmp_path: Path) -> None:
    first = head(project)
    edit(project)
    commit(project)
    shallow = clone(project, tmp_path / "shallow", "--depth=1")
    assert plain(found(shallow, "HEAD")).kernel == SECOND
    assert refused(shallow, first) == (
        f'git:{first}: this clone is shallow and does not have it; fetch all of it with "git fetch --unshallow '
        f"--tags origin '+refs/heads/*:refs/remotes/origin/*'\", in actions/checkout with 'fetch-depth: 0'"
    )
    repositories.git(shallow, *shlex.split(git.FETCH_ALL)[1:])
    assert plain(found(shallow, first)).kernel == FIRST


@pytest.mark.parametrize("name", ["HEAD^1", "origin/main", "origin/side", "v1"])
def test_the_command_for_a_shallow_clone_makes_a_pull_request_s_checkout_whole(
    project: Path, tmp_path: Path, name: str
) -> None:
    """Which is one commit of no branch, fetched as actions/checkout does it."""
    repositories.git(project, "tag", "v1")
    repositories.git(project, "branch", "side")
    repositories.git(project, "checkout", "-b", "change")
    edit(project)
    commit(project)
    repositories.git(project, "checkout", "main")
    repositories.git(project, "merge", "--no-ff", "--message", "Merge", "change")
    repositories.git(project, "update-ref", "refs/pull/1/merge", "HEAD")
    repositories.git(project, "reset", "--hard", "HEAD^1")
    copy = tmp_path / "checkout"
    copy.mkdir()
    repositories.git(copy, "init")
    repositories.git(copy, "remote", "add", "origin", f"file://{project}")
    place = "refs/remotes/pull/1/merge"
    repositories.git(copy, "fetch", "--no-tags", "--depth=1", "origin", f"+refs/pull/1/merge:{place}")
    repositories.git(copy, "checkout", "--force", place)
    assert "this clone is shallow" in refused(copy, name)
    repositories.git(copy, *shlex.split(git.FETCH_ALL)[1:])
    assert plain(found(copy, name)).kernel == FIRST


def test_a_folder_in_no_repository(tmp_path: Path) -> None:
    folder = write_target(tmp_path / "targets" / "demo")
    assert refused(tmp_path, "main") == f"git:main: {folder} is in no git repository that has a commit"


def test_a_repository_without_a_commit(tmp_path: Path) -> None:
    folder = write_target(tmp_path / "targets" / "demo")
    repositories.git(tmp_path, "init")
    assert refused(tmp_path, "main") == f"git:main: {folder} is in no git repository that has a commit"


def test_a_repository_that_git_does_not_read(project: Path) -> None:
    """Such as one that belongs to another user, as a checkout in a container often does."""
    (project / ".git/config").write_text("[core\n")
    assert refused(project, "main") == (
        f"git:main: git does not read the repository of {project / 'targets/demo'}; "
        f"it says 'fatal: bad config line 1 in file .git/config'"
    )


def test_without_git(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert refused(project, "main") == "git:main needs git, which is not installed"


def test_a_kernel_whose_bytes_are_not_in_the_clone(project: Path) -> None:
    """As in a clone that fetches contents when they are needed, and cannot: it must not count as a new target."""
    blob = repositories.git(project, "rev-parse", "main:targets/demo/kernels.py").strip()
    (project / ".git/objects" / blob[:2] / blob[2:]).unlink()
    assert refused(project, "main") == "git:main: git cannot read targets/demo/kernels.py as it was there"


def test_a_tree_that_is_not_in_the_clone(project: Path) -> None:
    tree = repositories.git(project, "rev-parse", "main:targets").strip()
    (project / ".git/objects" / tree[:2] / tree[2:]).unlink()
    assert refused(project, "main") == "git:main: git cannot list the files that were there"
