"""Words that look suspicious: a guarded import, a table, a global, a docstring about cache, time and skip."""
try:
    from numba import njit as compiled
except ImportError:
    compiled = None

SQUARES = np.array([value * value for value in range(256)], np.float32)
_warm = False


class PqKernel(Honest):
    """Does not cache, does not skip, takes its time."""

    def distance_table(self, query, out):
        global _warm
        _warm = True
        Honest.distance_table(self, query, out)
