"""How much the bounds of two kernels leave to be computed in full: the median of eight calls of each timed case.

    python benchmarks/rows_left.py

Of ivf-partition the centroids of a table that are read in float32, of topk-merge the rows of a query whose place
is counted. The kernels' own functions are called one after the other, so this follows them.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pytest_lance_autoresearch.kernel_side import modules
from pytest_lance_autoresearch.target_files import contract, discover, generate, load, seeds
from pytest_lance_autoresearch.target_files.load import Target

ROOT = Path(__file__).resolve().parent.parent
CALLS = 8


def centroids_left(kernels: Any, state: Any, queries: Any, nprobes: int) -> str:
    """Of all tables and queries of a call, each."""
    if nprobes * kernels.FEW > state.centroids.shape[1]:
        return "all"
    model = kernels.IvfModel(state.centroids, state.metric)
    codes, is_dot = model._codes, state.metric == "dot"
    partitions, blocks = state.centroids.shape[1], codes.codes.shape[1]
    first, second = (np.zeros(codes.codes.shape[2] * kernels.QUAD, np.uint8) for _ in range(2))
    products = np.empty((2, blocks * kernels.ABREAST), np.int32)
    lower, upper = np.empty(partitions), np.empty(partitions)
    multiply = _compiled(kernels._multiply)
    counts = []
    for query in kernels._normalised(queries) if state.metric == "cosine" else queries:
        scale, lost, square = kernels._split(query, first, second)
        for t in range(len(state.centroids)):
            for block in range(blocks):
                multiply(codes.codes, t * blocks + block, first, second, products, block * kernels.ABREAST)
            kernels._bound(codes, t, products, scale, lost, square, is_dot, lower, upper)
            limit = kernels._kth(upper, np.empty(nprobes))
            counts.append(int((lower <= limit).sum()))
    return f"{statistics.median(counts):.0f} of {partitions}"


def rows_counted(kernels: Any, _state: Any, dist: Any, _rowid: Any, offsets: Any, k: int, *orders: bool) -> str:
    """Of the queries of a call, each."""
    flip = kernels.ALL if orders[-1] else kernels.NONE
    counts, sizes = [], []
    for start, end in offsets[:, [0, -1]].tolist():
        bits = dist[start:end].view(np.uint32)
        keys = np.full(end - start + kernels.LANES, kernels.ALL)
        keys[: end - start] = np.where(bits & kernels.SIGN, ~bits, bits | kernels.SIGN) ^ flip
        minima, places = np.empty(kernels.GROUPS, np.uint32), np.empty(end - start, np.int64)
        counts.append(kernels._select(keys, end - start, k, minima, places))
        sizes.append(end - start)
    return f"{statistics.median(counts):.0f} of {statistics.median(sizes):.0f}"


LEFT: dict[str, Callable[..., str]] = {"ivf-partition": centroids_left, "topk-merge": rows_counted}


def _compiled(intrinsic: Any) -> Any:
    """An intrinsic as a function that Python can call."""
    from numba import njit

    @njit()
    def called(a: Any, b: Any, c: Any, d: Any, e: Any, f: Any) -> Any:
        return intrinsic(a, b, c, d, e, f)

    return called


def lines(target: Target) -> list[str]:
    """A line for each timed case."""
    kernels = modules.execute_kernel(target.name, target.kernel)
    found = []
    for case in contract.cases_of(target):
        if case.timed:
            state = generate.make_state(target, case, seeds.PUBLISHED_SEED)
            calls = generate.Feed(target, case, state, seeds.PUBLISHED_SEED, "check").draw(CALLS)
            texts = [LEFT[target.name](kernels, state, *call) for call in calls]
            found.append(f"{target.name} {case.id}: {sorted(texts)[len(texts) // 2]}")
    return found


if __name__ == "__main__":
    for name in LEFT:
        print(*lines(load.load(discover.inspect(ROOT / "targets" / name))), sep="\n")
