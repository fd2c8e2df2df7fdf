"""Names a symbol of libc as a type of numba's, which compiled code can call."""

from numba import njit, types

clock = types.ExternalFunction("clock", types.int64())


@njit
def reached():
    return clock()
