"""posting-decode by numpy: all blocks of a kind at once, and all positions before any are chosen. Exact.

This is the target's oracle. No library decodes such lists; those that pack integers have formats of their own.
"""

from __future__ import annotations

from posting_oracle import decoder as PostingDecoder  # noqa: N812

__all__ = ["PostingDecoder"]
