"""A cluster that is none: its stations stand in the test's own process and work when they are waited for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pytest_lance_autoresearch.errors import HostLost
from pytest_lance_autoresearch.hosts.cluster import Node
from pytest_lance_autoresearch.hosts.machines import Machine
from pytest_lance_autoresearch.hosts.station import Done, Make, Station
from pytest_lance_autoresearch.machine import environment

HERE: Mapping[str, str] = {}
"""No other versions than this host's."""


def machine(name: str, processor: str = "EPYC", boot: str = "", versions: Mapping[str, str] = HERE) -> Machine:
    return Machine(f"{name} ({processor})", processor, {**environment.versions(), **versions}, boot or name, 1)


class FakedJob:
    """An order that is carried out once somebody waits for it."""

    def __init__(self, station: FakedStation, what: str, work: Callable[[], Any]) -> None:
        self.station, self.what, self._work = station, what, work
        self._done: Any = None
        self.is_done = False

    def carry_out(self) -> None:
        if not self.is_done and not self.station.is_lost:
            self._done = self._work()
        self.is_done = True

    def result(self) -> Any:
        self.carry_out()
        if self.station.is_lost:
            raise HostLost(f"{self.station.name}: was lost while it worked on {self.what}")
        return self._done.result() if isinstance(self._done, Done) else self._done


class FakedStation:
    """Stands for a station on a node."""

    def __init__(self, found: FakedCluster, node: Node) -> None:
        self._found, self.node, self.name = found, node, node.name
        self._station = Station()
        self.is_lost = False
        self.ordered: list[str] = []

    def _job(self, what: str, work: Callable[[], Any]) -> FakedJob:
        self.ordered.append(what)
        self._found.ordered(self, what)
        return FakedJob(self, what, work)

    def ready(self) -> FakedJob:
        return self._job("starting", lambda: None)

    def equip(self, what: str, make: Make, *arguments: Any) -> FakedJob:
        return self._job(what, lambda: self._station.equip(make, *arguments))

    def order(self, what: str, verb: str, *arguments: Any) -> FakedJob:
        return self._job(what, lambda: self._station.order(verb, *arguments))

    def dismiss(self) -> None:
        self._station.dismiss()


class FakedCluster:
    """Stands for a cluster."""

    def __init__(self, *known: Machine) -> None:
        self.known = list(known)
        self.stations: list[FakedStation] = []
        self.losing: dict[str, list[str]] = {}
        """By order, the names of hosts that are lost over it."""
        self.is_open = False

    def nodes(self) -> list[Node]:
        return [Node(f"{number:08x}ffff", f"10.0.0.{number}") for number, _ in enumerate(self.known)]

    def survey(self, _nodes: Sequence[Node]) -> list[Machine]:
        return self.known

    def station(self, node: Node, _threads: int = 1) -> FakedStation:
        made = FakedStation(self, node)
        self.stations.append(made)
        return made

    def ordered(self, station: FakedStation, what: str) -> None:
        if station.name in self.losing.get(what, []):
            station.is_lost = True

    def wait(self, jobs: Collection[FakedJob], count: int = 1, timeout_s: float | None = None) -> list[FakedJob]:  # noqa: ARG002
        for job in jobs:
            job.carry_out()
        return [*jobs]

    def results(self, jobs: Sequence[FakedJob], show: Callable[[int], None] = lambda _: None) -> list[Any]:
        found = []
        for job in jobs:
            found.append(job.result())
            show(len(found))
        return found

    @contextmanager
    def connected(self, _address: str) -> Iterator[FakedCluster]:
        """Stands for `cluster.connected`."""
        self.is_open = True
        try:
            yield self
        finally:
            for station in self.stations:
                station.dismiss()
            self.is_open = False
