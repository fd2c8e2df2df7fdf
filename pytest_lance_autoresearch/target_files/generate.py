"""The states and the calls of a case, from its target's generators and a seed.

Owns drawing fresh calls, and the sentences about a generator that does not keep to its `rng`.
"""

from __future__ import annotations

import io
import pickle
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import repeat
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_lance_autoresearch.errors import TargetError
from pytest_lance_autoresearch.kernel_side import modules, wire
from pytest_lance_autoresearch.target_files import load, seeds

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from pytest_lance_autoresearch.records import Call, Case
    from pytest_lance_autoresearch.target_files.load import Target


@dataclass
class Feed:
    """Fresh calls of one case: each is made from a stream of its own, and none is ever given twice."""

    target: Target
    case: Case
    state: Any
    seed: int
    stream: str
    drawn: int = 0

    def draw(self, count: int) -> list[Call]:
        return list(self.one_by_one(count))

    def one_by_one(self, count: int) -> Iterator[Call]:
        """The same one by one, so that one can be given back before the next is made."""
        return (self._one() for _ in range(count))

    def _one(self) -> Call:
        rng = seeds.rng(self.seed, self.target.name, self.case.id, self.stream, self.drawn)
        self.drawn += 1
        make_call = self.target.inputs.make_call
        with _blaming(self.target):
            call = make_call(self.case.shape, self.case.distribution, self.state, rng)
        if not isinstance(call, tuple):
            raise TargetError(
                f"target '{self.target.name}': inputs.make_call returned a {type(call).__name__} for "
                f"{self.case.id}; expected a tuple of one call's arguments"
            )
        for position, value in enumerate(call):
            if isinstance(value, np.ndarray) and not wire.is_plain(value):
                raise TargetError(
                    f"target '{self.target.name}': argument {position} of inputs.make_call for {self.case.id} "
                    f"is a {type(value).__name__} of dtype {value.dtype}; expected a plain array of numbers"
                )
        return call


def make_state(target: Target, case: Case, seed: int) -> Any:
    """What exists before the case's first call."""
    return _state(target, case, "make_state", state_rng(target, case, seed))


def state_rng(target: Target, case: Case, seed: int) -> np.random.Generator:
    """The numbers that the case's state is made from."""
    return seeds.rng(seed, target.name, case.id, "state")


def make_hidden_state(target: Target, case: Case, seed: int, stream: str) -> Any:
    """A state of nearly the published size, which no process has seen; each `stream` has its own."""
    rng = seeds.rng(seed, target.name, case.id, f"hidden state, {stream}")
    return _state(target, case, _hidden_maker(target), rng)


def _hidden_maker(target: Target) -> str:
    """A target without states of other sizes gives another one of the published size."""
    return "make_hidden_state" if hasattr(target.inputs, "make_hidden_state") else "make_state"


def _state(target: Target, case: Case, maker: str, rng: np.random.Generator) -> Any:
    with _blaming(target):
        return getattr(target.inputs, maker)(case.shape, case.distribution, rng)


def pickled(target: Target, state: Any) -> bytes:
    """The state as it is sent to a kernel's process."""
    return load.pickled(target, state, "inputs.make_state")


def refuse_other_states(target: Target, case: Case, state: Any) -> None:
    """Make a published state, just made, once more: one that uses anything but its `rng` cannot be replayed."""
    _refuse_another(target, case, "make_state", state, make_state(target, case, seeds.PUBLISHED_SEED))


def refuse_other_hidden_states(target: Target, case: Case, stream: str) -> None:
    """Make a hidden state twice, for the same reason."""
    first, again = (make_hidden_state(target, case, seeds.PUBLISHED_SEED, stream) for _ in range(2))
    _refuse_another(target, case, _hidden_maker(target), first, again)


def _refuse_another(target: Target, case: Case, maker: str, state: Any, again: Any) -> None:
    if pickled(target, state) != pickled(target, again):
        raise TargetError(
            f"target '{target.name}': inputs.{maker} gave another state for the same rng on {case.id}; "
            f"expected every random number to come from its argument rng"
        )


def refuse_other_randomness(feed: Feed) -> None:
    """Draw the feed's first call twice: a generator that uses anything but its `rng` cannot be replayed."""
    first, again = (replace(feed, drawn=0).draw(1)[0] for _ in range(2))
    if len(first) != len(again) or not all(map(_is_same, repeat(feed.target), first, again)):
        raise TargetError(
            f"target '{feed.target.name}': inputs.make_call gave other numbers for the same rng on "
            f"{feed.case.id}; expected every random number to come from its argument rng"
        )


def _is_same(target: Target, one: Any, other: Any) -> bool:
    """Whether two arguments have the same value, whatever they are called and wherever they lie."""
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())
    if len({load.pickled(target, value, "inputs.make_call") for value in (one, other)}) == 1:
        return True
    with suppress(Exception):
        return _pickled_by_value(one) == _pickled_by_value(other)
    return False


def _pickled_by_value(value: Any) -> bytes:
    """A pickle that does not tell whether two equal parts are one object, as after a cache they may be."""
    stream = io.BytesIO()
    pickler = pickle.Pickler(stream, protocol=5)
    pickler.fast = True
    pickler.dump(value)
    return stream.getvalue()


def _blaming(target: Target) -> AbstractContextManager[None]:
    return modules.blaming(target.layout, "inputs.py")
