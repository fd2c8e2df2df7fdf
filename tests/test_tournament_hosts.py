"""A tournament on several hosts: who does what, what becomes of a lost host's work, and the row of everybody."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fake_measuring
import pytest
import toys
from builders import everywhere, pair
from fake_cluster import FakedCluster, machine
from fake_measuring import Lab
from test_over_hosts import Scripted

from pytest_lance_autoresearch import interface
from pytest_lance_autoresearch.bench.rounds import Measured
from pytest_lance_autoresearch.errors import HostsError, KernelCrashed, KernelFailure
from pytest_lance_autoresearch.hosts import cluster
from pytest_lance_autoresearch.interface import Status, Tournament
from pytest_lance_autoresearch.log import archive, history
from pytest_lance_autoresearch.records import Pair, Source
from pytest_lance_autoresearch.runs import posts, ring

CRASHING = 9
WRONG = toys.kernel("return result + 1").encode()


def kernel(number: int) -> bytes:
    """A kernel of other code than any other number's."""
    return f"{toys.KERNEL}NUMBER = {number}\n".encode()


class Field:
    """Stands for `Ground`: a kernel comes to its number in per cent, a little more in each round."""

    def __init__(self, *_: Any) -> None:
        """Nothing is measured."""

    def most_beside(self) -> int:
        return 2

    def measured(self, together: Mapping[str, Source], number: int, _seed: int) -> Measured:
        pairs: dict[str, Pair] = {}
        failures: dict[str, KernelFailure] = {}
        for sha256, source in together.items():
            gain = int(source.text.rpartition(b"= ")[2])
            if gain == CRASHING and number == 2:
                failures[sha256] = KernelCrashed("64x32-uniform: its process ended")
            else:
                pairs[sha256] = pair(everywhere([gain / 100 + number / 10_000], toys.TIMED))
        return Measured(pairs, failures)


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> FakedCluster:
    made = FakedCluster(machine("one"), machine("two"), machine("three"))
    monkeypatch.setattr(cluster, "connected", made.connected)
    monkeypatch.setattr(ring, "Ground", Field)
    monkeypatch.setattr(posts, "Comparison", Scripted)
    monkeypatch.setattr(Scripted, "gains", [0.05, 0.05])
    return made


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.chdir(tmp_path)
    return fake_measuring.installed(tmp_path, monkeypatch).with_baseline()


def hold(lab: Lab, *candidates: bytes) -> Tournament:
    target = interface.load(lab.root / "targets" / "toy")
    return interface.tournament(target, candidates, log=lab.log_path, watch=lab.shown.append, ray="10.0.0.1:6379")


def events(lab: Lab) -> list[str]:
    return [one.what for one in lab.shown if one.is_event]


def faults(lab: Lab) -> list[str]:
    rows = lab.rows()
    return [fault for one in history.check(rows, archive.root_of(lab.log_path)) for fault in one.faults]


def test_hosts_share_the_work_and_everybody_has_a_row(lab: Lab, found: FakedCluster) -> None:
    ended = hold(lab, kernel(1), kernel(5), WRONG, kernel(3), kernel(CRASHING))
    assert {name: one.status for name, one in ended.outcomes.items()} == {
        "candidate 1": Status.DISCARD,
        "candidate 2": Status.KEEP,
        "candidate 3": Status.INCORRECT,
        "candidate 4": Status.DISCARD,
        "candidate 5": Status.CRASH,
    }
    rows = lab.rows()
    assert [row.trial for row in rows] == [1, 2, 3, 4, 5, 6]
    assert len({row.kernel for row in rows}) == 6
    assert {row.host for row in rows if row.status is Status.KEEP} == {"one (EPYC)"}
    assert faults(lab) == []
    did = [[what for what in one.ordered if what.startswith(("checking", "a field"))] for one in found.stations]
    assert all(did)
    assert not found.is_open


def test_what_a_lost_host_worked_on_is_done_again_on_another(lab: Lab, found: FakedCluster) -> None:
    found.losing = {"checking candidate 2": ["two (EPYC)"], "a field of round 2": ["one (EPYC)"]}
    ended = hold(lab, kernel(1), kernel(5), kernel(3), WRONG)
    assert ended.winner == "candidate 2"
    told = [what for what in events(lab) if "was lost" in what]
    assert told == [
        "two (EPYC): was lost while it worked on checking candidate 2; that is done again on another host",
        "one (EPYC): was lost while it worked on a field of round 2; that is done again on another host",
    ]
    assert [row.trial for row in lab.rows()] == [1, 2, 3, 4, 5]
    assert len({row.kernel for row in lab.rows()}) == 5
    assert faults(lab) == []


def test_what_two_hosts_were_lost_over_is_not_tried_a_third_time(lab: Lab, found: FakedCluster) -> None:
    found.losing = {"checking candidate 1": ["one (EPYC)", "two (EPYC)", "three (EPYC)"]}
    said = r"\(EPYC\): was lost while it worked on checking candidate 1; so was another host before it, over "
    with pytest.raises(HostsError, match=f"{said}checking candidate 1: it is not tried a third time$"):
        hold(lab, kernel(1), kernel(5), kernel(3))
    assert len(lab.rows()) == 1


def test_once_no_host_is_left_it_ends(lab: Lab, found: FakedCluster) -> None:
    del found.known[1:]
    found.losing = {"a field of round 1": ["one (EPYC)"]}
    said = "^no host is left of the cluster: all were lost; what has a row in the log is whole$"
    with pytest.raises(HostsError, match=said):
        hold(lab, WRONG, kernel(1), kernel(5), kernel(3))
    assert [row.status for row in lab.rows()] == ["baseline", "incorrect"]


def test_a_host_that_is_lost_as_it_starts_is_left_out(lab: Lab, found: FakedCluster) -> None:
    found.losing = {"loading the target": ["one (EPYC)"]}
    assert hold(lab, kernel(1), kernel(5), kernel(3)).winner == "candidate 2"
    assert "one (EPYC): was lost while it worked on loading the target" in events(lab)


def test_a_finalist_whose_host_is_lost_is_judged_on_another(lab: Lab, found: FakedCluster) -> None:
    found.losing = {"look 2": ["one (EPYC)"]}
    ended = hold(lab, kernel(1), kernel(5), kernel(3))
    assert ended.winner == "candidate 2"
    assert [row.host for row in lab.rows() if row.status is Status.KEEP] == ["two (EPYC)"]
    assert "one (EPYC): was lost while it worked on look 2; that is done again on another host" in events(lab)
    assert len(lab.rows()) == 4
    assert faults(lab) == []


def test_a_host_with_another_numpy_is_refused_before_anything_runs(lab: Lab, found: FakedCluster) -> None:
    found.known[2] = machine("three", versions={"numpy": "9.9"})
    with pytest.raises(
        HostsError, match=r"^three \(EPYC\), node 00000002 at 10.0.0.2: has numpy 9.9, and this host"
    ):
        hold(lab, kernel(1), kernel(5))
    assert len(lab.rows()) == 1
