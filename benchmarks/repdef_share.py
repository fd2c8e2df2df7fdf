"""The share of repdef-unravel in a scan: columns of the target's own levels, written and scanned by Lance 14.0.2.

    python benchmarks/repdef_share.py

The levels of each timed case become a column of 32-bit numbers in lists and structs. Lance writes it COPIES times
to a file and scans it, one batch for each copy; `benchmarks/ports/repdef-unravel`, or the kernel where it is still
the port, unravels the same levels. Prints CPU time in ns a level, each the least of ROUNDS: of the scan, of a scan
of the same column without nulls, whose null lists are empty, of the port, and the port's share of the first. Needs
the extra 'upstream', and a quiet machine.
"""

from __future__ import annotations

import functools
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pytest_lance_autoresearch.kernel_side import modules
from pytest_lance_autoresearch.target_files import contract, discover, generate, load, seeds, sources

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "upstream")]

import lance_layers  # noqa: E402 - what tests/upstream reads Lance's files with
import lance_pages  # noqa: E402

TARGET = "repdef-unravel"
PORT = ROOT / "benchmarks" / "ports" / TARGET / "kernels.py"
COPIES, ROUNDS = 16, 7


def least(work: Callable[[], Any]) -> float:
    """CPU time of the process in ns, of all threads, the least of some rounds after a first."""
    work()
    spent = []
    for _ in range(ROUNDS):
        before = time.process_time_ns()
        work()
        spent.append(time.process_time_ns() - before)
    return min(spent)


def scanned(layers: Sequence[lance_layers.Layer]) -> float:
    """CPU time of a scan, in ns for all copies."""
    import pyarrow as pa

    array = lance_layers.to_array(layers)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "column")
        lance_pages.write(path, pa.chunked_array([array] * COPIES), "2.2")
        return least(lambda: lance_pages.scan(path, len(array)))


def main() -> None:
    target = load.load(discover.inspect(ROOT / "targets" / TARGET))
    port = modules.execute_kernel(TARGET, sources.read(PORT))
    print(f"{'case':36}{'scan':>8}{'valid':>8}{'port':>8}{'share':>8}")
    for case in contract.cases_of(target):
        if not case.timed:
            continue
        state = generate.make_state(target, case, seeds.PUBLISHED_SEED)
        (call,) = generate.Feed(target, case, state, seeds.PUBLISHED_SEED, "share").draw(1)
        layers = lance_layers.unravelled(target.reference, call)
        spent = (
            scanned(layers),
            scanned([layer._replace(validity=None) for layer in layers]),
            COPIES * least(functools.partial(port.unravel, *call)),
        )
        scan, valid, own = (each / (COPIES * len(call[1])) for each in spent)
        print(f"{case.id:36}{scan:8.2f}{valid:8.2f}{own:8.2f}{own / scan:8.2f}", flush=True)


if __name__ == "__main__":
    main()
