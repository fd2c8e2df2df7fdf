"""How much dearer calls are where nothing is known of later ones: honest kernels, and one that works ahead.

    python benchmarks/ahead.py                 every kernel below, two looks of each (20 minutes)
    python benchmarks/ahead.py --times 10 pq-l2

A look is as the second one of a trial, with one block of each case. Prints for each kernel by what fraction of a
call its calls were dearer, the mean over its looks and the standard deviation of a case in a pair; the most that
one of the looks showed with 99.9 % confidence; how many would have refused it; and the seconds that it took of a
look. Below the table: how often as many cases as a look has, drawn from all of honest kernels, would refuse one.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from pytest_lance_autoresearch.bench.fields import Field
from pytest_lance_autoresearch.bench.looks import Looks
from pytest_lance_autoresearch.bench.processes import Processes
from pytest_lance_autoresearch.machine import clocks
from pytest_lance_autoresearch.records import ANSWER_TIMEOUT_S, Evidence, Extent, Pair, Rules
from pytest_lance_autoresearch.target_files import contract, discover, load, seeds, sources
from pytest_lance_autoresearch.verdict import ahead

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "hostile")]

import corpus  # noqa: E402
import reading_ahead  # noqa: E402

DRAWS = 100_000
PAIRS = Rules.pairs
PATIENCE = 10
"""Times the longest answer: on a busy machine compiling takes minutes."""


class Kernel(NamedTuple):
    name: str
    target: Path
    text: bytes
    is_honest: bool = True


class Look(NamedTuple):
    pairs: tuple[Pair, ...]
    seconds: float
    """Of what it took to start calls one by one."""


def kernels(folder: Path) -> Iterator[Kernel]:
    """Those of the repository, the honest ones that look like cheats, and one that works ahead."""
    for path in sorted((ROOT / "targets").glob("[a-z]*/kernels.py")):
        yield Kernel(path.parent.name, path.parent, path.read_bytes())
    for name in corpus.HONEST:
        target = corpus.target_of(name)
        yield Kernel(f"{name}, honest", ROOT / "targets" / target, corpus.source("honest", name).encode())
    yield Kernel("ahead, honest", reading_ahead.write(folder, reading_ahead.KERNEL), reading_ahead.KERNEL.encode())
    yield Kernel("ahead, cheating", folder / "targets" / "ahead", reading_ahead.AHEAD.encode(), is_honest=False)


def look(kernel: Kernel) -> Look:
    """One look at a kernel; what it is measured beside is itself."""
    target = load.load(discover.inspect(kernel.target))
    source = sources.make(kernel.text, target.kernel.path, target.kernel.home)
    timed = [case for case in contract.cases_of(target) if case.timed]
    processes = Processes(target, PATIENCE * ANSWER_TIMEOUT_S, in_process=False)
    taken: list[float] = []

    def measured(field: Field, plan: Any) -> None:
        began = clocks.now_s()
        measure_dealt(field, plan)
        taken.append(clocks.now_s() - began)

    measure_dealt = Field.measure_dealt
    try:
        looks = Looks(target, {"A": source, "B": source}, timed, processes, lambda *_: None)
        plans = looks.hidden(2, seeds.secret_seed())
        with mock.patch.object(Field, "measure_dealt", measured), looks.first_field(plans, "B") as field:
            looks.measure(plans, field, "B", Extent(PAIRS, {case.id: 1 for case in timed}), thorough=True)
        return Look(looks.pairs("B"), sum(taken))
    finally:
        processes.clear()


def cells(looks: Sequence[Look]) -> list[float]:
    return [value for one in looks for pair in one.pairs for value in ahead.dearer(pair, 1)]


def refused_by_chance(values: Sequence[float], count: int) -> float:
    """How often so many values, drawn from those of honest kernels, would refuse a kernel."""
    found = (ahead.estimate(random.choices(values, k=count)) for _ in range(DRAWS))
    return sum(one.least > ahead.LIMIT for one in found) / DRAWS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="how the names of the kernels begin; all of them")
    parser.add_argument("--times", type=int, default=2)
    told = parser.parse_args()
    honest: list[float] = []
    print("| kernel | dearer | sd of a case | most shown | refused | seconds |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for kernel in kernels(Path(folder)):
            if not kernel.name.startswith(tuple(told.names) or ""):
                continue
            looks = [look(kernel) for _ in range(told.times)]
            found = [ahead.measured(Evidence(1, 1, one.pairs)) for one in looks]
            if None in found:
                print(f"| {kernel.name} | its windows hold single calls |")
                continue
            values, seen = cells(looks), [one for one in found if one]
            honest += values if kernel.is_honest else []
            refused = sum(one.least > ahead.LIMIT for one in seen)
            print(
                f"| {kernel.name} | {statistics.fmean(one.dearer for one in seen):+.1%} | "
                f"{statistics.stdev(values):.1%} | {max(one.least for one in seen):+.1%} | "
                f"{refused} of {len(seen)} | {statistics.median(one.seconds for one in looks):.1f} |",
                flush=True,
            )
    for count in (36, 48, 96):
        print(f"{count} cases of honest kernels: refused {refused_by_chance(honest, count):.5f}")


if __name__ == "__main__":
    main()
