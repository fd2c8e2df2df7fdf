"""How a trial is named on the command line, by every verb that takes one: N, or --trial N."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any


class _Named(argparse.Action):
    """A trial's number, named in either way: once is enough, twice is a contradiction unless it is the same."""

    def __init__(self, *args: Any, instead_of: argparse.Action | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self._other = instead_of

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,  # noqa: ARG002  # argparse gives it
    ) -> None:
        before = getattr(namespace, self.dest)
        if before not in (None, values):
            parser.error(f"trial {before} and trial {values} are named; expected one of them")
        setattr(namespace, self.dest, values)
        if self._other is not None:
            self._other.required = False


def _number(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}' is no trial's number; expected one such as 7")
    return int(text)


def add_trial(parser: argparse.ArgumentParser, told: str, *, is_required: bool) -> None:
    """N and --trial N, which mean the same; with neither, `trial` is None where it is not required."""
    bare = parser.add_argument(
        "trial", type=_number, action=_Named, metavar="N" if is_required else "[N]", help=f"{told}; or --trial N"
    )
    bare.required = is_required
    parser.add_argument("--trial", type=_number, action=_Named, instead_of=bare, metavar="N", help="the same as N")
