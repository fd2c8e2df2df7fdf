"""What one can ask for: a trial, a calibration, a self-test, a replay, a restoration. Knows nothing of pytest."""
