"""The workload of utf8-validate: shapes, scripts and faults, and seeded generators of batches of strings.

Owns every number that is checked or timed. The text of a case is made with the state; a call begins it at
another character, cuts it into other rows and spoils some batches. A kernel is told nothing of the state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]


class Shape(NamedTuple):
    """Batches of a call, rows of a batch, the shortest and the longest row in bytes, bits of an offset."""

    batches: int
    rows: int
    shortest: int
    longest: int
    offset_bits: int


SHAPES: Final = (
    Shape(16, 1024, 40, 140, 32),  # sentences: titles, addresses, reviews
    Shape(8, 8192, 4, 20, 32),  # labels: names and words, in the batches of a scan
    Shape(64, 100, 60, 300, 32),  # what searches return: few rows, many batches
    Shape(5, 211, 301, 1999, 64),  # documents with 64-bit offsets; odd
)
DISTRIBUTIONS: Final = ("ascii", "latin", "cjk")
EDGE_DISTRIBUTIONS: Final = (
    "mixed",
    "extremes",
    "mostly_empty",
    "flipped_bits",
    "faulty_bytes",
    "faulty_offsets",
)

ASCII: Final = range(0x20, 0x7F)
SCRIPTS: Final = {
    "ascii": (ASCII, ASCII, 0.0),
    "latin": (ASCII, range(0xC0, 0x180), 1 / 4),  # one letter with an accent in five bytes
    "cyrillic": (range(0x20, 0x21), range(0x410, 0x450), 6 / 7),  # words with spaces between them
    "cjk": (ASCII, range(0x4E00, 0x9FA6), 24 / 25),
    "emoji": (ASCII, range(0x1F300, 0x1F650), 1 / 2),
}
"""Two ranges of characters, and the share of the second."""

EXTREMES: Final = np.array(
    [
        *(0, 0x7F, 0x80, 0x7FF, 0x800, 0xFFF, 0x1000, 0xCFFF, 0xD000, 0xD7FF, 0xE000, 0xFFFF),
        *(0x10000, 0x3FFFF, 0x40000, 0xFFFFF, 0x100000, 0x10FFFF),
    ]
)
"""The first and last characters of each form that UTF-8 has."""

NO_CHARACTERS: Final = (
    *(b"\x80", b"\xbf", b"\xfe", b"\xff"),  # these begin nothing
    *(b"\xc0\x80", b"\xc1\xbf", b"\xe0\x80\x80", b"\xe0\x9f\xbf"),  # longer than need be
    *(b"\xf0\x80\x80\x80", b"\xf0\x8f\xbf\xbf"),  # and so are these
    *(b"\xed\xa0\x80", b"\xed\xbf\xbf"),  # surrogates
    *(b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80", b"\xf7\xbf\xbf\xbf", b"\xf8\x88\x80\x80\x80"),  # too large
    *(b"\xc3", b"\xe8", b"\xe8\xaa", b"\xf0", b"\xf0\x9f", b"\xf0\x9f\x98"),  # cut by what follows, or by the end
)
"""What is written over a batch's text."""

FAULTY: Final = {"flipped_bits": 1.0, "faulty_bytes": 0.75, "faulty_offsets": 0.75}
FAULTY_ELSEWHERE: Final = 1 / 32
"""The share of batches that are spoiled. Few where time is measured, since a reader stops at the fault."""

EMPTY: Final = {"mostly_empty": 0.9, "mixed": 0.1}
"""The share of rows without bytes, as null rows are."""

EDGE_BATCHES: Final = 32
MIXED_PARTS: Final = 41
MARGIN: Final = 16
"""Bytes before the first and after the last batch, which are random."""


class State(NamedTuple):
    """Valid text for all batches of a call, and how it is cut; `bits` are those of an offset."""

    text: Bytes
    batches: int
    rows: int
    shortest: int
    longest: int
    bits: int


Call = tuple["Bytes", "NDArray[Any]"]
"""data and offsets, as `validate` takes them."""


def make_state(shape: Shape, distribution: str, rng: np.random.Generator) -> State:
    """Make the text of a case; what is never timed has an eighth of the rows, and batches for many faults."""
    if distribution in EDGE_DISTRIBUTIONS:
        shape = shape._replace(batches=max(shape.batches, EDGE_BATCHES), rows=-(-shape.rows // 8))
    return new_state(shape, distribution, rng)


def make_hidden_state(shape: Shape, distribution: str, rng: np.random.Generator) -> State:
    """Make a state whose number of rows is drawn, within 10 % of the published one."""
    rows = int(rng.integers(shape.rows * 9 // 10, shape.rows * 11 // 10 + 1))
    return make_state(shape._replace(rows=rows), distribution, rng)


def new_state(shape: Shape, distribution: str, rng: np.random.Generator) -> State:
    """Make the text that all rows of a shape have together."""
    return State(_text(size_of(shape), distribution, rng), *shape)


def size_of(shape: Shape) -> int:
    """Return the bytes of all rows."""
    return shape.batches * shape.rows * (shape.shortest + shape.longest) // 2


def make_call(_shape: Shape, distribution: str, state: State, rng: np.random.Generator) -> Call:
    """Begin the text at another character, cut it into rows, and spoil some of the batches."""
    at = rng.integers(max(len(state.text), 1), size=1)
    (start,) = _at_character(state.text, at)
    noise = rng.integers(0, 256, 2 * MARGIN, dtype=np.uint8)
    data = np.concatenate((noise[:MARGIN], state.text[start:], state.text[:start], noise[MARGIN:]))
    offsets = _offsets(distribution, state, data, rng)
    faulty = rng.random(state.batches) < FAULTY.get(distribution, FAULTY_ELSEWHERE)
    for batch in np.flatnonzero(faulty):
        spoil(distribution, data, offsets[batch], rng)
    return data, offsets


def spoil(distribution: str, data: Bytes, offsets: NDArray[Any], rng: np.random.Generator) -> None:
    """Make one fault of those that a distribution has, in a batch's bytes or its offsets; some do no harm."""
    if distribution == "flipped_bits":
        faults: tuple[Callable[..., None], ...] = (_flip_a_bit,)
    elif distribution == "faulty_bytes":
        faults = (_write_no_character,)
    elif distribution == "faulty_offsets":
        faults = OFFSET_FAULTS
    else:
        faults = (_write_no_character, *OFFSET_FAULTS)
    faults[rng.integers(len(faults))](data, offsets, rng)


def _text(size: int, distribution: str, rng: np.random.Generator) -> Bytes:
    """Return valid text of that many bytes."""
    if distribution in ("mixed", "mostly_empty", "flipped_bits", "faulty_bytes", "faulty_offsets"):
        parts = [_text(size // MIXED_PARTS, name, rng) for name in rng.choice([*SCRIPTS, "extremes"], MIXED_PARTS)]
        return _filled(np.concatenate(parts), size)
    if distribution == "extremes":
        return _filled(_encoded(rng.choice(EXTREMES, size)), size)
    often, seldom, share = SCRIPTS[distribution]
    points = rng.integers(often.start, often.stop, size)
    others = np.flatnonzero(rng.random(size) < share)
    points[others] = rng.integers(seldom.start, seldom.stop, len(others))
    return _filled(_encoded(points), size)


def _encoded(points: NDArray[np.int64]) -> Bytes:
    return np.frombuffer(points.astype("<u4").tobytes().decode("utf-32-le").encode(), np.uint8)


def _filled(text: Bytes, size: int) -> Bytes:
    """Cut valid text before a character, and fill it up with spaces."""
    end = min(len(text), size)
    if end < len(text):
        (end,) = _at_character(text, np.array([end]))
    return np.concatenate((text[:end], np.full(size - end, 0x20, np.uint8)))


def _at_character(text: Bytes, at: NDArray[np.int64]) -> NDArray[np.int64]:
    """Move places inside a character of valid text to its first byte; one at the end stays."""
    at = at.copy()
    inside = np.flatnonzero(at < len(text))
    while (inside := inside[(text[at[inside]] & 0xC0) == 0x80]).size:
        at[inside] -= 1
    return at


def _offsets(distribution: str, state: State, data: Bytes, rng: np.random.Generator) -> NDArray[Any]:
    """Cut the text into rows of random lengths."""
    lengths = rng.integers(state.shortest, state.longest + 1, (state.batches, state.rows))
    lengths[rng.random(lengths.shape) < EMPTY.get(distribution, 0)] = 0
    ends = np.cumsum(lengths)
    text = data[MARGIN : len(data) - MARGIN]
    total = max(ends[-1:].sum(), 1)
    places = MARGIN + np.append(0, _at_character(text, ends * len(text) // total))
    rows = np.arange(state.batches)[:, None] * state.rows + np.arange(state.rows + 1)
    return places.astype(f"i{state.bits // 8}")[rows]


def _flip_a_bit(data: Bytes, offsets: NDArray[Any], rng: np.random.Generator) -> None:
    if offsets[0] < offsets[-1]:
        data[rng.integers(offsets[0], offsets[-1])] ^= 1 << rng.integers(8)


def _write_no_character(data: Bytes, offsets: NDArray[Any], rng: np.random.Generator) -> None:
    """Write at the beginning, at the end or anywhere, often over a part of a character."""
    written = np.frombuffer(NO_CHARACTERS[rng.integers(len(NO_CHARACTERS))], np.uint8)
    first, last = int(offsets[0]), int(offsets[-1]) - len(written)
    if first <= last:
        at = rng.choice((first, last, *rng.integers(first, last + 1, 2)))
        data[at : at + len(written)] = written


def _descend(_data: Bytes, offsets: NDArray[Any], rng: np.random.Generator) -> None:
    at = rng.integers(1, len(offsets))
    offsets[at] = offsets[at - 1] - rng.integers(1, 100)


def _begin_before_all(_data: Bytes, offsets: NDArray[Any], rng: np.random.Generator) -> None:
    offsets[: rng.integers(1, len(offsets) + 1)] = -rng.integers(1, 100)


def _end_beyond_all(data: Bytes, offsets: NDArray[Any], rng: np.random.Generator) -> None:
    offsets[rng.integers(len(offsets)) :] = len(data) + rng.integers(1, 100)


def _end_with_all(data: Bytes, offsets: NDArray[Any], _rng: np.random.Generator) -> None:
    """Let the last row take all bytes there are, which are random at the end."""
    offsets[-1] = len(data)


def _shift(_data: Bytes, offsets: NDArray[Any], rng: np.random.Generator) -> None:
    """Move one offset by a few bytes: into a character, or to no harm where all is ASCII."""
    offsets[rng.integers(len(offsets))] += rng.choice((-2, -1, 1, 2))


OFFSET_FAULTS: Final = (_descend, _begin_before_all, _end_beyond_all, _end_with_all, _shift)
