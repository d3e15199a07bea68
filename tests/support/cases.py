"""Checks very many cases in one test: a test of its own costs more than most of them."""

import traceback
from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


def failing(check: Callable[[T], object], cases: Iterable[T]) -> dict[str, str]:
    """Return the cases for which a check raises, each with the end of its traceback."""
    found = {}
    for case in cases:
        try:
            check(case)
        except Exception as error:  # noqa: BLE001 - the test fails with all of them
            found[str(case)] = "".join(traceback.format_exception(error, limit=-3))
    return found
