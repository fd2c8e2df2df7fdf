"""posting-decode by numpy: all blocks of a kind at once, and all positions before any are chosen. Exact.

This is the target's oracle. No library decodes such lists; those that pack integers have formats of their own.
"""

from __future__ import annotations

import by_path

PostingDecoder = by_path.module("targets/posting-decode/reference.py").PostingDecoder
