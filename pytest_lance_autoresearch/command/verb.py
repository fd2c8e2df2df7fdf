"""What a verb of the command line is."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

NOT_DONE = 2
"""The exit code of a verb that could not do all that was asked."""


@dataclass(frozen=True)
class Verb:
    """One thing that the command line does."""

    run: Callable[[argparse.Namespace], int]
    """Does it, and returns the exit code; its docstring is the verb's help."""
    add_arguments: Callable[[argparse.ArgumentParser], None]
