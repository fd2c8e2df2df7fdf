"""The wiring of predicate: what is built once, what is timed, what else is tried.

Owns nothing of the algorithm: `bind` gets the kernel's or the oracle's module as an argument. Every bit counts, so
there is no `check`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import inputs
import numpy as np

from pytest_lance_autoresearch.records import CostFraction

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from hypothesis.strategies import SearchStrategy
    from numpy.typing import NDArray

UNIT = "row"
INTRINSICS = True
"""The kernel may define intrinsics of its own; correctness is checked for any processor as well."""

COST_FRACTION = CostFraction(
    0.1,
    "between the 1-5 % of a filtered scan that one comparison takes and the 10-30 % of IN lists and compound "
    "filters, measured with pylance 1.0.0 on a noisy machine; nearly all of a search in a BTree's leaves",
)


def ops(shape: inputs.Shape) -> int:
    """Return the operations of one call: it evaluates the filter on every row."""
    return shape.rows


def bind(impl: ModuleType, state: inputs.State) -> Callable[..., tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Build the filter of `impl`, untimed, and return the timed call.

    The call takes the columns, their validity bitmaps or None, and the bitmaps to be filled, all by position; it
    returns the latter, (out_true, out_valid).
    """
    predicate = impl.Predicate(state.expression)
    width = len(state.columns)

    def evaluate(*arguments: Any) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        out_true, out_valid = arguments[-2:]
        predicate.evaluate(arguments[:width], arguments[width : 2 * width], out_true, out_valid)
        return out_true, out_valid

    return evaluate


class Example(NamedTuple):
    """What a property test draws; the expression and all arrays follow from it."""

    dtypes: tuple[str, ...]
    depth: int
    rows: int
    values: str
    nulls: str
    seed: int


def properties() -> SearchStrategy[tuple[inputs.State, tuple[Any, ...]]]:
    """Return a strategy of (state, call) pairs outside the battery: other expressions, dtypes and sizes.

    Only whole numbers and names are drawn, so that a failure shrinks fast and prints short.
    """
    from hypothesis import strategies as st

    dtype = st.sampled_from(("int32", "int64", "float32", "float64"))
    return st.builds(
        Example,
        dtypes=st.tuples(dtype) | st.tuples(dtype, dtype),
        depth=st.integers(0, 3),
        rows=st.integers(0, 9) | st.sampled_from((63, 64, 65, 127, 128, 129, 8191)),
        values=st.sampled_from(("special", "neighbours", "zeros", "same")),
        nulls=st.sampled_from(("", "random", "never", "always")),
        seed=st.integers(0, 2**32 - 1),
    ).map(realise)


def realise(example: Example) -> tuple[inputs.State, tuple[Any, ...]]:
    """Make the expression and the batch of an example."""
    rng = np.random.default_rng(example.seed)
    choices = tuple(_choice(example.values, dtype, rng) for dtype in example.dtypes)
    columns = tuple(choice[rng.integers(0, choice.size, example.rows)] for choice in choices)
    validity = tuple(_bitmap(example.nulls, example.rows, rng) for _ in columns)
    noise = rng.integers(0, 256, (2, (example.rows + 7) // 8), dtype=np.uint8)
    state = inputs.bare_state(_expression(example.depth, choices, rng), example.dtypes)
    return state, (*columns, *validity, *noise)


def _choice(values: str, dtype: str, rng: np.random.Generator) -> NDArray[Any]:
    special = inputs.special_values(dtype)
    if values == "special":
        return special
    if values == "zeros":
        return np.array([-1, -0.0, 0.0, 1]).astype(dtype)
    one = rng.choice(special, 1)
    return inputs.neighbours(one) if values == "neighbours" else one


def _bitmap(nulls: str, rows: int, rng: np.random.Generator) -> NDArray[np.uint8] | None:
    if not nulls:
        return None
    return inputs.pack(rng.random(rows) < {"random": 0.5, "never": 1, "always": 0}[nulls])


def _expression(depth: int, choices: tuple[NDArray[Any], ...], rng: np.random.Generator) -> tuple[Any, ...]:
    """Draw an expression with at most `depth` operators above its comparisons."""
    if depth:
        name = str(rng.choice(("not", "and", "or")))
        inner = (_expression(depth - 1, choices, rng) for _ in range(1 if name == "not" else 2))
        return (name, *inner)
    column = int(rng.integers(len(choices)))
    comparisons = ("less", "less_equal", "greater", "greater_equal", "equal", "not_equal")
    name = str(rng.choice((*comparisons, "between", "in", "is_null")))
    if name == "is_null":
        return (name, column)
    if name == "in":
        return (name, column, _listed(choices[column], rng), bool(rng.integers(2)))
    return (name, column, rng.choice(choices[column], 2 if name == "between" else 1))


def _listed(choice: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
    """Draw a list, of which the last five values at most are chosen and the others are hardly ever found."""
    size = int(rng.choice((0, 1, 2, 3, 4, 5, 8, 32, 1000)))
    return np.concatenate((inputs.uniform(choice.dtype.name, size, rng), rng.choice(choice, 5)))[5:]
