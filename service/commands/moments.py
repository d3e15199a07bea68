"""Writes times down: as people and programs read them, and how long ago they were."""

from datetime import UTC, datetime


def written(moment: datetime) -> str:
    """Write a time down as people and programs read it."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def age(moment: datetime | None) -> str:
    """Write down how long ago something was."""
    if moment is None:
        return "unknown"
    seconds = max(0, int((datetime.now(UTC) - moment).total_seconds()))
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length}{unit} ago"
    return f"{seconds}s ago"
