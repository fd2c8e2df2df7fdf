"""`python -m pytest_lance_autoresearch`: a log, read from the command line."""
