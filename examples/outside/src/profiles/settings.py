"""What the kernels of the library have in common."""

SHORTEST = 2
"""Values that a query has at least."""
