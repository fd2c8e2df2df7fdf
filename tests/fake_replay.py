"""A log whose claims are measured again without measuring."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pytest_lance_autoresearch.errors import AutoresearchError
from pytest_lance_autoresearch.log import results
from pytest_lance_autoresearch.log.origins import Origins
from pytest_lance_autoresearch.records import Interval, Progress, Source
from pytest_lance_autoresearch.runs import replay
from pytest_lance_autoresearch.runs.replay import Auditor
from pytest_lance_autoresearch.target_files import discover, load

GAIN = Interval(1.15, 1.25, 1.35)
LOSS = Interval(0.85, 0.9, 0.95)


@dataclass
class Measured:
    """Stands for the measuring: what comes out of it, in general or for one candidate and baseline."""

    now: Interval = GAIN
    of: dict[tuple[str, str], Interval | AutoresearchError] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    per_look: set[int] = field(default_factory=set)

    def __call__(self, target: load.Target, baseline: Source, per_look: int, *_: object) -> replay.Measured:
        sides = target.kernel.text.decode(), baseline.text.decode()
        self.asked.append(sides)
        self.per_look.add(per_look)
        found = self.of.get(sides, self.now)
        if isinstance(found, AutoresearchError):
            raise found
        return replay.Measured(found, {"64x32-uniform": found})


def auditor(
    path: Path,
    pairs: int = 4,
    rows: Sequence[results.Row] = (),
    watch: Callable[[Progress], None] = lambda _: None,
) -> Auditor:
    origins = Origins(path, rows or results.read(path), path.parent, discover.DEFAULT_GLOBS)
    return Auditor(origins, pairs, watch)
