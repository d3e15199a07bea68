"""Decides whether an inner queue may be used, and when it is asked again."""

from dataclasses import dataclass, field

YOUNG_SECONDS = 10.0
"""A broker that is killed right after a queue was made may lose it, with all that lies in it."""
CLOCKS_DIFFER = 60.0
"""So many seconds the clocks of two machines are taken to differ at most."""
STRIKES = 2
"""A queue is left alone when asking for it has so often ended a channel or a connection."""

MAX_STRANGERS = 50
"""Entity types that may have a queue although nothing speaks for them yet."""


def is_old(noted_at: float | None, now: float) -> bool:
    """Tell whether a queue was made so long ago that no broker loses it any more.

    `noted_at`: when some process noted that it is there, None where none did; seconds since
    the epoch, both by one clock.
    """
    return noted_at is not None and now - noted_at > YOUNG_SECONDS + CLOCKS_DIFFER


@dataclass(slots=True)
class Strangers:
    """Entity types that are neither built in nor configured, and of which no item was accepted.

    Made-up numbers must not fill the broker with queues: only this many of them get one.
    """

    known: set[int] = field(default_factory=set)

    def admit(self, entity_type_id: int) -> bool:
        """Tell whether such a type may have a queue; who was admitted once stays so."""
        if len(self.known) < MAX_STRANGERS:
            self.known.add(entity_type_id)
        return entity_type_id in self.known


@dataclass(frozen=True, slots=True)
class Asking:
    """How long a queue may refuse before it counts as broken, and when it is asked again.

    In seconds; `probe` doubles up to `cap`.
    """

    after: float = 60.0
    probe: float = 15.0
    cap: float = 300.0


@dataclass(slots=True)
class InnerQueue:
    """What is known of one inner queue; every change is an explicit call with `now`.

    `seen_at`: since when it is there, as far as this process knows; `denied`: why it may not be
    used, for want of a right; `broken`: why it is left alone. Both are empty where that is not so.
    """

    asking: Asking = field(default_factory=Asking)
    seen_at: float | None = None
    denied: str = ""
    broken: str = ""
    refusing_since: float | None = None
    strikes: int = 0
    ask_at: float = 0.0
    interval: float = 0.0

    def usable(self, now: float) -> bool | None:
        """Tell whether it may be used; None: it must be asked."""
        if self.broken:
            return False
        if self.denied:
            return None if now >= self.ask_at else False
        return None if self.seen_at is None else True

    def ack_after(self) -> float:
        """Return when originals of what was put there may be acknowledged, at the earliest."""
        return 0.0 if self.seen_at is None else self.seen_at + YOUNG_SECONDS

    def there(self, now: float, *, old: bool = False) -> bool:
        """Note that it answered and may be used; tell whether that is news.

        `old`: it is known to be there for longer than a broker may still lose it.
        """
        news = self.seen_at is None or bool(self.denied)
        if self.seen_at is None:
            self.seen_at = now - YOUNG_SECONDS if old else now
        self.denied, self.strikes = "", 0
        if news:
            self.interval = 0.0
        return news

    def aged(self, now: float) -> None:
        """Note that it was there long before it was first seen here."""
        if self.seen_at is not None:
            self.seen_at = min(self.seen_at, now - YOUNG_SECONDS)

    def gone(self) -> None:
        """Note that it is not there, or no more: it is made again when somebody needs it."""
        self.seen_at = self.refusing_since = None
        self.denied = self.broken = ""
        self.strikes, self.interval = 0, 0.0

    def deny(self, why: str, now: float) -> bool:
        """Note that it may not be used, for want of a right; tell whether that is news."""
        news = self.denied != why
        self.denied = why
        self._ask_later(now)
        return news

    def took(self) -> None:
        """Note that it confirmed a publish."""
        self.refusing_since, self.strikes = None, 0

    def refused(self, why: str, now: float) -> bool:
        """Note that it did not take a publish; tell whether it is broken from now on."""
        if self.refusing_since is None:
            self.refusing_since = now
        if now - self.refusing_since < self.asking.after:
            return False
        return self._breaks(why, now)

    def struck(self, why: str, now: float) -> bool:
        """Note that asking ended a channel or connection; tell whether it is broken now."""
        self.strikes += 1
        return self.strikes >= STRIKES and self._breaks(why, now)

    def probe_due(self, now: float) -> bool:
        """Tell whether a broken one is to be tried on a connection of its own."""
        return bool(self.broken) and now >= self.ask_at

    def ask_due(self, now: float) -> bool:
        """Tell whether one that may not be used is to be asked again: the right may be there.

        Nobody else would ask where events wait from before, and none comes to wait.
        """
        return bool(self.denied) and not self.broken and now >= self.ask_at

    def still_broken(self, now: float) -> None:
        """Note that it could not be read on a connection of its own either."""
        self._ask_later(now)

    def well(self, now: float) -> None:
        """Note that it was read on a connection of its own."""
        self.broken, self.refusing_since, self.strikes = "", None, 0
        if self.seen_at is None:
            self.seen_at = now

    def _breaks(self, why: str, now: float) -> bool:
        news = not self.broken
        self.broken = why
        if news:
            self._ask_later(now)
        return news

    def _ask_later(self, now: float) -> None:
        asking = self.asking
        self.interval = min(self.interval * 2 or asking.probe, asking.cap)
        self.ask_at = now + self.interval
