"""A run over several of xdist's workers: one block, one JSON, no times, no verdict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import toys

from pytest_lance_autoresearch.plugin import parallel
from pytest_lance_autoresearch.plugin.parallel import Share
from pytest_lance_autoresearch.words import report

RUN = ("-p", "no:randomly", "-p", "no:cacheprovider", "-q", "-n", "2", "--autoresearch=toy")


def written(path: Path) -> dict[str, Any]:
    (trial,) = json.loads(path.read_text())["trials"]
    assert isinstance(trial, dict)
    return trial


def test_the_parts_of_all_workers_are_one_block_and_one_json(pytester: pytest.Pytester) -> None:
    toys.write(pytester.path)
    result = pytester.runpytest_subprocess(*RUN, "--autoresearch-json=out.json")
    assert result.ret == 0
    lines = result.outlines[result.outlines.index("---") :]
    assert f"correctness: pass ({toys.ITEMS} of {toys.ITEMS} items passed)" in lines
    assert "reason: no verdict: the items ran in parallel, untimed; add -n0 for times" in lines
    trial = written(pytester.path / "out.json")
    assert trial["correctness"] == {"word": "pass", "passed": toys.ITEMS, "items": toys.ITEMS}
    assert (trial["geomean_ns_per_op"], trial["verdict"], trial["exit_code"]) == (None, None, 0)


def test_a_wrong_kernel_is_the_reason(pytester: pytest.Pytester) -> None:
    toys.write(pytester.path, text=toys.kernel("return result + (x.size == 129 * 31)"))
    result = pytester.runpytest_subprocess(*RUN, "--autoresearch-json=out.json")
    assert result.ret == 1
    trial = written(pytester.path / "out.json")
    wrong = [case for case in (*toys.CASES, *toys.TIMED) if case.startswith("129x31")]
    assert trial["correctness"] == {"word": "fail", "passed": toys.ITEMS - len(wrong), "items": toys.ITEMS}
    assert trial["reason"].startswith("incorrect: 129x31-")


def test_each_target_s_parts_are_added_up() -> None:
    def share(target: str, done: int, *failures: str) -> Share:
        return Share(target=target, unit="row", items=5, done=done, seconds=done / 2, failures=list(failures))

    b, a = share("b", 5), share("a", 2)
    first, second = parallel.outcomes([b, a, share("a", 1, "crash: x", "crash: y")])
    assert (first.target, first.correct, first.failed, first.items, first.seconds) == ("a", 3, 2, 5, 1.0)
    assert (first.reason, second.reason) == ("crash: x", report.PARALLEL)
    assert (second.target, second.correct, second.failed) == ("b", 5, 0)
