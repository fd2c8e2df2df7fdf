"""What a caller hands over, and the sentences about what cannot be meant.

Owns what a caller may hand over as a kernel. A fault here is one of the calling program: TypeError or ValueError,
raised before anything runs.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from pytest_lance_autoresearch.records import Rules
from pytest_lance_autoresearch.target_files.load import Target

Kernel = str | Path | bytes
"""A kernel's file by its path, or its source as bytes."""
_ABOVE_0 = ("max_seconds", "memory_fraction", "memory_bytes")
_FRACTIONS = dict.fromkeys(("min_effect", "case_limit", "noise_band", "miss", "slowdown_limit"), 0.01)
_FRACTIONS["confidence"] = 0.99
"""With an example of each."""


def folder(given: Any) -> Path:
    """A target's folder by its path."""
    if not isinstance(given, str | Path):
        raise TypeError(f"load() was given {_told(given)}; expected the path of a target's folder")
    if given == "":
        raise ValueError("load() was given an empty path; expected that of a target's folder")
    return Path(given)


def source(kernel: Any) -> bytes:
    """A kernel's source; OSError where its file cannot be read."""
    if isinstance(kernel, bytes):
        return kernel
    if not isinstance(kernel, str | Path):
        raise TypeError(f"a kernel is a path, or its source as bytes; found {_told(kernel)}")
    if "\n" in str(kernel):
        first = str(kernel).lstrip().partition("\n")[0]
        raise ValueError(f"a source is bytes, and a path is one line; found a str of several: {first!r}...")
    return Path(kernel).read_bytes()


def refuse_other_targets(target: Any) -> None:
    if not isinstance(target, Target):
        raise TypeError(f"found {_told(target)} as the target; expected a Target, as load() returns it")


def refuse_other_rules(rules: Any) -> None:
    """Rules are any numbers until they are used: a trial would measure for ever, or judge by nothing."""
    if not isinstance(rules, Rules):
        raise TypeError(f"found {_told(rules)} as the rules; expected Rules or RegressionRules")
    for name in _ABOVE_0:
        refuse_other_seconds(f"rules.{name}", getattr(rules, name))
    for name, example in _FRACTIONS.items():
        value = getattr(rules, name, example)  # one of the rules is the regression gate's alone
        if not (_is_number(value) and 0 <= value < 1):
            raise ValueError(f"rules.{name} is {value!r}; expected a fraction such as {example}")


def refuse_other_seconds(name: str, value: Any) -> None:
    if not (_is_number(value) and 0 < value < math.inf):
        raise ValueError(f"{name} is {value!r}; expected a number above 0")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def _told(value: Any) -> str:
    """A value in a few words."""
    if value is None:
        return "None"
    kind = type(value).__name__
    return f"{value!r}, a {kind}" if isinstance(value, str | Path) else f"an object of type {kind}"
