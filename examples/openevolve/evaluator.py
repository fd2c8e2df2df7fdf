"""What OpenEvolve evaluates each program with; paths are those of the folder that it is started in."""

from pytest_lance_autoresearch.interface.openevolve import evaluator

evaluate = evaluator("targets/mine", baseline="initial.py")
