"""How much room a kernel's results need, as what the reference returns tells it.

A reference may return more than a kernel does, such as limits and every row's distance. Owns what counts as a part
of its result, and which of these parts the results of kernels are known to have.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from contextlib import suppress
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

Form = tuple[np.dtype[Any], tuple[int, ...]]
"""Of an array: its dtype and shape."""
SPARE = 2
"""So many times as much as what the reference returned."""


class Room:
    """Room for each result of some calls, of which what the reference returned is given.

    It is enough for all that the reference returned, until the kernel's own form is known.
    """

    def __init__(self, expected: Iterable[Any]) -> None:
        """Each result is looked at before the next is asked for."""
        forms = [list(map(_form, arrays(one))) for one in expected]
        self._first = forms[0]
        """The parts of what the reference returned for the first call."""
        self._bytes = [list(map(_bytes, each)) for each in forms]
        """Of the parts of each call."""
        self._answers: list[list[list[int]]] = []
        """For each item of each kernel's result, the places of the parts that have its form; empty: all count."""

    @property
    def bytes(self) -> int:
        return SPARE * max(map(self._needed, self._bytes))

    def narrow(self, answers: Iterable[Any]) -> None:
        """Know the form of the kernels' right answers to the first call, if each item of them has that of a part.

        Where several parts have the same form, the largest of them counts, whichever that is for another call.
        """
        found = [[self._places_of(_form(item)) for item in arrays(answer)] for answer in answers]
        self._answers = found if all(places for answer in found for places in answer) else []

    def _places_of(self, wanted: Form) -> list[int]:
        return [place for place, form in enumerate(self._first) if form == wanted]

    def is_too_small_for(self, expected: Any) -> bool:
        """Whether what the reference returned for another call would have asked for more."""
        return SPARE * self._needed([array.nbytes for array in arrays(expected)]) > self.bytes

    def _needed(self, parts: Sequence[int]) -> int:
        if not self._answers or len(parts) != len(self._first):
            return sum(parts)
        return max(sum(max(parts[at] for at in places) for places in answer) for answer in self._answers)


def arrays(value: Any, around: tuple[int, ...] = ()) -> Iterator[np.ndarray[Any, Any]]:
    """The arrays and numbers in a result, whatever holds them; `around` tells what holds this value."""
    if id(value) in around or isinstance(value, type | ModuleType):
        return
    array = _as_array(value)
    if array is not None and not array.dtype.hasobject:
        yield array
        return
    for part in _parts(value if array is None else list(array.flat)):
        yield from arrays(part, (*around, id(value)))


def _form(array: np.ndarray[Any, Any]) -> Form:
    return array.dtype, array.shape


def _bytes(form: Form) -> int:
    dtype, shape = form
    return dtype.itemsize * math.prod(shape)


def _as_array(value: Any) -> np.ndarray[Any, Any] | None:
    """A number, what offers an array and keeps its word, or a buffer such as bytes; None for all else."""
    with suppress(Exception):
        if isinstance(value, bool | int | float | complex) or hasattr(value, "__array__"):
            return np.asarray(value)
    with suppress(Exception):
        return np.asarray(memoryview(value))
    return None


def _parts(value: Any) -> Iterable[Any]:
    """What a container holds, or an object has as its state."""
    if isinstance(value, Mapping):
        return (*value.keys(), *value.values())
    if isinstance(value, tuple | list | set | frozenset | deque | KeysView | ValuesView | ItemsView):
        return value
    with suppress(Exception):
        return (value.__getstate__(),)
    return ()
