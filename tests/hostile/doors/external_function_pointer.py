"""Calls whatever lies at an address; here a function of its own, and it might be any."""

from numba import cfunc, njit, types


@cfunc("int64()")
def one():
    return 1


call = types.ExternalFunctionPointer(types.int64(), lambda _: one.address)


@njit
def reached():
    return call()
