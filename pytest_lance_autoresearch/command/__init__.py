"""`python -m pytest_lance_autoresearch`: targets begun, logs read and kernels restored from the command line."""
