"""Sums up in the log what happened, once a minute, if anything did."""

import logging
from collections import Counter

from service.domain.recent_events import RecentEvents

SECONDS = 60.0

log = logging.getLogger(__name__)


class Minute:
    """Compares the counts of now with those of a minute ago."""

    def __init__(self, history: RecentEvents, now: float) -> None:
        """Begin at `now`, the loop's time; `history` counts what ended."""
        self._history = history
        self._since = now
        self._received = 0
        self._outcomes: Counter[str] = Counter()
        self._codes: Counter[str] = Counter()

    def look(self, now: float, *, received: int, held: int, oldest: float) -> None:
        """Tell what happened since the last minute; `received` counts from the start."""
        if now - self._since < SECONDS:
            return
        self._since = now
        outcomes, codes = Counter(self._history.outcomes), Counter(self._history.codes)
        new, self._outcomes = outcomes - self._outcomes, outcomes
        failed, self._codes = codes - self._codes, codes
        came, self._received = received - self._received, received
        if not came and not new:
            return
        log.info(
            "last minute",
            extra={
                "received": came,
                **{name: new[name] for name in ("imported", "duplicate", "failed", "malformed")},
                "failed_by_code": dict(failed.most_common(10)),
                "held": held,
                "oldest_held_seconds": round(oldest, 1),
            },
        )
