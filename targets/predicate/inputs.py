"""The workload of predicate: filters, and seeded generators of the columns that they are evaluated on.

Owns every number that is checked or timed. The state is the filter with its literals; columns, validity and the
bitmaps to be filled arrive with the call. A column of a call is a window, starting anywhere, of a stream twice as
long that the state holds: to draw the values anew would take ten times as long as to compare them.

An expression is a tuple, the operator first. `column` is the number of a column, `values` a 1-d array of the
column's dtype:

    ("less", column, values)            and "less_equal", "greater", "greater_equal", "equal", "not_equal"
    ("between", column, values)         both ends included
    ("in", column, values, has_null)    `has_null`: the list contains NULL as well
    ("is_null", column)
    ("not", inner), ("and", left, right), ("or", left, right)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]
    Expression = tuple[Any, ...]


class Shape(NamedTuple):
    """A filter, and the rows of the batch that one call evaluates it on."""

    filter: str
    rows: int


SHAPES: Final = (
    Shape("less", 262_144),
    Shape("in4", 65_536),
    Shape("in8", 65_536),
    Shape("in32", 65_536),
    Shape("in1000", 65_536),
    Shape("and", 98_304),
    Shape("or", 262_147),  # 3 rows after the last whole byte
)
DTYPES: Final = {
    "less": ("int32",),
    "in4": ("float32",),
    "in8": ("int64",),
    "in32": ("float64",),
    "in1000": ("int64",),
    "and": ("float64", "float32"),
    "or": ("int32", "float32", "float64"),
}
"""The columns of each filter: see `_expression` for what is asked of them."""

MEMBERS: Final = {"in4": 4, "in8": 8, "in32": 32, "in1000": 1000}
"""The values in the list of each filter that has one; three or fewer are comparisons upstream."""

DISTRIBUTIONS: Final = ("uniform", "rare", "sorted")
EDGE_DISTRIBUTIONS: Final = ("none", "all", "low_cardinality", "neighbours", "special", "all_null")
SELECTIVITY: Final = {"uniform": 0.5, "rare": 0.01, "none": 0.0, "all": 1.0}
"""The share of valid rows that the filter keeps, about; elsewhere a half is aimed at."""

NULLS: Final = {
    "rare": "random",
    "sorted": "runs",
    "all": "never",
    "low_cardinality": "random",
    "neighbours": "random",
    "special": "random",
    "all_null": "always",
}
"""Which rows are null; a distribution that is not named has no validity bitmaps."""

NULL_SHARE: Final = 0.2
RUN_ROWS: Final = 700
"""Mean length of a run of rows that are null, or not, and of a run of equal values."""

EDGE_ROWS: Final = 8192 + 5


class Column(NamedTuple):
    """A column's `stream` of values, (2 n,), and its `validity`, bool (2 n,), or None where no row is null."""

    stream: Array
    validity: NDArray[np.bool_] | None


class State(NamedTuple):
    """A filter, and the streams that its columns are cut from, `rows` of them for each call."""

    expression: Expression
    columns: tuple[Column, ...]
    rows: int


def make_state(shape: Shape, distribution: str, rng: np.random.Generator) -> State:
    """Make a filter for batches of the published number of rows; what is never timed has fewer."""
    return _make_state(shape, distribution, EDGE_ROWS if distribution in EDGE_DISTRIBUTIONS else shape.rows, rng)


def make_hidden_state(shape: Shape, distribution: str, rng: np.random.Generator) -> State:
    """Make a filter for batches whose number of rows is drawn, within 10 % of the published one."""
    rows = int(rng.integers(shape.rows * 9 // 10, shape.rows * 11 // 10 + 1))
    return _make_state(shape, distribution, rows, rng)


def make_call(
    shape: Shape,  # noqa: ARG001
    distribution: str,  # noqa: ARG001
    state: State,
    rng: np.random.Generator,
) -> tuple[Array | None, ...]:
    """Make a batch: the columns, their validity bitmaps or None, and two bitmaps of noise to be filled."""
    starts = rng.integers(0, state.rows + 1, len(state.columns))
    windows = [slice(start, start + state.rows) for start in starts]
    pairs = list(zip(state.columns, windows, strict=True))
    values = (column.stream[window] for column, window in pairs)
    bitmaps = (None if column.validity is None else pack(column.validity[window]) for column, window in pairs)
    noise = rng.integers(0, 256, (2, (state.rows + 7) // 8), dtype=np.uint8)
    return (*values, *bitmaps, *noise)


def bare_state(expression: Expression, dtypes: tuple[str, ...]) -> State:
    """Return a filter alone; columns for it come from elsewhere."""
    return State(expression, tuple(Column(np.zeros(0, dtype), None) for dtype in dtypes), 0)


def pack(bits: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return a bitmap: bit i % 8 of byte i // 8 is row i, the bits after the last row are 0."""
    return np.packbits(bits, bitorder="little")


def special_values(dtype: str) -> Array:
    """Return the values at which orders differ, ascending: zeros, infinities, NaNs, denormals, ends of a range."""
    kind = np.dtype(dtype)
    bits = np.iinfo(f"i{kind.itemsize}")
    if kind.kind == "i":
        middle = 1 << (4 * kind.itemsize - 1)
        return np.array([bits.min, bits.min + 1, -middle, -1, 0, 1, middle, bits.max - 1, bits.max], kind)
    info = np.finfo(kind)
    positive = np.array([0, info.smallest_subnormal, info.tiny, 1, info.max, np.inf], kind).view(bits.dtype)
    quiet_nan = positive[-1] | 1 << info.nmant - 1
    positive = np.append(positive, [positive[-1] + 1, quiet_nan, quiet_nan + 1])
    return np.concatenate((positive[::-1] | bits.min, positive)).view(kind)


def neighbours(values: Array) -> Array:
    """Return all values that are at most two steps away from one of `values`, or have another upper half."""
    bits = values.view(f"i{values.itemsize}")
    steps = np.append(np.arange(-2, 3), 1 << 4 * values.itemsize)
    return np.add.outer(steps, bits).astype(bits.dtype).ravel().view(values.dtype)


def _make_state(shape: Shape, distribution: str, rows: int, rng: np.random.Generator) -> State:
    kept = SELECTIVITY.get(distribution, 0.5)
    literals, columns = [], []
    for number, dtype in enumerate(DTYPES[shape.filter]):
        values, choice = _values(shape.filter, number, dtype, kept, rng)
        if distribution == "special":
            choice = special_values(dtype)
            values = _special_literals(choice, values, number)
        elif distribution == "neighbours":
            choice = neighbours(values)
        elif distribution == "low_cardinality":
            choice = np.concatenate((values[-4:], uniform(dtype, 8, rng)))[:8]
        is_sorted = distribution == "sorted" and number == 0
        stream = _stream(dtype, choice, values, 2 * rows, is_sorted, rng)
        literals.append(values)
        columns.append(Column(stream, _validity(NULLS.get(distribution, ""), 2 * rows, rng)))
    return State(_expression(shape.filter, literals, distribution == "special"), tuple(columns), rows)


def _special_literals(choice: Array, values: Array, number: int) -> Array:
    """Return one value, -0.0 for the first column and 0.0 for the others, a pair of it and a NaN, or a list.

    A list ends with some of the special values: of floats -0.0 is among them, of whole numbers 0 is not.
    """
    if values.size > 2:
        some = choice[::4] if choice.dtype.kind == "f" else choice[1::2]
        return np.concatenate((values, some))[-values.size :]
    return choice[[choice.size // 2 - (number == 0), -2][: values.size]]


def _expression(name: str, literals: list[Array], has_null: bool) -> Expression:
    if name == "less":
        return ("less", 0, literals[0])
    if name in MEMBERS:
        return ("in", 0, literals[0], has_null)
    if name == "and":
        return ("and", ("greater", 0, literals[0]), ("less", 1, literals[1]))
    return ("or", ("or", ("equal", 0, literals[0]), ("is_null", 1)), ("not", ("between", 2, literals[2])))


def _values(name: str, number: int, dtype: str, kept: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return the literals of a column and the values that it is drawn from; none: from the whole range."""
    anything = np.zeros(0, dtype)
    if name == "less":
        return _quantiles(dtype, [kept], rng), anything
    if name in MEMBERS:  # sparse numbers, such as a user's, of which the list has the first
        size = MEMBERS[name]
        choice = uniform(dtype, size + int(size / max(kept, 0.01)), rng)
        return choice[:size], rng.permutation(choice[size:] if kept == 0 else choice[: int(size / kept)])
    if name == "and":
        share = np.sqrt(kept)
        return _quantiles(dtype, [share if number else 1 - share], rng), anything
    if number == 0:  # a code of few values
        choice = rng.permutation(np.arange(-8, 9).astype(dtype))
        return choice[:1], choice[1:] if kept == 0 else choice
    return _quantiles(dtype, [kept / 2, 1 - kept / 2], rng), anything


def _quantiles(dtype: str, shares: list[float], rng: np.random.Generator) -> Array:
    """Return values that about the given shares of `uniform` are below; 0 and 1 are the ends."""
    blur = 1 + rng.uniform(-0.05, 0.05, len(shares))
    exact = np.array(shares)
    blurred = np.where(exact < 0.6, exact * blur, 1 - (1 - exact) * blur) - 0.5
    if np.dtype(dtype).kind == "f":
        return blurred.astype(dtype)
    info = np.iinfo(dtype)
    return np.array([min(int(value * 2**info.bits), info.max) for value in blurred], dtype)


def uniform(dtype: str, size: int, rng: np.random.Generator) -> Array:
    """Draw whole numbers from all of the dtype's range, or fractions from -0.5 to 0.5."""
    if np.dtype(dtype).kind == "f":
        return rng.random(size, dtype=np.dtype(dtype).type) - np.dtype(dtype).type(0.5)
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, size, dtype=dtype, endpoint=True)


def _stream(
    dtype: str, choice: Array, values: Array, size: int, is_sorted: bool, rng: np.random.Generator
) -> Array:
    if is_sorted and choice.size:
        places = np.cumsum(rng.random(size) < 1 / RUN_ROWS) % choice.size
        return choice[places]
    if is_sorted:  # the literal is in the middle: every window has it inside, or at its end
        ranks = np.cumsum(rng.integers(0, 256, size))
        ranks -= ranks[size // 2]
        return values[0] + ranks.astype(dtype) * np.dtype(dtype).type(2**-20 if np.dtype(dtype).kind == "f" else 1)
    if choice.size:
        return choice[rng.integers(0, choice.size, size)]
    return uniform(dtype, size, rng)


def _validity(nulls: str, size: int, rng: np.random.Generator) -> NDArray[np.bool_] | None:
    if nulls == "random":
        return rng.random(size) >= NULL_SHARE
    if nulls == "runs":
        return np.cumsum(rng.random(size) < 1 / RUN_ROWS) % 5 != 0
    return np.full(size, nulls == "never") if nulls else None
