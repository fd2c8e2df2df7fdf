"""Which directories are targets, and what is said about one whose files are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders import write_target

from pytest_lance_autoresearch.errors import SelectionError
from pytest_lance_autoresearch.records import Layout
from pytest_lance_autoresearch.target_files import discover

EXPECTED = "expected inputs.py, kernels.py, program.md, reference.py, target.py"


def names(layouts: tuple[Layout, ...]) -> list[str]:
    return [layout.name for layout in layouts]


def fault(directory: Path) -> str:
    (sentence,) = discover.inspect(directory).faults
    return sentence


# Finding


def test_logs_are_found_where_targets_are_or_were(tmp_path: Path) -> None:
    for name in ("b", "a", "none"):
        (tmp_path / "targets" / name).mkdir(parents=True)
    for name in ("b", "a"):
        (tmp_path / "targets" / name / "results.tsv").touch()
    (tmp_path / "targets/link").symlink_to("a")
    found = [path.relative_to(tmp_path).as_posix() for path in discover.logs(tmp_path)]
    assert found == ["targets/a/results.tsv", "targets/b/results.tsv"]


def test_targets_are_found_by_name_order_below_the_root(tmp_path: Path) -> None:
    for name in ("topk-merge", "pq-l2", "_template"):
        write_target(tmp_path / "targets" / name)
    found = discover.discover(tmp_path)
    assert names(found) == ["_template", "pq-l2", "topk-merge"]
    assert all(layout.faults == () for layout in found)
    assert found[1].directory == (tmp_path / "targets" / "pq-l2").resolve()
    assert found[1].kernel_path == found[1].directory / "kernels.py"


def test_a_root_without_targets_has_none(tmp_path: Path) -> None:
    assert discover.discover(tmp_path) == ()
    assert discover.discover(tmp_path / "away") == ()


def test_only_directories_with_code_of_a_target_count(tmp_path: Path) -> None:
    (tmp_path / "targets" / "notes").mkdir(parents=True)
    (tmp_path / "targets" / "notes" / "program.md").write_text("# Notes\n")
    (tmp_path / "targets" / "__pycache__").mkdir()
    (tmp_path / "targets" / "kernels.py").write_text("")
    assert discover.discover(tmp_path) == ()


def test_a_directory_with_a_fault_is_found_with_it(tmp_path: Path) -> None:
    write_target(tmp_path / "targets" / "demo", {"program.md": None})
    (found,) = discover.discover(tmp_path)
    assert found.faults == (f"target 'demo': missing program.md; {EXPECTED}",)


def test_globs_say_where_to_look_and_find_a_target_once(tmp_path: Path) -> None:
    write_target(tmp_path / "kernels" / "demo")
    write_target(tmp_path / "targets" / "other")
    assert names(discover.discover(tmp_path, ["kernels/*", "kernels/demo", "*/demo"])) == ["demo"]


def test_a_link_to_a_target_is_the_same_target(tmp_path: Path) -> None:
    write_target(tmp_path / "targets" / "demo")
    (tmp_path / "targets" / "again").symlink_to("demo", target_is_directory=True)
    assert names(discover.discover(tmp_path)) == ["demo"]


@pytest.mark.parametrize("glob", ["/kernels/*", ""])
def test_a_glob_that_is_no_relative_pattern_is_said_so(tmp_path: Path, glob: str) -> None:
    with pytest.raises(SelectionError, match="autoresearch_targets"):
        discover.discover(tmp_path, [glob])


def test_only_a_complete_directory_is_taken_for_a_target_elsewhere(tmp_path: Path) -> None:
    complete = write_target(tmp_path / "complete")
    without_prose = write_target(tmp_path / "without-prose", {"program.md": None})
    partial = write_target(tmp_path / "partial", {"inputs.py": None})
    assert discover.recognise(complete) == Layout("complete", complete)
    assert discover.recognise(partial) is None
    found = discover.recognise(without_prose)
    assert found is not None
    assert found.faults == (f"target 'without-prose': missing program.md; {EXPECTED}",)


# Faults of a layout


def test_several_missing_files_are_named_at_once(tmp_path: Path) -> None:
    directory = write_target(tmp_path / "demo", {"program.md": None, "inputs.py": None})
    assert fault(directory) == f"target 'demo': missing inputs.py, program.md; {EXPECTED}"


@pytest.mark.parametrize("extra", ["conftest.py", "helpers.py", "test_kernels.py"])
def test_another_python_file_is_refused_by_name(tmp_path: Path, extra: str) -> None:
    directory = write_target(tmp_path / "demo", {extra: ""})
    assert fault(directory) == (
        f"target 'demo': unexpected {extra}; a target's Python files are exactly inputs.py, kernels.py, "
        f"reference.py, target.py, so that nothing else can change what is measured"
    )


def test_other_files_are_no_fault(tmp_path: Path) -> None:
    directory = write_target(tmp_path / "demo", {"results.tsv": "", "lessons.md": "", "results.tsv.torn": ""})
    assert discover.inspect(directory).faults == ()


@pytest.mark.parametrize("name", ["pq.l2", "pq l2", "pq[l2]", "größe"])
def test_a_name_that_test_ids_cannot_carry_is_refused(tmp_path: Path, name: str) -> None:
    assert fault(write_target(tmp_path / name)) == (
        f"target '{name}': the directory's name has characters that test ids cannot carry; "
        f"expected only letters, digits, '_' and '-'"
    )


def test_every_fault_is_listed(tmp_path: Path) -> None:
    directory = write_target(tmp_path / "pq.l2", {"target.py": None, "wiring.py": ""})
    assert [sentence.split(": ", 1)[1][:12] for sentence in discover.inspect(directory).faults] == [
        "the director",
        "missing targ",
        "unexpected w",
    ]


def test_two_targets_of_one_name_are_both_refused(tmp_path: Path) -> None:
    write_target(tmp_path / "a" / "demo")
    write_target(tmp_path / "b" / "demo", {"program.md": None})
    write_target(tmp_path / "b" / "other")
    found = discover.discover(tmp_path, ["*/*"])
    twins = (
        f"target 'demo': found in {tmp_path.resolve()}/a/demo, {tmp_path.resolve()}/b/demo; "
        f"expected one directory of that name"
    )
    missing = f"target 'demo': missing program.md; {EXPECTED}"
    assert {layout.directory.parent.name + "/" + layout.name: layout.faults for layout in found} == {
        "a/demo": (twins,),
        "b/demo": (missing, twins),
        "b/other": (),
    }


# Choosing by name


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with four targets and what is none."""
    for name in ("_template", "decode-fsst", "pq-l2", "topk-merge"):
        write_target(tmp_path / "targets" / name)
    foreign = tmp_path / "targets" / "web"
    foreign.mkdir()
    for name in ("target.py", "test_web.py"):
        (foreign / name).touch()
    write_target(tmp_path / "targets" / "half", {"inputs.py": None, "reference.py": None})
    (tmp_path / "targets" / "dangling").symlink_to("nowhere")
    (tmp_path / "targets" / "file").touch()
    return tmp_path


def test_only_complete_directories_are_targets_in_every_run(project: Path) -> None:
    assert names(discover.discover(project)) == ["_template", "decode-fsst", "pq-l2", "topk-merge"]


def test_a_gate_without_names_sees_the_unfinished_ones_too_and_nothing_foreign(project: Path) -> None:
    found = discover.discover(project, least=discover.UNFINISHED)
    assert names(found) == ["_template", "decode-fsst", "half", "pq-l2", "topk-merge"]
    assert found[2].faults == (f"target 'half': missing inputs.py, reference.py; {EXPECTED}",)


def test_whoever_gives_a_name_is_told_what_its_directory_lacks(project: Path) -> None:
    (found,) = discover.select(["web"], project)
    assert found.faults[0] == f"target 'web': missing inputs.py, kernels.py, program.md, reference.py; {EXPECTED}"


def test_what_cannot_be_read_is_no_target(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    is_file = Path.is_file

    def refused(path: Path) -> bool:
        if path.parent.name == "web":
            raise PermissionError(13, "Permission denied")
        return is_file(path)

    monkeypatch.setattr(Path, "is_file", refused)
    assert names(discover.discover(project, least=discover.NAMED)) == [
        "_template",
        "decode-fsst",
        "half",
        "pq-l2",
        "topk-merge",
    ]


def test_a_link_s_name_is_as_good_as_its_target_s(project: Path) -> None:
    (project / "targets" / "again").symlink_to("pq-l2", target_is_directory=True)
    assert names(discover.select(["again", "pq-l2"], project)) == ["pq-l2"]
    assert names(discover.discover(project)) == ["_template", "decode-fsst", "pq-l2", "topk-merge"]


def test_a_link_to_a_target_elsewhere_is_shown_where_the_glob_finds_it(project: Path, tmp_path: Path) -> None:
    real = write_target(tmp_path / "elsewhere" / "real")
    (project / "targets" / "mine").symlink_to(real, target_is_directory=True)
    (found,) = discover.select(["mine"], project)
    assert found == Layout("mine", project / "targets" / "mine")


def test_the_root_may_be_a_link(project: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(project, target_is_directory=True)
    assert discover.discover(link)[2] == Layout("pq-l2", link / "targets" / "pq-l2")


def test_targets_come_in_the_order_they_were_asked_for_and_once(project: Path) -> None:
    assert names(discover.select(["topk-merge", "pq-l2", "topk-merge"], project)) == ["topk-merge", "pq-l2"]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("pq-12", "no target 'pq-12'; did you mean 'pq-l2'?"),
        ("topk_merge", "no target 'topk_merge'; did you mean 'topk-merge'?"),
        ("fsst", "no target 'fsst'; did you mean 'decode-fsst'?"),
        ("zzz", "no target 'zzz'; expected one of _template, decode-fsst, half, pq-l2, topk-merge"),
    ],
)
def test_a_wrong_name_gets_the_nearest_one(project: Path, name: str, sentence: str) -> None:
    with pytest.raises(SelectionError) as raised:
        discover.select(["pq-l2", name], project)
    assert str(raised.value) == sentence


def test_a_name_where_there_is_no_target_at_all(tmp_path: Path) -> None:
    with pytest.raises(SelectionError) as raised:
        discover.select(["pq-l2"], tmp_path)
    assert str(raised.value) == (
        f"no target 'pq-l2': there is no target in targets/* below {tmp_path}; expected a folder with inputs.py, "
        "reference.py, target.py and kernels.py, or KERNEL in target.py; "
        "'python -m pytest_lance_autoresearch new NAME' begins one"
    )


def test_a_leading_underscore_keeps_a_target_out_of_a_gate_without_names(project: Path) -> None:
    judged = [layout.name for layout in discover.discover(project) if discover.is_judged_by_default(layout)]
    assert judged == ["decode-fsst", "pq-l2", "topk-merge"]
