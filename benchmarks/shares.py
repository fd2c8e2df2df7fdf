"""How near the kernels are to what one core can read: the bytes of a call against the time that it takes.

    python benchmarks/shares.py               every target, about 4 minutes
    python benchmarks/shares.py pq-l2 take    some

A call must read its arguments, and where a kernel searches all that it was built over, the codes of the state
(`READ`). Most of the former lie in memory that the processor has not seen before, the latter in the caches that
they fit into. It must write its answer, too. The least time is that of the reading or of the writing, whichever
is longer, at what `limits.py` measures, in the same run: as if the two went on side by side, and nothing had to
be computed. Prints for each target the share that the least time is of the time taken, as the geomean over the
timed cases, the least and the most; and the geomean of the bytes of a call. More than 100 % is told where
arguments were in a cache still, as pytest's process has just written them.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import limits

from pytest_lance_autoresearch.bench import explained, measure, room
from pytest_lance_autoresearch.bench.process import KernelProcess
from pytest_lance_autoresearch.machine import environment, turns
from pytest_lance_autoresearch.records import Case
from pytest_lance_autoresearch.runs.limits import STREAMED, Limits, next_size
from pytest_lance_autoresearch.target_files import contract, discover, generate, load, seeds, sources
from pytest_lance_autoresearch.target_files.load import Target
from pytest_lance_autoresearch.verdict import aggregate

ROOT = Path(__file__).resolve().parent.parent
READ: Mapping[str, tuple[str, ...]] = {
    "bitpack": (),
    "dictionary": (),
    "fsst": (),
    "posting-decode": (),
    "pq-cosine": ("codes",),
    "pq-dot": ("codes",),
    "pq-l2": ("codes",),
    "pq-l2-lossy": ("codes",),
    "pq4-fastscan": ("codes",),
    "predicate": (),
    "rabitq-scan": ("codes",),
    "repdef-unravel": (),
    "rle-decode": (),
    "take": (),
    "utf8-validate": (),
}
"""The arrays of the state that every call reads whole, by target.

A target that is not here skips most of what it is given, or computes for long with little.
"""
WINDOWS = 8
TIMEOUT_S = 60.0
NEW = STREAMED[-1]
"""An array of so many bytes lies in no cache."""


class Share(NamedTuple):
    """Of one case."""

    case: str
    bytes: int
    """That a call reads and writes."""
    of_limit: float
    """The least time that this takes, over the time taken."""


def shares(target: Target, host: Limits) -> Iterator[Share]:
    """Of the timed cases, one after the other."""
    nothing = sources.make(b"", target.kernel.path)
    with (
        closing(KernelProcess(target, target.kernel, TIMEOUT_S)) as process,
        closing(KernelProcess(target, nothing, TIMEOUT_S)) as null,
    ):
        process.introduce()
        null.introduce()
        with environment.placed([null.pid, process.pid], target.threads):
            for case in contract.cases_of(target):
                if case.timed:
                    yield _share(target, case, process, null, host)


def _share(target: Target, case: Case, process: KernelProcess, null: KernelProcess, host: Limits) -> Share:
    state = generate.make_state(target, case, seeds.PUBLISHED_SEED)
    plan = explained.new_plan(target, case, state, seeds.secret_seed())
    answer = measure.make_ready(plan, process, null)
    windows = measure.measure_alone(plan, process, WINDOWS)
    process.release(plan.key)
    taken_ns = statistics.median(aggregate.ns_per_call(windows, plan.call_overhead_ns))
    searched = sum(getattr(state, name).nbytes for name in READ[target.name])
    given, given_back = _bytes(plan.first), _bytes(answer)
    read, write = host.read_gb_per_s, host.copy_gb_per_s
    read_ns = given / read[NEW] + searched / read[next_size(read, searched)]
    least_ns = max(read_ns, given_back / write[next_size(write, given_back)])
    return Share(case.id, given + searched + given_back, least_ns / taken_ns)


def _bytes(value: Any) -> int:
    """Of the arrays and numbers in it."""
    return sum(array.nbytes for array in room.arrays(value))


def row(name: str, found: list[Share]) -> str:
    """One line of the table."""
    least, most = (choose(found, key=lambda one: one.of_limit) for choose in (min, max))
    mean = statistics.geometric_mean(one.of_limit for one in found)
    kilobytes = statistics.geometric_mean(one.bytes for one in found) / 1e3
    return (
        f"| {name} | {100 * mean:.0f} % | {100 * least.of_limit:.0f} % ({least.case}) "
        f"| {100 * most.of_limit:.0f} % ({most.case}) | {kilobytes:,.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = sorted(READ)
    parser.add_argument("targets", nargs="*", choices=[[], *known], metavar="target", help=", ".join(known))
    chosen = parser.parse_args().targets or known
    host = limits.measured()
    print("| target | share of the limit | least (case) | most (case) | kB of a call |\n|---|---|---|---|---|")
    for name in chosen:
        target = load.load(discover.inspect(ROOT / "targets" / name))
        with turns.take(None):
            print(row(name, list(shares(target, host))), flush=True)


if __name__ == "__main__":
    main()
