"""How near the kernels are to what one core can do: the least that a call must do, against the time that it takes.

    python benchmarks/shares.py               every target, about 4 minutes
    python benchmarks/shares.py pq-l2 take    some

A call must read its arguments, and where a kernel searches all that it was built over, the arrays of the state
(`READ`). Most of the former lie in memory that the processor has not seen before, the latter in the caches that
they fit into. It must write its answer, too. The least time is that of the reading or of the writing, whichever
is longer, at what `limits.py` measures, in the same run: as if the two went on side by side, and nothing had to
be computed. More than 100 % is told where arguments were in a cache still, as pytest's process has just written
them.

Where every code of the state is looked up in a table (`LOOKED_UP`), the look-ups have a least time as well: by
byte shuffles, each of which looks 64 bytes up, and by loads of 4 bytes. So have the multiply-adds of float32
where every vector is compared with the query (`MULTIPLIED`). Those rates are those of `instructions.py` and
`limits.py`. A kernel that is above 100 % of such a limit does less: it finds out in another way what need not be
computed.

Prints for each target the share that the least time is of the time taken: for bytes as the geomean over the timed
cases, the least and the most, and the geomean of the bytes of a call; for shuffles, loads and multiply-adds as
the geomean.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import instructions
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
    "ivf-partition": ("centroids",),
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

A target that is not here skips most of what it is given.
"""
LOOKED_UP: Mapping[str, int] = {"pq-cosine": 8, "pq-dot": 8, "pq-l2": 8, "pq4-fastscan": 4, "rabitq-scan": 4}
"""How many bits of the state's codes are looked up at a time, by target."""
SHUFFLES: Mapping[int, tuple[str, int]] = {8: ("shuffle of 128", 2), 4: ("shuffle of 16", 1)}
"""By these bits, the instruction that looks 64 of them up, and how often it is needed."""
MULTIPLIED = "ivf-partition"
"""The target whose queries are compared with every centroid."""
WINDOWS = 8
TIMEOUT_S = 60.0
NEW = STREAMED[-1]
"""An array of so many bytes lies in no cache."""


BYTES, BY_SHUFFLES, BY_LOADS, BY_MULTIPLYING = "bytes", "shuffles", "loads", "multiply-adds"
OTHERS = (BY_SHUFFLES, BY_LOADS, BY_MULTIPLYING)


class Host(NamedTuple):
    """What one core of it can do at best."""

    limits: Limits
    instruction_ns: Mapping[str, float]
    """By the names of `instructions.KINDS`; none where it has no such instructions."""


class Share(NamedTuple):
    """Of one case."""

    case: str
    bytes: int
    """That a call reads and writes."""
    of_limit: Mapping[str, float]
    """The least time that each kind of work takes, over the time taken."""


def shares(target: Target, host: Host) -> Iterator[Share]:
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


def _share(target: Target, case: Case, process: KernelProcess, null: KernelProcess, host: Host) -> Share:
    state = generate.make_state(target, case, seeds.PUBLISHED_SEED)
    plan = explained.new_plan(target, case, state, seeds.secret_seed())
    answer = measure.make_ready(plan, process, null)
    windows = measure.measure_alone(plan, process, WINDOWS)
    process.release(plan.key)
    taken_ns = statistics.median(aggregate.ns_per_call(windows, plan.call_overhead_ns))
    searched = sum(getattr(state, name).nbytes for name in READ[target.name])
    given, given_back = _bytes(plan.first), _bytes(answer)
    read, write = host.limits.read_gb_per_s, host.limits.copy_gb_per_s
    read_ns = given / read[NEW] + searched / read[next_size(read, searched)]
    least_ns = {BYTES: max(read_ns, given_back / write[next_size(write, given_back)])}
    least_ns |= _computing_ns(target.name, case, state, host)
    of_limit = {kind: ns / taken_ns for kind, ns in least_ns.items()}
    return Share(case.id, given + searched + given_back, of_limit)


def _computing_ns(target: str, case: Case, state: Any, host: Host) -> dict[str, float]:
    """The least time of the look-ups or of the multiply-adds of a call."""
    least_ns = {}
    if target in LOOKED_UP:
        look_ups = 8 * state.codes.nbytes // LOOKED_UP[target]
        least_ns[BY_LOADS] = look_ups * min(host.limits.look_up_ns.values())
        kind, count = SHUFFLES[LOOKED_UP[target]]
        if kind in host.instruction_ns:
            least_ns[BY_SHUFFLES] = look_ups / instructions.BYTES.count * count * host.instruction_ns[kind]
    elif target == MULTIPLIED and "multiply-add" in host.instruction_ns:
        instructions_needed = case.shape.queries * state.centroids.size / instructions.FLOATS.count
        least_ns[BY_MULTIPLYING] = instructions_needed * host.instruction_ns["multiply-add"]
    return least_ns


def _bytes(value: Any) -> int:
    """Of the arrays and numbers in it."""
    return sum(array.nbytes for array in room.arrays(value))


def row(name: str, found: list[Share]) -> str:
    """One line of the table."""
    least, most = (choose(found, key=lambda one: one.of_limit[BYTES]) for choose in (min, max))
    kilobytes = statistics.geometric_mean(one.bytes for one in found) / 1e3
    others = " | ".join(_mean(found, kind) for kind in OTHERS)
    return (
        f"| {name} | {_mean(found, BYTES)} | {100 * least.of_limit[BYTES]:.0f} % ({least.case}) "
        f"| {100 * most.of_limit[BYTES]:.0f} % ({most.case}) | {kilobytes:,.0f} | {others} |"
    )


def _mean(found: list[Share], kind: str) -> str:
    """The geomean of the share; '' of a kind of work that the target does not need."""
    if kind not in found[0].of_limit:
        return ""
    return f"{100 * statistics.geometric_mean(one.of_limit[kind] for one in found):.0f} %"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = sorted(READ)
    parser.add_argument("targets", nargs="*", choices=[[], *known], metavar="target", help=", ".join(known))
    chosen = parser.parse_args().targets or known
    host = Host(limits.measured(), instructions.measured())
    heads = ("target", "bytes", "least (case)", "most (case)", "kB of a call", *OTHERS)
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for name in chosen:
        target = load.load(discover.inspect(ROOT / "targets" / name))
        with turns.take(None):
            print(row(name, list(shares(target, host))), flush=True)


if __name__ == "__main__":
    main()
