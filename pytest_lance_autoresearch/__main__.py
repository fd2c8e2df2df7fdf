"""`python -m pytest_lance_autoresearch`: see `command.verbs`."""

import sys

from pytest_lance_autoresearch.command.verbs import main

if __name__ == "__main__":
    sys.exit(main())
