"""Where in its machine code, and so in its source, a kernel was found at work.

Owns the counting of samples by function, line and loop. Shares are fractions of all samples.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from pytest_lance_autoresearch.assembly import listing, loops, remarks
from pytest_lance_autoresearch.assembly.instructions import Effect, Reader
from pytest_lance_autoresearch.assembly.listing import Function, Place, function_at
from pytest_lance_autoresearch.assembly.loops import Contents, Loop
from pytest_lance_autoresearch.assembly.remarks import Remark


@dataclass(frozen=True)
class HotLoop:
    """A loop in which the kernel was found, outside the loops in it."""

    name: str
    """Of the function that the machine code belongs to."""
    sources: tuple[str, ...]
    """The source's functions whose lines are in it, the hottest first: others than `name` were inlined.

    Where no line is the source's, the files that they are of.
    """
    share: float
    lines: tuple[tuple[Place, float], ...]
    """The hottest first."""
    is_innermost: bool
    contents: Contents
    called: tuple[str, ...]
    """The names of what it calls, as far as they are known."""
    remarks: tuple[Remark, ...]
    listing: tuple[tuple[str, float], ...]
    """Its instructions, each with the share of samples that were found there."""


@dataclass(frozen=True)
class Hotspots:
    """All samples, and where they were."""

    samples: int
    functions: tuple[tuple[str, float], ...]
    """The source's functions, the compiled code of others' and what is not compiled, the hottest first."""
    loops: tuple[HotLoop, ...]
    compiled: float
    """The share of compiled code."""
    outside_loops: float
    """The share of compiled code that is in no loop."""


class Sources:
    """A kernel's machine code, what LLVM remarked about it, and which lines are whose.

    `name_of` tells the function of a line of its source, '' of all other lines.
    """

    def __init__(
        self,
        functions: list[Function],
        reader: Reader,
        remarked: Sequence[Remark],
        name_of: Callable[[Place], str],
    ) -> None:
        self._functions = functions
        self._reader = reader
        self._remarked = remarked
        self._name_of = name_of

    def hotspots(self, addresses: Mapping[int, int], other: Callable[[int], str]) -> Hotspots:
        """What samples say; `other` tells what lies at an address that is no compiled code of the kernel.

        Without any sample there are the kernel's innermost loops alone, the longest first.
        """
        samples = sum(addresses.values())
        by_name: Counter[str] = Counter()
        found: dict[int, Counter[int]] = {}
        for address, count in addresses.items():
            function = function_at(self._functions, address)
            index = function.index_at(address) if function else None
            if function is None or index is None:
                by_name[other(address)] += count
                continue
            found.setdefault(function.address, Counter())[index] += count
            by_name[self._name_of(function.instructions[index].place) or function.name] += count
        hot = [loop for function in self._functions for loop in self._loops(function, found, samples)]
        compiled = sum(counts.total() for counts in found.values()) / (samples or 1)
        return Hotspots(
            samples,
            tuple((name, count / samples) for name, count in by_name.most_common()),
            tuple(sorted(hot, key=lambda loop: (-loop.share, -loop.contents.instructions))),
            compiled,
            compiled - sum(loop.share for loop in hot),
        )

    def _loops(self, function: Function, found: Mapping[int, Counter[int]], samples: int) -> Iterator[HotLoop]:
        """The loops of a function in which samples were found; without any, its innermost ones."""
        at = found.get(function.address, Counter[int]())
        if samples and not at:
            return
        effects = loops.effects_of(function, self._reader)
        for loop in loops.loops_of(function, effects):
            is_own = loop.is_innermost and any(map(self._name_of, _places(function, loop.own)))
            if any(at[index] for index in loop.own) if samples else is_own:
                yield self._hot_loop(loop, effects, at, samples or 1)

    def _hot_loop(self, loop: Loop, effects: Sequence[Effect], at: Counter[int], samples: int) -> HotLoop:
        function, by_place, by_name, by_file = loop.function, Counter[Place](), Counter[str](), Counter[str]()
        for index in loop.own:
            place = function.instructions[index].place
            by_place[place] += at[index]
            by_name[self._name_of(place)] += at[index]
            by_file[place.file] += at[index]
        names = [name for name, _ in by_name.most_common() if name]
        inner = loop.indices.difference(loop.own)  # what LLVM says of their lines is about the loops in this one
        held = loops.contents(loop, effects)
        return HotLoop(
            name=function.name,
            sources=tuple(names or [file for file, _ in by_file.most_common() if file]),
            share=sum(by_place.values()) / samples,
            lines=tuple((place, count / samples) for place, count in by_place.most_common()),
            is_innermost=loop.is_innermost,
            contents=held,
            called=tuple(listing.demangled(symbol) for symbol in held.calls if symbol != "?"),
            remarks=tuple(remarks.about(self._remarked, _places(function, loop.own) - _places(function, inner))),
            listing=tuple((str(function.instructions[index]), at[index] / samples) for index in loop.own),
        )


def _places(function: Function, indices: Iterable[int]) -> set[Place]:
    return {function.instructions[index].place for index in indices}


def names_of_lines(source: bytes, file: str) -> Callable[[Place], str]:
    """Tells the innermost function of the source that a line of it is in; '' for other lines and other files."""
    names: dict[int, str] = {}
    with suppress(SyntaxError, ValueError, RecursionError):
        for node in ast.walk(ast.parse(source)):  # from the outside to the inside
            if isinstance(node, ast.FunctionDef | ast.Lambda):
                name = "a lambda" if isinstance(node, ast.Lambda) else node.name
                names |= dict.fromkeys(range(node.lineno, (node.end_lineno or node.lineno) + 1), name)
    return lambda place: names.get(place.line, "") if place.file == file else ""
