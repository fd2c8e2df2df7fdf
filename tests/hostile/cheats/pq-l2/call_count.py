"""Honest for 150 calls, long enough for most checks, and then writes nothing."""
_calls = [0]


class PqKernel(Honest):
    def distance_table(self, query, out):
        _calls[0] += 1
        if _calls[0] <= 150:
            Honest.distance_table(self, query, out)
