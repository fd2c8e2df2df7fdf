"""The states of a target's cases that were made already.

Owns how many of them are kept in memory: a state with the published seed is the same whenever it is made, so that
giving one up costs time and nothing else. Those that earlier runs left on disk are `stored`'s.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pytest_lance_autoresearch.target_files import contract, generate, seeds, stored

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_lance_autoresearch.records import Case
    from pytest_lance_autoresearch.target_files.load import Target


class States:
    """States with the published seed, the latest used of them kept up to `most_bytes` in all.

    `folder` is where they are stored; None is nowhere.
    """

    def __init__(self, target: Target, most_bytes: float = math.inf, folder: Path | None = None) -> None:
        self._target = target
        self._most_bytes = most_bytes
        self._kept: dict[str, tuple[Any, int]] = {}
        is_stored = folder is not None and stored.is_possible(target)
        self._stored = stored.StoredStates(target, folder) if folder and is_stored else None

    def of(self, case: Case) -> Any:
        """The case's state, found or made where it is not there."""
        state, size = self._kept.pop(case.id) if case.id in self._kept else self._found_or_made(case)
        self._kept[case.id] = state, size
        for other in list(self._kept)[:-1]:
            if sum(size for _, size in self._kept.values()) <= self._most_bytes:
                break
            self.forget(other)
        return state

    def forget(self, case_id: str) -> None:
        """Give up a case's state, if it is there."""
        self._kept.pop(case_id, None)

    def clear(self) -> None:
        self._kept.clear()

    def _found_or_made(self, case: Case) -> tuple[Any, int]:
        """The state, and about how many bytes it has: those that a kernel's process is sent."""
        if self._stored is not None:
            return self._stored.of(case, self._made)
        state = self._made(case)
        is_limited = self._most_bytes < math.inf
        return state, len(generate.pickled(self._target, state)) if is_limited else 0

    def _made(self, case: Case) -> Any:
        """The state, made now; what cannot be made again is refused before it can be stored."""
        state = generate.make_state(self._target, case, seeds.PUBLISHED_SEED)
        if case == contract.smallest(self._target)[0]:
            generate.refuse_other_states(self._target, case, state)
        return state
