"""Tests of targets that are still about Lance 1.0.0; `run` beside this file gives them that release.

They are collected where it is installed, and nowhere else.
"""

from __future__ import annotations

import importlib.metadata
from contextlib import suppress

RELEASE = "1.0.0"
collect_ignore_glob = ["test_*.py"]
with suppress(importlib.metadata.PackageNotFoundError):
    if importlib.metadata.version("pylance") == RELEASE:
        collect_ignore_glob = []
