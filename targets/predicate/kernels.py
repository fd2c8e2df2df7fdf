"""A filter, evaluated on a batch of columns to a bitmap. The file that an agent edits.

What makes it fast: nothing branches on a value, and the answer is made 64 rows at a time, in words. Every
comparison, BETWEEN too, is one range of keys: key - low <= high - low as whole numbers without a sign, for a
register of rows at once. A short list lies in registers: a factor is looked for that hashes its values into 16
slots (32, of values of 32 bits) with few in each. A row's hash then fetches what the row must equal, with one
shuffle of two registers for each place of a slot. A longer list lies in buckets of one line of the cache, by such
a factor too, and a row is compared with all of its bucket at once. A place that is free repeats a value of the
list, so that it need not be told from others. NOT is pushed down to the leaves. AND is OR of what is FALSE. Leaves
are joined one after the other in the bitmaps of the answer; of two ranges both columns are read side by side.
Registers are loaded in ascending order: LLVM loads 512 bytes backwards, if it is asked for them at once, and then
no prefetcher follows.

In Rust: `_mm512_permutex2var_epi64` and `_epi32`, `_mm512_mullo_epi64` (AVX-512DQ) and `_mm512_cmpeq_epi64_mask`.
Without AVX-512 up to eight values are compared one by one (`_mm256_cmpeq_epi64`, `vceqq_s64`), and longer lists
lie in buckets. Lance 14.0.2 has hash sets of DataFusion there, and makes bitmaps for every node;
`benchmarks/ports/predicate/kernels.py` is a port of that.

Stays: `Predicate(expression)` and `evaluate(columns, validity, out_true, out_valid)`, with the dtypes, shapes
and bits that their docstrings give.

CAN: derive anything from the expression in `__init__`; fuse nodes, skip one whose result cannot matter, evaluate
any operator by another method; reuse scratch memory.
CANNOT: keep anything that depends on a call's arguments for a later call; use fastmath on the floats that are
compared; start threads or processes; import anything but numba, llvmlite.ir, numpy and the mathematics of the
standard library.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]
    Bitmap = NDArray[np.uint8]
    Members = NDArray[np.int64]
    Columns = tuple[Array, ...]
    Validity = tuple[Bitmap | None, ...]
    Test = tuple[Any, tuple[Any, ...]]
    """A loop over a column and its parameters."""
    Operands = tuple[Array, Bitmap, tuple[Any, ...], int]
    """A column, its bitmap, the parameters of a test, and flags."""
    Step = Callable[[Columns, Validity, Bitmap, Bitmap], None]
    """Joins something to a pair of bitmaps, of what is TRUE and what is known."""

BYTES, WORD = 8, 64
"""Of the bitmaps that are worked on at once, and the rows in them."""
BLOCK = 16
"""The words that are made of one column before another one is looked at."""
VECTOR = 512
"""The bits of a register."""
BUCKET = VECTOR // 8
"""The bytes of a bucket, and of a line of the cache."""
EVERY = np.uint64(2**64 - 1)
NO_NULLS = np.full(BYTES, 255, np.uint8)
"""Is read again and again where a column has no bitmap."""

NEGATED, FOUND_OR_NULL, NEVER_NULL, IS_AND, IS_FIRST = (1 << bit for bit in range(5))
"""Of a leaf: rows that pass are FALSE; those that do not are NULL; none is NULL; how it is joined."""

HASH_FACTOR = np.uint64(0x9E3779B97F4A7C15)
ATTEMPTS = 256
"""How many factors are tried for a list in registers."""
ATTEMPTED_VALUES = 1 << 19
"""How many values are hashed to find a factor for buckets, before there are twice as many of these."""


class Leaf(NamedTuple):
    """A test of one column; `flags` without how it is joined."""

    column: int
    test: Test
    flags: int


class Join(NamedTuple):
    """AND or OR of nodes, in the order in which they are joined."""

    is_and: bool
    nodes: list[Leaf | Join]


class Predicate:
    """One filter; `expression` is a tuple, the operator first.

    ("less", column, values) and "less_equal", "greater", "greater_equal", "equal", "not_equal";
    ("between", column, values) with both ends included; ("in", column, values, has_null); ("is_null", column);
    ("not", inner), ("and", left, right), ("or", left, right).

    `column` is the number of a column and `values` an array, (1,) of a comparison, (2,) of "between", (any,) of
    "in", with the column's dtype: int32, int64, float32 or float64. `has_null` says that the list has a NULL too.
    """

    def __init__(self, expression: tuple[Any, ...]) -> None:
        self._steps = _steps(_node(expression, 0), IS_FIRST)

    def evaluate(self, columns: Columns, validity: Validity, out_true: Bitmap, out_valid: Bitmap) -> None:
        """Fill `out_true` with the rows that are TRUE and `out_valid` with the rows that are not NULL.

        Parameters
        ----------
        columns : tuple of int32, int64, float32 or float64, each of shape (n,)
            What lies under a null is anything.
        validity : tuple of uint8, shape (ceil(n / 8),), or None where no row is null
            One for each column. Row i is bit i % 8 of byte i // 8, 1 where the row is valid.
        out_true, out_valid : uint8, shape (ceil(n / 8),)
            Bitmaps in the same order. The bits after row n - 1 are 0 in every bitmap.
        """
        for step in self._steps:
            step(columns, validity, out_true, out_valid)


def _node(expression: tuple[Any, ...], negated: int) -> Leaf | Join:
    """Return the node of an expression, or of NOT of it."""
    match expression:
        case ("not", inner):
            return _node(inner, negated ^ NEGATED)
        case (("and" | "or") as name, *sides):
            return _join((name == "and") != bool(negated), [_node(side, negated) for side in sides])
        case ("is_null", column):
            return Leaf(column, EVERYWHERE, negated ^ NEGATED | NEVER_NULL)
        case ("in", column, values, has_null):
            return Leaf(column, _list_test(values), negated | (FOUND_OR_NULL if has_null else 0))
        case ("not_equal", column, values):
            return _node(("equal", column, values), negated ^ NEGATED)
        case (name, column, values):
            return Leaf(column, _range_test(name, values), negated)
    raise ValueError(f"no operator '{expression[0]}'")


def _join(is_and: bool, sides: list[Leaf | Join]) -> Join:
    """Return AND or OR of nodes; those that are the same operator are taken apart."""
    nodes: list[Leaf | Join] = []
    for side in sides:
        nodes.extend(side.nodes if isinstance(side, Join) and side.is_and == is_and else [side])
    return Join(is_and, sorted(nodes, key=_order))


def _order(node: Leaf | Join) -> int:
    """Return what is joined first: what needs bitmaps of its own unless it is the first. Ranges are the last."""
    return 0 if isinstance(node, Join) else 1 + _is_range(node)


def _is_range(node: Leaf | Join) -> TypeGuard[Leaf]:
    return isinstance(node, Leaf) and node.test[0] is _in_range


def _steps(node: Leaf | Join, joined: int) -> list[Step]:
    """Return what joins a node to a pair of bitmaps, leaf after leaf, or two ranges at once."""
    if isinstance(node, Leaf):
        return [_leaf_step(node, joined)]
    steps: list[Step] = []
    inner, nodes = IS_AND if node.is_and else 0, list(node.nodes)
    while nodes:
        here = inner if steps else inner | IS_FIRST
        first = nodes.pop(0)
        if _is_range(first) and nodes:
            steps.append(_two_ranges_step(first, here, nodes.pop(0), inner))
        else:
            steps += _steps(first, here)
    return steps if joined & IS_FIRST else [_nested_step(steps, joined)]


def _leaf_step(leaf: Leaf, joined: int) -> Step:
    run, operands = leaf.test[0], _operands(leaf, joined)

    def step(columns: Columns, validity: Validity, true: Bitmap, valid: Bitmap) -> None:
        run(*operands(columns, validity), true, valid)

    return step


def _two_ranges_step(first: Leaf, joined: int, second: Leaf, second_joined: int) -> Step:
    operands, second_operands = _operands(first, joined), _operands(second, second_joined)

    def step(columns: Columns, validity: Validity, true: Bitmap, valid: Bitmap) -> None:
        _two_in_range(operands(columns, validity), second_operands(columns, validity), true, valid)

    return step


def _nested_step(steps: list[Step], joined: int) -> Step:
    """Return what evaluates a node in bitmaps of its own, and joins these."""

    def step(columns: Columns, validity: Validity, true: Bitmap, valid: Bitmap) -> None:
        right, right_valid = np.empty_like(true), np.empty_like(valid)
        for inner in steps:
            inner(columns, validity, right, right_valid)
        _join_bitmaps(true, valid, right, right_valid, joined)

    return step


def _operands(leaf: Leaf, joined: int) -> Callable[[Columns, Validity], Operands]:
    """Return what picks a leaf's operands from a batch. Floats are worked on as whole numbers."""
    column, parameters, flags = leaf.column, leaf.test[1], leaf.flags | joined

    def operands(columns: Columns, validity: Validity) -> Operands:
        bits, bitmap = columns[column], validity[column]
        if bits.dtype.kind == "f":
            bits = bits.view(f"i{bits.itemsize}")
        return bits, NO_NULLS if bitmap is None else bitmap, parameters, flags

    return operands


def _range_test(name: str, values: Array) -> Test:
    """Return whether a column's key is in a range: a zero's key is -1 or 0, and a range has both or none."""
    bits = np.iinfo(f"i{values.itemsize}")
    flip = bits.max if values.dtype.kind == "f" else 0
    low, high = _key(_zero_as(-0.0, values[:1]), flip), _key(_zero_as(0.0, values[-1:]), flip)
    match name:
        case "less":
            low, high = bits.min, low - 1
        case "less_equal":
            low = bits.min
        case "greater":
            low, high = high + 1, bits.max
        case "greater_equal":
            high = bits.max
    return (_in_range, (low, np.uint64(high - low), flip)) if low <= high else NOWHERE


def _key(value: Array, flip: int) -> int:
    """Return a value as a whole number in the same order: a float's bits, all but the sign flipped below 0."""
    bits = int(value.view(f"i{value.itemsize}")[0])
    return bits ^ flip if bits < 0 else bits


def _zero_as(zero: float, values: Array) -> Array:
    """Return `values` with this zero in place of -0.0 and 0.0; of whole numbers there is one only."""
    return np.where(values == 0, values.dtype.type(zero), values)


def _list_test(values: Array) -> Test:
    """Return how a list is looked up: in registers if it fits in there, else in buckets."""
    dtype = np.dtype(f"i{values.itemsize}")
    both_zeros = np.concatenate((_zero_as(-0.0, values), _zero_as(0.0, values)))
    members = np.unique(both_zeros.view(dtype)).astype(np.int64)
    if not members.size:
        return NOWHERE
    width = 8 * dtype.itemsize
    lanes = VECTOR // width
    slots, ways = (2 * lanes, WAYS) if _is_wide() else (1, WAYS_OF_ONE_SLOT)
    for places in ways:
        table, factor = _spread(members, slots, places, width, ATTEMPTS)
        if table.size:
            return IN_REGISTERS[places], (table.T.ravel().astype(dtype), np.uint64(factor))
    while True:
        if slots * lanes >= 2 * members.size:
            table, factor = _spread(members, slots, lanes, width, 1 + ATTEMPTED_VALUES // members.size)
            if table.size:
                break
        slots *= 2
    buckets, shift = _aligned(table.ravel().astype(dtype)), np.uint64(WORD + 1 - slots.bit_length())
    return _in_buckets, (buckets, np.uint64(factor), shift, np.zeros(WORD, f"u{lanes // 8}"))


@njit
def _spread(members: Members, slots: int, places: int, width: int, attempts: int) -> tuple[Members, np.uint64]:
    """Find a factor that hashes at most `places` values into each slot. Return the values of each slot, and it.

    Nothing is returned where no factor is found. A hash is the upper bits of a value's product with the factor. Of
    values of 32 bits, the lower half of the factor is 0: the vectors multiply by its upper half.
    """
    factor = HASH_FACTOR << np.uint64(WORD - width)
    sizes = np.empty(slots, np.int64)
    if members.size <= slots * places:
        for _ in range(attempts):
            sizes[:] = 0
            for member in members:
                slot = _slot(member, factor, slots)
                sizes[slot] += 1
                if sizes[slot] > places:
                    break
            else:
                return _filled(members, slots, places, factor), factor
            factor *= HASH_FACTOR
    return np.empty((0, places), np.int64), factor


@njit
def _filled(members: Members, slots: int, places: int, factor: np.uint64) -> Members:
    """Return the values of each slot; a place that is free repeats one, which may be found there as well."""
    buckets = np.full((slots, places), members[0])
    sizes = np.zeros(slots, np.int64)
    for member in members:
        slot = _slot(member, factor, slots)
        buckets[slot, sizes[slot]] = member
        sizes[slot] += 1
    return buckets


@njit
def _aligned(values: Array) -> Array:
    """Return a copy in which each bucket is one line of the cache, instead of parts of two."""
    room = np.empty(values.size + BUCKET, values.dtype)
    first = -_place(room) % BUCKET // values.itemsize
    copy = room[first : first + values.size]
    copy[:] = values
    return copy


@njit
def _slot(member: int, factor: np.uint64, slots: int) -> int:
    """Return the upper bits of a product; `slots` is a power of two."""
    half = np.uint64(32)
    return np.int64((np.uint64(member) * factor >> half) * np.uint64(slots) >> half)


def _over_words(word_of: Any) -> Any:
    """Return the loop over a column that joins a test of 64 rows to a pair of bitmaps."""

    @njit
    def run(column: Array, bitmap: Bitmap, parameters: Any, flags: int, true: Bitmap, valid: Bitmap) -> None:
        whole, step = column.size // WORD, _step(bitmap)
        for word in range(whole):
            _join_word(word, word_of(column, WORD * word, parameters), bitmap, step, flags, true, valid)
        if column.size % WORD:
            rest = column[WORD * whole :]
            rows = np.zeros(WORD, column.dtype)
            rows[: rest.size] = rest
            before = true[BYTES * whole :], valid[BYTES * whole :]
            _join_rest(rest.size, word_of(rows, 0, parameters), bitmap[step * whole :], flags, *before)

    return run


@njit
def _step(bitmap: Bitmap) -> int:
    """Return how many bytes lie between words; what has one word only may be `NO_NULLS`, which is read again."""
    return BYTES if bitmap.size > BYTES else 0


@njit
def _join_word(
    word: int, found: np.uint64, bitmap: Bitmap, step: int, flags: int, true: Bitmap, valid: Bitmap
) -> None:
    byte = BYTES * word
    before = _load_word(true, byte), _load_word(valid, byte)
    decided, known = _joined(found, _load_word(bitmap, step * word), flags, before)
    _store_word(true, byte, decided)
    _store_word(valid, byte, known)


@njit
def _join_rest(rows: int, found: np.uint64, bitmap: Bitmap, flags: int, true: Bitmap, valid: Bitmap) -> None:
    """Join fewer than 64 rows, to bitmaps that have no others."""
    decided, known = _joined(found, _last_word(bitmap), flags, (_last_word(true), _last_word(valid)))
    limit = EVERY >> np.uint64(WORD - rows)
    _set_last_word(true, decided & limit)
    _set_last_word(valid, known & limit)


@njit
def _joined(
    found: np.uint64, here: np.uint64, flags: int, before: tuple[np.uint64, np.uint64]
) -> tuple[np.uint64, np.uint64]:
    """Join 64 rows of a leaf, of which `here` are not null, with what was TRUE and known before.

    A row is decided where either side is TRUE, of OR, or FALSE, of AND. It is known where it is decided, or where
    both sides are known.
    """
    first, flip_before = _mask(flags, IS_FIRST), _mask(flags, IS_AND)
    known = before[1] | first
    decided = (before[0] ^ (known & flip_before)) & ~first
    found &= here
    here = found | (here & ~_mask(flags, FOUND_OR_NULL)) | _mask(flags, NEVER_NULL)
    decided |= found ^ (here & (flip_before ^ _mask(flags, NEGATED)))
    known = decided | (known & here)
    return decided ^ (known & flip_before), known


@njit
def _mask(flags: int, flag: int) -> np.uint64:
    return EVERY if flags & flag else np.uint64(0)


@njit
def _join_bitmaps(true: Bitmap, valid: Bitmap, right: Bitmap, right_valid: Bitmap, flags: int) -> None:
    """Join a pair of bitmaps to another one."""
    flip = np.uint8(_mask(flags, IS_AND))
    for byte in range(true.size):
        decided = (true[byte] ^ (valid[byte] & flip)) | (right[byte] ^ (right_valid[byte] & flip))
        known = decided | (valid[byte] & right_valid[byte])
        true[byte] = decided ^ (known & flip)
        valid[byte] = known


@njit
def _last_word(bitmap: Bitmap) -> np.uint64:
    bits = np.uint64(0)
    for byte in range(min(bitmap.size, BYTES)):
        bits |= np.uint64(bitmap[byte]) << np.uint64(8 * byte)
    return bits


@njit
def _set_last_word(bitmap: Bitmap, bits: np.uint64) -> None:
    for byte in range(bitmap.size):
        bitmap[byte] = np.uint8(bits >> np.uint64(8 * byte))


I64 = ir.IntType(WORD)


def _address(context: Any, builder: Any, array: Any, values: Any, kind: Any) -> Any:
    """Return where an array has an element: `array` is its type, `values` are the array itself and a number."""
    data = context.make_array(array)(context, builder, values[0]).data
    return builder.bitcast(builder.gep(data, [values[1]]), kind.as_pointer())


@intrinsic  # type: ignore[untyped-decorator]  # numba is not typed
def _load_word(typingctx: Any, bitmap: Any, start: Any) -> Any:
    """Return 64 bits of a bitmap from a byte on."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_address(context, builder, signature.args[0], arguments, I64), align=1)

    return types.uint64(bitmap, start), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _store_word(typingctx: Any, bitmap: Any, start: Any, bits: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store(arguments[2], _address(context, builder, signature.args[0], arguments, I64), align=1)
        return context.get_dummy_value()

    return types.void(bitmap, start, bits), codegen


def _register(width: int) -> Any:
    return ir.VectorType(ir.IntType(width), VECTOR // width)


def _all(builder: Any, value: Any, kind: Any) -> Any:
    """Return a register full of a value, of which the lower bits are taken."""
    empty, places = ir.Constant(kind, ir.Undefined), ir.VectorType(ir.IntType(32), kind.count)
    if value.type != kind.element:
        value = builder.trunc(value, kind.element)
    first = builder.insert_element(empty, value, ir.IntType(32)(0))
    return builder.shuffle_vector(first, empty, ir.Constant(places, [0] * kind.count))


def _word_of(context: Any, builder: Any, signature: Any, arguments: Any, passes: Any) -> Any:
    """Return the word of a column's 64 rows from a test of a register.

    Registers are loaded one by one, in ascending order; no prefetcher follows the order of a load of all 64 rows.
    """
    kind = _register(signature.args[0].dtype.bitwidth)
    word = I64(0)
    for row in range(0, WORD, kind.count):
        start = builder.add(arguments[1], I64(row))
        address = _address(context, builder, signature.args[0], (arguments[0], start), kind)
        found = builder.bitcast(passes(builder.load(address, align=1)), ir.IntType(kind.count))
        word = builder.or_(word, builder.shl(builder.zext(found, I64), I64(row)))
    return word


@intrinsic  # type: ignore[untyped-decorator]
def _ranged(typingctx: Any, column: Any, start: Any, low: Any, span: Any, flip: Any) -> Any:
    """Which of 64 rows have a key from `low` to `low + span`. Keys are in order; `flip` is for floats below 0."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = _register(column.dtype.bitwidth)
        sign = ir.Constant(kind, [kind.element.width - 1] * kind.count)
        low, span, flip = (_all(builder, argument, kind) for argument in arguments[2:])

        def passes(bits: Any) -> Any:
            key = builder.xor(bits, builder.and_(builder.ashr(bits, sign), flip))
            return builder.icmp_unsigned("<=", builder.sub(key, low), span)

        return _word_of(context, builder, signature, arguments, passes)

    return types.uint64(column, start, types.int64, types.uint64, types.int64), codegen


@njit
def _word_in_range(column: Array, start: int, parameters: tuple[int, np.uint64, int]) -> np.uint64:
    found: np.uint64 = _ranged(column, start, *parameters)
    return found


@njit
def _word_anyhow(column: Array, start: int, parameters: tuple[np.uint64]) -> np.uint64:
    return parameters[0]


def _has_avx512(context: Any) -> bool:
    return "+avx512dq" in context.codegen().magic_tuple()[2].split(",")


@intrinsic  # type: ignore[untyped-decorator]
def _feature(typingctx: Any) -> Any:
    """Whether the processor that numba compiles for has AVX-512, and multiplies 64 bits with it."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return context.get_constant(types.boolean, _has_avx512(context))

    return types.boolean(), codegen


@njit
def _is_wide() -> bool:
    found: bool = _feature()
    return found


def _shuffle(builder: Any, kind: Any) -> Any:
    """Return the instruction that fetches values from two registers, by numbers."""
    function = ir.FunctionType(kind, [kind] * 3)
    if kind.element.width == WORD:
        return builder.module.declare_intrinsic("llvm.x86.avx512.vpermi2var.q.512", (), function)
    return builder.module.declare_intrinsic("llvm.x86.avx512.vpermi2var.d.512", (), function)


def _word_in_registers(places: int) -> Any:
    """Return the test for lists in registers that have `places` values in each slot.

    With AVX-512, a slot is one value of two registers, which a row's hash chooses. Elsewhere there is one slot.
    """

    @intrinsic  # type: ignore[untyped-decorator]
    def listed(typingctx: Any, column: Any, start: Any, values: Any, factor: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            kind = _register(column.dtype.bitwidth)
            width = kind.element.width
            factor = _all(builder, builder.lshr(arguments[3], I64(WORD - width)), kind)
            shift = ir.Constant(kind, [width - kind.count.bit_length()] * kind.count)

            def value_at(number: int, kind: Any) -> Any:
                place = arguments[2], I64(number)
                return builder.load(_address(context, builder, signature.args[2], place, kind), align=1)

            def expected(place: int, slot: Any) -> Any:
                if not _has_avx512(context):
                    return _all(builder, value_at(place, kind.element), kind)
                low, high = (value_at((2 * place + half) * kind.count, kind) for half in range(2))
                return builder.call(_shuffle(builder, kind), [low, slot, high])

            def passes(bits: Any) -> Any:
                slot = builder.lshr(builder.mul(bits, factor), shift)
                equal = [builder.icmp_unsigned("==", bits, expected(place, slot)) for place in range(places)]
                return functools.reduce(builder.or_, equal)

            return _word_of(context, builder, signature, arguments, passes)

        return types.uint64(column, start, values, factor), codegen

    @njit
    def word_in_registers(column: Array, start: int, parameters: tuple[Array, np.uint64]) -> np.uint64:
        found: np.uint64 = listed(column, start, *parameters)
        return found

    return word_in_registers


@intrinsic  # type: ignore[untyped-decorator]
def _place(typingctx: Any, array: Any) -> Any:
    """Return where an array begins in memory."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ptrtoint(_address(context, builder, array, (arguments[0], I64(0)), I64), I64)

    return types.int64(array), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _in_bucket(typingctx: Any, buckets: Any, number: Any, value: Any) -> Any:
    """Which of a bucket's values are equal to one."""
    kind = _register(buckets.dtype.bitwidth)

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        start = builder.mul(arguments[1], I64(kind.count))
        bucket = builder.load(_address(context, builder, signature.args[0], (arguments[0], start), kind), align=1)
        found = builder.icmp_unsigned("==", bucket, _all(builder, arguments[2], kind))
        return builder.bitcast(found, ir.IntType(kind.count))

    mask = types.uint8 if kind.count == BYTES else types.uint16
    return mask(buckets, number, value), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _not_zero(typingctx: Any, numbers: Any) -> Any:
    """Which of 64 numbers are not 0."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.VectorType(ir.IntType(numbers.dtype.bitwidth), WORD)
        found = builder.load(_address(context, builder, numbers, (arguments[0], I64(0)), kind), align=1)
        return builder.bitcast(builder.icmp_unsigned("!=", found, ir.Constant(kind, [0] * WORD)), I64)

    return types.uint64(numbers), codegen


@njit
def _word_in_buckets(column: Array, start: int, parameters: Any) -> np.uint64:
    buckets, factor, shift, found = parameters
    rows = column[start : start + WORD]
    for row in range(WORD):
        number = np.int64(np.uint64(rows[row]) * factor >> shift)
        found[row] = _in_bucket(buckets, number, rows[row])
    word: np.uint64 = _not_zero(found)
    return word


_in_range, _anyhow, _in_buckets = (_over_words(word) for word in (_word_in_range, _word_anyhow, _word_in_buckets))


@njit
def _two_in_range(first: Operands, second: Operands, true: Bitmap, valid: Bitmap) -> None:
    """Join two leaves. Their columns are read side by side, some words at a time: memory answers faster so."""
    column, bitmap, parameters, flags = first
    column_2, bitmap_2, parameters_2, flags_2 = second
    whole, step, step_2 = column.size // WORD, _step(bitmap), _step(bitmap_2)
    for begin in range(0, whole, BLOCK):
        end = min(begin + BLOCK, whole)
        for word in range(begin, end):
            found = _word_in_range(column, WORD * word, parameters)
            _join_word(word, found, bitmap, step, flags, true, valid)
        for word in range(begin, end):
            found = _word_in_range(column_2, WORD * word, parameters_2)
            _join_word(word, found, bitmap_2, step_2, flags_2, true, valid)
    if column.size % WORD:
        row, true, valid = WORD * whole, true[BYTES * whole :], valid[BYTES * whole :]
        _in_range(column[row:], bitmap[step * whole :], parameters, flags, true, valid)
        _in_range(column_2[row:], bitmap_2[step_2 * whole :], parameters_2, flags_2, true, valid)


EVERYWHERE, NOWHERE = (_anyhow, (EVERY,)), (_anyhow, (np.uint64(0),))
WAYS, WAYS_OF_ONE_SLOT = (1, 2, 3, 4), (4, 8)
"""How many values a slot may have, with AVX-512 and elsewhere."""
IN_REGISTERS = {places: _over_words(_word_in_registers(places)) for places in {*WAYS, *WAYS_OF_ONE_SLOT}}
