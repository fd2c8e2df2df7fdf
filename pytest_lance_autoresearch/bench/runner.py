"""What is expected of a place where a kernel runs: a worker process, or this process under a debugger.

Owns the two protocols that both keep.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_lance_autoresearch.records import Call, Window


class Answers(Protocol):
    """What a kernel answered in one window; it can be read until the next window of the same runner."""

    @property
    def window(self) -> Window: ...
    def __getitem__(self, index: int) -> Any: ...


A_co = TypeVar("A_co", bound=Answers, covariant=True)


class Runner(Protocol[A_co]):
    """A place where a kernel runs; its answers are of type `A_co`."""

    def bind(self, key: str, state: bytes) -> object: ...
    def release(self, key: str) -> None: ...
    def run(self, key: str, calls: Sequence[Call], result_bytes: int = 0) -> A_co: ...
