"""Has numba evaluate a string as a signature, which may be any Python."""

from numba import njit


@njit("void(int64) if __import__('os').getpid() else None")
def compiled(x):
    pass


def reached():
    return len(compiled.signatures)
