"""Kernels compile once in a trial: in processes of their own, whose machine code all later ones take over.

So neither a kernel's memory nor its building is charged for compiling. Owns what was kept, and the processes that
compile while something else is done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from pytest_lance_autoresearch.bench.fields import Field

if TYPE_CHECKING:
    from pytest_lance_autoresearch.bench.measure import CasePlan
    from pytest_lance_autoresearch.bench.processes import Processes
    from pytest_lance_autoresearch.bench.scratch import Compiled
    from pytest_lance_autoresearch.records import Source


class Compiling:
    """What the kernels of a trial have compiled, and the fields that start with it; `sources` are by side."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._kept: dict[str, Compiled] = {}
        """By side, once it is known."""
        self._ahead: Field | None = None

    def begin(self, sources: Mapping[str, Source], plans: Sequence[CasePlan]) -> None:
        """Let these compile while something else is done, until it is asked for a field of them."""
        self._ahead = self._launch(sources, plans)

    def field(self, sources: Mapping[str, Source], plans: Sequence[CasePlan]) -> Field:
        """A fresh field that is ready, of kernels that are compiled."""
        if not self._kept.keys() >= sources.keys():
            self._compile(sources, plans)
        field = self._launch(sources, plans)
        field.join(plans)
        return field

    def _compile(self, sources: Mapping[str, Source], plans: Sequence[CasePlan]) -> None:
        """What was begun may have been closed since, with all processes of the trial."""
        ahead, self._ahead = self._ahead, None
        with closing(self._launch(sources, plans) if ahead is None or ahead.is_closed else ahead) as field:
            field.join(plans)
            self._kept |= field.compiled()

    def _launch(self, sources: Mapping[str, Source], plans: Sequence[CasePlan]) -> Field:
        return Field.launch(self._processes, sources, plans, self._kept)
