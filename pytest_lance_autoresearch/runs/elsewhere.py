"""A tournament on the hosts of a cluster: whoever is free gets the next order.

Owns which host does what, and that what a lost host was working on is done again on another, once.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_lance_autoresearch.errors import HostLost, HostsError
from pytest_lance_autoresearch.hosts import machines
from pytest_lance_autoresearch.runs.over_hosts import Team, survey
from pytest_lance_autoresearch.runs.ring import InRound, Ring
from pytest_lance_autoresearch.words import report

if TYPE_CHECKING:
    from pytest_lance_autoresearch.bench.rounds import Grounds, Measured
    from pytest_lance_autoresearch.hosts.cluster import Cluster, Job, RayStation
    from pytest_lance_autoresearch.hosts.machines import Machine
    from pytest_lance_autoresearch.records import Source
    from pytest_lance_autoresearch.runs.over_hosts import Gather
    from pytest_lance_autoresearch.runs.trial import Trial
    from pytest_lance_autoresearch.target_files.parcels import Parcel

_LOSSES = 1
"""Hosts that one order may lose before it is to blame for it."""


@dataclass
class Order:
    """Something to do on whatever host is free."""

    what: str
    verb: str
    arguments: tuple[Any, ...]
    name: str = ""
    losses: int = 0


@dataclass(eq=False)
class Worker:
    """A host at work."""

    station: RayStation
    machine: Machine
    most_beside: int = 1
    orders: int = 0
    """That it has now."""


class Elsewhere:
    """The hosts of a cluster that are free, or become so."""

    def __init__(
        self,
        found: Cluster,
        parcel: Parcel,
        timeout_s: float,
        baseline: Source,
        seed: int,
        show: Callable[[str], None],
        was_waiting: Callable[[float], None],
    ) -> None:
        """HostsError where a node cannot serve. `was_waiting` is told how long an order waited for its turn."""
        self._found = found
        self._show = show
        self._was_waiting = was_waiting
        self._work = (Ring, parcel, timeout_s, baseline, seed)
        nodes, known = survey(found)
        names = machines.told_apart(known, [node.short for node in nodes])
        self._workers: list[Worker] = []
        self._starting: dict[Job, Worker] = {}
        for node, machine, name in zip(nodes, known, names, strict=True):
            station = found.station(node, machine.cores)
            station.name = name
            self._starting[station.equip("loading the target", *self._work)] = Worker(station, machine)

    def checked(self, trials: Mapping[str, Trial], begin: Callable[[str], None]) -> Iterator[str]:
        """As many at once on each host as it has cores."""
        orders = [
            Order(f"checking {name}", "check", (trial.target.kernel,), name) for name, trial in trials.items()
        ]
        for order, found in self._done(orders, lambda worker: worker.machine.cores, begin):
            trials[order.name].take_over(found)
            yield order.name

    @contextmanager
    def grounds(self) -> Iterator[Grounds]:
        yield self

    def most_beside(self, left: int) -> int:
        """As few as keep all hosts at work, and as the host with the least memory bears."""
        workers = self._standing()
        return max(1, min(math.ceil(left / len(workers)), *(worker.most_beside for worker in workers)))

    def measured(self, fields: Sequence[Mapping[str, Source]], number: int, _seed: int) -> Iterator[Measured]:
        """One field at a time on each host; the longest wait for a turn is the round's."""
        orders = [Order(f"a field of round {number}", "measured", (together, number)) for together in fields]
        waited_s = 0.0
        for _, found in self._done(orders, lambda _: 1):
            in_round: InRound = found
            waited_s = max(waited_s, in_round.waited_s)
            yield in_round.measured
        self._was_waiting(waited_s)

    def gather(self) -> Gather:
        """One host that is free, whichever."""
        return self._one_host

    @contextmanager
    def _one_host(self, _show: Callable[[str], None]) -> Iterator[Team]:
        worker = self._standing()[0]
        try:
            yield Team(self._found, [worker.station], [worker.machine])
        finally:
            self._workers.remove(worker)
            self._starting[worker.station.equip("loading the target", *self._work)] = worker

    def _standing(self) -> list[Worker]:
        """The hosts that can be given orders; waits for the first one."""
        while not self._workers:
            self._refuse_none_left()
            self._welcome(self._found.wait(self._starting))
        return self._workers

    def _done(
        self, orders: Sequence[Order], most: Callable[[Worker], int], begin: Callable[[str], None] = lambda _: None
    ) -> Iterator[tuple[Order, Any]]:
        """What came of each order, as it comes; `most` is how many a host may have at a time."""
        waiting, given = deque(orders), dict[Any, tuple[Order, Worker]]()
        while waiting or given:
            for worker in self._workers:
                while waiting and worker.orders < most(worker):
                    order = waiting.popleft()
                    begin(order.name)
                    worker.orders += 1
                    given[worker.station.order(order.what, order.verb, *order.arguments)] = order, worker
            self._refuse_none_left()
            done = self._found.wait([*given, *self._starting])
            self._welcome([job for job in done if job in self._starting])
            for job in [job for job in done if job in given]:
                order, worker = given.pop(job)
                worker.orders -= 1
                try:
                    found = job.result()
                except HostLost as loss:
                    waiting.appendleft(self._again(order, loss))
                    self._forget(worker)
                else:
                    yield order, found

    def _welcome(self, jobs: Sequence[Job]) -> None:
        """Hosts that have loaded the target get orders; one that was lost meanwhile is told of."""
        for job in jobs:
            worker = self._starting.pop(job)
            try:
                job.result()
                worker.most_beside = worker.station.order("looking at its memory", "most_beside").result()
            except HostLost as loss:
                self._show(str(loss))
            else:
                worker.orders = 0
                self._workers.append(worker)

    def _again(self, order: Order, loss: HostLost) -> Order:
        order.losses += 1
        if order.losses > _LOSSES:
            raise HostsError(report.lost_again(str(loss), order.what)) from loss
        self._show(report.lost(str(loss)))
        return order

    def _forget(self, worker: Worker) -> None:
        if worker in self._workers:
            self._workers.remove(worker)

    def _refuse_none_left(self) -> None:
        if not self._workers and not self._starting:
            raise HostsError(report.NO_HOST_LEFT)
