"""A trial and a tournament on two nodes of a real Ray cluster, both of them on the loopback.

Run by `tests/cluster/run`, which installs Ray. Nodes of one machine take turns to measure; all else is as on many
machines.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import toys

SETTINGS = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # which on Linux keeps it to 127.0.0.1
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",
}
os.environ.update(SETTINGS)  # read when Ray is imported, here and in its nodes

from pytest_lance_autoresearch import interface  # noqa: E402
from pytest_lance_autoresearch.hosts import cluster  # noqa: E402
from pytest_lance_autoresearch.interface import HostsError, Progress, Rules, Status  # noqa: E402
from pytest_lance_autoresearch.log import archive, history, results  # noqa: E402
from pytest_lance_autoresearch.machine import environment  # noqa: E402

OTHER_NUMPY = os.environ["OTHER_NUMPY"]
"""Where numpy 2.2.6 is installed, which a node finds before its own."""
NODES = 2
NODE = {"num_cpus": 1, "resources": {cluster.SLOT: 1}, "object_store_memory": 80 * 2**20}
SOON = {f"health_check_{name}": 1000 for name in ("initial_delay_ms", "period_ms", "timeout_ms")}
BRIEF = Rules(pairs=2, blocks=1, max_looks=2)
"""By which a trial ends after its second look, whatever that shows: nothing depends on how busy the machine is."""


class Nodes:
    """The nodes of a cluster, of which some can be lost."""

    def __init__(self) -> None:
        assert cluster.unusable("auto") == ""
        from ray.cluster_utils import Cluster

        self._cluster = Cluster(initialize_head=True, head_node_args={**NODE, "_system_config": SOON})
        self._others = [self.add() for _ in range(NODES - 1)]

    @property
    def address(self) -> str:
        address: str = self._cluster.address
        return address

    def add(self) -> Any:
        return self._cluster.add_node(**NODE)

    def lose(self) -> None:
        """As where a machine loses its power."""
        self._cluster.remove_node(self._others.pop(), allow_graceful=False)

    def remove(self, node: Any) -> None:
        self._cluster.remove_node(node)

    def end(self) -> None:
        self._cluster.shutdown()


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    made = Nodes()
    try:
        yield made
    finally:
        made.end()


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> interface.Target:
    """With a baseline in its log."""
    monkeypatch.chdir(tmp_path)
    made = interface.load(toys.write(tmp_path))
    assert interface.judge(made, log=made.layout.log_path, rules=BRIEF).status is Status.BASELINE
    return made


def rows(target: interface.Target) -> tuple[results.Row, ...]:
    return results.read(target.layout.log_path)


def faults(target: interface.Target) -> list[str]:
    root = archive.root_of(target.layout.log_path)
    return [fault for one in history.check(rows(target), root) for fault in one.faults]


def test_a_kernel_is_judged_on_every_node(nodes: Nodes, target: interface.Target) -> None:
    log = target.layout.log_path
    outcome = interface.judge(target, toys.FASTER.encode(), log=log, rules=BRIEF, ray=nodes.address)
    assert outcome.status in (Status.KEEP, Status.INCONCLUSIVE), outcome.reason
    assert f" over {NODES} hosts, " in outcome.reason
    assert outcome.judgement is not None
    record = history.record_of(archive.root_of(log), rows(target)[-1])
    assert record.evidence.looks == 2
    assert [(one.host, one.pairs) for one in record.evidence.hosts] == [
        (one.host, one.pairs) for one in outcome.judgement.hosts
    ]
    assert len({one.host for one in record.evidence.hosts}) == NODES
    assert all(one.host.startswith(f"{environment.host()}, node ") for one in record.evidence.hosts)
    assert faults(target) == []


def test_a_kernel_in_a_package_is_judged_on_every_node(
    nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    target = interface.load(toys.write_package(tmp_path))
    assert interface.judge(target, log=target.layout.log_path, rules=BRIEF).status is Status.BASELINE
    faster = toys.IN_PACKAGE.replace("range(REPEATS)", "range(REPEATS // 4)").encode()
    outcome = interface.judge(target, faster, log=target.layout.log_path, rules=BRIEF, ray=nodes.address)
    assert outcome.status in (Status.KEEP, Status.INCONCLUSIVE), outcome.reason
    assert f" over {NODES} hosts, " in outcome.reason


def test_a_node_with_another_numpy_is_named(
    nodes: Nodes, target: interface.Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("PYTHONPATH", OTHER_NUMPY, prepend=os.pathsep)
        node = nodes.add()
    here = environment.versions()["numpy"]
    said = rf", node \w+ at 127.0.0.1: has numpy 2.2.6, and this host has {here}; verdicts "
    try:
        with pytest.raises(HostsError, match=said):
            interface.tournament(target, [toys.FASTER.encode()], ray=nodes.address)
    finally:
        nodes.remove(node)
    assert len(rows(target)) == 1


def test_a_node_that_dies_costs_no_candidate_its_row(nodes: Nodes, target: interface.Target) -> None:
    """It is lost as the first round begins."""
    told = []

    def watch(progress: Progress) -> None:
        told.append(progress.what)
        if progress.what.startswith("round 1 of"):
            nodes.lose()

    wrong = toys.kernel("return result + 1").encode()
    others = [f"{toys.KERNEL}NUMBER = {number}\n".encode() for number in range(3)]
    found = interface.tournament(
        target, [*others, wrong], rules=BRIEF, max_seconds=1e-9, watch=watch, ray=nodes.address
    )
    assert found.outcomes["candidate 4"].status is Status.INCORRECT
    lost = [what for what in told if "was lost while it worked on a field of round 1; that is done again" in what]
    assert len(lost) == 1
    assert [row.trial for row in rows(target)] == [1, 2, 3, 4, 5]
    assert len({row.kernel for row in rows(target)}) == 4 + 1
    assert {one.status for one in found.outcomes.values()} <= {*Status} - {Status.INVALID, Status.CRASH}
    assert faults(target) == []


def test_a_cluster_without_a_slot_says_how_to_start_one(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    with cluster.connected(nodes.address) as found:
        monkeypatch.setattr(cluster, "SLOT", "another")
        with pytest.raises(HostsError) as raised:
            found.nodes()
        monkeypatch.undo()
    assert str(raised.value) == (
        f"{nodes.address}: none of its nodes has a measuring slot; start each that may measure with "
        f"""ray start --address={nodes.address} --resources='{{"another": 1}}'"""
    )


def test_an_address_where_nobody_answers_is_told_at_once(pytester: pytest.Pytester) -> None:
    toys.write(pytester.path)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    ended = pytester.runpytest("--autoresearch=toy", "--keep-gate", f"--autoresearch-ray={address}")
    assert ended.ret == pytest.ExitCode.USAGE_ERROR
    ended.stderr.fnmatch_lines(
        [
            f"ERROR: --autoresearch-ray: {address}: no cluster answers there: Connection refused; expected the "
            f"address that ray start --head printed, of a cluster that this host is a node of"
        ]
    )
