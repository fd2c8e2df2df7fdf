"""fsst's pages of chunks in one process: the kernel beside the port of Lance, chunk by chunk and as one batch.

    python benchmarks/fsst_chunks.py

For each timed case of a chunked shape: what the kernel takes for a chunk, and how many times as long the others
take, the median of paired calls in this process and the middle 90 %. `compiled` is the port with all that Lance
does for a chunk compiled (peer_kernels/fsst/lance_chunks.py), `python` the port as the target's wiring calls it
for each chunk. In one batch there are no chunks: the same strings by one call of `decode`, the table prepared
before. All answers must be equal.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import ratios

from pytest_lance_autoresearch.kernel_side import modules
from pytest_lance_autoresearch.records import Case
from pytest_lance_autoresearch.target_files import contract, discover, generate, load, seeds, sources
from pytest_lance_autoresearch.target_files.load import Target

ROOT = Path(__file__).resolve().parent.parent
PORT = ROOT / "benchmarks" / "ports" / "fsst" / "kernels.py"
COMPILED = ROOT / "benchmarks" / "peer_kernels" / "fsst" / "lance_chunks.py"
ROUNDS = 300

Array = np.ndarray[Any, Any]
Calls = dict[str, Callable[[], Any]]


def batch(page: Array, starts: Array, counts: Array, dtype: np.dtype[Any]) -> tuple[Array, Array]:
    """The codes of all chunks in a row, 8 bytes behind them, and the offsets of their strings."""
    codes, sizes = [], []
    for start, count in zip(starts.tolist(), counts.tolist(), strict=True):
        offsets = page[start : start + (count + 1) * dtype.itemsize].view(dtype)
        codes.append(page[start + offsets[0] : start + offsets[-1]])
        sizes.append(np.diff(offsets))
    return np.concatenate([*codes, np.zeros(8, np.uint8)]), np.cumsum([0, *np.concatenate(sizes)]).astype(dtype)


def calls_of(target: Target, case: Case) -> tuple[int, Calls, tuple[Array, Array]]:
    """How many chunks a page of the case has, what decodes it, and the outputs that all of them write to."""
    state = generate.make_state(target, case, seeds.PUBLISHED_SEED)
    (arguments,) = generate.Feed(target, case, state, seeds.PUBLISHED_SEED, "check").draw(1)
    table, page, starts, counts, out, out_offsets = arguments
    whole = batch(page, starts, counts, out_offsets.dtype)
    of = {
        "kernel": target.kernel,
        "compiled": sources.read(COMPILED),
        "python": sources.read(PORT),
    }
    kernels = {name: modules.execute_kernel(target.name, source) for name, source in of.items()}
    calls: Calls = {name: partial(target.wiring.bind(one, state), *arguments) for name, one in kernels.items()}
    for name, of_chunks in (("kernel, batch", "kernel"), ("port, batch", "python")):
        impl = kernels[of_chunks]
        calls[name] = partial(impl.decode, impl.prepare(table), *whole, out, out_offsets)
    return len(starts), calls, (out, out_offsets)


def times(calls: Calls) -> dict[str, list[int]]:
    """Nanoseconds of each, called in turn."""
    found: dict[str, list[int]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            start = time.perf_counter_ns()
            call()
            found[name].append(time.perf_counter_ns() - start)
    return found


def require_equal_answers(calls: Calls, outputs: tuple[Array, Array]) -> None:
    """Stop at an answer that is not the kernel's; this compiles everything, too."""
    out, out_offsets = outputs
    answers = set()
    for call in calls.values():
        out[:], out_offsets[:] = 0, -1
        call()
        answers.add((out[: out_offsets[-1]].tobytes(), out_offsets.tobytes()))
    assert len(answers) == 1, "they differ"


def row(case: str, chunks: int, found: dict[str, list[int]]) -> str:
    kernel = found["kernel"]
    cells = [case, f"{statistics.median(kernel) / chunks / 1000:.1f} us"]
    cells += [ratio(found[name], kernel) for name in ("compiled", "python")]
    cells += [ratio(found["port, batch"], found["kernel, batch"]), ratio(kernel, found["kernel, batch"])]
    return f"| {' | '.join(cells)} |"


def ratio(times: list[int], others: list[int]) -> str:
    return ratios.shown([one / other for one, other in zip(times, others, strict=True)])


def rows() -> Iterator[str]:
    yield (
        "| case | kernel, a chunk | compiled / kernel | python / kernel "
        "| port / kernel, batch | chunks / batch, kernel |\n|---|---|---|---|---|---|"
    )
    target = load.load(discover.inspect(ROOT / "targets" / "fsst"))
    for case in contract.cases_of(target):
        if case.timed and hasattr(case.shape, "chunk_bytes"):
            chunks, calls, outputs = calls_of(target, case)
            require_equal_answers(calls, outputs)
            yield row(case.id, chunks, times(calls))


if __name__ == "__main__":
    for line in rows():
        print(line, flush=True)
