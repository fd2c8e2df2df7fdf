"""What the kernel is fed: shapes, distributions and their generators. An agent never edits this file."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Letters = NDArray[np.uint8]


class Shape(NamedTuple):
    """The sizes of one workload."""

    text: int
    word: int


class State(NamedTuple):
    """What exists before the first call."""

    text: Letters  # (text,)


Call = tuple[Letters, NDArray[np.int32]]
"""The word, uint8 (word,), and the table that the kernel fills, int32 (word + 1, text + 1)."""

SHAPES = (Shape(600, 300), Shape(1500, 120), Shape(503, 311))
DISTRIBUTIONS = ("random", "similar", "repetitive")
EDGE_DISTRIBUTIONS = ("equal", "disjoint")


def make_state(shape: Shape, distribution: str, rng: np.random.Generator) -> State:
    """Make what exists before the first call."""
    return State(_letters(distribution, shape.text, rng))


def make_hidden_state(shape: Shape, distribution: str, rng: np.random.Generator) -> State:
    """Make a state of nearly the same size, which no kernel can have prepared for."""
    text = int(rng.integers(shape.text * 9 // 10, shape.text * 11 // 10 + 1))
    return make_state(shape._replace(text=text), distribution, rng)


def make_call(shape: Shape, distribution: str, state: State, rng: np.random.Generator) -> Call:
    """Make a word, and a table full of noise: a value that a kernel forgot to write shows."""
    word = _letters(distribution, shape.word, rng)
    if distribution == "similar":
        copied = rng.random(shape.word) < 0.8
        word = np.where(copied, np.resize(state.text, shape.word) if len(state.text) else word, word)
    elif distribution == "disjoint":
        word += 4
    limits = np.iinfo(np.int32)
    table = rng.integers(limits.min, limits.max, (shape.word + 1, len(state.text) + 1), np.int32, endpoint=True)
    return word, table


def _letters(distribution: str, size: int, rng: np.random.Generator) -> Letters:
    letters = rng.integers(0, 4, size, np.uint8)
    if distribution == "repetitive":
        return np.where(rng.random(size) < 0.1, letters, np.arange(size) % 3).astype(np.uint8)
    return np.zeros_like(letters) if distribution == "equal" else letters
