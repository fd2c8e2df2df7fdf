"""`python -m pytest_lance_autoresearch`: targets begun, kernels explained and restored, logs read."""
