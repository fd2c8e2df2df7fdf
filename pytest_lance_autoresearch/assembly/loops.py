"""The loops of a function, and how much of what each holds.

Owns finding them: blocks, which of them lead to which, and the natural loops among them (Aho, Sethi and Ullman,
Compilers, 1986, section 10.4): a jump back to a block that every way there goes through.
"""

from __future__ import annotations

import functools
import heapq
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pytest_lance_autoresearch.assembly.instructions import Effect, Reader
from pytest_lance_autoresearch.assembly.listing import Function

_ADDRESS = re.compile(r"movabsq \$(\S+), (%\w+)")
"""How an address is put into a register, for a call to what may lie far away (x86-64)."""
_WRITTEN = re.compile(r"%\w+$")
MOST_INSTRUCTIONS = 20_000
"""In a function of more, no loops are looked for."""


@dataclass(frozen=True)
class Loop:
    """A loop: its instructions by index, and those that are in no loop inside it."""

    function: Function
    indices: frozenset[int]
    own: tuple[int, ...]
    least_reads: int
    """Entries of memory that every pass reads at least: those of `own` on the way back with the fewest."""

    @property
    def is_innermost(self) -> bool:
        return len(self.own) == len(self.indices)


@dataclass(frozen=True)
class Contents:
    """How many of each kind of instruction stand in a loop, outside the loops in it."""

    instructions: int
    loads: int
    stores: int
    on_stack: int
    gathers: int
    """Entries that are gathered, not instructions."""
    branches: int
    """Conditional ones."""
    calls: tuple[str, ...]
    vectors: dict[int, int]
    """Computing instructions by the width of their vectors in bits."""
    widest_move: int
    """The widest vector in bits that is only loaded or stored; 0 without any."""
    floats: int
    shuffles: int
    divides: int
    reads: int
    """Entries of memory that are read, by loads and by gathering."""
    least_reads: int
    """Those that every pass reads at least, whichever way it takes."""


def contents(loop: Loop, effects: Sequence[Effect]) -> Contents:
    """What is in a loop; `effects` are those of its function's instructions."""
    own = [effects[index] for index in loop.own]
    return Contents(
        instructions=len(own),
        loads=sum(one.loads for one in own),
        stores=sum(one.stores for one in own),
        on_stack=sum(one.on_stack for one in own),
        gathers=sum(one.gathers for one in own),
        branches=sum(one.is_conditional for one in own),
        calls=tuple(one.calls for one in own if one.calls),
        vectors=dict(Counter(one.vector_bits for one in own if one.vector_bits)),
        widest_move=max((one.moves_bits for one in own), default=0),
        floats=sum(one.is_float for one in own),
        shuffles=sum(one.shuffles for one in own),
        divides=sum(one.divides for one in own),
        reads=sum(map(_reads, own)),
        least_reads=loop.least_reads,
    )


def _reads(effect: Effect) -> int:
    return effect.loads + (0 if effect.stores else effect.gathers)


def effects_of(function: Function, reader: Reader) -> list[Effect]:
    """What each instruction of a function does; a call through a register with the name of what is called."""
    effects = [reader(instruction) for instruction in function.instructions]
    held: dict[str, str] = {}
    for index, instruction in enumerate(function.instructions):
        if effects[index].calls == "?":
            known = held.get(instruction.operands.lstrip("*"), "?")
            effects[index] = replace(effects[index], calls=known)
        elif loaded := _ADDRESS.fullmatch(str(instruction)):
            held[loaded[2]] = loaded[1]
        elif written := _WRITTEN.search(instruction.operands):
            held.pop(written[0], None)
    return effects


def loops_of(function: Function, effects: Sequence[Effect]) -> list[Loop]:
    """The loops of a function, the inner ones before those around them."""
    if len(effects) > MOST_INSTRUCTIONS:
        return []
    starts = _starts(function, effects)
    followers = _followers(function, effects, starts)
    bodies = sorted(_bodies(followers).items(), key=lambda item: len(item[1]))
    found, taken = [], set[int]()
    for head, body in bodies:
        blocks = {block: range(starts[block], starts[block + 1]) for block in body}
        indices = frozenset(index for span in blocks.values() for index in span)
        reads = {
            block: sum(_reads(effects[index]) for index in span if index not in taken)
            for block, span in blocks.items()
        }
        ends = {block for block, span in blocks.items() if _may_go_to(head, followers[block], effects[span[-1]])}
        found.append(Loop(function, indices, tuple(sorted(indices - taken)), _least(reads, head, ends, followers)))
        taken |= indices
    return found


def _may_go_to(head: int, to: Collection[int], last: Effect) -> bool:
    """Whether a block that ends so can lead to that one; nobody knows all that a computed jump leads to."""
    return head in to or last.jumps == "?"


def _least(
    weights: Mapping[int, int], head: int, ends: Collection[int], followers: Sequence[Sequence[int]]
) -> int:
    """The weight of the lightest way from `head` to one of `ends` within the blocks that have a weight.

    Dijkstra, A note on two problems in connexion with graphs, 1959.
    """
    reached, done = [(weights[head], head)], set[int]()
    while reached:
        weight, block = heapq.heappop(reached)
        if block in ends:
            return weight
        done.add(block)
        for other in followers[block]:
            if other in weights and other not in done:
                heapq.heappush(reached, (weight + weights[other], other))
    return 0


def _starts(function: Function, effects: Sequence[Effect]) -> list[int]:
    """Where each block begins, and the end of the last."""
    after = {index + 1 for index, one in enumerate(effects) if one.jumps or one.returns}
    return sorted({0, len(effects), *(i for i in function.labels.values() if i <= len(effects)), *after})


def _followers(function: Function, effects: Sequence[Effect], starts: Sequence[int]) -> list[list[int]]:
    """The blocks that each block leads to; a computed jump leads to every label that no other jump names."""
    block_at = {start: block for block, start in enumerate(starts[:-1])}
    label_block = {name: block_at[at] for name, at in function.labels.items() if at in block_at}
    named = {one.jumps for one in effects}
    others = [block for name, block in label_block.items() if name not in named and block]
    found = []
    for block, end in enumerate(starts[1:]):
        last = effects[end - 1]
        to = others if last.jumps == "?" else [label_block[last.jumps]] if last.jumps in label_block else []
        falls_through = not last.returns and (not last.jumps or last.is_conditional)
        found.append([*to, *([block + 1] if falls_through and block + 2 < len(starts) else [])])
    return found


def _bodies(followers: Sequence[Sequence[int]]) -> dict[int, frozenset[int]]:
    """The blocks of each natural loop, by the block that it begins with."""
    leaders: list[list[int]] = [[] for _ in followers]
    for block, to in enumerate(followers):
        for other in to:
            leaders[other].append(block)
    dominator = _dominators(followers, leaders)
    found: dict[int, frozenset[int]] = {}
    for block, to in enumerate(followers):
        for head in to:
            if block in dominator and head in _on_every_way(block, dominator):
                found[head] = found.get(head, frozenset()) | _reaching(block, head, leaders, dominator)
    return found


def _dominators(followers: Sequence[Sequence[int]], leaders: Sequence[Sequence[int]]) -> dict[int, int]:
    """For each block that can be reached the nearest one that every way to it goes through; the first has itself.

    Cooper, Harvey and Kennedy, A Simple, Fast Dominance Algorithm, 2001.
    """
    order = _reached(followers)
    rank = {block: place for place, block in enumerate(order)}
    found = {0: 0} if order else {}
    changes = True
    while changes:
        changes = False
        for block in order[1:]:
            known = [leader for leader in leaders[block] if leader in found]
            now = functools.reduce(functools.partial(_meeting, found, rank), known)
            if found.get(block) != now:
                found[block], changes = now, True
    return found


def _meeting(dominator: Mapping[int, int], rank: Mapping[int, int], one: int, other: int) -> int:
    """The nearest block that every way to either goes through."""
    while one != other:
        if rank[one] > rank[other]:
            one = dominator[one]
        else:
            other = dominator[other]
    return one


def _on_every_way(block: int, dominator: Mapping[int, int]) -> Iterator[int]:
    yield block
    while block != dominator[block]:
        block = dominator[block]
        yield block


def _reached(followers: Sequence[Sequence[int]]) -> list[int]:
    """The blocks that can be reached, in an order in which each comes before those behind it, but for loops."""
    if not followers:
        return []
    seen, done, stack = {0}, list[int](), [(0, iter(followers[0]))]
    while stack:
        block, rest = stack[-1]
        following = next((other for other in rest if other not in seen), None)
        if following is None:
            done.append(block)
            stack.pop()
        else:
            seen.add(following)
            stack.append((following, iter(followers[following])))
    return done[::-1]


def _reaching(end: int, head: int, leaders: Sequence[Sequence[int]], known: Collection[int]) -> frozenset[int]:
    """The blocks from which `end` is reached without passing `head`, and `head`."""
    found, ends = {head}, [end]
    while ends:
        block = ends.pop()
        if block not in found and block in known:
            found.add(block)
            ends += leaders[block]
    return frozenset(found)
