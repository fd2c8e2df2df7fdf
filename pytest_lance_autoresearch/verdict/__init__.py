"""From windows to a verdict: pure functions of records, without input or output."""
