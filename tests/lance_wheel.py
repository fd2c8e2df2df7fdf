"""Lance's wheel, as the tests in tests/upstream want it.

Owns which releases they know, and how one is imported.
"""

from __future__ import annotations

from types import ModuleType

import pytest

RELEASE = "14.0.2"
"""The one that the extra 'upstream' names."""
EARLIER = "1.0.0"
"""The one that tests/upstream/earlier is about, and `run` there installs."""
MISSING = "needs the extra 'upstream' (pip install 'pytest-lance-autoresearch[upstream]')"


def lance(release: str = RELEASE) -> ModuleType:
    """Lance, whose layouts, bits and plans the tests know of this release only; they are skipped without it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LANCE_LOG", "error")
        module: ModuleType = pytest.importorskip("lance", reason=MISSING)
    assert module.__version__ == release, f"what these tests know is Lance {release}; see the extra"
    return module


def pyarrow(release: str = RELEASE) -> ModuleType:
    """pyarrow, where that release of Lance can be imported too."""
    lance(release)
    module: ModuleType = pytest.importorskip("pyarrow", reason=MISSING)
    return module
