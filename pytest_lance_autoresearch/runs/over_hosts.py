"""A candidate beside its baseline on several hosts at once, look by look, until `judge` has decided over all.

Owns which hosts take part, and what each of them measures next. All of it is decided here; what is measured, is
measured on the hosts, of which none knows of the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_lance_autoresearch.bench.comparison import Judged, kernel_times, times_of
from pytest_lance_autoresearch.errors import AutoresearchError
from pytest_lance_autoresearch.hosts import cluster, machines
from pytest_lance_autoresearch.hosts.cluster import Cluster, Job, Node, RayStation
from pytest_lance_autoresearch.records import (
    Case,
    CaseTimes,
    Evidence,
    Judgement,
    KernelTimes,
    OnHost,
    Pair,
    Rules,
    Step,
)
from pytest_lance_autoresearch.runs.posts import Bench, Seen
from pytest_lance_autoresearch.target_files.parcels import Parcel
from pytest_lance_autoresearch.verdict import judge
from pytest_lance_autoresearch.words import report

if TYPE_CHECKING:
    from pytest_lance_autoresearch.bench.measurement import Show
    from pytest_lance_autoresearch.hosts.machines import Machine
    from pytest_lance_autoresearch.records import Source
    from pytest_lance_autoresearch.target_files.load import Target


@dataclass(frozen=True)
class Asked:
    """The hosts that a user asked for."""

    address: str
    """Of their cluster."""
    choice: str = "every"
    """One of `machines.CHOICES`."""

    @contextmanager
    def gather(self, show: Callable[[str], None]) -> Iterator[Team]:
        """The hosts, until all is measured; `show` is told what is waited for."""
        with cluster.connected(self.address) as found:
            yield Team.of(found, machines.CHOICES[self.choice], show)


Gather = Callable[[Callable[[str], None]], AbstractContextManager["Team"]]
"""Gives the hosts of a verdict, for as long as it is measured."""


def survey(found: Cluster) -> tuple[list[Node], list[Machine]]:
    """The nodes of a cluster that may measure, and what each is; HostsError where one cannot serve."""
    nodes = found.nodes()
    known = found.survey(nodes)
    for node, machine in zip(nodes, known, strict=True):
        machines.refuse_other_versions(f"{machine.name}, {node.name}", machine)
    return nodes, known


class Team:
    """The hosts of a verdict, each with its slot taken until all are dismissed."""

    def __init__(self, found: Cluster, stations: Sequence[RayStation], known: Sequence[Machine]) -> None:
        self.results = found.results
        self.stations = stations
        self.machines = known
        self.names = [station.name for station in stations]

    @classmethod
    def of(cls, found: Cluster, choice: machines.Choice, show: Callable[[str], None]) -> Team:
        """Take the slots in the order of the nodes, so that no two teams wait for each other.

        HostsError where a node cannot serve.
        """
        nodes, known = survey(found)
        chosen = choice(known)
        taking_part = [known[place] for place in chosen]
        names = machines.told_apart(taking_part, [nodes[place].short for place in chosen])
        stations = []
        for place, name in zip(chosen, names, strict=True):
            station = found.station(nodes[place])
            station.name = name
            if not found.wait([ready := station.ready()], timeout_s=cluster.SOON_S):
                show(report.waiting_for_host(name))
                found.wait([ready])
            ready.result()
            stations.append(station)
        return cls(found, stations, taking_part)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know of the hosts."""
        same = machines.shared(self.machines, self.names)
        few = (report.TWO_HOSTS,) if len(self.names) == 2 else ()
        return (*((report.one_machine(len(same), len(self.names)),) if same else ()), *few)


class OverHosts(Judged):
    """The measuring of one trial."""

    def __init__(
        self,
        target: Target,
        baseline: Source,
        cases: Sequence[Case],
        rules: Rules,
        gather: Gather,
        timeout_s: float,
        show: Show,
        waiting: Callable[[], AbstractContextManager[None]],
        was_waiting: Callable[[float], None],
    ) -> None:
        """`waiting` is around what is no measuring, `was_waiting` is told how much of it that was."""
        super().__init__(rules)
        self._target = target
        self._baseline = baseline
        self._cases = cases
        self._gather = gather
        self._timeout_s = timeout_s
        self._show = show
        self._waiting = waiting
        self._was_waiting = was_waiting
        self._resources = ExitStack()
        self._team: Team | None = None
        self._pairs: list[tuple[Pair, ...]] = []
        """Of each host."""
        self.is_confined = True
        self.notes: tuple[str, ...] = ()

    def measure_all(self, _state_of: Callable[[Case], Any], seed: int) -> None:
        """The first look on all hosts, each over the same states and calls."""
        with self._waiting():
            team = self._resources.enter_context(self._gather(self._tell))
        self._team, self.notes = team, team.notes
        self._pairs = [()] * len(team.stations)
        self._tell(report.measuring_on(team.names))
        work = (Parcel.of(self._target), self._timeout_s, self._baseline, self._rules, seed)
        self._done([one.equip("loading the target", Bench, *work) for one in team.stations])
        self._look([one.order("the first look", "first_look") for one in team.stations])

    def _look_again(self, judgement: Judgement, seconds: Callable[[], float], _seed: int) -> None:
        self._tell(report.MEASURING_AGAIN)
        left_s = max(0.0, self._rules.max_seconds - seconds())
        extents = judge.next_looks(judgement, self._rules)
        self._look(
            [
                one.order(f"look {self._looks + 1}", "another_look", extent, left_s)
                for one, extent in zip(self._hosts.stations, extents, strict=True)
            ]
        )

    def _look(self, jobs: Sequence[Job]) -> None:
        seen: list[Seen] = self._done(jobs)
        self._was_waiting(max(one.waited_s for one in seen))
        self._pairs = [before + one.pairs for before, one in zip(self._pairs, seen, strict=True)]
        self.is_confined = self.is_confined and all(one.is_confined for one in seen)
        self.refusal = next((one.refusal for one in seen if one.refusal), None)

    def _done(self, jobs: Sequence[Job]) -> list[Any]:
        """What came of all; a fault says where it was."""
        try:
            return self._hosts.results(jobs, lambda done: self._show("hosts", Step(done, len(jobs)), self._so_far))
        except AutoresearchError:
            self.close()
            raise

    def times(self, case: Case) -> CaseTimes:
        """On the first host, in the pairs of its first look."""
        return times_of(self._target, case, self._pairs[0][: self._rules.pairs])

    def candidate(self) -> KernelTimes:
        """On the first host: nanoseconds of several hosts are never put together."""
        return kernel_times(self._pairs[0] if self._pairs else (), self._cases, self.times)

    def evidence(self) -> Evidence:
        """What the next look sees, or the last one saw."""
        sizes = self._target.kernel.code_size, self._baseline.code_size
        pairs = tuple(pair for of_host in self._pairs for pair in of_host)
        names = self._team.names if self._team else ()
        on = tuple(OnHost(name, len(own)) for name, own in zip(names, self._pairs, strict=True))
        return Evidence(
            *sizes, pairs, looks=self._looks, seconds=self._seconds, threads=self._target.threads, hosts=on
        )

    @property
    def _hosts(self) -> Team:
        assert self._team is not None, "they are there"
        return self._team

    def close(self) -> None:
        """Dismiss the hosts; safe more than once."""
        self._resources.close()

    def _tell(self, what: str) -> None:
        self._show(what, None, self._so_far)
