"""Says how many made-up histories a simulation goes through."""

import os


def histories(few: int) -> int:
    """Return how many: a few in `make test`, HISTORIES of them in `make simulation`."""
    return int(os.environ.get("HISTORIES") or few)
