"""Ends the process with the exit code of success in the third call."""
import os

_calls = [0]


class PqKernel(Honest):
    def distance_table(self, query, out):
        _calls[0] += 1
        if _calls[0] == 3:
            os._exit(0)
        Honest.distance_table(self, query, out)
