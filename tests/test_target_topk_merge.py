"""The target topk-merge: honest rewrites pass its checks on every case, wrong kernels fail where they must."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from battery import Battery

from pytest_lance_autoresearch.errors import KernelIncorrect

BATTERY = Battery("topk-merge")
Array = np.ndarray[Any, Any]

Choice = Callable[[Array, Array, Array, int, bool], Array]
"""Chooses one query's rows: of (dist, rowid, its row of offsets, k, descending)."""


def kernel(choose: Choice) -> Any:
    """Return a module with `topk_merge` that asks `choose` for every query."""

    def topk_merge(
        dist: Array, rowid: Array, offsets: Array, k: int, _runs_sorted: bool, descending: bool
    ) -> tuple[Array, Array]:
        chosen = [choose(dist, rowid, of_query, k, descending) for of_query in offsets]
        rows = np.concatenate([np.zeros(0, np.intp), *chosen])
        return dist[rows], rowid[rows]

    return SimpleNamespace(topk_merge=topk_merge)


def ranks(dist: Array, descending: bool) -> Array:
    """Whole numbers in IEEE's total order of float32, or its reverse."""
    bits = dist.view(np.uint32)
    ascending: Array = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    return ~ascending if descending else ascending


def best(rows: Array, dist: Array, rowid: Array, k: int, descending: bool) -> Array:
    """The k best of `rows`."""
    found: Array = rows[np.lexsort((rowid[rows], ranks(dist[rows], descending)))[:k]]
    return found


def all_rows(offsets: Array) -> Array:
    return np.arange(offsets[0], offsets[-1])


def whole_sort(dist: Array, rowid: Array, offsets: Array, k: int, descending: bool) -> Array:
    return best(all_rows(offsets), dist, rowid, k, descending)


def two_stable_sorts(dist: Array, rowid: Array, offsets: Array, k: int, descending: bool) -> Array:
    """By row id, then by key, as a radix sort goes."""
    by_id = offsets[0] + np.argsort(rowid[offsets[0] : offsets[-1]], kind="stable")
    found: Array = by_id[np.argsort(ranks(dist[by_id], descending), kind="stable")[:k]]
    return found


def threshold_of_runs(dist: Array, rowid: Array, offsets: Array, k: int, descending: bool) -> Array:
    """No row beyond the worst of a full run can be among the k."""
    keys = ranks(dist[offsets[0] : offsets[-1]], descending)
    full = np.flatnonzero(np.diff(offsets) >= k)
    worst = [keys[offsets[run] - offsets[0] : offsets[run + 1] - offsets[0]].max() for run in full[:20]]
    threshold = min(worst, default=np.uint32(2**32 - 1))
    return best(offsets[0] + np.flatnonzero(keys <= threshold), dist, rowid, k, descending)


def merge_of_merges(dist: Array, rowid: Array, offsets: Array, k: int, descending: bool) -> Array:
    """The first half of the runs, then the k best of it with the second half."""
    middle = offsets[offsets.size // 2]
    first = best(np.arange(offsets[0], middle), dist, rowid, k, descending)
    return best(np.concatenate((first, np.arange(middle, offsets[-1]))), dist, rowid, k, descending)


def order_of_floats(dist: Array, rowid: Array, offsets: Array, k: int, descending: bool) -> Array:
    """numpy's order: every NaN last, -0.0 equal to 0.0; descending by negation."""
    rows = all_rows(offsets)
    found: Array = rows[np.lexsort((rowid[rows], -dist[rows] if descending else dist[rows]))[:k]]
    return found


def order_of_arrival(dist: Array, _rowid: Array, offsets: Array, k: int, descending: bool) -> Array:
    """Ties as they come."""
    return best(all_rows(offsets), dist, np.arange(dist.size), k, descending)


def signed_ids(dist: Array, rowid: Array, offsets: Array, k: int, descending: bool) -> Array:
    return best(all_rows(offsets), dist, rowid.view(np.int64), k, descending)


def ids_of_32_bits(dist: Array, rowid: Array, offsets: Array, k: int, descending: bool) -> Array:
    """Offsets without their fragments."""
    return best(all_rows(offsets), dist, rowid.astype(np.uint32), k, descending)


def ids_as_floats(dist: Array, rowid: Array, offsets: Array, k: int, descending: bool) -> Array:
    return best(all_rows(offsets), dist, rowid.astype(np.float64), k, descending)


def everything_reversed(dist: Array, rowid: Array, offsets: Array, k: int, descending: bool) -> Array:
    """Descending row ids with descending keys."""
    return best(all_rows(offsets), dist, ~rowid if descending else rowid, k, descending)


def always_ascending(dist: Array, rowid: Array, offsets: Array, k: int, _descending: bool) -> Array:
    return best(all_rows(offsets), dist, rowid, k, descending=False)


def each_id_once(dist: Array, rowid: Array, offsets: Array, k: int, descending: bool) -> Array:
    rows = best(all_rows(offsets), dist, rowid, int(offsets[-1] - offsets[0]), descending)
    found: Array = rows[np.sort(np.unique(rowid[rows], return_index=True)[1])[:k]]
    return found


def last_run_forgotten(dist: Array, rowid: Array, offsets: Array, k: int, descending: bool) -> Array:
    return best(all_rows(offsets[:-1]), dist, rowid, k, descending)


def first_runs_only(dist: Array, rowid: Array, offsets: Array, k: int, descending: bool) -> Array:
    """As if the nearest partitions had all the winners."""
    return best(all_rows(offsets[:4]), dist, rowid, k, descending)


def heads_only(dist: Array, rowid: Array, offsets: Array, k: int, descending: bool) -> Array:
    """As if a run's first row were its best: right for half of a sorted run, wrong for a heap."""
    heads = [np.arange(start, start + (end - start + 1) // 2) for start, end in np.c_[offsets[:-1], offsets[1:]]]
    return best(np.concatenate(heads), dist, rowid, k, descending)


def taken_for_sorted(dist: Array, rowid: Array, offsets: Array, k: int, descending: bool) -> Array:
    """The first k rows of every run, as if it were sorted whatever is said."""
    heads = [np.arange(start, min(start + k, end)) for start, end in np.c_[offsets[:-1], offsets[1:]]]
    return best(np.concatenate(heads), dist, rowid, k, descending)


def short_runs_bound(dist: Array, rowid: Array, offsets: Array, k: int, descending: bool) -> Array:
    """Nothing beyond the worst row of any run, were it shorter than k."""
    keys = ranks(dist[offsets[0] : offsets[-1]], descending)
    runs = np.split(keys, offsets[1:-1] - offsets[0])
    bound = min((run.max() for run in runs if run.size), default=np.uint32(0))
    return best(offsets[0] + np.flatnonzero(keys <= bound), dist, rowid, k, descending)


def runs_of_k(dist: Array, rowid: Array, offsets: Array, k: int, descending: bool) -> Array:
    """As if every delta had k rows: what a shorter run lacks is taken from the next one, which counts twice."""
    rows = (offsets[:-1, None] + np.arange(k)).ravel()
    return best(rows[rows < offsets[-1]], dist, rowid, k, descending)


def never_fewer_than_k(dist: Array, rowid: Array, offsets: Array, k: int, descending: bool) -> Array:
    """Fills up with the last row."""
    rows = best(all_rows(offsets), dist, rowid, k, descending)
    return np.pad(rows, (0, k - rows.size), mode="edge") if rows.size else rows


HONEST = (whole_sort, two_stable_sorts, threshold_of_runs, merge_of_merges)
TIMED = ("deltas", "quantised", "iid")
WRONG: dict[Choice, tuple[str, ...]] = {
    order_of_floats: ("special_values", "descending_scores"),
    order_of_arrival: ("quantised", "all_equal", "special_values", "duplicate_rowids", "extreme_rowids"),
    signed_ids: ("extreme_rowids",),
    ids_of_32_bits: ("quantised", "all_equal", "extreme_rowids"),
    ids_as_floats: ("extreme_rowids",),
    everything_reversed: ("descending_scores",),
    always_ascending: ("descending_scores",),
    each_id_once: ("duplicate_rowids",),
    last_run_forgotten: ("reversed_runs",),
    first_runs_only: (*TIMED, "all_equal", "reversed_runs", "special_values"),
    heads_only: ("deltas", "quantised", "reversed_runs"),
    taken_for_sorted: (*TIMED, "reversed_runs"),
    short_runs_bound: ("deltas", "iid"),
    runs_of_k: TIMED,
    never_fewer_than_k: ("short_runs",),
}
"""Wrong kernels, and the distributions on which each fails."""

REFINED, RAGGED = "1x500x10x64", "199x10x10x21"
ONLY_ON: dict[Choice, Callable[[str], bool]] = {
    first_runs_only: lambda shape: shape != REFINED,
    heads_only: lambda shape: shape != REFINED,
    taken_for_sorted: lambda shape: shape == REFINED,
    short_runs_bound: lambda shape: shape == RAGGED,
    runs_of_k: lambda shape: shape == RAGGED,
}
"""The shapes on which they do, where these are not all."""


def is_refused(choose: Choice, case_id: str) -> bool:
    try:
        BATTERY.verify(kernel(choose), case_id)
    except KernelIncorrect:
        return True
    return False


@pytest.mark.parametrize("case_id", BATTERY.cases)
def test_honest_kernels_pass_on_every_case(case_id: str) -> None:
    for choose in HONEST:
        BATTERY.verify(kernel(choose), case_id)


@pytest.mark.parametrize("case_id", BATTERY.cases)
def test_wrong_kernels_fail_where_they_must(case_id: str) -> None:
    shape, distribution = case_id.split("-")
    for choose, distributions in WRONG.items():
        if distribution in distributions and ONLY_ON.get(choose, bool)(shape):
            assert is_refused(choose, case_id), choose.__name__


def test_what_wrong_kernels_need_is_a_case() -> None:
    for choose, distributions in WRONG.items():
        found = [case.split("-")[1] for case in BATTERY.cases if ONLY_ON.get(choose, bool)(case.split("-")[0])]
        assert set(distributions) <= set(found), choose.__name__


@pytest.mark.parametrize("case_id", BATTERY.cases)
def test_runs_said_to_be_sorted_are_and_others_are_not(case_id: str) -> None:
    for dist, rowid, offsets, _, runs_sorted, descending in BATTERY.prepared(case_id)[2]:
        inside = np.ones(dist.size, bool)
        inside[offsets[:, :-1][offsets[:, :-1] < dist.size]] = False
        order = np.lexsort((rowid, ranks(dist, descending)))
        places = np.empty(dist.size, np.int64)
        places[order] = np.arange(dist.size)
        same = np.r_[True, (dist.view(np.uint32)[1:] == dist.view(np.uint32)[:-1]) & (rowid[1:] == rowid[:-1])]
        ascending = (places > np.roll(places, 1)) | same
        assert ascending[inside].all() == runs_sorted


def test_the_oracle_of_a_worked_example() -> None:
    """Two queries of two runs: -NaN, -0.0, 0.0 (row 1 before row 2), NaN; then two rows for k = 4."""
    nan = np.array([0xFFC00000, 0x7FC00000], np.uint32).view(np.float32)
    dist = np.array([0.0, nan[1], -0.0, 0.0, nan[0], 3, 2], np.float32)
    rowid = np.array([2, 9, 7, 1, 8, 2**63, 5], np.uint64)
    offsets = np.array([[0, 2, 5], [5, 5, 7]])
    merge = BATTERY.target.reference.topk_merge
    found, rows = merge(dist, rowid, offsets, 4, False, False)
    assert rows.tolist() == [8, 7, 1, 2, 5, 2**63]
    assert np.signbit(found).tolist() == [True, True, False, False, False, False]
    assert merge(dist, rowid, offsets, 3, False, True)[1].tolist() == [9, 1, 2, 2**63, 5]
