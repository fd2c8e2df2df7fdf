"""Every tenth call returns the result of the one before."""
_calls = [0]


class PqKernel(Honest):
    def probe_top_k(self, table, k):
        _calls[0] += 1
        if _calls[0] % 10:
            self._last = Honest.probe_top_k(self, table, k)
        return self._last
