"""Keeps a value as the portal's database does."""

import re
from typing import Any

from tests.sandbox.settings import Settings

_FOUR_BYTES = re.compile("[\U00010000-\U0010ffff]")


def kept(value: Any, settings: Settings) -> Any:  # noqa: ANN401 - JSON in, JSON out
    """Return what a column keeps: all of it, or a text cut, or stripped."""
    if not isinstance(value, str):
        return value
    if settings.columns == "utf8mb3":
        # Without strict mode MySQL ends a text before the first character it cannot hold.
        value = _FOUR_BYTES.split(value, maxsplit=1)[0]
    return value.strip() if settings.trims else value
