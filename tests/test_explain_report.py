"""What `explain` says: the whole of it, for a kernel that was looked at and for one that could not be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import toys

from pytest_lance_autoresearch.assembly.hotspots import HotLoop, Hotspots
from pytest_lance_autoresearch.assembly.listing import Place
from pytest_lance_autoresearch.assembly.loops import Contents
from pytest_lance_autoresearch.assembly.remarks import Remark
from pytest_lance_autoresearch.command import explain_report
from pytest_lance_autoresearch.records import Case
from pytest_lance_autoresearch.runs.explanation import Explanation, Moved, PythonLine
from pytest_lance_autoresearch.runs.limits import KIB, MIB, Limits
from pytest_lance_autoresearch.target_files import discover, load

HELD = Contents(27, 16, 2, 6, 8, 1, ("NRT_decref", "_ZN7kernels4helpB2v2"), {256: 4}, 256, 3, 2, 1, 24, 24)
LOOP = HotLoop(
    name="_search",
    sources=("_search", "_plane"),
    share=0.625,
    lines=((Place("kernels.py", 12), 0.5), (Place("arrayobj.py", 7), 0.125)),
    is_innermost=True,
    contents=HELD,
    called=("NRT_decref", "help"),
    remarks=(
        Remark(Place("kernels.py", 12), "failed to move load: the loop may invalidate its value"),
        Remark(
            Place("kernels.py", 12),
            "loop not vectorized: cannot prove it is safe to reorder floating-point operations",
        ),
        Remark(
            Place("kernels.py", 9),
            "loop not vectorized: cannot prove it is safe to reorder floating-point operations",
        ),
        Remark(Place("kernels.py", 9), "vectorized loop (vectorization width: 8, interleaved count: 1)"),
    ),
    listing=(("vmovsd (%rcx), %xmm0", 0.5), ("jne .L", 0.125)),
)
SPOTS = Hotspots(1000, (("_search", 0.7), ("NRT_decref", 0.1), ("Python", 0.2)), (LOOP,), 0.8, 0.175)
LIMITS = Limits(
    {32 * KIB: 100.0, MIB: 50.0},
    {32 * KIB: 25.0, MIB: 20.0},
    {KIB: 0.25, 32 * KIB: 0.5},
    {KIB: 1.5, 32 * KIB: 2.0},
)
SEEN = Explanation(
    target=toys.loaded(),
    case=Case("toy", None, "64x32", "uniform", timed=True),
    others={"64x32-uniform": 820.0, "128x32-normal": 310.0},
    ns_per_op=800.0,
    ops_per_call=10,
    overhead_ns=150.0,
    moved=Moved(arguments=16 * KIB, results=16 * KIB, state=40 * KIB),
    limits=LIMITS,
    hotspots=SPOTS,
    how="the system's clock of CPU time, every 0.2 ms",
    machine_code="",
    counters={"cycles": 2400.0, "instructions": 3600.0},
    no_counters="",
    profile=(PythonLine(0.9, 8, "kernels.py", 10, "Kernel.product"), PythonLine(0.1, 8, "target.py", 9, "bind")),
    waited=0.0,
    in_system=0.08,
)


def test_all_that_was_seen_is_told_the_most_useful_first() -> None:
    first, *others = explain_report.lines(SEEN)
    assert first == f"target 'toy', kernel {SEEN.target.kernel.sha256[:12]}, case 64x32-uniform"
    assert others == [
        "800 ns per product, 10 of them in a call",
        "the slowest cases: 64x32-uniform 820 ns, 128x32-normal 310 ns",
        "",
        "where the time goes (1000 samples; the system's clock of CPU time, every 0.2 ms):",
        "  _search 70 %, NRT_decref 10 %, Python 20 %",
        "  80 % of all samples are in compiled code, 7 % in such code but in no loop",
        "  the runner itself takes 150 ns per call: the samples include that, the 800 ns per product do not",
        "  NRT_ functions count references to arrays, 10 % of the time, where a function is given an array,",
        "    or slices one, in every pass: have it inlined (inline='always'), or slice before the loop",
        "",
        "loop 1: 62 % of the time, in _search with _plane inlined; innermost",
        "   50 %  line 12: result = np.multiply(self.weights, x)",
        "   12 %  line 7 of arrayobj.py",
        "  it has 27 instructions: 16 loads, 8 gathered entries, 2 stores, 1 branch, 2 calls, 2 shuffles; 4",
        "    on vectors of 256 bits, 3 operations on single floats",
        '  LLVM, line 9: "vectorized loop (vectorization width: 8, interleaved count: 1)"',
        '  LLVM, lines 9 and 12: "loop not vectorized: cannot prove it is safe to reorder floating-point',
        '    operations": a float sum keeps its order, one addition after the other: fastmath=True, or',
        "    several sums side by side",
        "  calls that were not inlined: help",
        "  divisions and roots: 1, each as long as ten other instructions or more",
        "  6 of its loads and stores are for want of registers: keep fewer values alive at once",
        "  its loads alone take 3.00 ns a pass or more: the 5.09 us of this loop in a call are 1698 passes at",
        "    most",
        "  if it makes far fewer passes, something else takes the time",
        "",
        "limits of one core here, measured just now:",
        "  reading   100 GB/s in 32 KiB, 50 GB/s in 1 MiB",
        "  copying   25 GB/s in 32 KiB, 20 GB/s in 1 MiB",
        "  look-ups  0.25 ns in 1 KiB, 0.5 ns in 32 KiB",
        "  in chains 1.5 ns in 1 KiB, 2 ns in 32 KiB",
        "a call takes 8.00 us for 32 KiB of arguments and results, which is 4.1 GB/s; merely reading them",
        "  would take 8 % of that time",
        "its state has 40 KiB; reading all of it would take 10 % of that time",
        "in 800 ns, the time per product, a core makes so many look-ups: 1600 in 32 KiB; where each waits for",
        "  the one before, 400 in 32 KiB",
        "counted per product: 2400 cycles, 3600 instructions; 1.50 instructions per cycle",
        "8 % of the CPU time is the system's own, mostly for memory that is used for the first time: use less",
        "  of it, or the same again",
    ]


def test_of_a_loop_with_several_ways_through_it_the_way_with_the_fewest_loads_is_its_limit() -> None:
    branched = replace(LOOP, contents=replace(HELD, reads=24, least_reads=4), remarks=())
    lines = explain_report.lines(replace(SEEN, hotspots=replace(SPOTS, loops=(branched,))))
    first = next(number for number, line in enumerate(lines) if "its loads alone" in line)
    assert lines[first : first + 4] == [
        "  its loads alone take 0.500 ns a pass or more, on the way through it with the fewest, 4 of 24: the",
        "    5.09 us of this loop in a call are 10188 passes at most",
        "  if it makes far fewer passes, longer ways through it, or something other than loads, take the time",
        "",
    ]
    without = replace(branched, contents=replace(HELD, reads=24, least_reads=0))
    told = explain_report.lines(replace(SEEN, hotspots=replace(SPOTS, loops=(without,))))
    assert not any("passes" in line for line in told)


def test_a_float_sum_whose_every_bit_counts_is_not_to_be_reordered(tmp_path: Path) -> None:
    """What is advised is what the target's comparison lets pass."""
    exact = load.load(discover.inspect(toys.write(tmp_path, target=f"{toys.TARGET}\nBIT_EXACT = True\n")))
    told = " ".join(line.strip() for line in explain_report.lines(replace(SEEN, target=exact)))
    assert (
        'reorder floating-point operations": a float sum keeps its order, and must: every bit of a result is '
        "compared, so that neither fastmath nor several sums side by side can be right; let sums of different "
        "results run beside each other"
    ) in told
    assert "fastmath=True" not in told


UNSAMPLED = replace(LOOP, share=0.0, lines=((Place("kernels.py", 12), 0.0),), remarks=())
BLIND = replace(
    SEEN,
    others={},
    hotspots=Hotspots(0, (), (UNSAMPLED,), 0, 0),
    how="perf_event_open is not allowed here",
    counters={},
    no_counters="this machine has no such counters",
    moved=Moved(100, 8, 0),
    ns_per_op=2000.0,
    in_system=None,
)


def test_what_the_machine_does_not_tell_is_said() -> None:
    assert explain_report.lines(BLIND)[1:] == [
        "2.00 us per product, 10 of them in a call",
        "",
        "where the time goes cannot be seen: perf_event_open is not allowed here",
        "the lines of Python, traced, which slows them down; what they call counts for them:",
        "   90 %  line 10: def product(self, x):",
        "   10 %  line 9 of target.py",
        "",
        "loop 1: in _search with _plane inlined; innermost",
        "         line 12: result = np.multiply(self.weights, x)",
        "  it has 27 instructions: 16 loads, 8 gathered entries, 2 stores, 1 branch, 2 calls, 2 shuffles; 4",
        "    on vectors of 256 bits, 3 operations on single floats",
        "  calls that were not inlined: help",
        "  divisions and roots: 1, each as long as ten other instructions or more",
        "  6 of its loads and stores are for want of registers: keep fewer values alive at once",
        "  its loads alone take 3.00 ns a pass or more",
        "",
        "limits of one core here, measured just now:",
        "  reading   100 GB/s in 32 KiB, 50 GB/s in 1 MiB",
        "  copying   25 GB/s in 32 KiB, 20 GB/s in 1 MiB",
        "  look-ups  0.25 ns in 1 KiB, 0.5 ns in 32 KiB",
        "  in chains 1.5 ns in 1 KiB, 2 ns in 32 KiB",
        "a call takes 20.0 us for 108 B of arguments and results, which is 0.0054 GB/s; merely reading them",
        "  would take 0 % of that time",
        "it has no state to read",
        "cycles, cache misses and wrong guesses at branches cannot be seen: this machine has no such counters",
    ]


def test_a_kernel_that_numba_has_no_part_in_is_told_as_python_sees_it() -> None:
    plain = replace(
        BLIND,
        hotspots=Hotspots(1000, (("numpy", 0.9), ("Python", 0.1)), (), 0, 0),
        how="stops, 0.5 ms apart",
        machine_code="numba compiled nothing",
    )
    assert explain_report.lines(plain)[1:9] == [
        "2.00 us per product, 10 of them in a call",
        "",
        "where the time goes (1000 samples; stops, 0.5 ms apart):",
        "  numpy 90 %, Python 10 %",
        "  0 % of all samples are in compiled code",
        "  the runner itself takes 150 ns per call: the samples include that, the 2.00 us per product do not",
        "the lines of Python, traced, which slows them down; what they call counts for them:",
        "   90 %  line 10: def product(self, x):",
    ]
    assert explain_report.lines(plain)[-3:] == [
        "it has no state to read",
        "no loops are shown: numba compiled nothing",
        "cycles, cache misses and wrong guesses at branches cannot be seen: this machine has no such counters",
    ]


def test_a_busy_machine_is_no_place_to_measure() -> None:
    assert explain_report.lines(replace(SEEN, waited=0.6))[2:4] == [
        "other work had the core for 60 % of the time: all figures here look worse than they are, by an",
        "  unknown part; run this again on a quieter machine",
    ]


@pytest.mark.parametrize("before_ns", [4100.0, 380.0])
def test_times_that_say_little_about_which_case_is_the_slowest_are_called_rough(before_ns: float) -> None:
    found = replace(SEEN, others=SEEN.others | {SEEN.case.id: before_ns})
    before = "4.10 us" if before_ns > 1000 else "380 ns"
    told = " ".join(line.strip() for line in explain_report.lines(found)[3:6])
    assert told.startswith(
        f"these times are rough: 64x32-uniform took {before} when the slowest was looked for, and 800 ns later; "
        f"name the case that you mean: explain toy CASE "
    )


def test_of_two_tables_and_a_large_state_each_has_its_figure() -> None:
    large = replace(
        SEEN,
        ns_per_op=0.8,
        ops_per_call=10_000,
        moved=Moved(arguments=16 * KIB, results=16 * KIB, state=MIB),
        limits=replace(
            LIMITS, look_up_ns={32 * KIB: 0.32, 64 * MIB: 16.0}, follow_ns={32 * KIB: 1.6, 64 * MIB: 160.0}
        ),
    )
    told = " ".join(line.strip() for line in explain_report.lines(large))
    assert (
        "its state has 1 MiB, of which it can read 38 % at most in that time in 0.800 ns, the time per product, a "
        "core makes so many look-ups: 2.5 in 32 KiB or 0.05 in 64 MiB; where each waits for the one before, 0.5 "
        "in 32 KiB or 0.005 in 64 MiB" in told
    )


def test_the_machine_code_of_what_is_shown_is_at_hand() -> None:
    assert list(explain_report.assembly(SEEN)) == [
        "",
        "loop 1, in _search with _plane inlined:",
        "   50 %  vmovsd (%rcx), %xmm0",
        "   12 %  jne .L",
    ]


def test_it_is_never_longer_than_a_page_nor_wider() -> None:
    many = replace(
        SEEN,
        hotspots=replace(SPOTS, loops=(LOOP,) * 9, functions=tuple((f"{'f' * 70}{i}", 0.1) for i in range(20))),
        others={f"{'c' * 90}{i}": 1.0 for i in range(30)} | {SEEN.case.id: 1.0},
        profile=(PythonLine(0.1, 8, "k" * 200, 10, "n" * 200),) * 40,
    )
    for columns, width in ((None, 100), (120, 100), (90, 90), (20, 80)):
        lines = explain_report.lines(many, columns)
        assert len(lines) < 60
        assert max(map(len, lines)) <= width
        assert any(line.startswith("limits of one core") for line in lines)
