"""Three kernels and the ports of Lance beside them, on data that Lance wrote and that is read out of its files.

    python benchmarks/real_files.py

The data is Unicode's own table of names, which nobody here chose: 150,000 rows such as "é LATIN SMALL LETTER E
WITH ACUTE". Lance 14.0.2 writes them as a column of strings (utf8-validate), and as vectors of 128 dimensions, the
hashed trigrams of each name, of which it makes an IVF_PQ index: its partitions (pq-l2) and its centroids
(ivf-partition).

Prints the port's time over the kernel's, the median of paired calls in this process and the middle 90 %. Answers
are checked by the target's oracle. Needs the extra 'upstream'.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
import unicodedata
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import ratios

from pytest_lance_autoresearch.kernel_side import modules
from pytest_lance_autoresearch.target_files import discover, load, sources
from pytest_lance_autoresearch.target_files.load import Target

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "upstream")]

import lance_files  # noqa: E402 - what tests/upstream reads Lance's files with
import lance_pages  # noqa: E402

DIMENSIONS, SUB_VECTORS, PARTITIONS = 128, 16, 64
BATCHES, K, PROBES = 16, 10, 16
ROUNDS, CALLS = 30, 8
MARGIN = 16


class Job(NamedTuple):
    """A target's state, made of what was read, and calls of it."""

    target: str
    what: str
    state: Any
    calls: list[tuple[Any, ...]]


def names() -> list[str]:
    """Every character that has a name, and its name."""
    every = (chr(point) for point in range(sys.maxunicode + 1))
    return [f"{character} {name}" for character in every if (name := unicodedata.name(character, ""))]


def vectors(rows: list[str]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The hashed trigrams of each row, float32 (n, 128), of length 1."""
    found = np.zeros((len(rows), DIMENSIONS), np.float32)
    for row, text in enumerate(rows):
        for start in range(2, len(text) - 2):
            hashed = zlib.crc32(text[start : start + 3].encode())
            found[row, hashed % DIMENSIONS] += 1 if hashed >> 16 & 1 else -1
    lengths = np.sqrt(np.square(found).sum(axis=1, keepdims=True))
    return np.asarray(found / np.maximum(lengths, 1), np.float32)


def text_job(folder: Path, rows: list[str]) -> Job:
    """The column as Lance decodes it, in batches of a scan."""
    import pyarrow as pa

    lance_pages.write(folder / "names", pa.array(rows), "2.1")
    column = lance_pages.read(folder / "names")
    ends = np.frombuffer(column.buffers()[1], np.int32, len(column) + 1)
    data = np.frombuffer(column.buffers()[2], np.uint8, ends[-1])
    margin = np.zeros(MARGIN, np.uint8)
    size = len(column) // (BATCHES * CALLS)
    calls = []
    for first in range(0, CALLS * BATCHES * size, BATCHES * size):
        offsets = np.array([ends[first + b * size : first + (b + 1) * size + 1] for b in range(BATCHES)])
        part = data[offsets[0, 0] : offsets[-1, -1]]
        calls.append((np.concatenate((margin, part, margin)), offsets - offsets[0, 0] + MARGIN))
    return Job("utf8-validate", f"{BATCHES} x {size} names", None, calls)


def index_jobs(
    folder: Path, found: np.ndarray[Any, np.dtype[np.float32]], targets: dict[str, Target]
) -> Iterator[Job]:
    """The largest partition of the index, and all of its centroids."""
    dataset = lance_files.create_ivf_pq(folder / "vectors", found, SUB_VECTORS, PARTITIONS)
    index = lance_files.read_ivf_pq(lance_files.index_folder(dataset))
    largest = max(range(PARTITIONS), key=lambda p: index.partitions[p].codes.shape[1])
    codes = np.ascontiguousarray(index.partitions[largest].codes)
    rng = np.random.default_rng(1)
    queries = found[rng.integers(0, len(found), CALLS)] + np.float32(0.02) * rng.standard_normal(
        (CALLS, DIMENSIONS), dtype=np.float32
    )
    empty = np.zeros((0, DIMENSIONS), np.float32)
    state = targets["pq-l2"].inputs.State(index.codebook, codes, K, empty, empty, empty)
    calls = [(query - index.centroids[largest],) for query in queries]
    yield Job("pq-l2", f"a partition of {codes.shape[1]} rows", state, calls)
    state = targets["ivf-partition"].inputs.State(index.centroids[None], "l2")
    yield Job("ivf-partition", f"{PARTITIONS} centroids", state, [(query[None], PROBES) for query in queries])


def compared(job: Job, target: Target) -> str:
    """Check both on every call, time them in turn, and return a line."""
    port = sources.read(ROOT / "benchmarks" / "ports" / target.name / "kernels.py")
    both = (modules.execute_kernel(target.name, source) for source in (port, target.kernel))
    bound = [target.wiring.bind(kernels, job.state) for kernels in both]
    oracle = target.wiring.bind(target.reference, job.state)
    for call in job.calls:
        for answer in bound:
            target.wiring.check(answer(*call), oracle(*call), call)
    found = []
    for turn in range(ROUNDS * len(job.calls)):
        call = job.calls[turn % len(job.calls)]
        seconds = [_seconds(answer, call) for answer in (bound if turn % 2 else bound[::-1])]
        old, new = seconds if turn % 2 else seconds[::-1]
        found.append(old / new)
    return f"{target.name}: {job.what}: {ratios.shown(found)}"


def _seconds(answer: Any, call: tuple[Any, ...]) -> float:
    begin = time.perf_counter()
    answer(*call)
    return time.perf_counter() - begin


def main() -> None:
    """Write, read, compare, print."""
    os.environ["LANCE_LOG"] = "error"  # many names are alike, of which Lance warns a thousand times
    wanted = ("utf8-validate", "pq-l2", "ivf-partition")
    targets = {name: load.load(discover.inspect(ROOT / "targets" / name)) for name in wanted}
    rows = names()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for job in (text_job(folder, rows), *index_jobs(folder, vectors(rows), targets)):
            print(compared(job, targets[job.target]))


if __name__ == "__main__":
    main()
