"""The benchmarks that reach into the package still find what they reach for."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import toys
from builders import CASES, everywhere, pair, pairs_of_a_look

from pytest_lance_autoresearch.machine import clocks
from pytest_lance_autoresearch.records import Rules
from pytest_lance_autoresearch.runs import calibration, limits
from pytest_lance_autoresearch.target_files import contract, discover, generate, load, sources

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
BRIEF = functools.partial(Rules, pairs=2, blocks=1)
Import = Callable[[str], Any]


@pytest.fixture
def benchmark_module(monkeypatch: pytest.MonkeyPatch) -> Import:
    """Imports one of the benchmarks by its name."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))

    def imported(name: str) -> ModuleType:
        return importlib.import_module(name)

    return imported


def test_a_trial_runs_with_every_defence_switched_off(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(BENCHMARKS))
    toys.write(pytester.path, text=toys.kernel("return result", setup="import threading"))
    run = ("-p", "no:randomly", "-p", "no:cacheprovider", "-q", "--autoresearch=toy", "--keep-gate")
    assert pytester.runpytest_subprocess(*run).ret == 1
    assert pytester.runpytest_subprocess("-p", "without_defences", *run).ret == 0


def test_every_second_of_a_look_is_counted_once_and_under_one_name(
    benchmark_module: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A window is no part of its packing, and what happens in a warm-up is no part of the blocks."""
    now = SimpleNamespace(s=0.0)

    def passing(seconds: float, *inside: Callable[[], Any]) -> Any:
        now.s += seconds
        for each in inside:
            each()
        return SimpleNamespace(window=SimpleNamespace(wall_ns=0.75e9))

    monkeypatch.setattr(clocks, "now_s", lambda: now.s)
    looks = benchmark_module("looks")
    watch = looks.Stopwatch()

    def run_window() -> Any:
        return passing(1.0)

    window = watch.timed("packing", run_window)
    runner = watch.timed("runner", lambda: passing(8.0, window))
    oracle = watch.timed("oracle", lambda: passing(16.0))
    watch.timed("warm-up", lambda: passing(32.0, window, oracle))()
    watch.timed("blocks", lambda: passing(64.0, window, runner, window, oracle))()
    assert watch.seconds == {
        "rest": 0.0,
        "warm-up": 49.0,
        "blocks": 64.0,
        "packing": 0.5,
        "windows": 1.5,
        "runner": 9.0,
        "oracle": 16.0,
    }


def test_what_a_look_is_made_of_is_there_to_be_timed(benchmark_module: Import) -> None:
    looks = benchmark_module("looks")
    functions = [
        (owner, name) for part in (looks.STEPS, looks.PARTS) for each in part.values() for owner, name in each
    ]
    before = [getattr(owner, name) for owner, name in functions]
    with looks.watching(looks.Stopwatch()):
        assert not {*before} & {getattr(owner, name) for owner, name in functions}
    assert before == [getattr(owner, name) for owner, name in functions]


def test_a_kernel_is_measured_beside_itself_in_the_pairs_of_a_look(
    benchmark_module: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration, "Rules", BRIEF)
    target = toys.loaded()
    states = {case: generate.make_state(target, case, 1) for case in contract.cases_of(target)[:2]}
    found = benchmark_module("fresh_look").measured(target, states)
    assert [{block.case for block in one.blocks} for one in found] == [{case.id for case in states}] * 2


def test_bias_tells_the_spread_of_pairs_and_of_cases(benchmark_module: Import) -> None:
    """The sample standard deviation of 1, 2, 3 is 1; slower candidates have positive figures."""
    pairs = [
        pair({CASES[0]: [-0.01 * n], CASES[1]: [0.01 - 0.02 * n], CASES[2]: [-0.03 * n + 0.1]}) for n in (1, 2, 3)
    ]
    assert benchmark_module("bias").row("demo", pairs) == (
        "| demo | 3 | +0.33 | 1.15 | +0.3 | 2.00 | 2.00, 3.00 "
        "| 2x3-flat +2.00 (+3.5), 2x3-sorted +3.00 (+2.6), 50x1-flat -4.00 (-2.3) |"
    )


def test_the_regression_gate_is_simulated_on_every_host_at_every_slow_down(
    benchmark_module: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulate = benchmark_module("simulate")
    for name, values in {"SPREADS": (0.002,), "BLOCK_SDS": (0.005,), "SLOW_DOWNS": (0.0, 0.05)}.items():
        monkeypatch.setattr(simulate, name, values)
    passed, regressed = "100 / 0 / 0, 24 s, 24 s", "0 / 100 / 0, 14 s, 14 s"
    assert list(simulate.regression_table(3)) == [
        "| pairs are | spread of pairs | of blocks | equal passes within 60 s | equal | 5 % | one case 8 % |",
        "|---|---|---|---|---|---|---|",
        f"| normal | 0.2 % | 0.5 % | 100.0 % | {passed} | {regressed} | {regressed} |",
        f"| t(4) | 0.2 % | 0.5 % | 100.0 % | {passed} | {regressed} | {regressed} |",
    ]


def test_what_an_equal_kernel_needs_is_computed_for_every_spread(benchmark_module: Import) -> None:
    """Of 1.61 %, by hand: (3.354 + 2.054) x 1.61 / 1.98 = 4.40, whose square is 19.3; for 19 it asks 3.380."""
    next_look = benchmark_module("next_look")
    *_, least = next_look.least_table()
    assert least == "| 1.3 % | 4 % | 1.61 % | 20 | 47 | 56 |"


def test_every_way_to_spend_a_look_is_tried_in_both_gates(
    benchmark_module: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulate, next_look = benchmark_module("simulate"), benchmark_module("next_look")
    for name, values in {"SPREADS": (0.002,), "BLOCK_SDS": (0.005,)}.items():
        monkeypatch.setattr(simulate, name, values)
    head, _, *lines = next_look.rules_table(2)
    quiet = "| 0.00 %, 13.5 s | 100.00 %, 24.3 s | 24.3 s | 2 of 2 | 100.0 % | "
    assert {line.count("|") for line in (head, *lines)} == {8}
    assert [line.split(" | ")[0] for line in lines] == [f"| {title}" for title in next_look.ALLOTS]
    assert all(quiet in line for line in lines)


@pytest.mark.slow
def test_a_case_that_a_peer_answers_differently_is_left_out_and_the_others_are_compared(
    benchmark_module: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    peers = benchmark_module("peers")
    monkeypatch.setattr(peers, "Rules", BRIEF)
    text = toys.kernel("return result + (result.size == 3999)")
    peer = sources.make(text.encode(), Path("peer.py"))
    found = peers.compare(toys.loaded(), peer)
    assert sorted(found.refused) == sorted(case for case in toys.TIMED if case.startswith("129x31"))
    assert found.refused["129x31-uniform"].startswith("the baseline kernel failed: 129x31-uniform, warm-up call: ")
    assert list(found.by_case()) == [case for case in toys.TIMED if case not in found.refused]
    assert len(found.pairs) == 2


def test_the_port_that_a_kernel_has_replaced_is_one_of_its_peers(benchmark_module: Import) -> None:
    peers = benchmark_module("peers")
    assert list(peers.peers_of("bitpack")) == ["lance_port", "numpy_rows", "vortex_fastlanes"]
    assert peers.peers_of("bitpack")["lance_port"] == BENCHMARKS / "ports" / "bitpack" / "kernels.py"
    assert peers.peers_of("toy") == {}


def test_the_share_of_a_limit_is_told_from_the_bytes_of_a_call(
    benchmark_module: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand times the limit is a thousandth of the share."""
    shares = benchmark_module("shares")
    monkeypatch.setitem(shares.READ, "toy", ("weights",))
    slow, fast = (dict.fromkeys(limits.STREAMED, gb_per_s) for gb_per_s in (1e-3, 1e3))
    found = {
        name: {
            one.case: one
            for one in shares.shares(toys.loaded(), shares.Host(limits.Limits(figures, figures, {}, {}), {}))
        }
        for name, figures in (("slow", slow), ("fast", fast))
    }
    assert list(found["slow"]) == list(toys.TIMED)
    of_128 = found["slow"]["128x32-uniform"]
    assert of_128.bytes == 3 * 128 * 32 * 8  # argument, state, answer
    assert 0 < found["fast"]["128x32-uniform"].of_limit["bytes"] < of_128.of_limit["bytes"] / 1000
    told = [
        shares.Share("a", 2000, {"bytes": 0.5, "loads": 0.1}),
        shares.Share("b", 8000, {"bytes": 0.125, "loads": 4}),
    ]
    assert shares.row("toy", told) == "| toy | 25 % | 12 % (b) | 50 % (a) | 4 |  | 63 % |  |"


def test_look_ups_and_multiply_adds_have_a_least_time_too(benchmark_module: Import) -> None:
    shares = benchmark_module("shares")
    instruction_ns = {"shuffle of 128": 0.25, "shuffle of 16": 0.125, "multiply-add": 0.5}
    host = shares.Host(limits.Limits({}, {}, {1024: 0.5, 2**20: 2.0}, {}), instruction_ns)
    bare = host._replace(instruction_ns={})

    codes = SimpleNamespace(codes=np.zeros((16, 64), np.uint8))
    assert shares._computing_ns("pq-l2", None, codes, host) == {"loads": 1024 * 0.5, "shuffles": 16 * 2 * 0.25}
    assert shares._computing_ns("pq4-fastscan", None, codes, host) == {"loads": 2048 * 0.5, "shuffles": 32 * 0.125}
    assert shares._computing_ns("pq-l2", None, codes, bare) == {"loads": 1024 * 0.5}

    case = SimpleNamespace(shape=SimpleNamespace(queries=3))
    centroids = SimpleNamespace(centroids=np.zeros((2, 8, 32), np.float32))
    assert shares._computing_ns("ivf-partition", case, centroids, host) == {"multiply-adds": 3 * 32 * 0.5}
    assert shares._computing_ns("ivf-partition", case, centroids, bare) == {}
    assert shares._computing_ns("bitpack", case, centroids, host) == {}


def _shuffled_of_128(vector: Any, stays: Any) -> Any:
    return np.tile(stays, 2)[vector & 127]


def _shuffled_of_16(vector: Any, stays: Any) -> Any:
    quarters = vector.reshape(4, 16)
    picked = np.take_along_axis(quarters, (stays & 15).reshape(4, 16).astype(np.int64), axis=1).ravel()
    return np.where(stays < 128, picked, 0).astype(np.uint8)


def _multiplied(vector: Any, stays: Any) -> Any:
    one, other = (floats.view(np.float32).astype(np.float64) for floats in (vector, stays))
    return (one * other + other).astype(np.float32).view(np.uint8)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "step"),
    [("shuffle of 128", _shuffled_of_128), ("shuffle of 16", _shuffled_of_16), ("multiply-add", _multiplied)],
)
def test_loops_of_an_instruction_compute_what_it_does(
    benchmark_module: Import, kind: str, step: Callable[[Any, Any], Any]
) -> None:
    instructions = benchmark_module("instructions")
    if not instructions.has_them():
        pytest.skip("this processor has no AVX-512 with VBMI")
    turns = 5
    numbers = turns + instructions.ONES + np.arange(instructions.CHAINS + 1)
    *chains, stays = (np.repeat(number, 8).view(np.uint8) for number in numbers)
    for _ in range(turns):
        chains = [step(vector, stays) for vector in chains]
    expected = functools.reduce(np.bitwise_xor, (vector.view(np.int64)[0] for vector in chains))
    assert instructions._looped(*instructions.KINDS[kind])(turns) == expected


def test_the_chunks_of_a_page_are_put_together_as_a_batch(benchmark_module: Import) -> None:
    page = np.full(48, 99, np.uint8)
    for start, ends, codes in ((8, (12, 13, 15), b"abc"), (32, (8, 10), b"de")):
        offsets = np.array(ends, np.int32)
        page[start : start + offsets.nbytes] = offsets.view(np.uint8)
        page[start + ends[0] : start + ends[-1]] = list(codes)
    codes, offsets = benchmark_module("fsst_chunks").batch(
        page, np.array([8, 32]), np.array([2, 1]), np.dtype(np.int32)
    )
    assert (codes.tobytes(), offsets.tolist(), offsets.dtype) == (b"abcde" + bytes(8), [0, 1, 3, 5], np.int32)


def test_chunks_are_told_beside_what_a_batch_takes(benchmark_module: Import) -> None:
    chunks = benchmark_module("fsst_chunks")
    found = {
        "kernel": [4000],
        "compiled": [12_000],
        "python": [40_000],
        "kernel, batch": [2000],
        "port, batch": [7000],
    }
    assert chunks.row("demo", 2, found) == (
        "| demo | 2.0 us | 3.00 [3.00, 3.00] | 10.00 [10.00, 10.00] | 3.50 [3.50, 3.50] | 2.00 [2.00, 2.00] |"
    )


def test_a_peer_s_line_tells_its_time_over_the_kernel_s(benchmark_module: Import) -> None:
    peers = benchmark_module("peers")
    ratios = [{"a": [0.0, 0.1, 0.2], "b": [0.3]}, {"a": [0.1], "b": [0.3]}]
    assert peers.row("demo", "peer", peers.Found(ratios, {"c": "differs"})) == (
        "| demo | peer | 1.22 [1.22, 1.22] | 1.11 (a) | 1.35 (b) | 2 of 3 |"
    )
    assert peers.row("demo", "peer", peers.Found((), {"c": "differs"})) == "| demo | peer | none | | | 0 of 1 |"


def test_the_simulation_has_a_line_for_every_host(benchmark_module: Import) -> None:
    simulate = benchmark_module("simulate")
    spreads, pooling = list(simulate.spreads_table(3)), list(simulate.pooling_table(3))
    assert (len(spreads), len(pooling)) == (2 + 3 * 2 * 4, 2 + 4 * 2)
    assert {line.count("|") for line in spreads} == {9}
    assert {line.count("|") for line in pooling} == {8}


def test_a_simulated_trial_is_judged_as_a_measured_one_is(benchmark_module: Import) -> None:
    """Its drawn ratios stand for windows; what they come to is the same."""
    simulate = benchmark_module("simulate")
    looks = [pairs_of_a_look(everywhere([gain] * 3)) for gain in (0.05, 0.06)]
    pairs = [one for each in looks for one in each]
    drawn = [
        simulate.Drawn(one.blocks, {}, 1, 1, ratios=simulate.Ratios(simulate.aggregate.log_ratios(one)))
        for one in pairs
    ]
    seen = simulate.Evidence(1, 1, tuple(pairs), looks=2)
    measured = simulate.judge.look(seen, Rules())
    with simulate.drawn_pairs():
        found = simulate.judge.look(replace(seen, pairs=tuple(drawn)), Rules())
    assert (found.verdict, found.speedup, found.cases) == (measured.verdict, measured.speedup, measured.cases)


def test_tournaments_are_simulated_by_every_rule(benchmark_module: Import) -> None:
    """On a quiet host each brings the one true winner to the final, and keeps it; of equals none is kept."""
    tournaments = benchmark_module("tournaments")
    quiet = tournaments.hosts()[0]
    rows = [tournaments.row(quiet, 16, chosen, 2) for chosen in tournaments.SELECTIONS]
    assert [row.split(" | ")[4] for row in rows] == [chosen.title for chosen in tournaments.SELECTIONS]
    for row in rows:
        _, _, _, _, _, reached, kept, _, equals, _ = row.split(" | ")
        assert (reached, kept, equals) == ("100.0 %", "100.0 %", "0.00 %")


def test_copies_of_a_kernel_are_no_twins_and_all_but_one_are_prolonged(
    benchmark_module: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_tournaments = benchmark_module("real_tournaments")
    copies = real_tournaments.copies(toys.loaded(), 3)
    path = toys.loaded().layout.kernel_path
    assert len({sources.make(text, path).code_sha256 for text in copies}) == 3
    handicaps: list[float] = []
    monkeypatch.setattr(
        real_tournaments.KernelProcess, "bind", lambda _process, _key, _state, handicap: handicaps.append(handicap)
    )
    with real_tournaments.slower(0.03, but=copies[0]):
        for text in copies:
            process = SimpleNamespace(source=SimpleNamespace(text=text))
            real_tournaments.KernelProcess.bind(process, "a case", b"")
    assert handicaps == [0.0, 0.03, 0.03]


def test_a_verdict_over_hosts_is_simulated_for_every_number_of_them(benchmark_module: Import) -> None:
    hosts = benchmark_module("hosts")
    lines = list(hosts.table(1))
    assert len(lines) == 2 + 1 + len(hosts.BETWEEN) * (len(hosts.COUNTS) - 1)
    assert all(line.count("|") == lines[0].count("|") for line in lines)


def test_a_tournament_on_simulated_hosts_leaves_a_row_of_everybody(
    benchmark_module: Import, tmp_path: Path
) -> None:
    many_hosts = benchmark_module("many_hosts")
    target, log = load.load(discover.inspect(many_hosts.ROOT / "targets" / "pq-l2")), tmp_path / "results.tsv"
    many_hosts.record_baseline(target, log)
    said = many_hosts.played(target, many_hosts.candidates_of(target, 12), log, 4)
    assert said.startswith("12 candidates on 4 hosts: ")
    assert said.endswith("; 12 rows, 0 faults; one was kept")
