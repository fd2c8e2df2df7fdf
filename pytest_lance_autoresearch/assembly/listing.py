"""A listing of machine code, read: functions, and their instructions with place and line of source.

Owns the reading of what `kernel_side.listing` writes. The text comes from a kernel's process and is believed in
nothing: a line that is not understood is passed over.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

_FUNCTION = re.compile(r"function ([0-9a-f]{1,16}) (\S.*)")
_INSTRUCTION = re.compile(r"([0-9a-f]{1,8})\t([a-z]\S*)(?:\s+(\S.*))?")
_LABEL = re.compile(r"(\.?[\w.$]+):")
_FILE = re.compile(r'\t\.file\t(\d+) (?:"[^"]*" )?"(?:[^"]*/)?([^"/]*)"')
_LINE = re.compile(r"\t\.loc\t(\d+) (\d+)\b")
_NAME = re.compile(r"_ZN(.*)")
_LENGTH = re.compile(r"(\d+)")


class Place(NamedTuple):
    """A line of some file's source; line 0 is unknown."""

    file: str
    line: int


NOWHERE = Place("", 0)


class Instruction(NamedTuple):
    """One instruction, as many bytes behind the beginning of its function as `offset` says."""

    offset: int
    mnemonic: str
    operands: str
    place: Place

    def __str__(self) -> str:
        return f"{self.mnemonic} {self.operands}".rstrip()


@dataclass
class Function:
    """A function of the listing; `labels` tell which instruction follows each."""

    symbol: str
    address: int
    instructions: list[Instruction] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """As the source calls it, where the symbol says so."""
        return demangled(self.symbol)

    def index_at(self, address: int) -> int | None:
        """Which instruction is, or reaches to, that address; the last one may be 15 bytes long."""
        offset, last = address - self.address, self.instructions[-1].offset if self.instructions else -1
        if not 0 <= offset <= last + 15:
            return None
        return bisect_right(self.instructions, offset, key=lambda one: one.offset) - 1


def read(text: str) -> list[Function]:
    """The functions of a listing, by address."""
    found: list[Function] = []
    files: dict[str, str] = {}
    place = NOWHERE
    for line in text.splitlines():
        if opening := _FUNCTION.fullmatch(line):
            found.append(Function(opening[2], int(opening[1], 16)))
            place = NOWHERE
        elif named := _FILE.match(line):
            files[named[1]] = named[2]
        elif located := _LINE.match(line):
            place = _placed(located, files, place)
        elif found and (said := _INSTRUCTION.fullmatch(line)):
            found[-1].instructions.append(Instruction(int(said[1], 16), said[2], said[3] or "", place))
        elif found and (label := _LABEL.fullmatch(line)):
            found[-1].labels[label[1]] = len(found[-1].instructions)
    return sorted(filter(_is_ordered, found), key=lambda one: one.address)


def _placed(located: re.Match[str], files: Mapping[str, str], before: Place) -> Place:
    """Line 0 means that LLVM does not know: what is beside it is the better guess."""
    line = int(located[2])
    return Place(files.get(located[1], ""), line) if line else before


def _is_ordered(function: Function) -> bool:
    offsets = [one.offset for one in function.instructions]
    return bool(offsets) and all(low < high for low, high in pairwise(offsets))


def demangled(symbol: str) -> str:
    """The last name in a symbol of numba's, and whether it is a wrapper of that; the symbol where it is none.

    numba writes `_ZN`, and each name with its length before it: first the module's, and last the function's.
    """
    found = _NAME.search(symbol)
    names = list(_names(found[1])) if found else []
    if not names:
        return symbol
    is_wrapper = names[0] == "cpython" or symbol.startswith("cfunc.")
    return f"the wrapper of {names[-1]}" if is_wrapper else names[-1]


def _names(text: str) -> Iterable[str]:
    while length := _LENGTH.match(text):
        size = int(length[1]) if len(length[1]) < 5 else 0
        name, text = text[length.end() : length.end() + size], text[length.end() + size :]
        if not name:
            return
        yield name


def function_at(functions: list[Function], address: int) -> Function | None:
    """The function that reaches to an address, of functions in the order of their addresses."""
    index = bisect_right(functions, address, key=lambda one: one.address) - 1
    return functions[index] if index >= 0 and functions[index].index_at(address) is not None else None
