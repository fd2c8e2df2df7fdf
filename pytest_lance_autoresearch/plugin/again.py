"""How a failing item is told: its fault, and the command that shows it again.

Owns the words of both. The command runs that item with the same inputs, from where pytest was started.
"""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

from pytest_lance_autoresearch.errors import AutoresearchError, KernelIncorrect, TargetError
from pytest_lance_autoresearch.plugin import collect
from pytest_lance_autoresearch.plugin.suite import SUITE

if TYPE_CHECKING:
    import pytest


def sentence(item: pytest.Item, fault: AutoresearchError) -> str:
    """The fault, the seed of the inputs that showed it, and what to type."""
    lines = [str(fault)]
    is_of_the_files = isinstance(fault, TargetError) and fault.seed is None
    if not collect.is_gate(item) and not is_of_the_files:
        if isinstance(fault, KernelIncorrect):
            lines.append(f"seed: {'published' if fault.seed is None else fault.seed}")
        lines.append(f"run again: {_command(item, fault.seed)}")
    return "\n".join(lines)


def _command(item: pytest.Item, seed: int | None) -> str:
    """What runs just this item again, as it was run, from where pytest was started."""
    module, config = collect.kernel_module(item), item.config
    assert module is not None
    path = os.path.relpath(module.path, config.invocation_params.dir)
    words = ["pytest", f"{path}::{collect.own_name(item)}"]
    chosen = config.stash[SUITE].options
    if chosen.selects:
        words.append(f"--autoresearch={module.layout.name}")
    if collect.function_name(item) == collect.CALIBRATION:
        words.append("--autoresearch-calibrate")
    if chosen.in_process:
        words.append("--autoresearch-in-process")
    values = {
        "--autoresearch-timeout": [config.getoption("autoresearch_timeout")],
        "--config-file": [config.option.inifilename],
        "--rootdir": [config.option.rootdir],
        "--override-ini": config.option.override_ini or [],
        "--autoresearch-seed": [seed],
    }
    words += [f"{name}={value}" for name, given in values.items() for value in given if value is not None]
    return shlex.join(words)
