"""The port of Lance's FSST decoder as a module, for the peer of fsst that calls it from compiled code."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

PATH = Path(__file__).resolve().parent / "ports" / "fsst" / "kernels.py"


def load() -> ModuleType:
    """Import the port by its path, since it lies in no package."""
    spec = importlib.util.spec_from_file_location("lance_port_of_fsst", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
