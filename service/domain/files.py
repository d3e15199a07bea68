"""Judges files: the portal decodes Base64 with PHP's `base64_decode`, which skips what is none."""

import re

_FOREIGN = re.compile(r"[^A-Za-z0-9+/=\s]")
_REMEDY = 'send ["name.png", "<Base64>"], plain Base64 without a data: prefix'


def damaged(value: object, *, multiple: bool) -> str | None:
    """Return how a file is stored damaged; None where it is not, or is refused aloud.

    One file is a pair of name and content, or its content alone; several are a list of these.
    """
    several = value if multiple and isinstance(value, list) else [value]
    contents = [each[1] if isinstance(each, list) and len(each) > 1 else each for each in several]
    if any(isinstance(each, str) and _FOREIGN.search(each) for each in contents):
        return f"is no plain Base64, the portal keeps a damaged file: {_REMEDY}"
    return None
