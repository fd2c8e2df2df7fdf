"""The target pq-l2-lossy: approximate kernels pass that find enough, and cheats of their kind find too little.

The stand-in kernels are plain numpy, and answer as many calls as a trial checks.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from battery import Battery
from builders import everywhere, pairs_of_a_look, spread

from pytest_lance_autoresearch.bench import check
from pytest_lance_autoresearch.errors import KernelIncorrect
from pytest_lance_autoresearch.records import Case, Cause, Evidence, Recalled, RecallRules, Rules, Verdict
from pytest_lance_autoresearch.target_files import contract, generate
from pytest_lance_autoresearch.verdict import judge

BATTERY = Battery("pq-l2-lossy")
SHAPE = "96x8x256"
"""Whose partitions are searched fastest."""
CASES = [name for name in BATTERY.cases if name.startswith(SHAPE)]
TIMED = [name for name in CASES if BATTERY.cases[name].timed]
SEED = 20261128
CALLS = 700
"""Fewer show nothing, even of a kernel that loses nothing."""
Array = np.ndarray[Any, Any]


class Exact:
    """Finds the nearest rows, with distances in float32."""

    def __init__(self, codebook: Array, codes: Array) -> None:
        self.codebook, self.codes = codebook, codes

    def table(self, query: Array) -> Array:
        parts = query.reshape(len(self.codebook), 1, -1)
        table: Array = np.square(parts - self.codebook).sum(axis=2)
        return table

    def sums(self, table: Array, codes: Array) -> Array:
        total = np.zeros(codes.shape[1], table.dtype)
        for terms, column in zip(table, codes, strict=True):
            total += terms[column]
        return total

    def rank(self, query: Array) -> Array:
        """What rows are ranked by."""
        return self.sums(self.table(query), self.codes)

    def search(self, query: Array, k: int) -> tuple[Array, ...]:
        """The rows of the least ranks, in the order of their distances."""
        chosen = np.argsort(self.rank(query), kind="stable")[:k]
        distances = self.sums(self.table(query), self.codes[:, chosen]).astype(np.float32)
        order = np.argsort(distances, kind="stable")
        return chosen[order].astype(np.uint32), distances[order]


class Bytes(Exact):
    """Ranks rows by sums of bytes, as the target's kernel does, and adds the chosen ones up again in float32."""

    def steps(self, query: Array) -> Array:
        table = self.table(query)
        step = (table.max() - table.min()) / 255 or 1
        steps: Array = np.rint((table - table.min()) / step)
        return steps

    def rank(self, query: Array) -> Array:
        return self.sums(self.steps(query), self.codes)


class HalfPrecision(Exact):
    def rank(self, query: Array) -> Array:
        table = self.table(query)
        half = (table / (table.max() or 1)).astype(np.float16)
        return self.sums(half.astype(np.float32), self.codes)


class WrappingBytes(Bytes):
    """Sums in a byte, which begins again from 0: distant rows come near."""

    def rank(self, query: Array) -> Array:
        return self.sums(self.steps(query).astype(np.uint8), self.codes)


class FirstHalf(Exact):
    """Looks at half of the rows."""

    def rank(self, query: Array) -> Array:
        ranks = super().rank(query)
        ranks[ranks.size // 2 :] = np.inf
        return ranks


class LastSubSpaceForgotten(Exact):
    def rank(self, query: Array) -> Array:
        return self.sums(self.table(query)[:-1], self.codes[:-1])


class Memory(FirstHalf):
    """Answers rightly what it was asked before, and roughly what is new."""

    def __init__(self, codebook: Array, codes: Array) -> None:
        super().__init__(codebook, codes)
        self.known: dict[bytes, tuple[Array, ...]] = {}

    def search(self, query: Array, k: int) -> tuple[Array, ...]:
        key = query.tobytes()
        if key not in self.known:
            self.known[key] = Exact(self.codebook, self.codes).search(query, k)
            return super().search(query, k)
        return self.known[key]


class MoreThanAsked(Exact):
    def search(self, query: Array, k: int) -> tuple[Array, ...]:
        return super().search(query, 2 * k)


class TwiceTheNearest(Exact):
    def search(self, query: Array, k: int) -> tuple[Array, ...]:
        ids, distances = super().search(query, k)
        return np.repeat(ids[:1], ids.size), np.repeat(distances[:1], ids.size)


class Unsorted(Exact):
    def search(self, query: Array, k: int) -> tuple[Array, ...]:
        ids, distances = super().search(query, k)
        return ids[::-1].copy(), distances[::-1].copy()


class DistancesOfOthers(FirstHalf):
    """The right distances, with rows that they are not of."""

    def search(self, query: Array, k: int) -> tuple[Array, ...]:
        return super().search(query, k)[0], Exact(self.codebook, self.codes).search(query, k)[1]


class EasyOnes(Bytes):
    """Skips a row in thirty where the codes are spread evenly, and finds all where they are not."""

    def rank(self, query: Array) -> Array:
        ranks = self.sums(self.table(query), self.codes)
        counts = np.bincount(self.codes[0], minlength=256)
        if counts.max() < 2.5 * counts.mean():
            ranks[::30] = np.inf
        return ranks


HONEST = (Exact, Bytes, HalfPrecision)
TOO_LOW = (WrappingBytes, FirstHalf, LastSubSpaceForgotten, Memory)


def prepared(case_id: str, kernel: type[Exact], count: int) -> tuple[Case, list[float]]:
    """A case, and the recall of a kernel's answers to so many secret calls over its published state."""
    case = BATTERY.cases[case_id]
    state, oracle, _ = BATTERY.prepared(case_id)
    answer = BATTERY.target.wiring.bind(SimpleNamespace(PqKernel=kernel), state)
    calls = generate.Feed(BATTERY.target, case, state, SEED, "check").draw(count)
    found = [oracle.verify(answer(*call), call, case_id) for call in calls]
    assert None not in found
    return case, [one or 0.0 for one in found]


def verify(case_id: str, kernel: type[Exact]) -> None:
    """What a trial does."""
    case, recalls = prepared(case_id, kernel, check.calls_of(BATTERY.target))
    check.refuse_low_recall(recalls, contract.recall_floor(BATTERY.target, case), "the recall")


@pytest.mark.parametrize("case_id", BATTERY.cases)
def test_the_kernel_finds_enough_on_every_case(case_id: str) -> None:
    verify(case_id, BATTERY.kernels.PqKernel)


@pytest.mark.parametrize("case_id", CASES)
def test_kernels_of_any_kind_pass_that_find_enough(case_id: str) -> None:
    for kernel in HONEST:
        verify(case_id, kernel)


@pytest.mark.parametrize("kernel", TOO_LOW)
def test_kernels_that_find_too_little_are_below_the_floor_of_every_timed_case(kernel: type[Exact]) -> None:
    for case_id in TIMED:
        with pytest.raises(KernelIncorrect, match=r"^the recall is 0\.\d+; expected at least 0\.[89]"):
            verify(case_id, kernel)


@pytest.mark.parametrize(
    ("kernel", "sentence"),
    [
        (MoreThanAsked, r"ids: uint32 of shape \(20,\), expected uint32 of shape \(10,\)$"),
        (TwiceTheNearest, r"ids: row \d+ is returned 10 times; first at \[0\]$"),
        (Unsorted, "distances: not ascending$"),
        (DistancesOfOthers, "distances of the returned ids: .* differ by more than their limit"),
    ],
)
def test_what_is_no_list_of_rows_and_distances_is_refused(kernel: type[Exact], sentence: str) -> None:
    for case_id in TIMED:
        with pytest.raises(KernelIncorrect, match=sentence):
            verify(case_id, kernel)


def judged(kernel: type[Exact]) -> tuple[Verdict, Cause, str]:
    """A kernel that is faster than one that finds all, with the recall that it has on the cases of one shape."""
    recalled = []
    for case_id in TIMED:
        _, own = prepared(case_id, kernel, CALLS)
        counts = Counter(own)
        recalled += [Recalled(case_id, 1.0, recall, calls) for recall, calls in counts.items()]
    pairs = [one for _ in range(2) for one in pairs_of_a_look(everywhere(spread(0.05), TIMED))]
    pairs[-1] = replace(pairs[-1], recalled=tuple(recalled))
    lossy = BATTERY.target.lossy
    assert lossy is not None
    floors = {case_id: lossy.floors[BATTERY.cases[case_id].distribution] for case_id in TIMED}
    rules = Rules(recall=RecallRules(lossy.margin, floors))
    found = judge.look(Evidence(100, 100, tuple(pairs), looks=2, seconds=60.0), rules)
    return found.verdict, found.cause, found.low_recall


def test_recall_that_is_lost_on_one_distribution_alone_is_no_keep() -> None:
    """It is above every floor, and equal to the baseline's on the two others."""
    for case_id in TIMED:
        verify(case_id, EasyOnes)
    assert judged(EasyOnes) == (Verdict.DISCARD, Cause.RECALL, f"{SHAPE}-uniform")


def test_an_oracle_of_bytes_would_not_do() -> None:
    """The distances that recall is counted by are exact: sums of bytes alone misplace rows."""
    state, oracle, calls = BATTERY.prepared(TIMED[0])
    every = oracle.expected(calls[0])[2]
    sums = Exact(state.codebook.astype(np.float64), state.codes).rank(calls[0][0].astype(np.float64))
    np.testing.assert_allclose(every, sums, rtol=1e-12)
