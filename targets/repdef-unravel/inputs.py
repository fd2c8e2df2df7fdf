"""The workload of repdef-unravel: shapes, columns, and seeded generators of their levels.

Owns every number that is checked or timed. The levels are made as Lance's writer makes them, layer by layer from
the outermost to the innermost: a list that is null or empty stays one level, one with entries becomes as many.

The levels of a page are made with the state, in pieces that begin with a record; a call has the pages, and the
pieces within each page, in another order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Levels = NDArray[np.uint16]
    Numbers = NDArray[np.int64]
    Bytes = NDArray[np.uint8]
    Offsets = NDArray[np.int32]

ALL_VALID_ITEM, ALL_VALID_LIST, NULLABLE_ITEM, NULLABLE_LIST, EMPTYABLE_LIST, NULLABLE_AND_EMPTYABLE_LIST = range(
    6
)


class Shape(NamedTuple):
    """The column's type, levels and pages of a call, and the mean number of entries of a list that has any."""

    column: str
    levels: int
    pages: int
    length: int


COLUMNS: Final = {
    "item": (False,),
    "list": (False, True),
    "list_list": (False, True, True),
    "list_struct": (False, False, True),
    "struct_list": (False, True, False),
    "struct_list_struct": (False, False, True, False),
}
"""Which layers of each type are lists, the innermost first: `list_struct` is a list of structs of a value."""

SHAPES: Final = (
    Shape("item", 261_997, 4, 1),  # a number that may be missing
    Shape("list", 131_072, 4, 8),  # tags
    Shape("list_list", 131_072, 4, 4),  # words of sentences
    Shape("struct_list_struct", 99_991, 7, 300),  # odd, long lists, and structs around and inside: measurements
)
DISTRIBUTIONS: Final = ("few", "runs", "half")
EDGE_DISTRIBUTIONS: Final = (
    "all_valid",
    "all_null",
    "all_empty",
    "null_items",
    "nearly_all_empty",
    "single",
    "many_pages",
)

PIECE: Final = 512
"""About how many levels are moved together."""
RUN: Final = 32
"""The mean length of a run, in entries."""
MANY: Final = 64
"""Pages of `many_pages`."""
MAY_BE: Final = 0.5
"""How often a layer of a page may have nulls, or empty lists, where that is drawn: Lance has it for each page."""


class Shares(NamedTuple):
    """The shares that are null of values, of structs and of lists, and the share of lists that is empty."""

    value: float
    struct: float
    null: float
    empty: float


SHARES: Final = {
    "few": Shares(0.02, 0.02, 0.02, 0.02),
    "runs": Shares(0.3, 0.1, 0.2, 0.2),
    "half": Shares(0.5, 0.1, 0.25, 0.25),
    "all_valid": Shares(0, 0, 0, 0),
    "all_null": Shares(1, 1, 1, 0),
    "all_empty": Shares(0, 0, 0, 1),
    "null_items": Shares(1, 0, 0, 0),
    "nearly_all_empty": Shares(0.1, 0.01, 0.01, 0.97),
    "single": Shares(0.3, 0, 0, 0),
    "many_pages": Shares(0.3, 0.1, 0.1, 0.1),
}

Call = tuple["Levels", "Levels", "Numbers", "Bytes", "Numbers", "Offsets", "Bytes"]
"""repetition, definition, starts, meanings, items, offsets and validity, as `kernels.unravel` takes them."""


class Page(NamedTuple):
    """Levels of a page, what its layers may be, its values, and where its pieces begin and the last one ends."""

    repetition: Levels
    definition: Levels
    meanings: Bytes
    items: int
    bounds: Numbers


class State(NamedTuple):
    """The pages of a case, and what was in the outputs before."""

    pages: tuple[Page, ...]
    offsets: Offsets
    validity: Bytes


def make_state(shape: Shape, distribution: str, rng: np.random.Generator) -> State:
    """Make the pages of a case; what is never timed has a quarter of the levels."""
    if distribution in EDGE_DISTRIBUTIONS:
        shape = shape._replace(levels=shape.levels // 4)
    return new_state(shape, distribution, rng)


def make_hidden_state(shape: Shape, distribution: str, rng: np.random.Generator) -> State:
    """Make a state whose number of levels is drawn, within 10 % of the published one."""
    levels = int(rng.integers(shape.levels * 9 // 10, shape.levels * 11 // 10 + 1))
    return make_state(shape._replace(levels=levels), distribution, rng)


def new_state(shape: Shape, distribution: str, rng: np.random.Generator) -> State:
    """Make pages of as many levels each, with one level or more, and outputs full of noise."""
    pages = MANY if distribution == "many_pages" else shape.pages
    bounds = np.arange(pages + 1) * max(shape.levels, pages) // pages
    is_list = COLUMNS[shape.column]
    made = []
    for page, levels in enumerate(np.diff(bounds).tolist()):
        is_drawn = page > 0 if distribution in EDGE_DISTRIBUTIONS else page == pages - 1
        meanings = _meanings(is_list, MAY_BE if is_drawn else 1, rng)
        made.append(_page(shape._replace(levels=levels), distribution, meanings, rng))
    total = int(bounds[-1])
    offsets = rng.integers(-(2**31), 2**31, (sum(is_list), total + 1), dtype=np.int32)
    validity = rng.integers(0, 256, (len(is_list), -(-total // 64) * 8), dtype=np.uint8)
    return State(tuple(made), offsets, validity)


def make_call(_shape: Shape, _distribution: str, state: State, rng: np.random.Generator) -> Call:
    """Put the pages into another order, and the pieces of each."""
    pages = [state.pages[page] for page in rng.permutation(len(state.pages)).tolist()]
    repetition, definition = [], []
    for page in pages:
        bounds = page.bounds.tolist()
        pieces = [slice(*bounds[piece : piece + 2]) for piece in rng.permutation(len(bounds) - 1).tolist()]
        repetition += [page.repetition[piece] for piece in pieces]
        definition += [page.definition[piece] for piece in pieces]
    return (
        np.concatenate(repetition),
        np.concatenate(definition),
        np.cumsum([0, *(len(page.definition) for page in pages)]),
        np.array([page.meanings for page in pages]),
        np.array([page.items for page in pages]),
        state.offsets.copy(),
        state.validity.copy(),
    )


def _meanings(is_list: tuple[bool, ...], share: float, rng: np.random.Generator) -> Bytes:
    """Draw what the layers of a page may be: each with nulls, or empty lists, as often as that."""
    null, empty = (rng.random((2, len(is_list))) < share).tolist()
    lists = {
        (False, False): ALL_VALID_LIST,
        (True, False): NULLABLE_LIST,
        (False, True): EMPTYABLE_LIST,
        (True, True): NULLABLE_AND_EMPTYABLE_LIST,
    }
    return np.array(
        [
            lists[null[layer], empty[layer]] if is_list[layer] else (ALL_VALID_ITEM, NULLABLE_ITEM)[null[layer]]
            for layer in range(len(is_list))
        ],
        np.uint8,
    )


def _page(shape: Shape, distribution: str, meanings: Bytes, rng: np.random.Generator) -> Page:
    """Make pieces of whole records until there are enough levels, and cut the last one off."""
    is_list = COLUMNS[shape.column]
    lists = sum(is_list)
    rows = 1 if distribution == "single" and lists else -(-PIECE // shape.length**lists)
    pieces, sizes = [], [0]
    while sum(sizes) < shape.levels:
        pieces.append(_levels(shape, distribution, meanings.tolist(), rows, rng))
        sizes.append(len(pieces[-1][1]))
    repetition, definition = (
        np.concatenate(parts)[: shape.levels].astype(np.uint16) for parts in zip(*pieces, strict=True)
    )
    bounds = np.minimum(np.cumsum(sizes), shape.levels)
    of_items = sum(_numbers(meaning) for meaning in meanings[: (*is_list, True).index(True)].tolist())
    items = int((definition <= of_items).sum())
    return Page(repetition if lists else repetition[:0], definition, meanings, items, bounds)


def _levels(
    shape: Shape, distribution: str, meanings: list[int], rows: int, rng: np.random.Generator
) -> tuple[Numbers, Numbers]:
    """Make the repetition and definition levels of so many records."""
    is_list = COLUMNS[shape.column]
    shares = SHARES[distribution]
    lists = sum(is_list)
    repetition, definition = np.full(rows, lists), np.zeros(rows, np.int64)
    for layer in reversed(range(len(is_list))):
        meaning = meanings[layer]
        null = 1 + sum(_numbers(inner) for inner in meanings[:layer])
        empty = null + (meaning == NULLABLE_AND_EMPTYABLE_LIST)
        is_nullable = meaning in (NULLABLE_ITEM, NULLABLE_LIST, NULLABLE_AND_EMPTYABLE_LIST)
        share = shares.null if is_list[layer] else shares.struct if layer else shares.value
        drawn = _drawn(distribution, len(definition), rng)
        is_open = definition == 0
        if is_nullable:
            definition[is_open & (drawn < share)] = null
        if meaning in (EMPTYABLE_LIST, NULLABLE_AND_EMPTYABLE_LIST):
            definition[is_open & (drawn >= 1 - shares.empty)] = empty
        if is_list[layer]:
            lists -= 1
            lengths = np.where(definition == 0, _lengths(shape, distribution, len(definition), rng), 1)
            firsts = np.cumsum(lengths) - lengths
            begun, repetition = repetition, np.full(lengths.sum(), lists)
            repetition[firsts] = begun
            definition = np.repeat(definition, lengths)
    return repetition, definition


def _drawn(distribution: str, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw numbers from 0 to 1, each by itself or the same for a run."""
    drawn = rng.random(count)
    if distribution == "runs":
        drawn = np.repeat(drawn, rng.geometric(1 / RUN, count))[:count]
    return drawn


def _lengths(shape: Shape, distribution: str, count: int, rng: np.random.Generator) -> Numbers:
    """Draw how many entries lists have; a single record has all in one list of the outermost layer."""
    if distribution == "single":
        return np.full(count, shape.levels if count == 1 else 1)
    return rng.geometric(1 / shape.length, count)


def _numbers(meaning: int) -> int:
    """How many definition levels a layer has."""
    return (0, 0, 1, 1, 1, 2)[meaning]
