"""What a host does for a tournament: candidates are checked there, and stand beside the baseline.

Owns what is kept on the host from one order to the next, such as compiled kernels and the reference's answers.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from pytest_lance_autoresearch.bench.memo import Memo
from pytest_lance_autoresearch.bench.rounds import Ground, Measured
from pytest_lance_autoresearch.runs import checking
from pytest_lance_autoresearch.runs.posts import Post
from pytest_lance_autoresearch.runs.trial import Checked, Settings, Trial

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_lance_autoresearch.records import Source
    from pytest_lance_autoresearch.target_files.parcels import Parcel


class InRound(NamedTuple):
    """What came of a field on another host."""

    measured: Measured
    waited_s: float


class Ring(Post):
    """A target of which many candidates are tried; checks may come from several threads at once."""

    def __init__(self, parcel: Parcel, timeout_s: float, baseline: Source, seed: int) -> None:
        super().__init__(parcel, timeout_s)
        self._seed = seed
        self._lock = Lock()
        self._memo = Memo()
        run = (self._states.of, self._processes, lambda *_: None, self._turn)
        self._ground = Ground(self._target, self._settled(baseline), self._timed, *run)

    def check(self, source: Source) -> Checked:
        """All of a candidate's correctness."""
        target = replace(self._target, kernel=self._settled(source))
        settings = Settings(Path(self._folder.name), seed=self._seed, timeout_s=self._timeout_s, is_entry=True)
        trial = Trial(target, self._cases, settings, states=self._states, shared=self._memo)
        checking.check(trial, self._lock)
        return trial.checked()

    def most_beside(self) -> int:
        with self._lock:
            return self._ground.most_beside()

    def measured(self, together: Mapping[str, Source], number: int) -> InRound:
        """A field of a round."""
        waited_s = self._stopwatch.waited_s
        settled = {letter: self._settled(source) for letter, source in together.items()}
        found = self._ground.measured(settled, number, self._seed)
        return InRound(found, self._stopwatch.waited_s - waited_s)
