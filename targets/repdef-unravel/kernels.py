"""Repetition and definition levels to offsets and validity bitmaps. The file that an agent edits.

What makes it fast: 64 levels at a time become masks, two for each layer: which levels begin an entry of the layer,
and which of these are valid. What a level says of four layers is a byte, found in a table of 64 bytes by one
shuffle; 64 such bytes are transposed, bit by bit, to eight masks. From there on a layer takes no decisions. Its
bits are collected from the mask by one instruction and appended as a word. Its offsets are the ranks of all 64
levels in the layer inside, squeezed to those that begin a list, and are stored 16 at a time. A column without
lists needs only one comparison of 64 levels for each word of bits. Levels are read once, in pieces of 4 KB, which
all layers take from the nearest cache, and definition levels are not read where a page has none.

In Rust: `_mm512_permutexvar_epi8`, `_mm512_gf2p8affine_epi64_epi8` for the transposition, `_pext_u64`,
`_mm512_maskz_compress_epi8` and `_mm512_cmple_epu16_mask` (AVX-512 with VBMI2, GFNI, BMI2). The other branch, for
any processor, makes the masks by comparisons and takes their bits one by one. Lance 14.0.2 takes level by level,
once for each layer: `CompositeRepDefUnraveler::unravel_validity` and `unravel_offsets`
(rust/lance-encoding/src/repdef.rs); `benchmarks/ports/repdef-unravel/kernels.py` is a port of that.

Stays: `unravel(repetition, definition, starts, meanings, items, offsets, validity)`, with the dtypes and shapes
that its docstring gives.

CAN: make all layers in one pass, or take several passes over the levels; write in words of any size, and anything
behind the entries of a row of `offsets` or `validity`; have special paths for columns of one layer, for pages
without nulls, for long lists.
CANNOT: keep anything that depends on a call's arguments for a later call; write to other arguments than `offsets`
and `validity`; start threads or processes; import anything but numba, llvmlite.ir, numpy and the mathematics of
the standard library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Levels = NDArray[np.uint16]
    Numbers = NDArray[np.int64]
    Offsets = NDArray[np.int32]
    Bytes = NDArray[np.uint8]
    Words = NDArray[np.uint64]
    Pointer = Any

ALL_VALID_ITEM, ALL_VALID_LIST, NULLABLE_ITEM, NULLABLE_LIST, EMPTYABLE_LIST, NULLABLE_AND_EMPTYABLE_LIST = range(
    6
)
"""What a layer of a page may be (`DefinitionInterpretation`). Structs are items."""

WORD = 64
"""Levels of a mask."""
PIECE = 2048
"""Levels that are unravelled together; half as many where there are repetition levels, too."""
CODES = 64
"""Bytes of a table, one for each pair of a repetition and a definition level."""
TOGETHER = 4
"""Layers of a table, of which each has two bits of a byte."""
MASKS = 2 * TOGETHER
"""Masks that a table makes of 64 levels: for each layer its entries, and what is valid."""

LISTS, VISIBLE, VALID, EMPTY = range(4)
RULES = 4
"""What is known of a layer in a page: from which repetition level on its entries begin, the highest definition
level that has an entry, the highest one that leaves it valid, and that of an empty list, or -1."""

NONE, ONE, LAST, FULL = np.uint64(0), np.uint64(1), np.uint64(WORD - 1), np.uint64(2**WORD - 1)


def unravel(
    repetition: Levels,
    definition: Levels,
    starts: Numbers,
    meanings: Bytes,
    items: Numbers,
    offsets: Offsets,
    validity: Bytes,
) -> tuple[Numbers, Offsets, Bytes]:
    """Unravel the levels of p pages into the layers of a column: l layers, k of them lists.

    Layer 0 is the innermost, the values. A layer has entries: values, structs or lists. An *item* layer has
    one entry for each entry of the layer inside it, a list layer one for each list.

    Parameters
    ----------
    repetition : uint16, shape (n,), or (0,) where k is 0
        For each level how many layers of lists begin a new list there, counted from the innermost: 0 goes on in
        the innermost list, k begins a new one in every layer. A page begins with k.
    definition : uint16, shape (n,)
        For each level 0, where everything is valid, or what is not. The layers of a page number theirs from the
        innermost, from 1: NULLABLE_ITEM, NULLABLE_LIST and EMPTYABLE_LIST have one number each, which says that
        the entry is null, or that the list is empty; NULLABLE_AND_EMPTYABLE_LIST has two, null and then empty;
        the others have none. Behind a list that is null or empty there is no entry in the layers inside it.
        Where an item is null, so are the entries of the layers inside it, up to the first list, which has none;
        but entries of an ALL_VALID_ITEM are always valid.
    starts : int64, shape (p + 1,)
        Page j has the levels `starts[j]` to `starts[j + 1]`, one or more; from 0 to n.
    meanings : uint8, shape (p, l)
        What the layers of each page are, from ALL_VALID_ITEM to NULLABLE_AND_EMPTYABLE_LIST. Whether a layer has
        items or lists is the same in all pages; layer 0 has items.
    items : int64, shape (p,)
        How many entries layer 0 has in each page.
    offsets : int32, shape (k, n + 1)
        To be filled: row j with the offsets of the j-th layer of lists, the innermost first. They begin with 0
        and go on through all pages: list i has the entries `offsets[i]` to `offsets[i + 1]` of the layer inside.
    validity : uint8, shape (l, m), 8 * m >= n and m a multiple of 8
        To be filled: row j with a bit for each entry of layer j, the lowest bit of a byte first: 1 is valid, 0 is
        null. The bits of the last byte behind the last entry are 0. Where layer j is nullable in no page, its row
        may become anything.

    Returns
    -------
    counts : int64, shape (l,)
        How many entries each layer has. What lies behind `counts[j] + 1` offsets and `counts[j]` bits, rounded
        up to bytes, may become anything.
    offsets, validity : the arguments
    """
    counts = np.zeros(len(validity), np.int64)
    _unravel(repetition, definition, starts, meanings, offsets, validity, counts)
    return counts, offsets, validity


@njit
def _unravel(
    repetition: Levels,
    definition: Levels,
    starts: Numbers,
    meanings: Bytes,
    offsets: Offsets,
    validity: Bytes,
    counts: Numbers,
) -> None:
    """Fill `offsets`, `validity` and `counts`; the scratch memory lives as long as the pointers into it."""
    layers = len(validity)
    tables = -(-layers // TOGETHER)
    _unravel_pages(
        *(repetition, definition, starts, meanings, offsets, validity, counts),
        np.empty(RULES * layers, np.int64),
        np.empty(CODES * tables, np.uint8),
        np.empty(PIECE // WORD * MASKS * tables, np.uint64),
        np.zeros(layers, np.uint64),
        np.empty((2, PIECE), np.uint16),
    )


@njit
def _unravel_pages(
    repetition: Levels,
    definition: Levels,
    starts: Numbers,
    meanings: Bytes,
    offsets: Offsets,
    validity: Bytes,
    counts: Numbers,
    rules: Numbers,
    tables: Bytes,
    masks: Words,
    pending: Words,
    kept: Levels,
) -> None:
    """Unravel page after page, piece by piece.

    `pending` has for each layer the bits of a word that is not full yet. Levels are loaded 64 at a time: where
    that would go beyond the last one, they are copied to `kept` first.
    """
    layers, row, total = len(validity), validity.shape[1], definition.size
    known, table, mask = _pointer(rules), _pointer(tables), _pointer(masks)
    bits, count, started = _pointer(validity), _pointer(counts), _pointer(pending)
    for page in range(len(starts) - 1):
        levels = _read_rules(_from(_pointer(meanings), page * layers), layers, known)
        lists = known[RULES * (layers - 1) + LISTS]
        codes = (levels + 1) * (lists + 1)
        if codes <= CODES:
            _fill_tables(known, layers, levels, lists, table)
        piece = PIECE // 2 if lists else PIECE
        for first in range(starts[page], starts[page + 1], piece):
            size = min(starts[page + 1] - first, piece)
            words = -(-size // WORD)
            begins, defines = _from(_pointer(repetition), first), _from(_pointer(definition), first)
            if first + WORD * words > total:
                defines = _copy(defines, size, _pointer(kept))
                begins = _copy(begins, size, _from(defines, PIECE)) if lists else begins
            if not lists:
                for layer in range(layers):
                    valid, target = known[RULES * layer + VALID], _from(bits, layer * row)
                    started[layer] = _append_items(
                        defines, size, valid, levels, mask, target, count[layer], started[layer]
                    )
                    count[layer] += size
            else:
                _make_masks(begins, defines, words, known, layers, levels, codes, table, mask)
                _unravel_piece(mask, size, known, layers, _pointer(offsets), total, bits, row, count, started)
    _finish(known, offsets, bits, row, counts, started)


@njit
def _finish(rules: Pointer, offsets: Offsets, bits: Pointer, row: int, counts: Numbers, pending: Pointer) -> None:
    """Write the last word of each layer, if it is not full, and the last offset of each layer of lists."""
    inside = 0
    for layer in range(len(counts)):
        lists, count = rules[RULES * layer + LISTS], counts[layer]
        if count % WORD:
            _store(bits, layer * row + count // WORD * 8, pending[layer])
        if lists > inside:
            offsets[lists - 1, count] = counts[layer - 1]
        inside = lists


@njit
def _read_rules(meanings: Pointer, layers: int, rules: Pointer) -> int:
    """Fill in the rules of a page; return how many definition levels it has."""
    level, lists = 0, 0
    for layer in range(layers):
        meaning, rule = meanings[layer], RULES * layer
        lists += meaning not in (ALL_VALID_ITEM, NULLABLE_ITEM)
        rules[rule + LISTS], rules[rule + VALID], rules[rule + EMPTY] = lists, level, -1
        level += meaning >= NULLABLE_ITEM
        if meaning == EMPTYABLE_LIST:
            rules[rule + VALID] = level
        if meaning == NULLABLE_AND_EMPTYABLE_LIST:
            level += 1
            rules[rule + EMPTY] = level
    visible = level
    for layer in range(layers - 1, -1, -1):
        meaning, rule = meanings[layer], RULES * layer
        rules[rule + VISIBLE] = visible
        if meaning == ALL_VALID_ITEM:
            rules[rule + VALID] = level
        elif meaning != NULLABLE_ITEM:
            visible = rules[rule + VALID] - (meaning == EMPTYABLE_LIST)
    return level


@njit
def _fill_tables(rules: Pointer, layers: int, levels: int, lists: int, tables: Pointer) -> None:
    """Fill in what each pair of levels says; its code is that of its definition level, with the others before."""
    for first in range(0, layers, TOGETHER):
        code = first // TOGETHER * CODES
        for repetition in range(lists + 1):
            for definition in range(levels + 1):
                said = 0
                for layer in range(first, min(first + TOGETHER, layers)):
                    rule = RULES * layer
                    is_entry = (repetition >= rules[rule + LISTS]) & (definition <= rules[rule + VISIBLE])
                    is_valid = (definition <= rules[rule + VALID]) | (definition == rules[rule + EMPTY])
                    said |= (is_entry | is_valid << 1) << 2 * (layer - first)
                tables[code] = said
                code += 1


@njit
def _copy(levels: Pointer, size: int, target: Pointer) -> Pointer:
    for at in range(size):
        target[at] = levels[at]
    return target


@njit
def _make_masks_at_once(
    repetition: Pointer,
    definition: Pointer,
    words: int,
    rules: Pointer,
    layers: int,
    levels: int,
    codes: int,
    tables: Pointer,
    masks: Pointer,
) -> None:
    """Make the masks of a piece by tables, if these have room for all pairs of levels."""
    if codes > CODES:
        _make_masks_by_comparisons(repetition, definition, words, rules, layers, levels, codes, tables, masks)
        return
    if levels == 0:
        definition, factor = repetition, 0
    else:
        factor = levels + 1
    groups = -(-layers // TOGETHER)
    for group in range(groups):
        for word in range(words):
            _look_up(
                *(repetition, definition, WORD * word, factor, _from(tables, CODES * group)),
                _from(masks, MASKS * (word * groups + group)),
            )


@njit
def _make_masks_by_comparisons(
    repetition: Pointer,
    definition: Pointer,
    words: int,
    rules: Pointer,
    layers: int,
    _levels: int,
    _codes: int,
    _tables: Pointer,
    masks: Pointer,
) -> None:
    """Make the same masks on any processor, and for any number of levels."""
    stride = -(-layers // TOGETHER) * MASKS
    for layer in range(layers):
        rule = RULES * layer
        lists, visible, valid, empty = rules[rule], rules[rule + VISIBLE], rules[rule + VALID], rules[rule + EMPTY]
        for word in range(words):
            at, place = WORD * word, word * stride + 2 * layer
            masks[place] = _up_to(definition, at, visible)
            if lists:
                masks[place] &= ~_up_to(repetition, at, lists - 1)
            masks[place + 1] = _up_to(definition, at, valid)
            if empty > 0:
                masks[place + 1] |= _up_to(definition, at, empty) & ~_up_to(definition, at, empty - 1)


@njit
def _unravel_piece(
    masks: Pointer,
    size: int,
    rules: Pointer,
    layers: int,
    offsets: Pointer,
    total: int,
    validity: Pointer,
    row: int,
    counts: Pointer,
    pending: Pointer,
) -> None:
    """Go on with each layer, from the innermost, by the masks of `size` levels."""
    words, stride = -(-size // WORD), -(-layers // TOGETHER) * MASKS
    inside, length = 0, 0
    for layer in range(layers):
        masks[(words - 1) * stride + 2 * layer] &= FULL >> np.uint64(-size % WORD)
        lists, count = rules[RULES * layer + LISTS], counts[layer]
        counts[layer], pending[layer] = _unravel_layer(
            *(words, _from(masks, 2 * layer), stride, lists > inside),
            *(_from(offsets, (lists - 1) * (total + 1)), total + 2 - WORD, length),
            *(_from(validity, layer * row), count, pending[layer]),
        )
        inside, length = lists, count


@njit
def _unravel_layer(
    words: int,
    masks: Pointer,
    stride: int,
    is_list: bool,
    offsets: Pointer,
    room: int,
    length: int,
    validity: Pointer,
    count: int,
    pending: np.uint64,
) -> tuple[int, np.uint64]:
    """Append bits, and offsets, behind `count` entries with `length` entries inside; return the next `count` and
    the bits that are pending. From `room` entries on, offsets are stored one by one."""
    for word in range(words):
        entries, valid = masks[word * stride], masks[word * stride + 1]
        if is_list:
            inside = masks[word * stride - 2]
            if count < room:
                _put(offsets, count, length, inside, entries)
            else:
                _put_one_by_one(offsets, count, length, inside, entries)
            length += _ones(inside)
        more = _ones(entries)
        pending = _append(validity, count, pending, _collect(valid, entries), more)
        count += more
    return count, pending


@njit
def _append_items(
    definition: Pointer,
    size: int,
    valid: int,
    levels: int,
    masks: Pointer,
    validity: Pointer,
    count: int,
    pending: np.uint64,
) -> np.uint64:
    """Append the bits of a layer of a column without lists, where each level is an entry; return those pending."""
    whole, rest = size // WORD, size % WORD
    for word in range(-(-size // WORD)):
        masks[word] = _up_to(definition, WORD * word, valid) if valid < levels else FULL
    for word in range(whole):
        pending = _append(validity, count + WORD * word, pending, masks[word], WORD)
    if rest:
        bits = masks[whole] & (FULL >> np.uint64(WORD - rest))
        pending = _append(validity, count + WORD * whole, pending, bits, rest)
    return pending


@njit
def _append(validity: Pointer, count: int, pending: np.uint64, bits: np.uint64, more: int) -> np.uint64:
    """Append `more` bits, up to 64, behind `count`; return those of the word that is not full then."""
    shift = np.uint64(count) & LAST
    word = pending | bits << shift
    _store(validity, (count >> 6) * 8, word)
    return (bits >> ONE) >> (LAST - shift) if shift + np.uint64(more) > LAST else word


@njit
def _put_one_by_one(offsets: Pointer, at: int, length: int, inside: np.uint64, begins: np.uint64) -> None:
    """Store, from `at` on, for each bit of `begins` how many bits of `inside` are below it, plus `length`."""
    while begins:
        below = (begins & (NONE - begins)) - ONE
        offsets[at] = length + _ones(inside & below)
        at += 1
        begins &= begins - ONE


@njit
def _collect_one_by_one(bits: np.uint64, mask: np.uint64) -> np.uint64:
    """Return the bits at the places of the mask, side by side."""
    found, place = NONE, NONE
    while mask:
        lowest = mask & (NONE - mask)
        found |= np.uint64((bits & lowest) != NONE) << place
        place += ONE
        mask ^= lowest
    return found


WORDS = ir.VectorType(ir.IntType(64), 8)
LEVELS = ir.VectorType(ir.IntType(16), WORD)
BYTES = ir.VectorType(ir.IntType(8), WORD)
FLAGS = ir.VectorType(ir.IntType(1), WORD)
SUMS = ir.VectorType(ir.IntType(8), 8)
OFFSETS = ir.VectorType(ir.IntType(32), 16)
BEFORE = 0x0101010101010100
"""Times eight bytes, this makes of each the sum of those before it."""


def _places(places: list[int]) -> Any:
    """Return the constant that says which elements a shuffle takes."""
    return ir.Constant(ir.VectorType(ir.IntType(32), len(places)), places)


def _everywhere(builder: Any, value: Any, kind: Any) -> Any:
    """Return a vector of a value."""
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.IntType(32)(0))
    return builder.shuffle_vector(one, one, _places([0] * kind.count))


def _vector_at(builder: Any, pointer: Any, at: Any, kind: Any) -> Any:
    """Return a pointer to the vector that begins there."""
    return builder.bitcast(builder.gep(pointer, [at]), kind.as_pointer())


@intrinsic  # type: ignore[untyped-decorator]  # numba is not typed
def _pointer(typingctx: Any, array: Any) -> Any:
    """A pointer to the first element of an array: numba counts references to arrays, and none to pointers."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return context.make_array(signature.args[0])(context, builder, arguments[0]).data

    return types.CPointer(array.dtype)(array), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _from(typingctx: Any, pointer: Any, at: Any) -> Any:
    """A pointer to the element that is so many further."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.gep(arguments[0], [arguments[1]])

    return pointer(pointer, types.int64), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _store(typingctx: Any, target: Any, at: Any, word: Any) -> Any:
    """Store a word, of any alignment, `at` bytes from the target."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        target, at, word = arguments
        builder.store(word, builder.bitcast(builder.gep(target, [at]), word.type.as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(target, types.int64, types.uint64), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _ones(typingctx: Any, mask: Any) -> Any:
    """How many bits of a mask are 1."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.int64(types.uint64), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _up_to(typingctx: Any, levels: Any, at: Any, limit: Any) -> Any:
    """A mask of those of the 64 levels from `at` on that are at or below the limit."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        levels, at, limit = arguments
        found = builder.load(_vector_at(builder, levels, at, LEVELS), align=2)
        limits = _everywhere(builder, builder.trunc(limit, LEVELS.element), LEVELS)
        return builder.bitcast(builder.icmp_unsigned("<=", found, limits), WORDS.element)

    return types.uint64(levels, types.int64, types.int64), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _collect_at_once(typingctx: Any, bits: Any, mask: Any) -> Any:
    """The same as `_collect_one_by_one`, with `pext`."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word = WORDS.element
        kind = ir.FunctionType(word, [word, word])
        return builder.call(builder.module.declare_intrinsic("llvm.x86.bmi.pext.64", (), kind), arguments)

    return types.uint64(types.uint64, types.uint64), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _look_up(
    typingctx: Any, repetition: Any, definition: Any, at: Any, factor: Any, table: Any, masks: Any
) -> Any:
    """Make eight masks of the 64 levels from `at` on: mask i has bit i of what the table says of each level.

    A level's place in the table is that of its definition level plus `factor` times that of its repetition level.
    A transposition of eight bytes begins with the last, so that levels are taken backwards, by eights.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        repetition, definition, at, factor, table, masks = arguments
        begins, defines = (
            builder.load(_vector_at(builder, levels, at, LEVELS), align=2) for levels in (repetition, definition)
        )
        factors = _everywhere(builder, builder.trunc(factor, LEVELS.element), LEVELS)
        code = builder.add(defines, builder.mul(begins, factors))
        halves = builder.bitcast(code, ir.VectorType(BYTES.element, 2 * WORD))
        code = builder.shuffle_vector(halves, halves, _places([2 * (level ^ 7) for level in range(WORD)]))
        kind = ir.FunctionType(BYTES, [BYTES, BYTES])
        shuffle = builder.module.declare_intrinsic("llvm.x86.avx512.permvar.qi.512", (), kind)
        entries = builder.load(builder.bitcast(table, BYTES.as_pointer()), align=1)
        said = builder.call(shuffle, [entries, code])
        kind = ir.FunctionType(BYTES, [BYTES, BYTES, BYTES.element])
        multiply = builder.module.declare_intrinsic("llvm.x86.vgf2p8affineqb.512", (), kind)
        unit = ir.Constant(BYTES, [1 << bit for bit in range(8)] * 8)
        planes = builder.call(multiply, [unit, said, BYTES.element(0)])
        by_mask = _places([8 * part + mask for mask in range(MASKS) for part in range(8)])
        found = builder.shuffle_vector(planes, planes, by_mask)
        builder.store(found, builder.bitcast(masks, BYTES.as_pointer()), align=8)
        return context.get_dummy_value()

    return types.void(repetition, definition, types.int64, types.int64, table, masks), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _put_at_once(typingctx: Any, offsets: Any, at: Any, length: Any, inside: Any, begins: Any) -> Any:
    """The same as `_put_one_by_one`; up to 64 offsets from `at` on may become anything behind them."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        offsets, at, length, inside, begins = arguments
        bits = builder.zext(builder.bitcast(inside, FLAGS), BYTES)
        within = builder.mul(builder.bitcast(bits, WORDS), ir.Constant(WORDS, [BEFORE] * WORDS.count))
        count = builder.module.declare_intrinsic("llvm.ctpop.v8i8", (), ir.FunctionType(SUMS, [SUMS]))
        sums = builder.bitcast(builder.call(count, [builder.bitcast(inside, SUMS)]), WORDS.element)
        before = builder.bitcast(builder.mul(sums, WORDS.element(BEFORE)), SUMS)
        before = builder.shuffle_vector(before, before, _places([level // 8 for level in range(WORD)]))
        ranks = builder.add(builder.bitcast(within, BYTES), before)
        kind = ir.FunctionType(BYTES, [BYTES, BYTES, FLAGS])
        squeeze = builder.module.declare_intrinsic("llvm.x86.avx512.mask.compress.v64i8", (), kind)
        rest = ir.Constant(BYTES, [1] * WORD)  # not 0, and no variable: the instruction waits for what it was
        found = builder.call(squeeze, [ranks, rest, builder.bitcast(begins, FLAGS)])
        lengths = _everywhere(builder, builder.trunc(length, OFFSETS.element), OFFSETS)

        def put(first: int) -> None:
            some = builder.shuffle_vector(found, found, _places(list(range(first, first + OFFSETS.count))))
            place = _vector_at(builder, offsets, builder.add(at, at.type(first)), OFFSETS)
            builder.store(builder.add(builder.zext(some, OFFSETS), lengths), place, align=4)

        put(0)
        many = builder.icmp_unsigned(">", builder.ctpop(begins), begins.type(OFFSETS.count))
        with builder.if_then(many, likely=False):
            for first in range(OFFSETS.count, WORD, OFFSETS.count):
                put(first)
        return context.get_dummy_value()

    return types.void(offsets, types.int64, types.int64, types.uint64, types.uint64), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _feature(typingctx: Any) -> Any:
    """Whether the processor that numba compiles for has what the functions named `at_once` need."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        features = context.codegen().magic_tuple()[2].split(",")
        return context.get_constant(types.boolean, {"+avx512vbmi2", "+gfni", "+bmi2"} <= set(features))

    return types.boolean(), codegen


@njit
def _has_instructions() -> bool:
    found: bool = _feature()
    return found


if _has_instructions():
    _make_masks, _collect, _put = _make_masks_at_once, _collect_at_once, _put_at_once
else:
    _make_masks, _collect, _put = _make_masks_by_comparisons, _collect_one_by_one, _put_one_by_one
