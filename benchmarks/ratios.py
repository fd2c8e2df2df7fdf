"""Ratios of paired calls, as benchmarks in one process show them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def shown(ratios: Sequence[float]) -> str:
    """The median, and the middle 90 %."""
    low, middle, high = np.quantile(ratios, (0.05, 0.5, 0.95))
    return f"{middle:.2f} [{low:.2f}, {high:.2f}]"
