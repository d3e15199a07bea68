"""Decides when the next call may leave for the portal, and how many items it should carry."""

from collections import deque
from dataclasses import dataclass, field

SLOWEST = 0.1
"""The smallest share of the nominal rate, after however many refusals."""
CUT_SECONDS = 60.0
"""The cloud cuts a request after this many seconds (`bitrix/README.md` §3)."""
MAX_SECONDS_PER_CALL = 600.0
"""What an answer says of its time is believed so far; no call is waited for longer."""
COMFORT = 0.6
"""The share of `CUT_SECONDS` that a batch is planned to take."""
WEIGHT = 0.3
"""The weight of the newest measurement in the moving average."""
MOMENT = 0.05
JITTER_SECONDS = 1.0
"""How much earlier or later than its neighbours a request may reach the portal."""
MAX_HOLD = 3600.0
"""The longest `Retry-After` that is obeyed, in seconds."""
LATER_BUCKETS = (0, 1, 2, 5, 10)
"""When a spent budget is tried again, in buckets after the moment at which the first one
leaves."""
BAN = 0.5
"""Newer portals close a spent method for this share of the window (300 s), then clear all
buckets."""
CAUTION = 1.25
"""Factor on the expected cost of calls in flight."""
BUCKETS = 10
"""The portal counts a method's execution seconds in this many buckets (`bitrix/README.md` §3)."""


@dataclass(slots=True)
class LeakyBucket:
    """The portal's request bucket, seen from here: `rate` drains per second, `burst` holds.

    The portal refuses the request that finds the bucket full; alone, we never send that one.
    Each refusal means that somebody shares the bucket: we halve our rate, and win it back over
    `recovery` seconds without another. Source: `bitrix/README.md` §3.
    """

    rate: float
    burst: float
    recovery: float = 60.0
    level: float = 0.0
    at: float = 0.0
    share: float = 1.0
    held_until: float = 0.0

    @classmethod
    def with_reserve(cls, rate: float, burst: float) -> "LeakyBucket":
        """Return a bucket that no refusal finds though requests arrive out of step.

        Requests of `L` seconds may arrive within `L - 2 * JITTER_SECONDS`: what drains in the
        difference is kept free. Only the first burst is smaller; the rate stays the same.
        """
        return cls(rate, max(1.0, burst - 2 * JITTER_SECONDS * rate))

    def wait(self, now: float) -> float:
        """Return the seconds until one more request fits; a clock set back must catch up first."""
        self._drain(now)
        held = self.held(now)
        too_much = self.level + 1.0 - self.burst
        if too_much <= 0:
            return held
        return max(held, self.at - now + too_much / (self.rate * self.share))

    def hold(self, seconds: float, now: float) -> None:
        """Let no request leave for so long: the portal asked for it (`Retry-After`)."""
        self.held_until = max(self.held_until, now + min(seconds, MAX_HOLD))

    def held(self, now: float) -> float:
        """Return for how many seconds the portal still wants to be left alone."""
        return min(max(0.0, self.held_until - now), MAX_HOLD)

    def take(self, now: float) -> None:
        """Count one request that leaves now."""
        self._drain(now)
        self.level += 1.0

    def refused(self, now: float) -> None:
        """Note that the portal found the bucket full: somebody else shares it."""
        self._drain(now)
        # The portal's figure counts more than ours.
        self.level = max(self.level, self.burst)
        self.share = max(SLOWEST, self.share / 2)

    def _drain(self, now: float) -> None:
        passed = max(0.0, now - self.at)
        self.level = max(0.0, self.level - passed * self.rate * self.share)
        self.share = min(1.0, self.share + passed / self.recovery)
        self.at = max(self.at, now)


@dataclass(slots=True)
class OperatingBudget:
    """One method's execution seconds, as the portal counts them: `limit` per `window` seconds.

    The portal refuses a call that finds more than the limit spent; what is in flight counts only
    when it has ended. So a call may leave while what is spent, and what the calls in flight are
    expected to cost, do not exceed the limit. Each good answer tells the running total (not what
    the call cost) and when the oldest bucket leaves; errors tell nothing. Times are wall-clock
    seconds, because the portal's buckets are. `limit` 0 = off. Source: `bitrix/README.md` §3.
    """

    limit: float
    window: float = 600.0
    reserved: float = 0.0
    total: float = 0.0
    reset_at: float = 0.0
    refusals: int = 0
    _spent: deque[tuple[float, float]] = field(default_factory=deque)
    _oldest: float = 0.0
    _phase: float = 0.0
    _refused_at: float = 0.0
    _first_release: float = 0.0
    _shut_until: float = 0.0

    def wait(self, now: float) -> float:
        """Return the seconds until a call may leave, or until it is worth asking again."""
        if self._shut_until > now:
            return min(self._shut_until - now, self.window)
        # After a refusal one call at a time: its answer tells whether the method is open again.
        if self.refusals and self.reserved:
            return MOMENT
        if not self.limit or self.used(now) + CAUTION * self.reserved <= self.limit:
            return 0.0
        # Nothing is spent, only reserved: an answer is near, and tells the true cost.
        if not self._spent:
            return MOMENT
        # A clock that was set back must not make us wait for ever.
        return min(max(MOMENT, self._next_release(now) - now), self.window)

    def reserve(self, cost: float) -> None:
        """Set a call's expected cost aside while it is on its way."""
        self.reserved += max(cost, MOMENT)

    def release(self, cost: float) -> None:
        """Forget a call's expected cost: it has ended."""
        self.reserved -= max(cost, MOMENT)
        if self.reserved < MOMENT / 2:
            self.reserved = 0.0

    def answered(self, total: float, reset_at: float | None, now: float) -> None:
        """Note the running total of a good answer."""
        # A call that ends while the method is closed was sent before: it opens nothing.
        if self._shut_until <= now:
            self.refusals = 0
        # We have counted more than the portal: its oldest seconds have left before ours did.
        surplus = self.used(now) - total
        while self._spent and surplus > 0:
            at, cost = self._spent.popleft()
            if cost > surplus:
                self._spent.appendleft((at, cost - surplus))
            surplus = max(0.0, surplus - cost)
        if surplus < 0:
            self._spent.append((now, -surplus))
        self.total = total
        if reset_at is not None and self._spent:
            # The portal's minutes need not begin where ours do.
            self._phase = reset_at % (self.window / BUCKETS)
            self.reset_at, self._oldest = reset_at, self._bucket(self._spent[0][0])

    def refused(self, now: float) -> None:
        """Note that the portal finds the budget spent: wait, then one probe at a time."""
        if not self.refusals:
            self._refused_at = now
            told = self.reset_at if now < self.reset_at <= now + self.window else 0.0
            self._first_release = told or now + self.window / BUCKETS
        self._shut_until = self._opens(now)
        self.refusals += 1
        # Our count was wrong, or another program uses the budget: use the portal's figure.
        self.total = 0.0
        self._spent.clear()

    def shut(self, now: float) -> float:
        """Return for how many seconds a refusal shuts the method; 0 while it is open."""
        return min(max(0.0, self._shut_until - now), self.window) if self.refusals else 0.0

    def _opens(self, now: float) -> float:
        """Return the next moment at which a spent budget may be open again.

        Nobody tells which rule the portal keeps: the older one opens when enough buckets have
        left, the newer one when its ban ends. Both are asked at their first moment.
        """
        width = self.window / BUCKETS
        moments = [self._first_release + each * width for each in LATER_BUCKETS]
        moments += [self._refused_at + BAN * self.window, self._refused_at + self.window]
        later = [each for each in moments if each > now]
        return min(later, default=now + BAN * self.window)

    def used(self, now: float) -> float:
        """Return the seconds that count at a time."""
        told = 0.0 < self.reset_at <= now
        while self._spent:
            at, cost = self._spent[0]
            left = self._bucket(at) + self.window <= now
            if not left and not (told and self._bucket(at) == self._oldest):
                break
            self._spent.popleft()
            self.total = max(0.0, self.total - cost)
        if told:
            self.reset_at = 0.0
        return self.total if self._spent else 0.0

    def _bucket(self, at: float) -> float:
        """Return the start of the bucket that a time falls into."""
        width = self.window / BUCKETS
        return (at - self._phase) // width * width + self._phase

    def _next_release(self, now: float) -> float:
        known = self._bucket(self._spent[0][0]) + self.window
        return min(known, self.reset_at) if self.reset_at > now else known


@dataclass(slots=True)
class ItemCost:
    """What one item of an entity type costs the portal, in seconds, learnt from answers."""

    seconds: float = 0.0

    def learn(self, items: int, seconds: float) -> None:
        """Note that a call of this many items took so long."""
        if items <= 0:
            return
        measured = min(seconds, MAX_SECONDS_PER_CALL) / items
        known = self.seconds or measured
        # Slowly: a call that was slow by chance must not make small batches for long.
        self.seconds = known + WEIGHT * (measured - known)

    def suffered(self, items: int, seconds: float) -> None:
        """Note that a call of this many items did not end in so long."""
        # At once, and only upwards: the real duration is unknown.
        if items > 0:
            self.seconds = max(self.seconds, seconds / items)

    def batch(self, most: int) -> int:
        """Return how many items a call may carry without coming near the portal's cut."""
        if self.seconds <= 0:
            return most
        return max(1, min(most, int(CUT_SECONDS * COMFORT / self.seconds)))
