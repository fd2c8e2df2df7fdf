"""Lance's wheel, as the tests in tests/upstream want it.

Owns which release they know, and how it is imported.
"""

from __future__ import annotations

from types import ModuleType

import pytest

RELEASE = "14.0.2"
"""The one that the extra 'upstream' names."""
MISSING = "needs the extra 'upstream' (pip install 'pytest-lance-autoresearch[upstream]')"


def lance() -> ModuleType:
    """Lance, whose layouts, bits and plans the tests know of this release only; they are skipped without it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LANCE_LOG", "error")
        module: ModuleType = pytest.importorskip("lance", reason=MISSING)
    assert module.__version__ == RELEASE, f"what these tests know is Lance {RELEASE}; see the extra"
    return module


def pyarrow() -> ModuleType:
    """pyarrow, where Lance can be imported too."""
    lance()
    module: ModuleType = pytest.importorskip("pyarrow", reason=MISSING)
    return module
