"""The test tree: node ids, selections, other plugins, IDE rules, and targets at fault."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import toys

MODULE = "targets/toy/kernels.py"
IDS = [
    *(f"{MODULE}::test_correctness[{case}]" for case in toys.CASES),
    *(f"{MODULE}::test_speed[{case}]" for case in toys.TIMED),
]
PLAIN = ("-p", "no:randomly", "-p", "no:cacheprovider")


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    toys.write(pytester.path)
    pytester.makeini("[pytest]\naddopts = --strict-markers")
    return pytester


def collected(result: pytest.RunResult) -> list[str]:
    return [line for line in result.outlines if "::" in line]


def test_the_tree_has_one_module_per_target_and_an_item_per_case(project: pytest.Pytester) -> None:
    result = project.runpytest(*PLAIN, "--collect-only", "-q")
    assert collected(result) == IDS


def test_the_gate_is_an_item_and_the_last_one(project: pytest.Pytester) -> None:
    result = project.runpytest("-p", "no:cacheprovider", "--collect-only", "-q", "--keep-gate")
    assert sorted(collected(result)) == sorted([*IDS, f"{MODULE}::test_keep_gate"])
    assert collected(result)[-1] == f"{MODULE}::test_keep_gate"


def test_properties_are_an_item_where_a_target_has_them(project: pytest.Pytester) -> None:
    toys.write(project.path, target=toys.TARGET + "\ndef properties():\n    raise NotImplementedError\n")
    result = project.runpytest(*PLAIN, "--collect-only", "-q")
    assert f"{MODULE}::test_properties" in collected(result)


def test_everything_passes_in_a_plain_run(project: pytest.Pytester) -> None:
    result = project.runpytest(*PLAIN)
    result.assert_outcomes(passed=toys.ITEMS)
    assert "---" not in result.outlines


@pytest.mark.parametrize(
    ("selection", "count"),
    [
        ([f"{MODULE}::test_correctness[64x32-zeros]"], 1),
        ([f"{MODULE}::test_speed"], 9),
        ([MODULE], toys.ITEMS),
        (["targets"], toys.ITEMS),
        (["targets/toy"], toys.ITEMS),
        (["-k", "sparse and correctness"], 3),
        (["-m", "autoresearch_speed and not autoresearch_gate"], 9),
        (["-m", "autoresearch_correctness"], 15),
        (["--autoresearch=toy", "-k", "129x31"], 8),
    ],
)
def test_selections_run_what_they_name(project: pytest.Pytester, selection: list[str], count: int) -> None:
    project.runpytest(*PLAIN, *selection).assert_outcomes(
        passed=count, deselected=_any_deselected(count, selection)
    )


def _any_deselected(count: int, selection: list[str]) -> int:
    return toys.ITEMS - count if {"-k", "-m"} & set(selection) else 0


def test_last_failed_and_failed_first_find_the_item(project: pytest.Pytester) -> None:
    toys.write(project.path, text=toys.kernel("return result + (self.weights.size == 129 * 31 and x[0] == 0)"))
    options = ("-p", "no:randomly", "-k", "correctness")
    assert project.runpytest(*options).parseoutcomes()["failed"] == 1
    project.runpytest(*options, "--lf").assert_outcomes(failed=1)
    first = project.runpytest(*options, "--ff", "-v", "-x")
    first.assert_outcomes(failed=1, deselected=9)
    first.stdout.fnmatch_lines([f"{MODULE}::test_correctness[[]129x31-zeros] FAILED*"])


def test_random_order_runs_everything(project: pytest.Pytester) -> None:
    project.runpytest("-p", "no:cacheprovider", "-p", "randomly", "--randomly-seed=7").assert_outcomes(
        passed=toys.ITEMS
    )


def test_two_processes_share_the_correctness_items(project: pytest.Pytester) -> None:
    result = project.runpytest_subprocess(*PLAIN, "-n", "2", "--autoresearch=toy")
    result.assert_outcomes(passed=toys.ITEMS)
    result.stdout.fnmatch_lines(
        ["autoresearch: correctness runs in parallel; speed items run once, untimed (-n0 times them)"]
    )


def test_junit_names_every_case(project: pytest.Pytester) -> None:
    project.runpytest(*PLAIN, "--junitxml=out.xml")
    names = [case.get("name") for case in ElementTree.parse(project.path / "out.xml").iter("testcase")]
    assert names == [node_id.split("::")[1] for node_id in IDS]


def test_speed_items_pass_without_pytest_benchmark(project: pytest.Pytester) -> None:
    project.runpytest_subprocess(*PLAIN, "-p", "no:benchmark").assert_outcomes(passed=toys.ITEMS)


@pytest.mark.parametrize(
    "options",
    [
        ["--doctest-modules"],
        ["-o", "python_files=*.py"],
        ["--import-mode=importlib"],
        ["-o", "python_functions=check_*"],
        ["-o", "collect_imported_tests=false"],
    ],
)
def test_other_collection_settings_change_nothing(project: pytest.Pytester, options: list[str]) -> None:
    result = project.runpytest(*PLAIN, *options, "targets", "--collect-only", "-q")
    assert collected(result) == IDS


def test_kernels_py_is_never_imported_by_pytest(project: pytest.Pytester) -> None:
    toys.write(project.path, text="import pathlib\npathlib.Path('/nonexistent/x').write_text('')\n" + toys.KERNEL)
    result = project.runpytest(*PLAIN, "--collect-only", "-q", "--doctest-modules", MODULE)
    assert collected(result) == IDS


@pytest.mark.parametrize("rootdir", [[], ["--rootdir=."]])
def test_it_runs_from_inside_the_targets_own_folder(
    project: pytest.Pytester, rootdir: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.path / "targets" / "toy")
    project.runpytest(*PLAIN, *rootdir, "-k", "64x32").assert_outcomes(passed=8, deselected=16)


def test_a_targets_folder_that_is_the_whole_project_is_recognised(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(toys.write(pytester.path))
    result = pytester.runpytest(*PLAIN, "--rootdir=.", "--collect-only", "-q")
    assert collected(result) == [node_id.removeprefix("targets/toy/") for node_id in IDS]


def test_two_targets_on_one_command_line_do_not_mix(project: pytest.Pytester) -> None:
    toys.write(project.path, name="other")
    result = project.runpytest(*PLAIN, MODULE, "targets/other/kernels.py", "-k", "correctness and 64x32")
    result.assert_outcomes(passed=10, deselected=38)


def test_only_the_named_target_runs(project: pytest.Pytester) -> None:
    toys.write(project.path, name="other")
    project.makepyfile(test_own="def test_own(): pass")
    result = project.runpytest(*PLAIN, "--autoresearch=toy", "--collect-only", "-q")
    assert collected(result) == IDS


def test_the_globs_can_be_changed(project: pytest.Pytester) -> None:
    (project.path / "targets").rename(project.path / "kernels")
    project.makeini("[pytest]\nautoresearch_targets = kernels/*")
    result = project.runpytest(*PLAIN, "--autoresearch=toy", "--collect-only", "-q")
    assert collected(result) == [node_id.replace("targets/", "kernels/") for node_id in IDS]


def test_a_misspelt_target_gets_the_nearest_name(project: pytest.Pytester) -> None:
    result = project.runpytest(*PLAIN, "--autoresearch=tyo")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: no target 'tyo'; did you mean 'toy'?"])


def test_paths_without_the_named_target_are_refused(project: pytest.Pytester) -> None:
    project.mkdir("tests").joinpath("test_own.py").write_text("def test_own(): pass")
    result = project.runpytest(*PLAIN, "tests", "--autoresearch=toy")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [
            "ERROR: no item of 'toy' was collected from tests; leave the paths away, "
            "or add the target's directory to them"
        ]
    )


def test_a_target_at_fault_is_one_failing_item_and_the_others_run(project: pytest.Pytester) -> None:
    broken = toys.write(project.path, name="broken")
    (broken / "program.md").unlink()
    toys.write(project.path, name="bad-ids", inputs=toys.INPUTS.replace('"sparse"', '"spa.rse"'))
    result = project.runpytest(*PLAIN, "-k", "contract or (correctness and 64x32)")
    result.assert_outcomes(failed=2, passed=5, deselected=19)
    result.stdout.fnmatch_lines(
        [
            "target 'bad-ids': the distribution 'spa.rse' cannot be part of a test id; expected only letters, "
            "digits and '_+=-' (a dot breaks re-running one case in an IDE)",
            "target 'broken': missing program.md; expected inputs.py, kernels.py, program.md, reference.py, "
            "target.py",
        ]
    )


def test_an_extra_python_file_in_a_target_is_refused_by_name(project: pytest.Pytester) -> None:
    (project.path / "targets" / "toy" / "conftest.py").write_text("")
    result = project.runpytest(*PLAIN)
    result.stdout.fnmatch_lines(["target 'toy': unexpected conftest.py; a target's Python files are exactly *"])
    result.assert_outcomes(failed=1)


FOREIGN = {
    "targets/web/target.py": "HOST = 'localhost'\n",
    "targets/web/test_web.py": "def test_web():\n    pass\n",
    "targets/half/kernels.py": "def kernel():\n    pass\n",
    "targets/half/inputs.py": "",
    "targets/half/test_half.py": "def test_half():\n    pass\n",
    "targets/README": "",
}


def write_foreign(project: pytest.Pytester) -> None:
    for name, text in FOREIGN.items():
        path = project.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (project.path / "targets/dangling").symlink_to("nowhere")


def test_a_project_that_has_a_folder_of_targets_of_its_own_is_left_as_it_was(pytester: pytest.Pytester) -> None:
    write_foreign(pytester)
    with_us = collected(pytester.runpytest(*PLAIN, "--collect-only", "-q"))
    without = collected(
        pytester.runpytest_subprocess(*PLAIN, "--collect-only", "-q", "-p", "no:lance-autoresearch")
    )
    assert with_us == without == ["targets/half/test_half.py::test_half", "targets/web/test_web.py::test_web"]


def test_what_looks_like_an_unfinished_target_is_told_so_by_a_gate(pytester: pytest.Pytester) -> None:
    write_foreign(pytester)
    result = pytester.runpytest(*PLAIN, "--keep-gate", "--autoresearch-json=out.json")
    result.assert_outcomes(failed=1)
    sentence = (
        "target 'half': missing program.md, reference.py, target.py; expected inputs.py, kernels.py, program.md, "
        "reference.py, target.py"
    )
    result.stdout.fnmatch_lines([sentence])
    told = json.loads((pytester.path / "out.json").read_text())
    assert told == {"trials": [], "faults": [sentence], "notes": []}


def test_a_folder_that_was_asked_for_by_name_is_told_what_it_lacks(pytester: pytest.Pytester) -> None:
    write_foreign(pytester)
    result = pytester.runpytest(*PLAIN, "--autoresearch=web")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["target 'web': missing inputs.py, kernels.py, program.md, reference.py; expected *"]
    )


@pytest.mark.parametrize("linked", ["targets/toy", "targets", "."])
def test_a_target_behind_a_link_runs_by_name_and_by_every_path(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, linked: str
) -> None:
    toys.write(pytester.path / "real")
    (pytester.path / "real/pytest.ini").write_text("[pytest]\n")
    root = pytester.path / "root"
    if linked == ".":
        root.symlink_to("real", target_is_directory=True)
    else:
        root.mkdir()
        (root / "pytest.ini").write_text("[pytest]\n")
        (root / linked).parent.mkdir(exist_ok=True)
        (root / linked).symlink_to(pytester.path / "real" / linked, target_is_directory=True)
    monkeypatch.chdir(root)
    case = "test_correctness[64x32-normal]"
    for arguments in (
        ["--autoresearch=toy", "-k", case],
        ["--autoresearch=toy", "targets/toy", "-k", case],
        ["targets/toy", "-k", case],
        [f"targets/toy/kernels.py::{case}"],
        [f"{pytester.path}/real/targets/toy/kernels.py::{case}", f"--rootdir={root}"],
    ):
        result = pytester.runpytest(*PLAIN, *arguments)
        assert result.parseoutcomes()["passed"] == 1, arguments


def test_a_kernel_may_be_a_link_to_where_it_lives(pytester: pytest.Pytester) -> None:
    folder = toys.write(pytester.path)
    home = pytester.path / "src/lib/_kernels.py"
    home.parent.mkdir(parents=True)
    (folder / "kernels.py").rename(home)
    (folder / "kernels.py").symlink_to("../../src/lib/_kernels.py")
    assert pytester.runpytest(*PLAIN, "--autoresearch=toy", "--keep-gate").ret == 0
    (archived,) = (pytester.path / ".autoresearch/kernels").iterdir()
    assert archived.read_bytes() == home.read_bytes()


@pytest.mark.parametrize("options", [["-k", "correctness"], ["-k", "no_such"], ["-m", "no_such"]])
@pytest.mark.parametrize("selection", [[], ["--autoresearch=toy"]])
def test_a_target_s_fault_is_told_even_where_its_item_is_deselected(
    pytester: pytest.Pytester, options: list[str], selection: list[str]
) -> None:
    toys.write(pytester.path, inputs="import no_such_module\n")
    result = pytester.runpytest(*PLAIN, *options, *selection)
    assert result.ret != 0
    assert "target 'toy': inputs.py does not load: ModuleNotFoundError: No module named 'no_such_module'" in (
        result.stdout.str() + result.stderr.str()
    )


WRONG = toys.kernel("return result + (x.size == 129 * 31)")
CASE = "test_correctness[129x31-normal]"


def printed_commands(result: pytest.RunResult) -> list[list[str]]:
    """What the items say to type, without the word 'pytest'."""
    said = (line.removeprefix("run again: pytest ") for line in result.outlines if line.startswith("run again: "))
    return [shlex.split(command) for command in said]


@pytest.mark.parametrize(
    ("folder", "options"),
    [
        (".", []),
        (".", ["--autoresearch=toy"]),
        ("targets/toy", []),
        ("targets", ["--autoresearch=toy", "--autoresearch-seed=7"]),
        (".", ["--autoresearch-in-process"]),
        (".", ["-c", "ci/pytest.ini", "--rootdir=."]),
        ("elsewhere", ["../targets", "-c", "../ci/pytest.ini", "--rootdir=.."]),
        (".", ["-o", "autoresearch_targets=*/toy", "--autoresearch=toy"]),
    ],
)
def test_the_printed_command_runs_that_item_again(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, folder: str, options: list[str]
) -> None:
    toys.write(pytester.path, text=WRONG)
    for name in ("pytest.ini", "ci/pytest.ini"):
        (pytester.path / name).parent.mkdir(exist_ok=True)
        (pytester.path / name).write_text("[pytest]\n")
    (pytester.path / "elsewhere").mkdir()
    monkeypatch.chdir(pytester.path / folder)
    result = pytester.runpytest(*PLAIN, *options, "-k", CASE)
    (command,) = printed_commands(result)
    again = pytester.runpytest(*PLAIN, *command)
    again.assert_outcomes(failed=1)
    assert printed_commands(again) == [command]


def test_the_printed_command_leaves_out_what_another_plugin_added_to_the_id(pytester: pytest.Pytester) -> None:
    """As pytest-repeat does with --count."""
    toys.write(pytester.path, text=WRONG)
    pytester.makeconftest(
        """
        import pytest
        def pytest_addoption(parser):
            parser.addoption("--count", type=int, default=1)
        @pytest.fixture(autouse=True)
        def step(request):
            pass
        @pytest.hookimpl(trylast=True)
        def pytest_generate_tests(metafunc):
            count = metafunc.config.option.count
            if count > 1:
                metafunc.fixturenames.append("step")
                ids = [f"{i}-{count}" for i in range(count)]
                metafunc.parametrize("step", range(count), indirect=True, ids=ids)
        """
    )
    result = pytester.runpytest(*PLAIN, "--count", "2", "-k", "test_correctness and 129x31-normal")
    result.assert_outcomes(failed=2)
    command, same = printed_commands(result)
    assert command == same == [f"{MODULE}::{CASE}"]
    pytester.runpytest(*PLAIN, *command).assert_outcomes(failed=1)


def test_the_printed_command_of_a_refused_source_is_of_an_item_that_refuses_it(pytester: pytest.Pytester) -> None:
    toys.write(pytester.path, text="import os\n" + toys.KERNEL)
    result = pytester.runpytest(*PLAIN, "--autoresearch=toy", "-x")
    (command,) = printed_commands(result)
    again = pytester.runpytest(*PLAIN, *command)
    again.assert_outcomes(failed=1)
    again.stdout.fnmatch_lines(["kernels.py, line 1: imports 'os'; a kernel may import *"])


def test_the_printed_command_of_a_secret_failure_carries_its_seed(pytester: pytest.Pytester) -> None:
    toys.write(pytester.path, text=WRONG)
    result = pytester.runpytest(
        *PLAIN, "--autoresearch=toy", "--autoresearch-seed=12345", "-k", "speed and 129x31"
    )
    commands = printed_commands(result)
    assert [command[-1] for command in commands] == ["--autoresearch-seed=12345"]
    result.assert_outcomes(failed=1, skipped=2, deselected=toys.ITEMS - 3)


class Recorder:
    """Reads each item as VS Code's adapter does."""

    def __init__(self) -> None:
        self.items: list[Any] = []

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        self.items = list(items)


def test_ides_find_every_item_at_the_kernels_own_definition(project: pytest.Pytester) -> None:
    recorder = Recorder()
    project.inline_run(*PLAIN, "--collect-only", "--rootdir", str(project.path), "--keep-gate", plugins=[recorder])
    line = toys.KERNEL.splitlines().index("class Kernel:")
    assert len(recorder.items) == toys.ITEMS + 1
    for item in recorder.items:
        assert isinstance(item, pytest.Function)
        assert isinstance(item.parent, pytest.Module)
        assert ".py" in item.nodeid
        assert item.path == project.path / MODULE
        assert item.location[:2] == (str(Path(MODULE)), line)


def test_benchmark_rows_are_ordinary_ones(project: pytest.Pytester) -> None:
    project.runpytest_subprocess(
        *PLAIN, "--autoresearch=toy", "--benchmark-json=out.json", "-k", "speed and 64x32"
    )
    rows = json.loads((project.path / "out.json").read_text())["benchmarks"]
    assert [row["fullname"] for row in rows] == [i for i in IDS if "speed[64x32" in i]
    for row in rows:
        assert row["group"] == "toy"
        assert row["stats"]["rounds"] == 24
        median_ns = row["stats"]["median"] * 1e9
        assert row["extra_info"]["ns_per_product"] == pytest.approx(median_ns)
        assert row["extra_info"]["windows"] == 24


def test_benchmark_compare_reads_earlier_rows(project: pytest.Pytester) -> None:
    options = (*PLAIN, "-k", "speed and 64x32-uniform")
    project.runpytest(*options, "--benchmark-save=one")
    result = project.runpytest(*options, "--benchmark-compare")
    result.assert_outcomes(passed=1, deselected=23)
    result.stdout.fnmatch_lines(["test_speed*(0001_one)*"])


@pytest.mark.parametrize(
    ("option", "outcome"),
    [
        ("--benchmark-disable", {"passed": 24}),
        ("--benchmark-skip", {"passed": 15, "skipped": 9}),
        ("--benchmark-only", {"passed": 9, "skipped": 15}),
        ("--benchmark-cprofile=tottime", {"passed": 24}),
    ],
)
def test_benchmark_options_keep_their_meaning(
    project: pytest.Pytester, option: str, outcome: dict[str, int]
) -> None:
    project.runpytest(*PLAIN, option).assert_outcomes(**outcome)


def test_disabled_benchmarks_still_check_the_answers(project: pytest.Pytester) -> None:
    toys.write(project.path, text=toys.kernel("return result + 1"))
    project.runpytest(*PLAIN, "--benchmark-disable", "-k", "speed").assert_outcomes(failed=9, deselected=15)


def test_a_project_without_targets_is_left_alone(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import subprocess, sys
        def test_nothing_dear_was_imported():
            probe = "import pytest_lance_autoresearch.plugin.hooks, sys; print(sorted(sys.modules))"
            command = [sys.executable, "-c", probe]
            loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            for module in ("numpy", "numba", "psutil", "hypothesis"):
                assert f"'{module}'" not in loaded
        """
    )
    pytester.runpytest(*PLAIN).assert_outcomes(passed=1)


def test_a_module_that_cannot_be_imported_is_pytests_own_affair(pytester: pytest.Pytester) -> None:
    toys.write(pytester.path)
    pytester.makepyfile(test_broken="import nothing_of_this_name")
    result = pytester.runpytest_inprocess("-p", "no:randomly")
    result.assert_outcomes(errors=1)
    assert "INTERNALERROR" not in result.stdout.str()
