"""A file of the repository that lies in no package, as a module, for the peers that are made of one."""

from __future__ import annotations

from importlib import util
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent


def module(place: str) -> ModuleType:
    """Execute the file at that path below the repository."""
    spec = util.spec_from_file_location(f"{place.replace('/', '_').replace('-', '_')}_by_path", ROOT / place)
    assert spec is not None
    assert spec.loader is not None
    found = util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found
