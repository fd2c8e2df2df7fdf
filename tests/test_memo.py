"""What a reference answered is kept, copied, and bounded."""

from __future__ import annotations

from typing import Any

import numpy as np

from pytest_lance_autoresearch.bench.memo import Memo, known


class Reference:
    """Counts what it is asked, and uses one buffer for all of its answers."""

    def __init__(self) -> None:
        self.asked = 0
        self.buffer = np.zeros(4)

    def __call__(self) -> Any:
        self.asked += 1
        self.buffer += 1
        return self.buffer


CALL = (np.arange(3.0), 7)


def test_the_same_call_over_the_same_state_is_asked_once() -> None:
    memo, ask = Memo(), Reference()
    answers = [known(memo, b"state")((np.arange(3.0), 7), ask).tolist() for _ in range(3)]
    assert (ask.asked, answers) == (1, [[1.0] * 4] * 3)
    known(memo, b"another state")(CALL, ask)
    known(memo, b"state")((np.arange(3.0), 8), ask)
    assert ask.asked == 3


def test_an_answer_is_a_copy_of_its_own() -> None:
    memo, ask = Memo(), Reference()
    answered = known(memo, b"state")
    answered(CALL, ask)
    ask.buffer[:] = -1
    answered(CALL, ask)[:] = -2
    assert answered(CALL, ask).tolist() == [1.0] * 4


def test_beyond_its_room_nothing_is_kept() -> None:
    memo, ask = Memo(200), Reference()
    for _ in range(2):
        for number in range(3):
            known(memo, b"state")((number,), ask)
    assert ask.asked == 3 + 2


def test_what_cannot_be_pickled_is_asked_each_time() -> None:
    memo, ask = Memo(), Reference()
    for call in ((lambda: 0,), CALL):
        for _ in range(2):
            known(memo, b"state")(call, lambda: (ask(), lambda: 0))
    assert ask.asked == 4


def test_without_a_memo_it_is_asked_each_time() -> None:
    ask = Reference()
    for _ in range(2):
        known(None, b"state")(CALL, ask)
    assert ask.asked == 2
