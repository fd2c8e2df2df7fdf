"""The wiring: one call scores a batch of queries."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import inputs
import numpy as np
from numpy.typing import NDArray

from pytest_lance_autoresearch import compare

UNIT = "query"


def ops(shape: inputs.Shape) -> int:
    """Return the queries of one call."""
    return shape.queries


def bind(impl: ModuleType, state: inputs.State) -> Callable[..., Any]:
    """Return the function that scores queries against the state's rows."""
    return lambda queries: impl.score(state.rows, queries)


def check(
    actual: NDArray[np.float32], expected: tuple[NDArray[np.float64], NDArray[np.float64]], _call: Any
) -> None:
    """Compare the kernel's scores with the oracle's."""
    scores, limit = expected
    compare.max_abs_err(actual, scores, limit, dtype=np.float32, what="scores")
