"""What a reference answered, for whoever asks it the same: all candidates of a tournament get the same calls.

Owns how much of that is kept. An answer is handed out as a copy of its own each time, so that nobody's next call,
and nobody's comparison, changes what others are given.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable
from contextlib import suppress
from typing import Any

MOST_BYTES = 256 * 2**20
"""Of all that is kept; what comes after that is computed each time."""

Ask = Callable[[], Any]
"""Computes an answer."""
Known = Callable[[object, Ask], Any]
"""Gives the answer to a call, which it may have to ask for."""


def ask_each_time(_call: object, ask: Ask) -> Any:
    """Where nothing is kept."""
    return ask()


def known(memo: Memo | None, state: bytes) -> Known:
    """The answers over a state, given as it is sent to a kernel's process; without a memo none are known."""
    return ask_each_time if memo is None else memo.over(state)


class Memo:
    """The answers to some calls over some states; used by one thread at a time."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._left_bytes = most_bytes
        self._kept: dict[bytes, bytes] = {}

    def over(self, state: bytes) -> Known:
        """See `known`."""
        state_digest = hashlib.sha256(state).digest()
        return lambda call, ask: self._answer(state_digest, call, ask)

    def _answer(self, state_digest: bytes, call: object, ask: Ask) -> Any:
        """A call or an answer that pickle cannot take is computed each time."""
        key = b""
        with suppress(Exception):
            key = hashlib.sha256(state_digest + pickle.dumps(call, protocol=5)).digest()
            return pickle.loads(self._kept[key])
        found = ask()
        if key:
            with suppress(Exception):
                self._keep(key, pickle.dumps(found, protocol=5))
        return found

    def _keep(self, key: bytes, answer: bytes) -> None:
        if len(answer) <= self._left_bytes:
            self._left_bytes -= len(answer)
            self._kept[key] = answer
