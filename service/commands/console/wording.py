"""Words of the pages: how many, how long."""

from datetime import UTC, datetime

from service.commands.terminal import many

_UNITS = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"))


def letters(count: int) -> str:
    """Return how many letters, in words."""
    return many(count, "letter")


def duration(seconds: float) -> str:
    """Return a time span as people say it: 45 s, 3 min, 5 h, 2 d."""
    for length, unit in _UNITS:
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 or seconds == int(seconds) else f"{seconds:.1f} s"  # noqa: PLR2004 - tenths matter for few


def since(seconds: float) -> str:
    """Return how long ago something was, by its age."""
    return "just now" if seconds < 5 else f"{duration(float(int(seconds)))} ago"  # noqa: PLR2004 - a moment


def ago(moment: datetime | None, now: datetime | None = None) -> str:
    """Return how long ago something was."""
    if moment is None:
        return "unknown"
    seconds = ((now or datetime.now(UTC)) - moment).total_seconds()
    return f"{duration(max(0.0, float(int(seconds))))} ago"


def moment_of(text: object) -> datetime | None:
    """Return a time that a program wrote; None where it is none."""
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
