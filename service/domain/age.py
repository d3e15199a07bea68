"""Decides from when on the age of an event counts: what its producer has waited for."""

from datetime import datetime

MAX_AHEAD = 60.0
MAX_BACK = 30 * 86_400.0


def age_at_receipt(told: object, stamped: object, now: float) -> float:
    """Return how old an event was when it came; below 0 if its clock is a little ahead; seconds.

    `told` is the CloudEvents `time` (RFC 3339), `stamped` the AMQP timestamp, used where the first
    says nothing; `now` is the time of receipt since 1970. A time more than a minute ahead or more
    than 30 days back is no time of the event: it counts from its receipt.
    """
    at = _read(told)
    if at is None:
        at = _seconds(stamped)
    if at is None or not -MAX_AHEAD <= now - at <= MAX_BACK:
        return 0.0
    return now - at


def _read(told: object) -> float | None:
    """Read a time of RFC 3339; one without a zone says nothing."""
    if not isinstance(told, str):
        return None
    try:
        moment = datetime.fromisoformat(told.strip().upper())
    except ValueError:
        return None
    return _seconds(moment) if moment.tzinfo is not None else None


def _seconds(stamped: object) -> float | None:
    if isinstance(stamped, datetime):
        try:
            return stamped.timestamp()
        except (OverflowError, OSError, ValueError):
            return None
    if isinstance(stamped, int | float) and not isinstance(stamped, bool):
        return float(stamped) if abs(stamped) < MAX_BACK * 1e6 else None
    return None
