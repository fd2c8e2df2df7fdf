"""`python -m pytest_lance_autoresearch`: see `command.verbs`."""

import sys

if __name__ == "__main__":  # a process that a verb begins imports this module too, and needs no verb
    from pytest_lance_autoresearch.command.verbs import main

    sys.exit(main())
