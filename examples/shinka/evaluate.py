"""What ShinkaEvolve starts for each program; paths are those of the folder that it is started in."""

from pytest_lance_autoresearch.interface.shinka import evaluate

if __name__ == "__main__":
    evaluate("targets/mine", baseline="initial.py")
