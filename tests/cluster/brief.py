"""What nodes do in tests instead, in short windows. Found by its name there, and so in a module of its own."""

from __future__ import annotations

from typing import Any

from pytest_lance_autoresearch.bench import measure
from pytest_lance_autoresearch.runs.posts import Bench
from pytest_lance_autoresearch.runs.ring import Ring

SHORT_NS = 1_000_000


class BriefBench(Bench):
    """For a trial."""

    def __init__(self, *work: Any) -> None:
        measure.WINDOW_NS = SHORT_NS
        super().__init__(*work)


class BriefRing(Ring):
    """For a tournament."""

    def __init__(self, *work: Any) -> None:
        measure.WINDOW_NS = SHORT_NS
        super().__init__(*work)
