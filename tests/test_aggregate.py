"""From windows to log-ratios and figures: what cancels, what is taken off, and what has no number."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from builders import CASES, block, everywhere, no_overhead, on_a_slower_clock, pair, quick
from hypothesis import given
from hypothesis import strategies as st

from pytest_lance_autoresearch.records import Block, CaseTimes, Figures, KernelTimes, Pair, Window
from pytest_lance_autoresearch.verdict import aggregate

times_ns = st.integers(10**6, 10**9)
orders = st.sampled_from(["ABAB", "BABA"])


@st.composite
def blocks(draw: st.DrawFn) -> Block:
    first, second, third, fourth = (
        Window(draw(st.integers(1, 1024)), draw(times_ns), draw(times_ns)) for _ in "abcd"
    )
    return Block("case", draw(orders), (first, second, third, fourth))


def swapped(record: Block) -> Block:
    """The same windows with the names of the sides exchanged."""
    return replace(record, order=record.order.translate(str.maketrans("AB", "BA")))


# Log-ratios


@pytest.mark.parametrize("order", ["ABAB", "BABA"])
def test_a_faster_candidate_has_a_positive_log_ratio(order: str) -> None:
    record = block("case", math.log(1.25), math.log(1.1), order)
    assert aggregate.log_ratio(record, 0.0) == pytest.approx(math.log(1.25), abs=1e-9)
    assert aggregate.cpu_log_ratio(record) == pytest.approx(math.log(1.1), abs=1e-9)


def test_a_steady_drift_of_the_machine_cancels_over_both_orders() -> None:
    first, second, third, fourth = (Window(10, round(1e9 * 1.1**i), None) for i in range(4))
    windows = (first, second, third, fourth)
    one, other = (aggregate.log_ratio(Block("case", order, windows), 0.0) for order in ("ABAB", "BABA"))
    assert one == pytest.approx(-math.log(1.1), abs=1e-8)
    assert one + other == pytest.approx(0, abs=1e-8)


@quick
@given(blocks())
def test_swapping_the_sides_negates_a_log_ratio(record: Block) -> None:
    assert aggregate.log_ratio(swapped(record), 7.0) == pytest.approx(-aggregate.log_ratio(record, 7.0), abs=1e-12)
    of_cpu, mirrored = aggregate.cpu_log_ratio(record), aggregate.cpu_log_ratio(swapped(record))
    assert of_cpu is not None
    assert mirrored == pytest.approx(-of_cpu, abs=1e-12)


@quick
@given(blocks(), st.integers(2, 1000))
def test_a_slower_clock_changes_no_log_ratio(record: Block, factor: int) -> None:
    slow = on_a_slower_clock(record, factor)
    assert aggregate.log_ratio(slow, 0.0) == pytest.approx(aggregate.log_ratio(record, 0.0), abs=1e-12)
    assert aggregate.cpu_log_ratio(slow) == pytest.approx(aggregate.cpu_log_ratio(record), abs=1e-12)


def test_the_runners_own_cost_does_not_dilute_a_gain() -> None:
    """2000 ns against 1000 ns per call, each under a runner that costs 500 ns: twice as fast, not 1.67 times."""
    baseline, candidate = Window(100, 250_000, None), Window(100, 150_000, None)
    record = Block("case", "ABAB", (baseline, candidate, baseline, candidate))
    assert aggregate.log_ratio(record, 500.0) == pytest.approx(math.log(2))
    assert aggregate.log_ratio(record, 0.0) == pytest.approx(math.log(5 / 3))


@given(st.integers(1, 1024), times_ns, st.floats(0, 1e9))
@quick
def test_a_window_keeps_a_share_of_its_time_whatever_the_runner_seems_to_cost(
    calls: int, wall_ns: int, overhead_ns: float
) -> None:
    left = aggregate.kernel_ns(Window(calls, wall_ns, None), overhead_ns)
    assert aggregate.MIN_KERNEL_SHARE * wall_ns <= left <= wall_ns


@pytest.mark.parametrize("cpu_ns", [None, 0])
def test_one_window_without_cpu_time_leaves_its_block_without_a_cpu_ratio(cpu_ns: int | None) -> None:
    record = block("case", 0.1, 0.1)
    first, second, third, fourth = record.windows
    lacking = replace(record, windows=(first, second, replace(third, cpu_ns=cpu_ns), fourth))
    assert aggregate.cpu_log_ratio(lacking) is None
    assert aggregate.cpu_log_ratios(Pair((record, lacking), {}, 1, 1)) is None


def test_log_ratios_are_gathered_by_case() -> None:
    measured = pair({"a": [0.1, 0.2], "b": [0.3]})
    by_case = {"a": pytest.approx([0.1, 0.2]), "b": pytest.approx([0.3])}
    assert aggregate.log_ratios(measured) == by_case
    of_cpu = aggregate.cpu_log_ratios(measured)
    assert of_cpu is not None
    assert of_cpu == by_case


def test_each_case_has_its_own_overhead() -> None:
    overhead_ns = {**no_overhead(), CASES[0]: 2e7}  # 100 calls: 2 s of 10 s and of 5 s
    found = aggregate.log_ratios(replace(pair(everywhere([math.log(2)])), call_overhead_ns=overhead_ns))
    assert found[CASES[0]] == pytest.approx([math.log(8 / 3)])
    assert found[CASES[1]] == pytest.approx([math.log(2)])


def test_a_timed_case_without_blocks_is_there_with_no_ratios() -> None:
    nothing = Pair((), no_overhead(), 1, 1)
    assert aggregate.log_ratios(nothing) == {case: [] for case in CASES}
    assert aggregate.cpu_log_ratios(nothing) is None


# Figures


def case_times(case: str, *wall_ns: int, ops_per_call: float = 1.0, overhead_ns: float = 0.0) -> CaseTimes:
    return CaseTimes(case, ops_per_call, overhead_ns, tuple(Window(10, ns, None) for ns in wall_ns))


def test_a_cases_time_is_the_median_window_per_operation() -> None:
    assert aggregate.case_ns_per_op(case_times("a", 9000, 1000, 2000, ops_per_call=4)) == 50.0
    assert aggregate.case_ns_per_op(case_times("a", 2000, overhead_ns=50, ops_per_call=3)) == 50.0


def test_figures_name_the_best_and_the_worst_case() -> None:
    found = aggregate.figures(
        "value", KernelTimes((case_times("b", 20), case_times("c", 80), case_times("a", 10)), 42)
    )
    assert found.geomean_ns_per_op == pytest.approx(16 ** (1 / 3))
    by_case = {"b": 2.0, "c": 8.0, "a": 1.0}
    assert found == Figures("value", by_case, found.geomean_ns_per_op, "c", "a", 42)


@pytest.mark.parametrize("times", [[], [case_times("a", 10), case_times("b")]])
def test_figures_of_nothing_are_an_error(times: list[CaseTimes]) -> None:
    with pytest.raises(ValueError, match=r"geometric mean|no median"):
        aggregate.figures("value", KernelTimes(tuple(times), 0))
