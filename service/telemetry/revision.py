"""Reads which revision of the source runs."""

from pathlib import Path

PLACE = Path(__file__).parents[1] / "REVISION"
"""The file that is written when the image is built."""
UNKNOWN = "unknown"


def revision(place: Path = PLACE) -> str:
    """Return the revision; a checkout does not know its own."""
    try:
        return place.read_text().strip() or UNKNOWN
    except OSError:
        return UNKNOWN
