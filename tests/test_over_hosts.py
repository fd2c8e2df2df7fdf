"""A trial on several hosts: which take part, what each is asked for, and what becomes of a lost one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

import fake_measuring
import pytest
import toys
from builders import everywhere, pairs_of_a_look, spread
from fake_cluster import FakedCluster, machine
from fake_measuring import Lab

from pytest_lance_autoresearch.bench.measurement import Measurement
from pytest_lance_autoresearch.errors import TargetError
from pytest_lance_autoresearch.hosts import cluster
from pytest_lance_autoresearch.log import archive, history
from pytest_lance_autoresearch.machine import environment
from pytest_lance_autoresearch.records import Case, Extent, Outcome, Pair, Status
from pytest_lance_autoresearch.runs import posts
from pytest_lance_autoresearch.runs.over_hosts import Asked
from pytest_lance_autoresearch.target_files.parcels import Parcel


class Scripted(Measurement):
    """Stands for `Comparison` on a host: each pair comes to what the host's script says, in order."""

    gains: ClassVar[list[float]] = []
    """Of each host, in the order in which they are equipped."""

    def __init__(self, *_: Any) -> None:
        self._gain = self.gains.pop(0)
        self._pairs: list[Pair] = []

    def measure_all(self, _state_of: Callable[[Case], Any], _seed: int) -> None:
        self.measure_again(0, None)

    def measure_again(self, _seed: int, _extent: Extent | None, _is_over: object = None) -> None:
        self._pairs += pairs_of_a_look(everywhere(spread(self._gain, 0.001, 4), toys.TIMED), 0.001, 4)

    def pairs(self) -> tuple[Pair, ...]:
        return tuple(self._pairs)

    times = decide = candidate = evidence = NotImplemented


Scripted.__abstractmethods__ = frozenset()


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> FakedCluster:
    made = FakedCluster(machine("one"), machine("two", "Xeon"), machine("three"))
    monkeypatch.setattr(cluster, "connected", made.connected)
    monkeypatch.setattr(posts, "Comparison", Scripted)
    monkeypatch.setattr(Scripted, "gains", [0.05, 0.051, 0.0495])
    return made


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    return fake_measuring.installed(tmp_path, monkeypatch).with_baseline()


def judged(lab: Lab, choice: str = "every") -> Outcome:
    begun = lab.begin(toys.FASTER, gate=True, gather=Asked("10.0.0.1:6379", choice).gather)
    with closing(begun):
        return begun.run()


def test_a_candidate_is_judged_on_every_host_and_logged_here(lab: Lab, found: FakedCluster) -> None:
    outcome = judged(lab)
    assert outcome.reason == (
        "keep: -4.9 % [-5.5 %, -4.3 %] over 3 hosts, no case slower than 5 % on any, confirmed in fresh processes"
    )
    assert outcome.judgement is not None
    assert [one.host for one in outcome.judgement.hosts] == ["one (EPYC)", "two (Xeon)", "three (EPYC)"]
    assert [station.ordered for station in found.stations] == [
        ["starting", "loading the target", "the first look", "look 2"]
    ] * 3
    row = lab.rows()[-1]
    assert (row.status, row.host, row.trial) == (Status.KEEP, "one (EPYC) and 2 other hosts", 2)
    assert [one.faults for one in history.check(lab.rows(), archive.root_of(lab.log_path))] == [(), ()]
    assert not found.is_open
    events = [one.what for one in lab.shown if one.is_event]
    assert events[-2:] == [
        "measuring on one (EPYC), two (Xeon) and three (EPYC)",
        "measuring again in fresh processes",
    ]


def test_or_on_one_of_every_kind(lab: Lab, found: FakedCluster) -> None:
    outcome = judged(lab, "kinds")
    assert [station.name for station in found.stations] == ["one (EPYC)", "two (Xeon)"]
    assert (
        "two hosts tell little of how much hosts differ: a gain must be nearly the same on both; add a third"
        in (outcome.notes)
    )


def test_a_single_host_is_the_ordinary_gate(lab: Lab, found: FakedCluster) -> None:
    del found.known[1:]
    outcome = judged(lab)
    assert outcome.status is Status.KEEP
    assert outcome.reason.startswith("keep: geomean ")
    assert lab.rows()[-1].host == "one (EPYC)"


def test_hosts_of_one_name_or_machine_are_told_apart(lab: Lab, found: FakedCluster) -> None:
    found.known = [machine("one", boot="b"), machine("one", boot="b"), machine("three")]
    outcome = judged(lab)
    assert [station.name for station in found.stations] == [
        "one (EPYC), node 00000000",
        "one (EPYC), node 00000001",
        "three (EPYC)",
    ]
    assert "2 of 3 hosts are nodes of one machine; each counts as a host all the same" in outcome.notes


@pytest.mark.parametrize("package", ["numpy", "numba", "pytest-lance-autoresearch"])
def test_a_host_with_other_versions_is_refused(lab: Lab, found: FakedCluster, package: str) -> None:
    found.known[1] = machine("two", "Xeon", versions={package: "9.9"})
    here = environment.versions()[package]
    outcome = judged(lab)
    assert (outcome.status, outcome.exit_code) == (Status.INVALID, 13)
    assert outcome.reason == (
        f"invalid: two (Xeon), node 00000001 at 10.0.0.1: has {package} 9.9, and this host has {here}; verdicts "
        f"of several versions are not put together; install {package} {here} there, or take the host out of the "
        f"cluster"
    )
    assert [row.status for row in lab.rows()] == ["baseline", "invalid"]


def test_a_lost_host_leaves_no_verdict(lab: Lab, found: FakedCluster) -> None:
    found.losing["look 2"] = ["two (Xeon)"]
    outcome = judged(lab)
    assert outcome.reason == "invalid: two (Xeon): was lost while it worked on look 2"
    assert [row.status for row in lab.rows()] == ["baseline", "invalid"]
    assert not found.is_open


def test_without_a_baseline_the_first_is_measured_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = fake_measuring.installed(tmp_path, monkeypatch)
    begun = lab.begin(gate=True, gather=Asked("10.0.0.1:6379").gather)
    with closing(begun):
        assert begun.run().status is Status.BASELINE


def test_a_kernel_that_cannot_travel_leaves_no_verdict(
    lab: Lab, found: FakedCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: object) -> Parcel:
        raise TargetError("target 'toy': its kernel runs with what is compiled")

    monkeypatch.setattr(Parcel, "of", fails)
    begun = lab.begin(toys.FASTER, gate=True, gather=Asked("10.0.0.1:6379").gather)
    with closing(begun):
        outcome = begun.run()
    assert outcome.reason == "invalid: target 'toy': its kernel runs with what is compiled"
    assert not found.is_open


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("nowhere", "'nowhere' is no address of a cluster; expected one such as 10.0.0.1:6379, or auto"),
        ("10.0.0.1:x", "'10.0.0.1:x' is no address of a cluster; expected one such as 10.0.0.1:6379, or auto"),
    ],
)
def test_what_is_no_address_is_refused(address: str, said: str) -> None:
    assert cluster.unusable(address) == said


def test_without_ray_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    assert cluster.unusable("10.0.0.1:6379") == (
        "10.0.0.1:6379: a cluster needs Ray, which cannot be imported here (import of ray halted; None in "
        "sys.modules); pip install 'pytest-lance-autoresearch[ray]'"
    )
