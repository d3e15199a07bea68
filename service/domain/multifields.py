"""Judges PHONE, EMAIL, WEB and IM: the fields of several values, each with a kind."""

import re
from collections.abc import Mapping
from types import MappingProxyType

from service.domain.values import judge

SAMPLES: Mapping[str, str] = MappingProxyType(
    {
        "PHONE": '[{"VALUE": "+4930123456", "VALUE_TYPE": "WORK"}]',
        "EMAIL": '[{"VALUE": "a@example.org", "VALUE_TYPE": "WORK"}]',
        "WEB": '[{"VALUE": "https://example.org", "VALUE_TYPE": "WORK"}]',
        "IM": '[{"VALUE": "@name", "VALUE_TYPE": "TELEGRAM"}]',
    }
)
"""The only shape that an import takes for each of these fields."""
LONGEST = 250
"""Characters of one value; the portal stores no longer one."""
_ADDRESS = re.compile(r"[^@\s]@[^@\s]")


def lost(name: str, value: object) -> str | None:
    """Return how much of a multifield's value the portal keeps; None if it keeps all of it.

    The portal goes through the members of a list or an object, and keeps each that has a `VALUE`
    and a `VALUE_TYPE`; everything else is passed over without a word.
    """
    if value in (None, "", [], {}):
        return None
    if not isinstance(value, list | dict):
        return f"is not kept: send a list such as {SAMPLES[name]}"
    several = list(value.values()) if isinstance(value, dict) else value
    wrong = [why for each in several if (why := _why(name, each)) is not None]
    if not wrong:
        return None
    kept = len(several) - len(wrong)
    left = f"is kept in part ({kept} of {len(several)} values)" if kept else "is not kept"
    return f"{left}, since {wrong[0]}: send a list such as {SAMPLES[name]}"


def _why(name: str, each: object) -> str | None:
    """Return why one value is lost; one that says nothing is not."""
    if not isinstance(each, dict):
        return None if each in (None, "") else "a value is not an object"
    if "VALUE" not in each:
        return "a value has no VALUE (in capitals)" if each else None
    text = each["VALUE"]
    if isinstance(text, bool | list | dict):
        return "a VALUE is not text"
    if text is None or not str(text).strip():
        return None
    if not each.get("VALUE_TYPE") or not isinstance(each["VALUE_TYPE"], str):
        return "a value has no VALUE_TYPE"
    return _why_text(name, text)


def _why_text(name: str, value: object) -> str | None:
    text = str(value)
    if text == "0":
        return "a VALUE of 0 counts as empty"
    if any(judge("string", value, None)):
        return "a VALUE has more digits than a number can hold"
    if len(text) > LONGEST:
        return f"a VALUE is longer than {LONGEST} characters"
    return "a VALUE is not an address" if name == "EMAIL" and not _ADDRESS.search(text) else None
