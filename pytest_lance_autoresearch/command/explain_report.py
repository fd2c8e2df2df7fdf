"""The words about why a kernel takes its time: under 60 lines, the most useful first.

Owns every sentence of `explain`. Decides nothing; what a kernel's process said is shown as text and no more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pytest_lance_autoresearch.assembly.listing import Place
from pytest_lance_autoresearch.runs import limits
from pytest_lance_autoresearch.words.wording import listed, many, time, wrapped

if TYPE_CHECKING:
    from pytest_lance_autoresearch.assembly.hotspots import HotLoop, Hotspots
    from pytest_lance_autoresearch.assembly.loops import Contents
    from pytest_lance_autoresearch.assembly.remarks import Remark
    from pytest_lance_autoresearch.runs.explanation import Explanation
    from pytest_lance_autoresearch.runs.limits import BySize, Limits

WIDTH, LEAST_WIDTH = 100, 80
"""Of a line at most: as wide as the terminal is, between these."""
MOST_LINES = 59
CASES, LOOPS, LINES, FUNCTIONS, REMARKS, PROFILE_LINES = 6, 3, 4, 8, 2, 6
MOST_PLACES = 4
"""Most that are shown."""
LEAST_LOOP, LEAST_LINE, LEAST_FUNCTION = 0.04, 0.02, 0.01
"""Of the samples: what has fewer is not shown."""
LEAST_OUTSIDE = 0.4
"""Of the samples outside compiled code, from which on Python's own profile is shown."""
LEAST_TOLD = 0.05
"""Of the time: what is less is not worth a sentence."""
TABLE = 32 * limits.KIB
"""Of the look-ups that an operation is compared with."""
MOST_LOOK_UPS_NS = 1000.0
"""An operation that takes longer is not compared with look-ups."""
MOST_WAITED = 0.2
"""Of the time: with more, the figures need a warning."""
MOST_APART = 2.0
"""Two measurements of a case: what lies further apart says little about which case is the slowest."""
_COUNTED = "NRT_"
_MANY_ON_STACK = 0.25


def lines(found: Explanation, columns: int | None = None) -> list[str]:
    """The report for a terminal of so many columns, with as many loops as there is room for."""
    width = max(LEAST_WIDTH, min(columns or WIDTH, WIDTH))
    for count in range(LOOPS, -1, -1):
        told = [
            *_head(found),
            "",
            *_where(found),
            *_loops(found, count),
            "",
            *_limits(found),
            *_counters(found),
            *_unseen(found),
        ]
        fitted = [part for line in told for part in _wrapped(line, width)]
        if len(fitted) <= MOST_LINES:
            break
    return fitted[:MOST_LINES]


def _wrapped(line: str, width: int) -> list[str]:
    """A line in pieces of the width, those after the first indented by two more."""
    if len(line) <= width:
        return [line]
    indent = " " * (len(line) - len(line.lstrip()) + 2)
    return wrapped(line, width, hanging=indent)


def _head(found: Explanation) -> Iterator[str]:
    target = found.target
    in_call = f", {found.ops_per_call:g} of them in a call" if found.ops_per_call > 1 else ""
    yield f"target '{target.name}', kernel {target.kernel.sha256[:12]}, case {found.case.id}"
    yield f"{_time(found)}{in_call}"
    if found.waited >= MOST_WAITED:
        yield (
            f"other work had the core for {_percent(found.waited)} of the time: all figures here look worse than "
            f"they are, by an unknown part; run this again on a quieter machine"
        )
    if found.others:
        slowest = sorted(found.others.items(), key=lambda item: -item[1])
        left = f", and {many(len(slowest) - CASES, 'case')} more" if len(slowest) > CASES else ""
        yield f"the slowest cases: {', '.join(f'{case} {time(ns)}' for case, ns in slowest[:CASES])}{left}"
        yield from _rough(found, found.others[found.case.id])


def _rough(found: Explanation, before_ns: float) -> Iterator[str]:
    """That another case may be the slowest, where two measurements of this one have little in common."""
    if max(found.ns_per_op, before_ns) > MOST_APART * min(found.ns_per_op, before_ns):
        yield (
            f"these times are rough: {found.case.id} took {time(before_ns)} when the slowest was looked for, and "
            f"{time(found.ns_per_op)} later; name the case that you mean: explain {found.target.name} CASE"
        )


def _time(found: Explanation) -> str:
    return f"{time(found.ns_per_op)} per {found.target.wiring.UNIT}"


# Where the time goes


def _where(found: Explanation) -> Iterator[str]:
    spots = found.hotspots
    if spots.samples:
        yield f"where the time goes ({many(spots.samples, 'sample')}; {found.how}):"
        yield from _functions(spots, found)
    else:
        yield f"where the time goes cannot be seen: {found.how}"
    if spots.compiled < 1 - LEAST_OUTSIDE:
        yield from _python(found)


def _functions(spots: Hotspots, found: Explanation) -> Iterator[str]:
    shown = [(name, share) for name, share in spots.functions if share >= LEAST_FUNCTION][:FUNCTIONS]
    yield f"  {', '.join(f'{name} {_percent(share)}' for name, share in shown)}"
    counting = sum(share for name, share in spots.functions if name.startswith(_COUNTED))
    outside = spots.outside_loops - counting
    told = f", {_percent(outside)} in such code but in no loop" if outside >= LEAST_LINE else ""
    yield f"  {_percent(spots.compiled)} of all samples are in compiled code{told}"
    yield (
        f"  the runner itself takes {time(found.overhead_ns)} per call: the samples include that, the "
        f"{_time(found)} do not"
    )
    if counting >= LEAST_TOLD:
        yield (
            f"  NRT_ functions count references to arrays, {_percent(counting)} of the time, where a function is "
            f"given an array, or slices one, in every pass: have it inlined (inline='always'), or slice before "
            f"the loop"
        )


def _python(found: Explanation) -> Iterator[str]:
    yield "the lines of Python, traced, which slows them down; what they call counts for them:"
    shown = [entry for entry in found.profile if entry.share >= LEAST_LINE][:PROFILE_LINES]
    for entry in shown:
        yield _source_line(found, Place(entry.file, entry.line), _percent(entry.share))


def _source_line(found: Explanation, place: Place, share: str) -> str:
    """A line of the kernel as it stands there, or the place of one that is elsewhere."""
    kernel = found.target.kernel
    source = kernel.text.decode("utf-8", "replace").splitlines()
    is_own = place.file == kernel.path.name and 0 < place.line <= len(source)
    text = f": {source[place.line - 1].strip()}" if is_own else f" of {place.file}"
    return f"  {share:>5}  line {place.line}{text}"


# Loops


def _loops(found: Explanation, count: int) -> Iterator[str]:
    for number, loop in enumerate(_hot(found)[:count], start=1):
        yield ""
        yield from _loop(number, loop, found)


def _hot(found: Explanation) -> list[HotLoop]:
    spots = found.hotspots
    return [loop for loop in spots.loops if loop.share >= LEAST_LOOP or not spots.samples][:LOOPS]


def _loop(number: int, loop: HotLoop, found: Explanation) -> Iterator[str]:
    kind = "innermost" if loop.is_innermost else "without the loops in it"
    share = f"{_percent(loop.share)} of the time, " if loop.share else ""
    yield f"loop {number}: {share}in {_named(loop)}; {kind}"
    for place, share_of_line in loop.lines[:LINES]:
        if share_of_line >= LEAST_LINE or not loop.share:
            yield _source_line(found, place, _percent(share_of_line) if loop.share else "")
    yield f"  it has {_contents(loop.contents)}"
    yield from (f"  {sentence}" for sentence in _said(loop, found))


def _said(loop: HotLoop, found: Explanation) -> Iterator[str]:
    yield from _remarks(loop.remarks, found)
    yield from _sentences(loop, found)


def _named(loop: HotLoop) -> str:
    """The function that the loop is in, and those that LLVM put there."""
    inlined = [name for name in loop.sources if name != loop.name][:3]
    if not inlined:
        return loop.name
    if loop.name in loop.sources:
        return f"{loop.name} with {listed(inlined)} inlined"
    return f"{listed(inlined)}, inlined into {loop.name}"


def _contents(held: Contents) -> str:
    memory = ", ".join(
        [
            f"{many(held.loads, 'load')}",
            *([f"{held.gathers} gathered entries"] if held.gathers else []),
            many(held.stores, "store"),
            many(held.branches, "branch").replace("branchs", "branches"),
            *([many(len(held.calls), "call")] if held.calls else []),
            *([many(held.shuffles, "shuffle")] if held.shuffles else []),
        ]
    )
    widths = sorted(held.vectors.items(), reverse=True)
    moved = f"vectors of {held.widest_move} bits that are moved only" if held.widest_move else "no vectors"
    vectors = listed([f"{count} on vectors of {bits} bits" for bits, count in widths]) if widths else moved
    scalar = f", {many(held.floats, 'operation')} on single floats" if held.floats else ""
    return f"{many(held.instructions, 'instruction')}: {memory}; {vectors}{scalar}"


def _remarks(remarked: Sequence[Remark], found: Explanation) -> Iterator[str]:
    """What LLVM said, once for each meaning, with its lines."""
    own, is_exact = found.target.kernel.path.name, getattr(found.target.wiring, "BIT_EXACT", False)
    by_text: dict[str, list[Place]] = {}
    for remark in sorted(remarked, key=lambda one: (not one.is_vectorized, not one.is_refusal, not one.meaning)):
        said = remark.exact_meaning if is_exact else remark.meaning
        meaning = f": {said}" if said else ""
        by_text.setdefault(f'"{remark.text}"{meaning}', []).append(remark.place)
    for text, places in list(by_text.items())[:REMARKS]:
        told = [f"{line}{'' if file == own else f' of {file}'}" for file, line in sorted(places)[:MOST_PLACES]]
        yield f"LLVM, line{'s' if len(told) > 1 else ''} {listed(told)}: {text}"


def _sentences(loop: HotLoop, found: Explanation) -> Iterator[str]:
    """What its instructions mean."""
    held = loop.contents
    called = [name for name in dict.fromkeys(loop.called) if not name.startswith(_COUNTED)]
    if called:
        yield f"calls that were not inlined: {listed(called[:4])}"
    if held.divides:
        yield f"divisions and roots: {held.divides}, each as long as ten other instructions or more"
    if held.on_stack >= _MANY_ON_STACK * (held.loads + held.stores) and held.on_stack > 2:
        yield f"{held.on_stack} of its loads and stores are for want of registers: keep fewer values alive at once"
    if held.least_reads:
        yield from _passes(loop, found)


def _passes(loop: HotLoop, found: Explanation) -> Iterator[str]:
    """How many passes it can have made at most, if every one took the way with the fewest loads."""
    held = loop.contents
    least_ns = held.least_reads * min(found.limits.look_up_ns.values()) / 2
    has_ways = held.least_reads < held.reads
    way = f", on the way through it with the fewest, {held.least_reads} of {held.reads}" if has_ways else ""
    loads = f"its loads alone take {time(least_ns)} a pass or more{way}"
    if not loop.share:
        yield loads
        return
    loop_ns = loop.share * found.sampled_ns_per_op * found.ops_per_call
    yield f"{loads}: the {time(loop_ns)} of this loop in a call are {loop_ns / least_ns:.0f} passes at most"
    others = "longer ways through it, or something other than loads, take" if has_ways else "something else takes"
    yield f"if it makes far fewer passes, {others} the time"


# Limits


def limit_lines(best: Limits) -> Iterator[str]:
    """What one core can do at best."""
    yield "limits of one core here, measured just now:"
    yield f"  reading   {_figures(best.read_gb_per_s, 'GB/s')}"
    yield f"  copying   {_figures(best.copy_gb_per_s, 'GB/s')}"
    yield f"  look-ups  {_figures(best.look_up_ns, 'ns')}"
    yield f"  in chains {_figures(best.follow_ns, 'ns')}"


def _limits(found: Explanation) -> Iterator[str]:
    best, moved = found.limits, found.moved
    call_ns = found.ns_per_op * found.ops_per_call
    touched = moved.arguments + moved.results
    read = best.read_gb_per_s[limits.next_size(best.read_gb_per_s, touched + moved.state)]
    yield from limit_lines(best)
    yield (
        f"a call takes {time(call_ns)} for {_bytes(touched)} of arguments and results, which is "
        f"{touched / call_ns:.3g} GB/s; merely reading them would take {_percent(touched / call_ns / read)} of "
        f"that time"
    )
    yield _state(moved.state, call_ns, read)
    if found.ns_per_op < MOST_LOOK_UPS_NS:
        tables = dict.fromkeys((TABLE, limits.next_size(best.look_up_ns, touched + moved.state)))
        single, chained = (
            " or ".join(f"{_count(found.ns_per_op / figures[size])} in {_bytes(size)}" for size in tables)
            for figures in (best.look_up_ns, best.follow_ns)
        )
        yield (
            f"in {time(found.ns_per_op)}, the time per {found.target.wiring.UNIT}, a core makes so many look-ups: "
            f"{single}; where each waits for the one before, {chained}"
        )


def _state(size: int, call_ns: float, read: float) -> str:
    if not size:
        return "it has no state to read"
    share = size / call_ns / read
    if share > 1:
        return f"its state has {_bytes(size)}, of which it can read {_percent(1 / share)} at most in that time"
    return f"its state has {_bytes(size)}; reading all of it would take {_percent(share)} of that time"


def _figures(figures: BySize, unit: str) -> str:
    return ", ".join(f"{figure:.3g} {unit} in {_bytes(size)}" for size, figure in figures.items())


def _bytes(size: int) -> str:
    for unit, name in ((2**20, "MiB"), (2**10, "KiB")):
        if size >= unit:
            return f"{size / unit:.3g} {name}"
    return f"{size} B"


def _count(number: float) -> str:
    return f"{number:.2g}" if number < 10 else f"{number:.0f}"


# Counters, and what cannot be seen


def _counters(found: Explanation) -> Iterator[str]:
    counted = found.counters
    if counted:
        told = ", ".join(f"{_count(count)} {name}" for name, count in counted.items())
        cycles, instructions = counted.get("cycles"), counted.get("instructions")
        rate = f"; {instructions / cycles:.2f} instructions per cycle" if cycles and instructions else ""
        yield f"counted per {found.target.wiring.UNIT}: {told}{rate}"


def _unseen(found: Explanation) -> Iterator[str]:
    if found.in_system is not None and found.in_system >= LEAST_TOLD:
        yield (
            f"{_percent(found.in_system)} of the CPU time is the system's own, mostly for memory that is used for "
            f"the first time: use less of it, or the same again"
        )
    if found.machine_code:
        yield f"no loops are shown: {found.machine_code}"
    if found.no_counters:
        yield f"cycles, cache misses and wrong guesses at branches cannot be seen: {found.no_counters}"


# All of it


def assembly(found: Explanation) -> Iterator[str]:
    """The machine code of the loops that are shown."""
    for number, loop in enumerate(_hot(found), start=1):
        yield ""
        yield f"loop {number}, in {_named(loop)}:"
        for text, share in loop.listing:
            yield f"  {_percent(share) if share >= LEAST_FUNCTION / 2 else '':>5}  {text}"


def _percent(share: float) -> str:
    return f"{share * 100:.0f} %"
