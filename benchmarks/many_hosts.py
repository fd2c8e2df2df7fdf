"""What a tournament on many hosts costs where it is started: on a simulated cluster, nothing is measured.

    python benchmarks/many_hosts.py                                    64 hosts, 2,000 candidates
    python benchmarks/many_hosts.py --hosts 8 --candidates 100         smaller and quicker

The hosts do nothing: an order takes the seconds that it would, on a clock that only the simulation moves, and
comes back with windows that were recorded in a real trial of pq-l2 (docs/verdict-example.json). All else is the
package's own: who gets which order, who leaves, the rows, the records and their digests. Prints how long the
tournament would take, and how long this process worked, with those that it started (CPU time, which others' work
does not prolong): to read the candidates' sources, for all that a tournament decides, and for the log, each as a
share of the whole.
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
import resource
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from typing import Any
from unittest import mock

from pytest_lance_autoresearch.bench.rounds import Measured
from pytest_lance_autoresearch.errors import KernelIncorrect
from pytest_lance_autoresearch.hosts import cluster
from pytest_lance_autoresearch.hosts.cluster import Node
from pytest_lance_autoresearch.hosts.machines import Machine
from pytest_lance_autoresearch.interface import Rules, Target, load, tournament, trials
from pytest_lance_autoresearch.log import archive, gate, history, results
from pytest_lance_autoresearch.machine import environment
from pytest_lance_autoresearch.records import Block, Evidence, Extent, Outcome, Pair, Source, Status, Window
from pytest_lance_autoresearch.runs.posts import Seen
from pytest_lance_autoresearch.runs.ring import InRound
from pytest_lance_autoresearch.runs.trial import Checked, ItemKind, Settings, Trial
from pytest_lance_autoresearch.target_files import contract, sources

ROOT = Path(__file__).resolve().parent.parent
RECORDED = ROOT / "docs" / "verdict-example.json"
HOSTS, CANDIDATES = 64, 2000
CORES = 2
LOAD_S = 20.0
"""Until a host has loaded the target, and made its states."""
CHECK_S = 11.0
"""Of CPU time for a candidate of pq-l2, as measured: numba compiles it, with every index checked."""
SIDE_S = 4.0
"""Of one side of a field of a round: starting, compiling or loading, and its windows."""
WRONG = 0.2
"""Part of the candidates that is not right."""
GAINS = (-0.10, 0.03)
"""Between which the others lie."""


class Recorded:
    """Windows of a real trial, as pairs of any gain."""

    def __init__(self) -> None:
        found = json.loads(RECORDED.read_text())
        self._names, look = found["window"], found["looks"][0]
        self._calls, self._overheads = look["calls"], look["call_overhead_ns"]
        self._pairs = [one["blocks"] for one in look["pairs"]]

    def pair(self, chance: random.Random, gain: float, blocks: Callable[[str], int]) -> Pair:
        """So many blocks of each case; the candidate's times are as a kernel's that gains that much."""
        of_cases = chance.choice(self._pairs)
        made = [
            self._block(case, chance.choice(of_cases[case]), gain)
            for case in of_cases
            for _ in range(blocks(case))
        ]
        return Pair(tuple(made), dict(self._overheads), 200 * 2**20, 201 * 2**20, 3.0)

    def _block(self, case: str, recorded: Sequence[Any], gain: float) -> Block:
        order, numbers = recorded[0], recorded[1:]
        size = len(self._names)
        windows = [
            self._window(case, numbers[size * place : size * (place + 1)], gain if side == "B" else 0.0)
            for place, side in enumerate(order)
        ]
        first, second, third, fourth = windows
        return Block(case, order, (first, second, third, fourth))

    def _window(self, case: str, numbers: Sequence[int], gain: float) -> Window:
        wall_ns, cpu_ns, *others = numbers
        return Window(self._calls[case], round(wall_ns / (1 + gain)), round(cpu_ns / (1 + gain)), *others)


@dataclass(order=True, eq=True)
class Simulated:
    """An order that ends at a time of the simulated clock."""

    end_s: float
    number: int
    station: Any
    value: Any

    __hash__ = object.__hash__

    def result(self) -> Any:
        return self.value


class SimulatedStation:
    """A host that takes its time, several orders side by side on as many cores."""

    def __init__(self, found: SimulatedCluster, node: Node) -> None:
        self.node, self.name = node, node.name
        self._found = found

    def ready(self) -> Simulated:
        return self._found.job(self, 1.0, None)

    def equip(self, _what: str, *_: Any) -> Simulated:
        return self._found.job(self, LOAD_S, None)

    def order(self, _what: str, verb: str, *arguments: Any) -> Simulated:
        return self._found.job(self, *getattr(self, f"_{verb}")(*arguments))

    def _check(self, source: Source) -> tuple[float, Checked]:
        return CHECK_S * self._found.chance.uniform(0.8, 1.2), self._found.checked(source)

    def _most_beside(self) -> tuple[float, int]:
        return 0.0, 8

    def _measured(self, together: Mapping[str, Source], _number: int) -> tuple[float, InRound]:
        pairs = {name: self._found.pair(source, lambda _: 1) for name, source in together.items()}
        return SIDE_S * (1 + len(together)), InRound(Measured(pairs, {}), 0.0)

    def _first_look(self) -> tuple[float, Seen]:
        return 30.0, Seen(tuple(self._found.finalist(lambda _: 3) for _ in range(4)), None, 0.0, True)

    def _another_look(self, extent: Extent, _left_s: float) -> tuple[float, Seen]:
        pairs = tuple(self._found.finalist(extent.blocks.__getitem__) for _ in range(extent.pairs))
        return 30.0, Seen(pairs, None, 0.0, True)


class SimulatedCluster:
    """A cluster with a clock of its own."""

    def __init__(self, hosts: int, gains: Mapping[str, float | None], items: frozenset[Any]) -> None:
        self._hosts = hosts
        self._gains = gains
        """Of each kernel, by its sha256; None of one that is wrong."""
        self._items = items
        self._recorded = Recorded()
        self._waiting: list[Simulated] = []
        self._number = 0
        self.now_s = 0.0
        self.chance = random.Random(1)

    def nodes(self) -> list[Node]:
        return [Node(f"{number:08x}", f"10.0.0.{number}") for number in range(self._hosts)]

    def survey(self, nodes: Sequence[Node]) -> list[Machine]:
        versions = environment.versions()
        return [Machine(f"{node.short} (simulated)", "simulated", versions, node.id, CORES) for node in nodes]

    def station(self, node: Node, _threads: int = 1) -> SimulatedStation:
        return SimulatedStation(self, node)

    def job(self, station: SimulatedStation, seconds: float, value: Any) -> Simulated:
        self._number += 1
        made = Simulated(self.now_s + seconds, self._number, station, value)
        heapq.heappush(self._waiting, made)
        return made

    def wait(self, _jobs: Collection[Simulated], *_: Any) -> list[Simulated]:
        """The next that ends, and what ends with it."""
        done = [heapq.heappop(self._waiting)]
        self.now_s = max(self.now_s, done[0].end_s)
        while self._waiting and self._waiting[0].end_s <= self.now_s:
            done.append(heapq.heappop(self._waiting))
        return done

    def results(self, jobs: Sequence[Simulated], _show: Any = None) -> list[Any]:
        self.now_s = max(self.now_s, *(job.end_s for job in jobs))
        self._waiting = [job for job in self._waiting if job not in jobs]
        heapq.heapify(self._waiting)
        return [job.result() for job in jobs]

    def checked(self, source: Source) -> Checked:
        if self._gains[source.sha256] is None:
            wrong = KernelIncorrect("96x8x256-sparse, secret call 1 of 3: values differ")
            return Checked(frozenset(), (wrong,), CHECK_S, True)
        return Checked(self._items, (), CHECK_S, True)

    def pair(self, source: Source, blocks: Callable[[str], int]) -> Pair:
        return self._recorded.pair(self.chance, self._gains[source.sha256] or 0.0, blocks)

    def finalist(self, blocks: Callable[[str], int]) -> Pair:
        return self._recorded.pair(self.chance, GAINS[1], blocks)


def worked_s() -> float:
    """CPU time of this process, and of those that it started and that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return process_time() + children.ru_utime + children.ru_stime


class Counted:
    """How long calls of something took."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **named: Any) -> Any:
            start_s = worked_s()
            try:
                return function(*arguments, **named)
            finally:
                self.seconds += worked_s() - start_s

        return timed


def candidates_of(target: Target, count: int) -> list[bytes]:
    """The target's kernel, with a constant that nothing uses."""
    return [target.kernel.text + f"\nCOPY = {number}\n".encode() for number in range(1, count + 1)]


@contextmanager
def simulated(
    found: SimulatedCluster, logged: Counted, read: Counted, of_hosts: Counted, items: frozenset[Any]
) -> Iterator[None]:
    """The package, with this cluster; finalists are not checked again where it is started.

    `logged` is what the log takes, `read` what the candidates' sources do, `of_hosts` making the hosts' windows.
    """

    @contextmanager
    def connected(_address: str) -> Iterator[SimulatedCluster]:
        yield found

    def check_cases(trial: Trial, _is_over: Any = None) -> None:
        trial.take_over(Checked(items, (), 0.0, True))

    with ExitStack() as patches:
        for owner, name, stand_in in (
            (cluster, "connected", connected),
            (Trial, "check_cases", check_cases),
            (Trial, "check_beyond", lambda *_: None),
            (SimulatedStation, "order", of_hosts.around(SimulatedStation.order)),
            (trials, "_source", read.around(trials._source)),
            (gate, "write", logged.around(gate.write)),
            (gate, "open_gate", logged.around(gate.open_gate)),
        ):
            patches.enter_context(mock.patch.object(owner, name, stand_in))
        yield


def record_baseline(target: Target, log: Path) -> None:
    """As the first trial of a target does, but that none was made."""
    opened = gate.open_gate(target, log.parent, log)
    first = Outcome(target.name, target.wiring.UNIT, 0, 0, 0, 0.0, status=Status.BASELINE, reason="simulated")
    gate.write(opened, target, first, gate.Measured(Evidence(target.kernel.code_size), Rules(), 1), "")


def played(target: Target, kernels: Sequence[bytes], log: Path, hosts: int) -> str:
    """What a tournament of these came to, in the log that holds the baseline."""
    chance = random.Random(2)
    named = [sources.make(text, target.layout.kernel_path) for text in kernels]
    gains = {one.sha256: None if chance.random() < WRONG else chance.uniform(*GAINS) for one in named}
    expected = Trial(target, contract.cases_of(target), Settings(log.parent)).expected()
    items = frozenset(item for item in expected if item.kind is not ItemKind.SPEED)
    found, logged, read, of_hosts = SimulatedCluster(hosts, gains, items), Counted(), Counted(), Counted()
    with simulated(found, logged, read, of_hosts, items):
        start_s = worked_s()
        ended = tournament(target, kernels, log=log, max_seconds=1e6, ray="simulated:1")
        own_s = worked_s() - start_s - logged.seconds - read.seconds - of_hosts.seconds
    rows = results.read(log)
    faults = sum(len(one.faults) for one in history.check(rows, archive.root_of(log)))
    shares = (
        f"{what} {seconds:.1f} s ({100 * seconds / found.now_s:.1f} %)"
        for what, seconds in (("reading", read.seconds), ("scheduling", own_s), ("the log", logged.seconds))
    )
    return (
        f"{len(kernels)} candidates on {hosts} hosts: {found.now_s:.0f} s; {', '.join(shares)}; "
        f"{len(rows) - 1} rows, {faults} faults; {'one' if ended.winner else 'none'} was kept"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, default=HOSTS, help=f"of the cluster ({HOSTS})")
    parser.add_argument("--candidates", type=int, default=CANDIDATES, help=f"of the tournament ({CANDIDATES})")
    chosen = parser.parse_args()
    target = load(ROOT / "targets" / "pq-l2")
    with TemporaryDirectory() as folder:
        log = Path(folder) / "results.tsv"
        record_baseline(target, log)
        print(played(target, candidates_of(target, chosen.candidates), log, chosen.hosts))


if __name__ == "__main__":
    main()
