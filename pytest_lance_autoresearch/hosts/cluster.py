"""Hosts on Ray: the nodes of a cluster, and a station on each that measures.

Owns connecting, the measuring slot of a node, and what a cluster says when something is lost. Nothing else here
knows of Ray.
"""

from __future__ import annotations

import logging
import os
import socket
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from pytest_lance_autoresearch.errors import HostLost, HostsError
from pytest_lance_autoresearch.hosts.machines import Machine, survey
from pytest_lance_autoresearch.hosts.station import Done, Make, Station
from pytest_lance_autoresearch.machine import interrupt

SLOT = "autoresearch"
"""The resource that a node has one of, where it may measure."""
FARTHEST_S = 5.0
"""Within which a cluster that is there answers."""
SOON_S = 10.0
"""Within which a station stands whose slot is free, or little longer."""
_LOOK_S = 0.2
"""Between two looks for an interrupt."""
_FAREWELL_S = 5.0
"""For a station to give back what it has."""
AUTO = "auto"
_SILENT = {
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".*",  # or what a raylet says at its end stands among a run's own output
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # whose absence is a warning
}
"""Read by Ray when it is imported."""


class Node(NamedTuple):
    """A node of a cluster that has a measuring slot."""

    id: str
    address: str

    @property
    def name(self) -> str:
        """As a sentence calls it before it has said who it is."""
        return f"node {self.short} at {self.address}"

    @property
    def short(self) -> str:
        return self.id[:8]


class Job:
    """An order that a station was given."""

    def __init__(self, place: Node | RayStation, what: str, ref: Any) -> None:
        self.place = place
        self.what = what
        self.ref = ref

    def result(self) -> Any:
        """What came of it, once it is done; HostLost where that will never be known."""
        import ray

        try:
            done = ray.get(self.ref)
        except ray.exceptions.RayTaskError as error:
            raise HostsError(
                f"{self.place.name}: {self.what} failed: {_first_line(error.cause)}{_hint(error)}"
            ) from error
        except ray.exceptions.RayError as error:
            raise HostLost(f"{self.place.name}: was lost while it worked on {self.what}") from error
        return done.result() if isinstance(done, Done) else done


class RayStation:
    """A station on a node; it has the node's slot for as long as it stands.

    It takes so many orders at a time, and one more, so that its end need not wait for them.
    """

    def __init__(self, node: Node, threads: int = 1) -> None:
        import ray

        self.node = node
        self.name = node.name
        limits = {"max_concurrency": threads + 1, "max_restarts": 0, "max_task_retries": 0}
        self._actor = ray.remote(Station).options(**_on(node), **limits, resources={SLOT: 1}).remote()

    def ready(self) -> Job:
        return Job(self, "starting", self._actor.ready.remote())

    def equip(self, what: str, make: Make, *arguments: Any) -> Job:
        return Job(self, what, self._actor.equip.remote(make, *arguments))

    def order(self, what: str, verb: str, *arguments: Any) -> Job:
        return Job(self, what, self._actor.order.remote(verb, *arguments))

    def dismiss(self) -> Job:
        return Job(self, "its end", self._actor.dismiss.remote())

    def end(self) -> None:
        import ray

        with suppress(Exception):
            ray.kill(self._actor)


def _on(node: Node) -> dict[str, Any]:
    """What keeps work on that node."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return {"num_cpus": 0, "scheduling_strategy": NodeAffinitySchedulingStrategy(node.id, soft=False)}


def _survey_on(node: Node) -> Any:
    import ray

    return ray.remote(survey).options(**_on(node), max_retries=0).remote()


class Cluster:
    """A cluster that this process is connected to."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._stations: list[RayStation] = []

    def nodes(self) -> list[Node]:
        """Those that live and have a measuring slot, in the order of their ids; HostsError where none has."""
        import ray

        living = [node for node in ray.nodes() if node["Alive"]]
        found = [Node(node["NodeID"], node["NodeManagerAddress"]) for node in living if SLOT in node["Resources"]]
        if not found:
            raise HostsError(
                f"{self._address}: none of its nodes has a measuring slot; start each that may measure with "
                f"""ray start --address={self._address} --resources='{{"{SLOT}": 1}}'"""
            )
        return sorted(found)

    def survey(self, nodes: Sequence[Node]) -> list[Machine]:
        """What each node says of itself, whether its slot is free or not."""
        return self.results([Job(node, "telling what it is", _survey_on(node)) for node in nodes])

    def station(self, node: Node, threads: int = 1) -> RayStation:
        """A station on the node, which stands as soon as the slot is free; of so many orders at a time."""
        made = RayStation(node, threads)
        self._stations.append(made)
        return made

    def wait(self, jobs: Collection[Job], count: int = 1, timeout_s: float | None = None) -> list[Job]:
        """Those of the jobs that are done, once so many are, or the time is over; obeys interrupts meanwhile."""
        import ray

        by_ref = {job.ref: job for job in jobs}
        left_s = timeout_s
        while True:
            step_s = _LOOK_S if left_s is None else min(_LOOK_S, left_s)
            done, _ = ray.wait(list(by_ref), num_returns=min(count, len(by_ref)), timeout=step_s)
            interrupt.obey()
            left_s = None if left_s is None else left_s - step_s
            if len(done) >= min(count, len(by_ref)) or (left_s is not None and left_s <= 0):
                return [by_ref[ref] for ref in done]

    def results(self, jobs: Sequence[Job], show: Callable[[int], None] = lambda _: None) -> list[Any]:
        """What came of all, in their order; `show` is told how many are done. The first fault is raised."""
        left = list(jobs)
        while left:
            for job in self.wait(left):
                job.result()
                left.remove(job)
                show(len(jobs) - len(left))
        return [job.result() for job in jobs]

    def dismiss(self) -> None:
        """End all stations, each with what it started."""
        farewells = [station.dismiss() for station in self._stations]
        with suppress(Exception):
            self.wait(farewells, len(farewells), _FAREWELL_S)
        for station in self._stations:
            station.end()
        self._stations.clear()


@contextmanager
def connected(address: str) -> Iterator[Cluster]:
    """The cluster at an address such as '10.0.0.1:6379', or the one that this host is a node of, 'auto'."""
    if fault := unusable(address):
        raise HostsError(fault)
    import ray

    _connect(address)
    cluster = Cluster(address)
    try:
        yield cluster
    finally:
        try:
            cluster.dismiss()
        finally:
            ray.shutdown()


def _connect(address: str) -> None:
    import ray

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ray.init(address, log_to_driver=False, logging_level=logging.CRITICAL, namespace=SLOT)
    except Exception as error:
        raise HostsError(f"{address}: Ray cannot connect to it: {_first_line(error)}; {_EXPECTED}") from error


_EXPECTED = "expected the address that ray start --head printed, of a cluster that this host is a node of"


def unusable(address: str) -> str:
    """Why there can be no cluster at that address; '' where there may be one.

    That nobody answers Ray itself takes minutes to find out.
    """
    host, _, port = address.rpartition(":")
    if address != AUTO and not (host and port.isdecimal()):
        return f"'{address}' is no address of a cluster; expected one such as 10.0.0.1:6379, or {AUTO}"
    for name, value in _SILENT.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError as error:
        return (
            f"{address}: a cluster needs Ray, which cannot be imported here ({error}); "
            f"pip install 'pytest-lance-autoresearch[ray]'"
        )
    if ray.is_initialized():
        return f"{address}: this process is connected to a Ray cluster already; ray.shutdown() it first"
    try:
        if address != AUTO:
            socket.create_connection((host, int(port)), FARTHEST_S).close()
    except (OSError, OverflowError) as error:
        return f"{address}: no cluster answers there: {getattr(error, 'strerror', None) or error}; {_EXPECTED}"
    return ""


def _hint(error: Any) -> str:
    """What to do about a node that lacks the package."""
    if isinstance(error.cause, ModuleNotFoundError) or "No module named" in str(error):
        return "; expected the same packages there as here"
    return ""


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}" if lines[0] else type(error).__name__
