"""Reads how long an answer asks to be left alone (`Retry-After`, RFC 9110 §10.2.3)."""

import re
import time
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

from service.domain.pacing import MAX_HOLD

_SECONDS = re.compile(r"[0-9]+")
_DIGITS = 9


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that an answer's headers ask for, an hour at most; None if they do not.

    A date is compared with the answer's own `Date`, so that a clock of ours that is wrong does not
    matter; without one, with our clock.
    """
    value = headers.get("Retry-After", "").strip()
    if _SECONDS.fullmatch(value):
        # Longer numbers are far above the limit.
        seconds = float(value) if len(value) <= _DIGITS else MAX_HOLD
    else:
        until = _timestamp(value)
        if until is None:
            return None
        sent = _timestamp(headers.get("Date", ""))
        seconds = until - (time.time() if sent is None else sent)
    return min(seconds, MAX_HOLD) if seconds > 0 else None


def _timestamp(value: str) -> float | None:
    """Read a date in any of the three formats of HTTP; None if it is none."""
    try:
        moment = parsedate_to_datetime(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
