"""The decoder of the oracle of posting-decode, for its peer: all blocks of a kind at once, with numpy."""

from __future__ import annotations

from importlib import util
from pathlib import Path
from typing import Any

REFERENCE = Path(__file__).resolve().parent.parent / "targets" / "posting-decode" / "reference.py"


def decoder(block: int) -> Any:
    """Return the oracle's `PostingDecoder` for blocks of so many postings."""
    spec = util.spec_from_file_location("posting_decode_oracle", REFERENCE)
    assert spec is not None
    assert spec.loader is not None
    oracle = util.module_from_spec(spec)
    spec.loader.exec_module(oracle)
    return oracle.PostingDecoder(block)
