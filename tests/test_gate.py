"""The gate, whole: baseline, keep, discard, every refusal, the log, the exit codes."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import repositories
import toys

from pytest_lance_autoresearch.command.verbs import main
from pytest_lance_autoresearch.errors import LogError
from pytest_lance_autoresearch.log import archive, history, results
from pytest_lance_autoresearch.machine import turns
from pytest_lance_autoresearch.plugin import options
from pytest_lance_autoresearch.records import Rules
from pytest_lance_autoresearch.runs import trial
from pytest_lance_autoresearch.runs.stopwatch import Stopwatch
from pytest_lance_autoresearch.verdict import judge

PLAIN = ("-p", "no:randomly", "-p", "no:cacheprovider", "-q", "--benchmark-columns=median")
GATE = (*PLAIN, "--autoresearch=toy", "--keep-gate")


def rows(root: Path, name: str = "targets/toy/results.tsv") -> tuple[results.Row, ...]:
    return results.read(root / name)


def block(result: pytest.RunResult) -> dict[str, str]:
    """The lines after the lone '---' at the very end of the output."""
    lines = result.outlines[len(result.outlines) - result.outlines[::-1].index("---") :]
    return dict(line.split(": ", 1) for line in lines if line)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks of one short pair, where no verdict rests on them."""
    monkeypatch.setattr(options, "Rules", partial(Rules, pairs=1, blocks=1))


def test_the_first_run_records_the_baseline_and_says_so(judged: pytest.Pytester) -> None:
    (row,) = rows(judged.path)
    text = (judged.path / "targets/toy/kernels.py").read_bytes()
    assert (row.trial, row.status, row.description) == (1, "baseline", "the first one")
    assert row.geomean_ns is not None
    assert row.geomean_ns > 0
    assert row.peak_rss_mb is not None
    assert row.peak_rss_mb > 1
    assert (row.speedup, row.previous) == (None, "")
    assert (judged.path / f".autoresearch/kernels/{row.kernel}.py").read_bytes() == text
    record = json.loads(next((judged.path / ".autoresearch/trials").iterdir()).read_text())
    assert [len(times["windows"]) for times in record["evidence"]["alone"]["cases"]] == [24] * len(toys.TIMED)


def test_an_identical_kernel_is_discarded_at_once(judged: pytest.Pytester) -> None:
    result = judged.runpytest(*GATE)
    result.assert_outcomes(failed=1, skipped=toys.ITEMS)
    digest = rows(judged.path)[0].kernel[:12]
    assert result.ret == 10
    found = block(result)
    assert float(found.pop("total_seconds")) >= 0
    assert found == {
        "target": "toy",
        "correctness": "not run (the kernel's code is its baseline's)",
        "geomean_ns_per_product": "none",
        "worst_ns_per_product": "none",
        "best_ns_per_product": "none",
        "slowest_case": "none",
        "fastest_case": "none",
        "peak_rss_mb": "none",
        "build_ms": "none",
        "waited_seconds": "0.0",
        "speedup": "none",
        "verdict": "discard",
        "reason": f"discard: the kernel is identical to the baseline, trial 1 (sha256 {digest}); "
        "nothing was measured",
        "trial": "2",
        "log": str(judged.path / "targets/toy/results.tsv"),
    }
    assert [row.status for row in rows(judged.path)] == ["baseline", "discard"]


def test_a_comment_makes_no_new_kernel(judged: pytest.Pytester) -> None:
    toys.write(judged.path, text='"""A docstring."""\n' + toys.KERNEL + "# faster!\n")
    result = judged.runpytest(*GATE)
    assert result.ret == 10
    assert (
        "only comments or layout differ; the code is identical to the baseline, trial 1" in block(result)["reason"]
    )


@pytest.mark.slow
def test_a_faster_kernel_is_kept_after_a_second_look_in_fresh_processes(judged: pytest.Pytester) -> None:
    toys.write(judged.path, text=toys.FASTER)
    result = judged.runpytest(*GATE, "--autoresearch-json=out.json")
    assert result.ret == 0, result.outlines
    said = block(result)
    assert said["verdict"] == "keep"
    assert said["reason"].endswith("no case slower than 5 %, confirmed in fresh processes")
    row = rows(judged.path)[-1]
    assert (row.status, row.trial) == ("keep", 2)
    assert row.interval is not None
    assert 1 < row.interval.low < row.interval.point < row.interval.high
    evidence = history.record_of(judged.path, row).evidence
    assert evidence.looks >= 2
    assert len(evidence.pairs) >= evidence.looks * Rules().pairs
    for number, pair in enumerate(evidence.pairs):
        measured = Counter(block.case for block in pair.blocks)
        assert set(measured) == set(toys.TIMED)
        is_spared = 0 < number < Rules().pairs  # of what is far faster, in the first look
        assert min(measured.values()) >= (judge.FAR_BLOCKS if is_spared else 2)
    (told,) = json.loads((judged.path / "out.json").read_text())["trials"]
    assert (told["verdict"], told["trial"], told["baseline_trial"], told["exit_code"]) == ("keep", 2, 1, 0)
    assert set(told["case_speedups"]) == set(toys.TIMED)
    assert told["build_ms"]["case"] in toys.TIMED

    # The kept kernel is the new baseline: going back to the first is a loss now.
    toys.write(judged.path)
    assert judged.runpytest(*GATE).ret == 10
    assert rows(judged.path)[-1].status == "discard"


@pytest.mark.slow
def test_a_slower_kernel_is_discarded_with_both_numbers(judged: pytest.Pytester) -> None:
    toys.write(judged.path, text=toys.SLOWER)
    result = judged.runpytest(*GATE)
    result.assert_outcomes(failed=1, passed=toys.ITEMS)
    assert result.ret == 10
    assert block(result)["correctness"] == f"pass ({toys.ITEMS} of {toys.ITEMS} items passed)"
    result.stdout.re_match_lines([r"discard: geomean [\d.]+ -> [\d.]+ us/product \(\+\d+\.\d %\)"])
    row = rows(judged.path)[-1]
    assert row.status == "discard"
    rules = Rules()
    assert row.windows is not None
    assert row.windows >= rules.pairs * rules.blocks * 4 * len(toys.TIMED)  # more where it was disturbed
    assert row.interval is not None
    assert row.interval.high < 1


BUILDS_LONG = toys.FASTER.replace(
    "        self.weights = weights", "        self.weights = weights\n        self.more = sum(range(3_000_000))"
)
HOLDS_MUCH = toys.FASTER.replace(
    "        self.weights = weights", "        self.weights = weights\n        self.more = np.ones(8_000_000)"
)


@pytest.mark.parametrize(
    ("cause", "text", "sentence"),
    [
        ("building", BUILDS_LONG, r"building \S+ takes [\d.]+ -> [\d.]+ ms of CPU \(limit [\d.]+ ms\)"),
        ("memory", HOLDS_MUCH, r"peak RSS [\d.]+ -> [\d.]+ MB \(limit [\d.]+ MB\)"),
    ],
)
def test_a_candidate_that_costs_too_much_is_a_discard_before_it_is_timed(
    judged: pytest.Pytester, cause: str, text: str, sentence: str
) -> None:
    toys.write(judged.path, text=text)
    result = judged.runpytest(*GATE, "-rs", "--autoresearch-json=out.json")
    result.assert_outcomes(passed=len(toys.CASES), skipped=len(toys.TIMED), failed=1)
    assert result.ret == 10
    said = block(result)
    assert re.fullmatch(f"discard: {sentence}; nothing was timed", said["reason"])
    assert said["correctness"] == f"pass ({len(toys.CASES)} of {len(toys.CASES)} items passed)"
    assert (said["geomean_ns_per_product"], said["speedup"], said["verdict"]) == ("none", "none", "discard")
    assert re.fullmatch(r"[\d.]+ \(baseline [\d.]+\)", said["build_ms"])
    skipped = [line for line in result.outlines if line.startswith("SKIPPED")]
    assert len(skipped) == 1
    assert re.search(f": not timed: {sentence}$", skipped[0])
    row = rows(judged.path)[-1]
    assert (row.status, row.trial, row.description) == ("discard", 2, said["reason"])
    assert (row.geomean_ns, row.speedup, row.windows) == (None, None, 0)
    (told,) = json.loads((judged.path / "out.json").read_text())["trials"]
    assert (told["cause"], told["exit_code"], told["speedup"], told["cases_ns_per_op"]) == (cause, 10, None, None)
    assert told["build_ms"]["candidate"] > told["build_ms"]["baseline"] > 0
    assert main(["verify", str(judged.path / "targets/toy/results.tsv")]) == 0


TIRES = toys.kernel(
    "calls[0] += x.size == 128 * 32\nif calls[0] > 60: raise ValueError('tired')\nreturn result", "calls = [0]"
)
"""Right for as long as correctness is looked at, and wrong in the windows of one shape."""


@pytest.mark.parametrize(("stop", "after"), [([], 5), (["-x"], 0)])
def test_a_kernel_that_fails_while_it_is_timed_is_one_red_item(
    judged: pytest.Pytester, stop: list[str], after: int
) -> None:
    """The items before and after it say why they have no times; the gate is red, or with -x it does not run."""
    toys.write(judged.path, text=TIRES)
    result = judged.runpytest(*GATE, "-rs", *stop)
    result.assert_outcomes(passed=len(toys.CASES), skipped=3 + after, failed=1 if stop else 2)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    said = block(result)
    sentence = r"128x32-\w+: the kernel raised ValueError: tired, at targets/toy/kernels\.py:15"
    assert re.fullmatch(f"incorrect: {sentence}", said["reason"])
    assert said["correctness"] == f"fail ({len(toys.CASES)} of {toys.ITEMS} items passed)"
    assert said["geomean_ns_per_product"] == "none"
    skipped = [line for line in result.outlines if line.startswith("SKIPPED")]
    assert len(skipped) == 1
    assert re.search(f": not timed: {sentence}$", skipped[0])
    assert rows(judged.path)[-1].status == "incorrect"


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (toys.kernel("return result + 1"), "incorrect"),
        ("x = (", "incorrect"),
        (toys.kernel("os._exit(0)", "import os"), "crash"),
        (toys.kernel("while True: pass"), "timeout"),
        (
            toys.kernel("return result", "import threading as t; t.Thread(target=t.Event().wait).start()"),
            "refused",
        ),
    ],
)
@pytest.mark.usefixtures("any_source")
@pytest.mark.parametrize("stop", [[], ["-x"]])
def test_a_failed_trial_has_a_row_and_no_time(
    judged: pytest.Pytester, text: str, status: str, stop: list[str]
) -> None:
    toys.write(judged.path, text=text)
    result = judged.runpytest(*GATE, "--autoresearch-timeout=1", *stop)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    said = block(result)
    assert (said["verdict"], said["geomean_ns_per_product"], said["speedup"]) == (status, "none", "none")
    assert said["correctness"].startswith("fail (0 of")
    row = rows(judged.path)[-1]
    assert (row.status, row.trial) == (status, 2)
    assert (row.geomean_ns, row.speedup, row.peak_rss_mb) == (None, None, None)
    assert row.description.startswith(f"{status}: ")


def test_a_wrong_first_kernel_is_no_baseline(pytester: pytest.Pytester) -> None:
    toys.write(pytester.path, text=toys.kernel("return result + 1"))
    assert pytester.runpytest(*GATE).ret == 1
    assert results.baseline(rows(pytester.path), "toy") is None


@pytest.mark.parametrize("options", [["--benchmark-skip"], ["--benchmark-disable"], ["-p", "no:benchmark"]])
def test_options_about_benchmarks_leave_a_gate_its_times(pytester: pytest.Pytester, options: list[str]) -> None:
    toys.write(pytester.path)
    arguments = [argument for argument in GATE if "benchmark" not in argument]
    assert pytester.runpytest_subprocess(*arguments, *options).ret == 0
    (row,) = rows(pytester.path)
    assert row.status == "baseline"
    assert row.geomean_ns is not None
    assert row.geomean_ns > 0


def test_a_plain_run_leaves_benchmarks_out_where_it_is_told_to(pytester: pytest.Pytester) -> None:
    toys.write(pytester.path)
    result = pytester.runpytest(*PLAIN, "--benchmark-skip")
    result.assert_outcomes(passed=len(toys.CASES), skipped=len(toys.TIMED))


def test_a_gate_beside_codspeed_is_refused_and_works_without_it(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pytest-codspeed, switched on from outside, replaces the fixture and deselects what is no benchmark."""
    monkeypatch.setenv("CODSPEED_ENV", "1")
    toys.write(pytester.path)
    pytester.makepyfile(
        codspeed="""
        import pytest
        @pytest.fixture
        def benchmark():
            raise AssertionError("an instrument of its own")
        def pytest_collection_modifyitems(items):
            items[:] = [item for item in items if "benchmark" in item.fixturenames]
        """
    )
    pytester.syspathinsert()
    result = pytester.runpytest(*GATE, "-p", "codspeed")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert (
        "ERROR: pytest-codspeed runs benchmarks only and leaves the items of targets out; unset CODSPEED_ENV and "
        "remove --codspeed, or add -p no:codspeed" in result.errlines
    )
    assert pytester.runpytest(*GATE).ret == 0


def test_a_gate_without_pytest_s_terminal(pytester: pytest.Pytester) -> None:
    toys.write(pytester.path)
    result = pytester.runpytest(*(option for option in GATE if option != "-q"), "-p", "no:terminal")
    assert result.ret == 0
    assert block(result)["verdict"] == "baseline"


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("part", [["-k", "not 64x32"]])
def test_a_partial_run_never_gives_a_verdict(judged: pytest.Pytester, part: list[str]) -> None:
    toys.write(judged.path, text=toys.FASTER)
    result = judged.runpytest(*GATE, *part)
    assert result.ret == 13
    assert block(result)["verdict"] == "none"
    assert "items ran; a verdict needs all of them" in block(result)["reason"]
    assert len(rows(judged.path)) == 1


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("when", ["setup", "teardown"])
def test_what_fails_around_an_item_leaves_no_keep_behind(judged: pytest.Pytester, when: str) -> None:
    """pytest reports a failure; a row that says 'keep' would be the next trial's baseline all the same."""
    toys.write(judged.path, text=toys.FASTER)
    judged.makeconftest(
        f"""
        import pytest
        @pytest.fixture(autouse=True)
        def around(request):
            concerned = request.node.name == "test_speed[64x32-normal]"
            assert not (concerned and {when == "setup"}), "no room"
            yield
            assert not (concerned and {when == "teardown"}), "no room"
        """
    )
    result = judged.runpytest(*GATE)
    assert result.ret == 1
    sentence = (
        f"test_speed[64x32-normal] failed in its {when}: AssertionError: no room; the kernel is not to blame"
    )
    assert block(result)["reason"] == f"invalid: {sentence}"
    assert [row.status for row in rows(judged.path)] == ["baseline", "invalid"]


@pytest.mark.parametrize("when", ["setup", "call", "teardown"])
def test_what_fails_around_the_gate_itself_leaves_no_keep_behind(judged: pytest.Pytester, when: str) -> None:
    """Before, in (as a time limit of another plugin does) or after it: red is red, and nothing is measured on."""
    toys.write(judged.path, text=toys.FASTER)
    judged.makeconftest(
        f"""
        import functools
        import pytest
        from pytest_lance_autoresearch.bench.comparison import Comparison
        from pytest_lance_autoresearch.plugin import options
        from pytest_lance_autoresearch.records import Cause, Interval, Judgement, Verdict
        options.Rules = functools.partial(options.Rules, pairs=1, blocks=1)
        def decide(*_):
            {"pytest.fail('Timeout >3.0s')" if when == "call" else "pass"}
            return Judgement(Verdict.KEEP, Cause.FASTER, Interval(1.1, 1.2, 1.3))
        @pytest.fixture(autouse=True)
        def around(request):
            concerned = request.node.name == "test_keep_gate"
            Comparison.decide = decide
            assert not (concerned and {when == "setup"}), "no room"
            yield
            assert not (concerned and {when == "teardown"}), "no room"
        """
    )
    result = judged.runpytest_subprocess(*GATE)
    assert result.ret == 1
    cause = "Failed: Timeout >3.0s" if when == "call" else "AssertionError: no room"
    assert block(result)["reason"] == (
        f"invalid: test_keep_gate failed in its {when}: {cause}; the kernel is not to blame"
    )
    assert [row.status for row in rows(judged.path)] == ["baseline", "invalid"]


@pytest.mark.parametrize("name", ["test_before.py", "zz/test_after.py"])
def test_a_session_that_fails_elsewhere_records_no_baseline(pytester: pytest.Pytester, name: str) -> None:
    toys.write(pytester.path)
    path = pytester.path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("def test_other():\n    assert False\n")
    result = pytester.runpytest(*GATE, *sorted([name, "targets"]))
    assert result.ret == 1
    assert block(result)["reason"] == (
        "invalid: a test outside the targets failed; a session that fails records no keep and no baseline"
    )
    assert [row.status for row in rows(pytester.path)] == ["invalid"]


def test_a_session_that_passes_elsewhere_records_its_baseline(pytester: pytest.Pytester) -> None:
    toys.write(pytester.path)
    (pytester.path / "zz").mkdir()
    (pytester.path / "zz/test_after.py").write_text("def test_other():\n    pass\n")
    assert pytester.runpytest(*GATE, "targets", "zz").ret == 0
    assert [row.status for row in rows(pytester.path)] == ["baseline"]


def test_a_required_baseline_that_is_not_there_is_no_verdict_and_writes_nothing(pytester: pytest.Pytester) -> None:
    toys.write(pytester.path)
    before = sorted(pytester.path.rglob("*"))
    result = pytester.runpytest(*GATE, "--autoresearch-require-baseline")
    assert result.ret == 13
    path = pytester.path / "targets/toy/results.tsv"
    assert block(result)["reason"] == (
        f"no verdict: {path} holds no baseline of target 'toy', and --autoresearch-require-baseline asks for one; "
        f"record it without that option, or name the log that has it with --baseline; nothing was logged"
    )
    (pytester.path / ".benchmarks").rmdir()  # pytest-benchmark's
    assert sorted(pytester.path.rglob("*")) == before


def test_a_required_baseline_that_is_there_is_used(judged: pytest.Pytester) -> None:
    judged.makeini("[pytest]\nautoresearch_require_baseline = true")
    assert judged.runpytest(*GATE).ret == 10
    assert [row.status for row in rows(judged.path)] == ["baseline", "discard"]


def test_a_copied_target_says_that_its_history_begins_anew(judged: pytest.Pytester) -> None:
    shutil.copytree(judged.path / "targets/toy", judged.path / "targets/copy")
    result = judged.runpytest(*PLAIN, "--autoresearch=copy", "--keep-gate")
    assert block(result)["verdict"] == "baseline"
    assert (
        "note: the log holds trials of the same files as target 'toy'; this baseline begins a history of its own, "
        "and what was kept there is not compared with it" in result.outlines
    )


def test_a_deselected_gate_item_does_not_pass_silently(judged: pytest.Pytester) -> None:
    toys.write(judged.path, text=toys.FASTER)
    assert judged.runpytest(*GATE, "-k", "correctness").ret == 13


def test_a_gate_that_runs_first_leaves_the_decision_to_the_end(judged: pytest.Pytester) -> None:
    toys.write(judged.path, text=toys.kernel("return result + 1"))
    judged.makeconftest(
        """
        import pytest
        @pytest.hookimpl(wrapper=True, tryfirst=True)
        def pytest_collection_modifyitems(items):
            yield
            items.sort(key=lambda item: item.name != "test_keep_gate")
        """
    )
    result = judged.runpytest(*GATE)
    result.assert_outcomes(failed=len(toys.CASES) + 1, skipped=len(toys.TIMED))
    assert rows(judged.path)[-1].status == "incorrect"


def test_a_changed_oracle_is_an_error_that_names_it(judged: pytest.Pytester) -> None:
    toys.write(judged.path, text=toys.FASTER, reference=toys.REFERENCE + "# changed\n")
    result = judged.runpytest(*GATE)
    assert result.ret == 13
    assert block(result)["reason"] == (
        "invalid: reference.py changed since the baseline, trial 1; speeds before and after such a change cannot "
        "be compared; undo it, or record a new baseline with --autoresearch-rebaseline"
    )
    assert rows(judged.path)[-1].status == "invalid"
    assert judged.runpytest(*GATE, "--autoresearch-rebaseline").ret == 0
    assert rows(judged.path)[-1].status == "baseline"


def test_a_baseline_whose_source_is_nowhere_is_an_error(judged: pytest.Pytester) -> None:
    kernel = rows(judged.path)[0].kernel
    shutil.rmtree(judged.path / archive.FOLDER)
    toys.write(judged.path, text=toys.kernel("return result + 1"))
    result = judged.runpytest(*GATE)
    assert result.ret == 13
    assert block(result)["reason"].startswith(
        f"invalid: the source of the baseline, trial 1 (sha256 {kernel[:12]}), is neither in .autoresearch/kernels"
    )


def test_a_baseline_that_was_committed_after_its_trial_is_found_in_a_clone(
    judged: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row names the commit before it, or none; a clone has no archive."""
    repositories.commit(judged.path)
    whole, shallow = (judged.path.with_name(f"{judged.path.name}-{kind}") for kind in ("whole", "shallow"))
    for text in (toys.FASTER, toys.SLOWER):
        toys.write(judged.path, text=text)
        repositories.commit(judged.path)
    monkeypatch.chdir(repositories.clone(judged.path, whole))
    toys.write(whole, text=toys.KERNEL + "# the same code\n")
    assert "identical to the baseline" in block(judged.runpytest(*GATE))["reason"]
    monkeypatch.chdir(repositories.clone(judged.path, shallow, "--depth=1"))
    sha256 = rows(judged.path)[0].kernel
    assert block(judged.runpytest(*GATE))["reason"] == (
        f"invalid: the source of the baseline, trial 1 (sha256 {sha256[:12]}), is neither in "
        f".autoresearch/kernels nor in git (this clone is shallow; fetch the whole history with "
        f"\"git fetch --unshallow --tags origin '+refs/heads/*:refs/remotes/origin/*'\", in actions/checkout with "
        f"'fetch-depth: 0'); restore it, or record a new baseline with --autoresearch-rebaseline"
    )


def test_the_commit_of_a_row_is_marked_where_its_kernel_is_not_in_it(judged: pytest.Pytester) -> None:
    """A baseline without a checkout, an edit of the committed kernel, the committed kernel itself."""
    head = repositories.commit(judged.path)
    toys.write(judged.path, text=toys.KERNEL + "# the same code\n")
    assert judged.runpytest(*GATE).ret == 10
    toys.write(judged.path)
    assert judged.runpytest(*GATE).ret == 10
    assert [row.commit for row in rows(judged.path)] == ["", f"{head}+", head]


@pytest.mark.parametrize("order", [["top", "package"], ["package", "top"]])
def test_one_log_has_one_archive_from_the_package_and_from_the_top(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, order: list[str]
) -> None:
    package = pytester.path / "package"
    toys.write(package)
    (package / "pytest.ini").write_text("[pytest]\n")
    pytester.makeini("[pytest]\nautoresearch_targets = package/targets/*")
    first, second = ({"top": pytester.path, "package": package}[name] for name in order)
    monkeypatch.chdir(first)
    assert pytester.runpytest(*GATE).ret == 0
    monkeypatch.chdir(second)
    assert "identical to the baseline" in block(pytester.runpytest(*GATE))["reason"]
    assert list(pytester.path.glob(f"**/{archive.FOLDER}")) == [first / archive.FOLDER]
    assert not list(first.glob(f"{archive.FOLDER}/spare-*"))
    assert main(["verify", str(package / "targets/toy/results.tsv")]) == 0


def test_one_log_can_serve_all_targets(pytester: pytest.Pytester) -> None:
    toys.write(pytester.path)
    toys.write(pytester.path, name="other")
    toys.write(pytester.path, name="_pattern")
    result = pytester.runpytest(*PLAIN, "--keep-gate", "--baseline", "results.tsv")
    assert result.ret == 0
    assert [(row.trial, row.target, row.status) for row in rows(pytester.path, "results.tsv")] == [
        (1, "other", "baseline"),
        (2, "toy", "baseline"),
    ]
    toys.write(pytester.path, text=toys.kernel("return result + 1"))
    assert pytester.runpytest(*PLAIN, "--keep-gate", "--baseline", "results.tsv").ret == 1
    assert [row.status for row in rows(pytester.path, "results.tsv")][2:] == ["discard", "incorrect"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["-n", "2"], "--keep-gate: timing needs one process; add -n0"),
        (["--benchmark-only"], "--keep-gate: --benchmark-only leaves the correctness items out; remove it"),
        (
            ["--autoresearch-rebaseline", "--autoresearch-require-baseline"],
            "--autoresearch-rebaseline records a baseline, --autoresearch-require-baseline forbids it; remove one",
        ),
        (
            ["--autoresearch-in-process"],
            "--autoresearch-in-process is for debugging and never gives a verdict; remove --keep-gate",
        ),
        (["--autoresearch-min-effect=2"], "--autoresearch-min-effect=2: expected a fraction such as 0.01"),
        (["--autoresearch-max-seconds=soon"], "--autoresearch-max-seconds=soon: expected a number above 0"),
        (["--autoresearch-seed=x"], "--autoresearch-seed=x: expected a whole number"),
    ],
)
def test_what_a_gate_cannot_do_is_refused(judged: pytest.Pytester, options: list[str], sentence: str) -> None:
    arguments = [argument for argument in GATE if "benchmark" not in argument]
    result = judged.runpytest_subprocess(*arguments, *options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert f"ERROR: {sentence}" in (result.errlines + result.outlines)
    assert len(rows(judged.path)) == 1


def test_discovery_is_not_refused_where_running_is(judged: pytest.Pytester) -> None:
    arguments = [argument for argument in GATE if "benchmark" not in argument]
    assert judged.runpytest_subprocess(*arguments, "-n", "2", "--collect-only").ret == 0


@pytest.mark.parametrize("option", ["--baseline=x.tsv", "--autoresearch-rebaseline"])
def test_options_of_the_gate_need_the_gate(judged: pytest.Pytester, option: str) -> None:
    result = judged.runpytest(*PLAIN, option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert any(line.endswith("; add --keep-gate") for line in result.errlines)


def test_a_gate_without_any_target_is_refused(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest(*PLAIN, "--keep-gate")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [
            "ERROR: --keep-gate: there is no target in targets/[*] below *; expected a folder with inputs.py, "
            "reference.py, target.py and kernels.py, or KERNEL in target.py; "
            "'python -m pytest_lance_autoresearch new NAME' begins one"
        ]
    )


def test_waiting_in_line_uses_up_no_budget(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three others measure for 40 s each before all of this one's cases; else the clock stands still."""
    now_s, taken = 0.0, []

    def take(expected_s: float | None, show: Callable[[turns.Position], None]) -> turns.Turn:
        nonlocal now_s
        taken.append(expected_s)
        for number in (4, 3, 2):
            show(turns.Position(number, 40.0 * (number - 1)))
            now_s += 40
        return turns.Turn(expected_s)

    monkeypatch.setattr(turns, "take", take)
    monkeypatch.setattr(trial, "Stopwatch", lambda: Stopwatch(lambda: now_s))
    toys.write(pytester.path)
    result = pytester.runpytest(*GATE, "--autoresearch-max-seconds=30", "--autoresearch-json=out.json")
    said = block(result)
    assert (said["verdict"], said["total_seconds"], said["waited_seconds"]) == ("baseline", "0.0", "120.0")
    assert result.errlines == [
        "toy: waiting for its turn to measure: fourth in line, about 2 min",
        "toy: waiting for its turn to measure: third in line, about 80 s",
        "toy: waiting for its turn to measure: second in line, about 40 s",
    ]
    assert "note: waited 120 s for its turn to measure; that counts against no budget" in result.outlines
    (told,) = json.loads((pytester.path / "out.json").read_text())["trials"]
    assert (told["total_seconds"], told["waited_s"]) == (0.0, 120.0)
    assert len(taken) == 1


def test_json_of_a_run_without_trials_is_refused(pytester: pytest.Pytester) -> None:
    toys.write(pytester.path)
    result = pytester.runpytest(*PLAIN, "--autoresearch-json=out.json")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    sentence = "--autoresearch-json writes what trials came to; name their targets with --autoresearch=NAME"
    assert f"ERROR: {sentence}" in result.errlines


def test_settings_come_from_the_ini_file_too(judged: pytest.Pytester) -> None:
    judged.makeini("[pytest]\nautoresearch_description = from the ini\nautoresearch_json = out.json")
    judged.runpytest(*GATE)
    assert rows(judged.path)[-1].description == "from the ini"
    assert json.loads((judged.path / "out.json").read_text())["trials"][0]["verdict"] == "discard"


def test_an_interrupted_trial_leaves_no_row_and_no_process(judged: pytest.Pytester) -> None:
    toys.write(judged.path, text=toys.FASTER)
    judged.makeconftest(
        """
        def pytest_runtest_teardown(item):
            if "129x31-uniform" in item.name:
                raise KeyboardInterrupt
        """
    )
    result = judged.runpytest_subprocess(*GATE)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert block(result)["reason"] == "no verdict: the run was broken off; nothing was logged"
    assert len(rows(judged.path)) == 1


def test_a_log_that_cannot_be_read_is_no_verdict_and_one_sentence(judged: pytest.Pytester) -> None:
    path = judged.path / "results.d"
    path.mkdir()
    result = judged.runpytest(*GATE, "--baseline", "results.d", "--autoresearch-json=out.json")
    assert result.ret == 13
    result.assert_outcomes(failed=1, skipped=toys.ITEMS)
    sentence = f"no verdict: {path}: cannot be read: Is a directory; nothing was logged"
    assert block(result)["reason"] == sentence
    assert json.loads((judged.path / "out.json").read_text())["trials"][0]["reason"] == sentence


def test_a_log_that_cannot_be_written_is_found_out_before_anything_is_measured(
    judged: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It belongs to somebody else, and can be read."""
    toys.write(judged.path, text=toys.FASTER)
    monkeypatch.setattr(results, "unwritable", lambda path: f"{path}: cannot be written")
    result = judged.runpytest(*GATE)
    assert result.ret == 13
    result.assert_outcomes(failed=1, skipped=toys.ITEMS)
    path = judged.path / "targets/toy/results.tsv"
    assert block(result)["reason"] == f"no verdict: {path}: cannot be written; nothing was logged"


def test_merge_markers_in_a_log_are_no_verdict(judged: pytest.Pytester) -> None:
    with (judged.path / "targets/toy/results.tsv").open("a") as rows:
        rows.write("<<<<<<< HEAD\n")
    result = judged.runpytest(*GATE)
    assert result.ret == 13
    assert "is a merge marker" in block(result)["reason"]


def test_a_row_that_was_not_written_is_not_written_later(
    judged: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full when the verdict is there, and no more when the session ends."""
    calls: list[results.Row] = []

    def full(path: Path, row: results.Row, _refuse: object) -> results.Row:
        calls.append(row)
        raise LogError(f"{path}: no room")

    monkeypatch.setattr(results, "append", full)
    result = judged.runpytest(*GATE)
    assert result.ret == 13
    assert len(calls) == 1
    assert len(rows(judged.path)) == 1
    assert any(
        line.startswith(f"ERROR: {judged.path}/targets/toy/results.tsv: no room") for line in result.outlines
    )


def test_a_log_in_a_folder_that_is_not_there_is_refused_before_anything_runs(judged: pytest.Pytester) -> None:
    result = judged.runpytest(*GATE, "--baseline", "nowhere/results.tsv")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    folder = judged.path / "nowhere"
    result.stderr.fnmatch_lines(
        [f"ERROR: --keep-gate: {folder}: there is no such folder; a judged trial leaves its row there"]
    )


def test_a_folder_that_cannot_be_written_is_refused_before_anything_runs(
    judged: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    result = judged.runpytest(*GATE)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: --keep-gate: *toy: cannot be written; a judged trial leaves its row or its archive there"]
    )
    assert len(rows(judged.path)) == 1


def test_spreadsheets_can_read_the_log(judged: pytest.Pytester) -> None:
    lines = (judged.path / "targets/toy/results.tsv").read_text().splitlines()
    assert lines[0] == "# pytest-lance-autoresearch results, schema 1"
    (row,) = csv.DictReader(lines[1:], delimiter="\t")
    assert (row["trial"], row["target"], row["status"], row["unit"]) == ("1", "toy", "baseline", "product")


def test_the_block_is_the_last_thing_on_stdout_even_without_summaries(judged: pytest.Pytester) -> None:
    result = judged.runpytest(*GATE, "--no-summary")
    assert block(result)["verdict"] == "discard"
    assert result.outlines.count("---") == 1
