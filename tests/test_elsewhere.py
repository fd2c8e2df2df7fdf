"""Systems that lack what Linux has: a trial still runs, and says in one line what is missing."""

from __future__ import annotations

import os
import platform
from types import SimpleNamespace

import pytest
import toys

from pytest_lance_autoresearch.bench import cpu, process
from pytest_lance_autoresearch.machine import environment

RUN = ("-p", "no:randomly", "-p", "no:cacheprovider", "-q", "--autoresearch=toy")


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """No memfd, no affinity, no outside CPU clock."""
    monkeypatch.delattr(os, "memfd_create")
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(environment, "_cores", frozenset)
    monkeypatch.setattr(cpu, "_clock_id", lambda _: None)
    monkeypatch.setattr(environment, "sys", SimpleNamespace(platform="darwin"))
    monkeypatch.setattr(platform, "system", lambda: "Darwin")


@pytest.mark.usefixtures("elsewhere")
def test_a_trial_says_what_this_system_lacks(pytester: pytest.Pytester) -> None:
    toys.write(pytester.path)
    result = pytester.runpytest(*RUN)
    result.assert_outcomes(passed=toys.ITEMS)
    result.stdout.fnmatch_lines(
        [
            "note: Darwin: no outside CPU clock and no processor affinity, so wall time alone decides; "
            "peak RSS is sampled after the windows"
        ]
    )


@pytest.mark.usefixtures("elsewhere")
def test_wall_time_alone_decides_there(pytester: pytest.Pytester) -> None:
    toys.write(pytester.path)
    assert pytester.runpytest(*RUN, "--keep-gate").ret == 0
    toys.write(pytester.path, text=toys.SLOWER)
    result = pytester.runpytest(*RUN, "--keep-gate", "--autoresearch-json=out.json")
    assert result.ret == 10
    assert '"cpu_speedup": null' in (pytester.path / "out.json").read_text()


def test_memory_is_asked_of_psutil_where_there_is_no_proc(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_PROC_STATUS", "/nonexistent/{pid}")
    toys.write(pytester.path)
    result = pytester.runpytest(*RUN)
    result.stdout.re_match_lines([r"peak_rss_mb: [1-9]\d+\.\d"])
