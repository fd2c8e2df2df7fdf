"""The command line and the ini file as one record: the two gates, their baselines, and what contradicts what."""

from __future__ import annotations

from pathlib import Path

import pytest
import repositories

from pytest_lance_autoresearch.plugin.options import KEEP_GATE, REGRESSION_GATE, Options
from pytest_lance_autoresearch.records import RegressionRules, Rules

MAIN = "--baseline=git:main"
REGRESSION = (REGRESSION_GATE, MAIN)
EITHER_GATE = "--keep-gate or --regression-gate"
NO_REVISION = (
    "--regression-gate compares with a revision; add --baseline=git:REV, such as --baseline=git:origin/main"
)


def read(pytester: pytest.Pytester, *arguments: str) -> Options:
    return Options.from_config(pytester.parseconfig(*arguments))


def refused(pytester: pytest.Pytester, *arguments: str) -> str:
    with pytest.raises(pytest.UsageError) as raised:
        read(pytester, *arguments)
    return str(raised.value)


# What is asked


def test_no_gate_has_no_baseline_and_no_log(pytester: pytest.Pytester) -> None:
    found = read(pytester)
    assert (found.gate, found.revision, found.log, found.is_logged, found.selects) == ("", "", None, False, False)
    assert found.rules == Rules()


def test_the_keep_gate_is_logged(pytester: pytest.Pytester) -> None:
    found = read(pytester, KEEP_GATE, "--baseline=all.tsv")
    assert (found.gate, found.revision, found.is_logged) == (KEEP_GATE, "", True)
    assert found.log == pytester.path / "all.tsv"
    assert found.rules == Rules()
    assert read(pytester, KEEP_GATE).is_logged


@pytest.mark.parametrize("baseline", [MAIN, "--baseline=git: main ", "--baseline git:main"])
def test_the_keep_gate_against_a_revision_is_not(pytester: pytest.Pytester, baseline: str) -> None:
    given = baseline.split(" ") if baseline.startswith("--baseline ") else [baseline]
    found = read(pytester, KEEP_GATE, *given)
    assert (found.gate, found.revision, found.log, found.is_logged) == (KEEP_GATE, "main", None, False)


def test_the_regression_gate_has_rules_of_its_own(pytester: pytest.Pytester) -> None:
    found = read(pytester, *REGRESSION)
    assert (found.gate, found.revision, found.log, found.is_logged) == (REGRESSION_GATE, "main", None, False)
    assert (found.rules, found.selects) == (RegressionRules(), True)


def test_its_limit_and_all_that_both_gates_have_can_be_given(pytester: pytest.Pytester) -> None:
    given = ("--autoresearch-max-slowdown=0.03", "--autoresearch-max-seconds=90", "--autoresearch-memory-mb=8")
    rules = RegressionRules(slowdown_limit=0.03, max_seconds=90.0, memory_bytes=8 * 2**20)
    assert read(pytester, *REGRESSION, *given).rules == rules
    pytester.makeini("[pytest]\nautoresearch_max_slowdown = 0.03\n")
    assert read(pytester, *REGRESSION, *given[1:]).rules == rules


def test_a_log_that_is_named_is_written(pytester: pytest.Pytester) -> None:
    found = read(pytester, *REGRESSION, "--autoresearch-log=gate.tsv")
    assert (found.log, found.is_logged, found.revision) == (pytester.path / "gate.tsv", True, "main")


def test_a_file_that_begins_with_the_word_is_named_by_its_folder(pytester: pytest.Pytester) -> None:
    found = read(pytester, KEEP_GATE, "--baseline=./git:main")
    assert (found.revision, found.log) == ("", pytester.path / "git:main")


@pytest.mark.parametrize(
    ("gate", "more"), [(KEEP_GATE, ", or --baseline=./main for a new log"), (REGRESSION_GATE, "")]
)
def test_a_revision_by_its_bare_name_is_no_log(pytester: pytest.Pytester, gate: str, more: str) -> None:
    """It would be the name of a new log, with a first baseline in it."""
    (pytester.path / "kernels.py").touch()
    repositories.commit(pytester.path)
    assert refused(pytester, gate, "--baseline=main") == (
        f"--baseline=main: there is no such file, and git knows a revision of that name; "
        f"type --baseline=git:main{more}"
    )
    assert read(pytester, KEEP_GATE, "--baseline=./main").log == pytester.path / "main"
    (pytester.path / "main").touch()
    assert read(pytester, KEEP_GATE, "--baseline=main").log == pytester.path / "main"


def test_a_kernel_is_no_log(pytester: pytest.Pytester) -> None:
    """Whether there is one of that name or not: it would begin a log, or be read as one."""
    assert refused(pytester, KEEP_GATE, "--baseline=faster.py") == (
        "--baseline=faster.py: a baseline is a log of trials, such as results.tsv, or a revision, git:REV; "
        "a kernel becomes one when it is judged in its target first"
    )


def test_files_are_seen_from_where_pytest_was_started(pytester: pytest.Pytester) -> None:
    found = read(pytester, *REGRESSION, "--autoresearch-json=a.json", "--autoresearch-markdown=/b.md")
    assert found.reports == {"json": pytester.path / "a.json", "markdown": Path("/b.md")}


# What contradicts what


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((KEEP_GATE, *REGRESSION), "--keep-gate and --regression-gate ask two questions; remove one"),
        (
            (REGRESSION_GATE,),
            NO_REVISION,
        ),
        (
            (REGRESSION_GATE, "--baseline=all.tsv"),
            NO_REVISION,
        ),
        (
            (REGRESSION_GATE, "--baseline=git:"),
            "--baseline=git: names no revision; expected one such as git:origin/main",
        ),
        ((MAIN,), "--baseline=git:main: add --keep-gate or --regression-gate"),
        (("--baseline=all.tsv",), "--baseline names the log of a verdict; add --keep-gate"),
        *(
            (
                (gate, MAIN, f"--autoresearch-{name}"),
                f"--autoresearch-{name} is about a log, and a verdict against a revision has none; remove one",
            )
            for gate in (KEEP_GATE, REGRESSION_GATE)
            for name in ("rebaseline", "require-baseline")
        ),
        *(
            (
                (*gate, "--autoresearch-log=gate.tsv"),
                "--autoresearch-log is the log of --regression-gate; "
                "--keep-gate names its own with --baseline=FILE",
            )
            for gate in ((), (KEEP_GATE,), (KEEP_GATE, MAIN))
        ),
        (
            (*REGRESSION, "--autoresearch-in-process"),
            "--autoresearch-in-process is for debugging and never gives a verdict; remove --regression-gate",
        ),
        (
            (*REGRESSION, "--autoresearch-selftest"),
            "--autoresearch-selftest judges the target and not the kernel; "
            "remove --regression-gate, --autoresearch-calibrate and --autoresearch-in-process",
        ),
        (
            (*REGRESSION, "--autoresearch=toy", "--autoresearch-calibrate"),
            "--autoresearch-calibrate is a run of its own; "
            "name its targets with --autoresearch=NAME, without a gate",
        ),
        *(
            (
                (f"--autoresearch-{option}", "--autoresearch=toy"),
                f"--autoresearch-{option.partition('=')[0]} is about a verdict of {gates}; add {gates}",
            )
            for option, gates in {
                "description=x": EITHER_GATE,
                "min-effect=0.02": KEEP_GATE,
                "memory-mb=8": EITHER_GATE,
                "memory-fraction=1": EITHER_GATE,
                "require-baseline": KEEP_GATE,
                "max-slowdown=0.02": REGRESSION_GATE,
            }.items()
        ),
        (
            ("--autoresearch-max-seconds=9", "--autoresearch=toy"),
            "--autoresearch-max-seconds bounds what is measured for a verdict; "
            "add --keep-gate or --regression-gate, or --autoresearch-calibrate",
        ),
        *(
            (
                (*gate, f"--autoresearch-{name}=0.02"),
                f"--autoresearch-{name} is about a verdict of {other}; remove one",
            )
            for gate, name, other in (
                ((KEEP_GATE,), "max-slowdown", REGRESSION_GATE),
                ((KEEP_GATE, MAIN), "max-slowdown", REGRESSION_GATE),
                (REGRESSION, "min-effect", KEEP_GATE),
            )
        ),
        *(
            (
                (KEEP_GATE, f"{option}="),
                f"{option}= has nothing behind its '='; expected {expected}; see whether a variable is unset",
            )
            for option, expected in {
                "--autoresearch": "the names of targets, separated by commas",
                "--baseline": "a log, or git:REV",
                "--autoresearch-json": "the name of a file",
                "--autoresearch-markdown": "the name of a file",
                "--autoresearch-seed": "a whole number",
                "--autoresearch-max-seconds": "a number above 0",
            }.items()
        ),
        *(
            (
                (f"--autoresearch-{name}=out", *more),
                f"--autoresearch-{name} writes what trials came to; name their targets with --autoresearch=NAME",
            )
            for name in ("json", "markdown")
            for more in ((), ("--autoresearch-selftest", "--autoresearch=toy"))
        ),
        (
            (*REGRESSION, "--autoresearch-max-slowdown=2"),
            "--autoresearch-max-slowdown=2: expected a fraction such as 0.01",
        ),
        (
            (*REGRESSION, "--autoresearch-max-slowdown=-0.01"),
            "--autoresearch-max-slowdown=-0.01: expected a fraction such as 0.01",
        ),
    ],
)
def test_what_contradicts_itself_is_refused(
    pytester: pytest.Pytester, arguments: tuple[str, ...], sentence: str
) -> None:
    assert refused(pytester, *arguments) == sentence


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["--autoresearch-json=k.py"],
            "--autoresearch-json={}/k.py would overwrite a source; name another file",
        ),
        (
            ["--autoresearch-markdown=results.tsv"],
            "--autoresearch-markdown={}/results.tsv would overwrite a log; name another file",
        ),
        (
            ["--autoresearch-json=a", "--autoresearch-markdown=a"],
            "--autoresearch-markdown={}/a would overwrite what --autoresearch-json writes; name another file",
        ),
        (
            ["--baseline=log", "--autoresearch-json=./log"],
            "--autoresearch-json={}/log would overwrite a log; name another file",
        ),
    ],
)
def test_no_report_is_written_over_anything(
    pytester: pytest.Pytester, arguments: list[str], sentence: str
) -> None:
    assert refused(pytester, "--keep-gate", *arguments) == sentence.format(pytester.path)


def test_what_the_ini_file_says_for_other_runs_contradicts_nothing(pytester: pytest.Pytester) -> None:
    """A log of the regression gate, files for what trials came to, and a baseline that a log must hold."""
    pytester.makeini(
        """
        [pytest]
        autoresearch_log = gate.tsv
        autoresearch_json = out.json
        autoresearch_markdown = out.md
        autoresearch_require_baseline = true
        """
    )
    plain, keep, regression = (read(pytester, *gate) for gate in ((), (KEEP_GATE,), REGRESSION))
    files = {"json": pytester.path / "out.json", "markdown": pytester.path / "out.md"}
    assert (plain.log, plain.reports) == (None, {})
    assert (keep.log, keep.reports, keep.require_baseline) == (None, files, True)
    assert (regression.log, regression.reports) == (pytester.path / "gate.tsv", files)
    assert read(pytester, "--autoresearch-selftest").reports == {}


def test_what_an_ini_file_says_for_other_runs_contradicts_nothing(pytester: pytest.Pytester) -> None:
    pytester.makeini(
        "[pytest]\nautoresearch_max_slowdown = 0.03\nautoresearch_min_effect = 0.02\nautoresearch_json =\n"
        "autoresearch_require_baseline = true\nautoresearch_max_seconds = 9\n"
    )
    assert not read(pytester).gate
    assert read(pytester, KEEP_GATE).rules == Rules(min_effect=0.02, max_seconds=9)


def test_a_description_may_be_empty(pytester: pytest.Pytester) -> None:
    assert read(pytester, KEEP_GATE, "--autoresearch-description=").description == ""


def test_names_may_end_with_a_comma(pytester: pytest.Pytester) -> None:
    assert read(pytester, "--autoresearch=a, b,", "--autoresearch=c").names == ("a", "b", "c")
