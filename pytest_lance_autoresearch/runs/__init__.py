"""What one can ask for: a trial, a calibration, a self-test, a replay. Knows nothing of pytest."""
