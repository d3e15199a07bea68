"""Gives random numbers: the domain takes chance as an argument."""

import random


def chance() -> float:
    """Return a number from 0 to 1, so that processes do not all try again at one moment."""
    return random.random()  # noqa: S311 - jitter
