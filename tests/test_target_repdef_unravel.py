"""The target repdef-unravel: honest rewrites pass its checks on every case, wrong ones fail where they are wrong.

The stand-in kernels are plain numpy but for one; each wrong one has one mistake of those who write such kernels.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from battery import Battery
from numba import njit

from pytest_lance_autoresearch.errors import KernelIncorrect

BATTERY = Battery("repdef-unravel")
EVERY = tuple(BATTERY.cases)
Array = np.ndarray[Any, Any]
ALL_VALID_ITEM, ALL_VALID_LIST, NULLABLE_ITEM, NULLABLE_LIST, EMPTYABLE_LIST, NULLABLE_AND_EMPTYABLE_LIST = range(
    6
)
LEVELS = (0, 0, 1, 1, 1, 2)
"""How many definition levels a layer has, by its meaning."""
ITEM, LIST, LIST_LIST, STRUCTS = "item", "list", "list_list", "struct_list_struct"
IN_LISTS = (LIST, LIST_LIST, STRUCTS)


def cases(*distributions: str, columns: tuple[str, ...] = (ITEM, *IN_LISTS)) -> tuple[str, ...]:
    return tuple(
        case_id
        for case_id, case in BATTERY.cases.items()
        if case.shape.column in columns and (case.distribution in distributions or not distributions)
    )


def is_item(meaning: int) -> bool:
    return meaning in (ALL_VALID_ITEM, NULLABLE_ITEM)


class Compacted:
    """Makes layer after layer, page by page, and keeps the levels that begin a list; the base of all others."""

    def unravel(
        self,
        repetition: Array,
        definition: Array,
        starts: Array,
        meanings: Array,
        items: Array,
        offsets: Array,
        validity: Array,
    ) -> Any:
        pages = [slice(*page) for page in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)]
        levels = [(repetition[page].astype(np.int64), definition[page].astype(np.int64)) for page in pages]
        inside = items.tolist()
        counts, rows = np.zeros(len(validity), np.int64), iter(offsets)
        for layer in range(len(validity)):
            of_layer = [self.entries(meanings[at].tolist(), layer, *page) for at, page in enumerate(levels)]
            counts[layer] = sum(len(is_valid) for _, is_valid in of_layer)
            self.put_bits(validity[layer], [is_valid for _, is_valid in of_layer])
            if not is_item(meanings[0, layer]):
                self.put_offsets(next(rows), [before for before, _ in of_layer], inside)
                levels = [(rep[rep > 0] - 1, defs[rep > 0]) for rep, defs in levels]
            inside = [len(is_valid) for _, is_valid in of_layer]
        return counts, offsets, validity

    def entries(
        self, meanings: list[int], layer: int, repetition: Array, definition: Array
    ) -> tuple[Array, Array]:
        """How many entries of the layer inside are before each of a page's entries, and whether it is valid."""
        own = 1 + sum(LEVELS[meaning] for meaning in meanings[:layer])
        begins = np.ones(len(definition), bool) if is_item(meanings[layer]) else repetition > 0
        is_entry = begins & (definition <= self.highest(meanings, layer))
        before = np.cumsum(self.counted(meanings, layer, own, definition)) if layer else np.zeros(0)
        before = np.append(0, before)[:-1][is_entry] if layer else before
        return before, self.is_valid(meanings[layer], own, definition[is_entry])

    def highest(self, meanings: list[int], layer: int) -> int:
        """The highest level that is about the layer, those inside, or structs around it up to the next list."""
        outside = [at for at in range(layer + 1, len(meanings)) if not is_item(meanings[at])]
        return sum(LEVELS[meaning] for meaning in meanings[: min(outside, default=len(meanings))])

    def counted(self, meanings: list[int], layer: int, own: int, definition: Array) -> Array:
        """Whether each level is an entry of the layer inside."""
        return definition <= (self.highest(meanings, layer) if is_item(meanings[layer]) else own - 1)

    def is_valid(self, meaning: int, own: int, definition: Array) -> Array:
        if meaning == ALL_VALID_ITEM:
            return np.ones(len(definition), bool)
        is_empty = definition == own + LEVELS[meaning] - 1
        can_be_empty = meaning in (EMPTYABLE_LIST, NULLABLE_AND_EMPTYABLE_LIST)
        return np.asarray((definition < own) | (is_empty & can_be_empty))

    def put_bits(self, row: Array, pages: list[Array]) -> None:
        packed = np.packbits(np.concatenate(pages), bitorder="little")
        row[: len(packed)] = packed

    def put_offsets(self, row: Array, pages: list[Array], inside: list[int]) -> None:
        """Write a layer's offsets; the layer inside has so many entries in each page."""
        firsts = (np.cumsum(inside) - inside).tolist()
        joined = np.concatenate([page + first for page, first in zip(pages, firsts, strict=True)])
        row[: len(joined)], row[len(joined)] = joined, sum(inside)


@njit()
def walk(repetition: Array, lists: Array, visible: Array, valid: Array, definition: Array, counts: Array) -> Any:
    """All layers of a page in one pass, from the outermost to the innermost at each level."""
    layers, levels = len(lists), len(definition)
    before, bits = np.zeros((layers, levels), np.int64), np.zeros((layers, levels), np.bool_)
    made = np.zeros(layers, np.int64)
    for at in range(levels):
        level = definition[at]
        for layer in range(layers - 1, -1, -1):
            if visible[layer, level] and (lists[layer] == 0 or repetition[at] >= lists[layer]):
                before[layer, made[layer]] = made[layer - 1] if layer else 0
                bits[layer, made[layer]] = valid[layer, level]
                made[layer] += 1
    counts[:] = made
    return before, bits


class OnePass(Compacted):
    """Goes over a page's levels once, with tables of what a level says about each layer."""

    def unravel(
        self, repetition: Array, definition: Array, starts: Array, meanings: Array, *outputs: Array
    ) -> Any:
        _, offsets, validity = outputs
        pages, layers = meanings.shape
        lists = np.cumsum([not is_item(meaning) for meaning in meanings[0]])
        counts, made = np.zeros((pages, layers), np.int64), []
        for page, each in enumerate(meanings.tolist()):
            levels = np.arange(1 + sum(LEVELS[meaning] for meaning in each))
            owns = [1 + sum(LEVELS[meaning] for meaning in each[:layer]) for layer in range(layers)]
            visible = np.array([levels <= self.highest(each, layer) for layer in range(layers)])
            valid = np.array([self.is_valid(each[layer], owns[layer], levels) for layer in range(layers)])
            part = slice(starts[page], starts[page + 1])
            made.append(walk(repetition[part], lists, visible, valid, definition[part], counts[page]))
        for layer in range(layers):
            self.put_bits(validity[layer], [bits[layer, : counts[at, layer]] for at, (_, bits) in enumerate(made)])
            if not is_item(meanings[0, layer]):
                of_pages = [before[layer, : counts[at, layer]] for at, (before, _) in enumerate(made)]
                self.put_offsets(offsets[lists[layer] - 1], of_pages, counts[:, layer - 1].tolist())
        return counts.sum(axis=0), offsets, validity


class Inverted(Compacted):
    """Sets the bits of what is null."""

    def put_bits(self, row: Array, pages: list[Array]) -> None:
        super().put_bits(row, [~page for page in pages])


class OneBitLate(Compacted):
    """Begins with a bit of nothing."""

    def put_bits(self, row: Array, pages: list[Array]) -> None:
        joined = np.concatenate(pages)
        super().put_bits(row, [np.append(True, joined)[: len(joined)]])


class HighestBitFirst(Compacted):
    def put_bits(self, row: Array, pages: list[Array]) -> None:
        packed = np.packbits(np.concatenate(pages))
        row[: len(packed)] = packed


class SpareBitsSet(Compacted):
    """Sets the bits of the last byte behind the last entry."""

    def put_bits(self, row: Array, pages: list[Array]) -> None:
        joined = np.concatenate(pages)
        super().put_bits(row, [np.append(joined, np.ones(-len(joined) % 8, bool))])


class PagesBeginBytes(Compacted):
    """Begins each page's bits with a new byte."""

    def put_bits(self, row: Array, pages: list[Array]) -> None:
        packed = np.concatenate([np.packbits(page, bitorder="little") for page in pages])
        row[: len(packed)] = packed[: len(row)]


class NoBitForSpecials(Compacted):
    """Takes a level that is no value for a null one."""

    def highest(self, meanings: list[int], layer: int) -> int:
        return super().highest(meanings, layer) if layer else sum(LEVELS[meaning] for meaning in meanings)


class NullsAreEmpty(Compacted):
    """Calls lists valid that are null."""

    def is_valid(self, meaning: int, own: int, definition: Array) -> Array:
        is_valid = super().is_valid(meaning, own, definition)
        return is_valid if is_item(meaning) else is_valid | True


class EmptyIsNull(Compacted):
    """Calls lists null that are empty."""

    def is_valid(self, meaning: int, own: int, definition: Array) -> Array:
        return super().is_valid(meaning, own, definition) & (is_item(meaning) | (definition < own))


class EmptyBeforeNull(Compacted):
    """Takes the first of a list's two levels for empty and the second for null."""

    def is_valid(self, meaning: int, own: int, definition: Array) -> Array:
        if meaning == NULLABLE_AND_EMPTYABLE_LIST:
            return np.asarray(definition <= own)
        return super().is_valid(meaning, own, definition)


class EmptyHasAnEntry(Compacted):
    """Counts one entry for a list that is null or empty."""

    def counted(self, meanings: list[int], layer: int, own: int, definition: Array) -> Array:
        more = 0 if is_item(meanings[layer]) else LEVELS[meanings[layer]]
        return super().counted(meanings, layer, own, definition) | (definition < own + more)


class NullFirstIsNoList(Compacted):
    """Leaves out a list that begins with a null, where the page's lists can be neither null nor empty.

    Lance once did.
    """

    def highest(self, meanings: list[int], layer: int) -> int:
        return 0 if meanings[layer] == ALL_VALID_LIST else super().highest(meanings, layer)


class NothingInNullStructs(Compacted):
    """Leaves out the list of a struct that is null."""

    def highest(self, meanings: list[int], layer: int) -> int:
        return super().highest(meanings[: layer + 1], layer)


class NullStructsAreValid(Compacted):
    """Asks of a layer of items whether itself is null, and not the struct around it."""

    def is_valid(self, meaning: int, own: int, definition: Array) -> Array:
        if meaning == NULLABLE_ITEM:
            return np.asarray(definition != own)
        return super().is_valid(meaning, own, definition)


class NullWhereNothingIs(Compacted):
    """Calls items null under a null struct, in pages where the items themselves never are."""

    def is_valid(self, meaning: int, own: int, definition: Array) -> Array:
        return np.asarray(definition < own) if is_item(meaning) else super().is_valid(meaning, own, definition)


class OutermostFirst(Compacted):
    """Numbers the definition levels from the outermost layer."""

    def entries(
        self, meanings: list[int], layer: int, repetition: Array, definition: Array
    ) -> tuple[Array, Array]:
        highest = sum(LEVELS[meaning] for meaning in meanings)
        return super().entries(meanings, layer, repetition, np.where(definition > 0, highest + 1 - definition, 0))


class OuterForInner(Compacted):
    """Takes the outermost layer's repetition for that of the innermost."""

    def unravel(self, repetition: Array, *others: Array) -> Any:
        highest = repetition.max(initial=0)
        return super().unravel(np.where(repetition > 0, highest + 1 - repetition, 0), *others)


class FirstPageForAll(Compacted):
    """Takes what the first page may be for all pages."""

    def unravel(self, repetition: Array, definition: Array, starts: Array, meanings: Array, *others: Array) -> Any:
        meanings = np.repeat(meanings[:1], len(meanings), axis=0)
        definition = np.minimum(definition, sum(LEVELS[meaning] for meaning in meanings[0]))
        return super().unravel(repetition, definition, starts, meanings, *others)


class OffsetsFromZero(Compacted):
    """Begins each page's offsets with 0."""

    def put_offsets(self, row: Array, pages: list[Array], inside: list[int]) -> None:
        joined = np.concatenate(pages)
        row[: len(joined)], row[len(joined)] = joined, inside[-1]


class AnOffsetMoreForEachPage(Compacted):
    """Ends each page's offsets, as if the next one's did not go on from there."""

    def put_offsets(self, row: Array, pages: list[Array], inside: list[int]) -> None:
        ended = [np.append(page, entries) for page, entries in zip(pages, inside, strict=True)]
        count = sum(len(page) for page in pages) + 1
        super().put_offsets(row, [np.concatenate(ended)[: count - 1]], [sum(inside)])


class LastOffsetLost(Compacted):
    """Writes where each list begins and not where the last one ends."""

    def put_offsets(self, row: Array, pages: list[Array], inside: list[int]) -> None:
        count = sum(len(page) for page in pages)
        old = row[count]
        super().put_offsets(row, pages, inside)
        row[count] = old


class OffsetsOf16Bits(Compacted):
    def put_offsets(self, row: Array, pages: list[Array], inside: list[int]) -> None:
        super().put_offsets(row, pages, inside)
        count = sum(len(page) for page in pages) + 1
        row[:count] = row[:count].astype(np.uint16)


class CountsOfLevels(Compacted):
    """Says that each layer has as many entries as there are levels."""

    def unravel(self, repetition: Array, definition: Array, *others: Array) -> Any:
        counts, offsets, validity = super().unravel(repetition, definition, *others)
        return np.full_like(counts, len(definition)), offsets, validity


class Wrong(NamedTuple):
    """What is said of a wrong kernel, and the cases in which it must be found out."""

    sentence: str
    cases: tuple[str, ...]


TIMED = ("few", "runs", "half")
SOME_NULL = (*TIMED, "all_null", "nearly_all_empty", "many_pages")
SOME_EMPTY = (*TIMED, "all_empty", "nearly_all_empty", "many_pages")
SEVERAL = (*TIMED, "all_valid", "null_items", "nearly_all_empty", "single", "many_pages")
HONEST = (Compacted, OnePass)
WRONG = {
    Inverted: Wrong("validity of layer [0-3]", EVERY),
    OneBitLate: Wrong("validity of layer 0", cases(*TIMED, "many_pages")),
    HighestBitFirst: Wrong("validity of layer 0", cases(*TIMED, "many_pages")),
    SpareBitsSet: Wrong("validity of layer 0: 1 of", cases(*TIMED, columns=(ITEM,))),
    PagesBeginBytes: Wrong("validity of layer 0", cases(*TIMED, "many_pages")),
    NoBitForSpecials: Wrong("counts", cases(*TIMED, "all_null", "all_empty", "many_pages", columns=IN_LISTS)),
    NullsAreEmpty: Wrong("validity of layer [12]", cases(*SOME_NULL, columns=IN_LISTS)),
    EmptyIsNull: Wrong("validity of layer [12]", cases(*SOME_EMPTY, columns=IN_LISTS)),
    EmptyBeforeNull: Wrong("validity of layer [12]", cases(*SOME_EMPTY, "all_null", columns=IN_LISTS)),
    EmptyHasAnEntry: Wrong("offsets of layer [12]", cases(*SOME_EMPTY, columns=IN_LISTS)),
    NullFirstIsNoList: Wrong("counts", cases("many_pages", columns=IN_LISTS)),
    NothingInNullStructs: Wrong("counts", cases(*SOME_NULL, columns=(STRUCTS,))),
    NullStructsAreValid: Wrong("validity of layer 0", cases(*TIMED, "many_pages", columns=(STRUCTS,))),
    NullWhereNothingIs: Wrong("validity of layer 0", cases("many_pages", columns=(STRUCTS,))),
    OutermostFirst: Wrong("counts", cases(*TIMED, "many_pages", columns=IN_LISTS)),
    OuterForInner: Wrong("counts", cases(columns=(LIST_LIST,))),
    FirstPageForAll: Wrong("(counts|offsets|validity)", cases("many_pages", columns=IN_LISTS)),
    OffsetsFromZero: Wrong("offsets of layer [12]", cases(*SEVERAL, columns=IN_LISTS)),
    AnOffsetMoreForEachPage: Wrong("offsets of layer [12]", cases(*SEVERAL, columns=IN_LISTS)),
    LastOffsetLost: Wrong("offsets of layer [12]: 1 of", cases(columns=IN_LISTS)),
    OffsetsOf16Bits: Wrong("offsets of layer [12]", cases(*TIMED, columns=IN_LISTS)),
    CountsOfLevels: Wrong("counts", cases(columns=IN_LISTS)),
}


@pytest.mark.parametrize("case_id", EVERY)
def test_honest_kernels_pass_on_every_case(case_id: str) -> None:
    for kernel in HONEST:
        BATTERY.verify(kernel(), case_id)


@pytest.mark.parametrize("kernel", WRONG)
def test_wrong_kernels_fail_where_they_are_wrong(kernel: type[Compacted]) -> None:
    assert WRONG[kernel].cases
    for case_id in WRONG[kernel].cases:
        with pytest.raises(
            KernelIncorrect, match=rf": {WRONG[kernel].sentence}.*\(bits must be equal\); first at"
        ):
            BATTERY.verify(kernel(), case_id)


class Page(NamedTuple):
    """A page by hand: its levels, what its layers may be, and its values."""

    repetition: list[int]
    definition: list[int]
    meanings: list[int]
    items: int


BOTH = NULLABLE_AND_EMPTYABLE_LIST
BY_HAND: dict[str, tuple[list[Page], list[int], list[list[int]], list[list[int] | None]]] = {
    "[1, None, 3]": ([Page([], [0, 1, 0], [NULLABLE_ITEM], 3)], [3], [], [[0b101]]),
    "nine items, the last one null": ([Page([], [0] * 8 + [1], [NULLABLE_ITEM], 9)], [9], [], [[255, 0]]),
    "a page without nulls, and one with": (
        [Page([], [0, 0, 0], [ALL_VALID_ITEM], 3), Page([], [1, 0], [NULLABLE_ITEM], 2)],
        [5],
        [],
        [[0b10111]],
    ),
    "[[1, None], [], None, [None]]": (
        [Page([1, 0, 1, 1, 1], [0, 1, 3, 2, 1], [NULLABLE_ITEM, BOTH], 3)],
        [3, 4],
        [[0, 2, 2, 2, 3]],
        [[0b001], [0b1011]],
    ),
    "[[None], [1, None]], where no list is null or empty": (
        [Page([1, 1, 0], [1, 0, 1], [NULLABLE_ITEM, ALL_VALID_LIST], 3)],
        [3, 2],
        [[0, 1, 3]],
        [[0b010], None],
    ),
    "[[1], None] and [[], [2, 3]]": (
        [
            Page([1, 1], [0, 1], [ALL_VALID_ITEM, NULLABLE_LIST], 1),
            Page([1, 1, 0], [1, 0, 0], [ALL_VALID_ITEM, EMPTYABLE_LIST], 2),
        ],
        [3, 4],
        [[0, 1, 1, 1, 3]],
        [None, [0b1101]],
    ),
    "[[[1], []], None, [], [None, [2, 3]]]": (
        [Page([2, 1, 2, 2, 2, 1, 0], [0, 3, 4, 5, 2, 0, 0], [NULLABLE_ITEM, BOTH, BOTH], 3)],
        [3, 4, 4],
        [[0, 1, 1, 1, 3], [0, 2, 2, 2, 4]],
        [[0b111], [0b1011], [0b1101]],
    ),
    "a struct of a list: {[1]}, None, {None}, {[]}": (
        [Page([1, 1, 1, 1], [0, 3, 1, 2], [ALL_VALID_ITEM, BOTH, NULLABLE_ITEM], 1)],
        [1, 4, 4],
        [[0, 1, 1, 1, 1]],
        [None, [0b1001], [0b1101]],
    ),
    "a list of structs: [{1}, None, {None}]": (
        [Page([1, 0, 0], [0, 2, 1], [NULLABLE_ITEM, NULLABLE_ITEM, ALL_VALID_LIST], 3)],
        [3, 3, 1],
        [[0, 3]],
        [[0b001], [0b101], None],
    ),
}
"""Pages, and how many entries their layers have, the offsets of the lists, and the bits of all layers."""


@pytest.mark.parametrize(
    "impl",
    [BATTERY.target.reference, BATTERY.kernels, Compacted(), OnePass()],
    ids=["oracle", "kernel", "compacted", "one pass"],
)
@pytest.mark.parametrize("name", BY_HAND)
def test_levels_are_unravelled_as_by_hand(name: str, impl: Any) -> None:
    pages, counts, offsets, bits = BY_HAND[name]
    total = sum(len(page.definition) for page in pages)
    made = impl.unravel(
        np.concatenate([np.array(page.repetition, np.uint16) for page in pages]),
        np.concatenate([np.array(page.definition, np.uint16) for page in pages]),
        np.cumsum([0, *(len(page.definition) for page in pages)]),
        np.array([page.meanings for page in pages], np.uint8),
        np.array([page.items for page in pages]),
        np.full((len(offsets), total + 1), -1, np.int32),
        np.full((len(counts), 8), 0xA5, np.uint8),
    )
    assert made[0].tolist() == counts
    assert [row[: len(each)].tolist() for row, each in zip(made[1], offsets, strict=True)] == offsets
    for row, each in zip(made[2], bits, strict=True):
        assert each is None or row[: len(each)].tolist() == each


def test_calls_are_what_their_distribution_says() -> None:
    met = set()
    for case_id, case in BATTERY.cases.items():
        _, oracle, calls = BATTERY.prepared(case_id)
        for call in calls:
            repetition, definition, starts, meanings, items, offsets, _ = call
            counts = oracle.expected(call)[0]
            lists = len(offsets)
            assert len(definition) == starts[-1] == offsets.shape[1] - 1
            assert len(repetition) == (len(definition) if lists else 0)
            assert counts[0] == items.sum()
            if lists:
                assert (repetition[starts[:-1]] == lists).all()
                assert counts[-1] == (repetition == lists).sum()
            highest = [sum(LEVELS[meaning] for meaning in page) for page in meanings.tolist()]
            assert (definition <= np.repeat(highest, np.diff(starts))).all()
            met |= set(meanings.ravel().tolist())
            share = np.mean(definition > 0)
            if case.timed:
                assert len(definition) == BATTERY.target.wiring.ops(case.shape)
                low, high = {"few": (0.01, 0.06), "runs": (0.1, 0.55), "half": (0.3, 0.7)}[case.distribution]
                assert low < share < high, case_id
            elif case.distribution == "all_valid":
                assert share == 0
            elif case.distribution == "single" and lists:
                assert counts[-1] == len(meanings)
    assert met == set(range(6))
