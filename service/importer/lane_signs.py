"""Shows in the metrics which lanes are closed, and what waits in the inner queues."""

from collections.abc import Iterable, Mapping

from service.domain.claim import Claim
from service.domain.delivery import Delivery
from service.domain.lanes import ClosedLane
from service.domain.oldest_waiting import OldestWaiting
from service.domain.parking import DOUBT, DOUBTFUL, LINK, LINKS
from service.telemetry import steady
from service.telemetry.labels import ALL_LANES
from service.telemetry.metrics import Metrics

_QUEUES = {DOUBT: DOUBTFUL, LINK: LINKS}


def _received_at(delivery: Delivery, now: float) -> float:
    """Return the loop time at which a message first came, to whichever process."""
    if delivery.stay is None:
        return delivery.received_at
    return now - max(0.0, steady.time() - delivery.stay.received_at)


def queue_of(claim: Claim, reason: str) -> str:
    """Return the inner queue in which a claim waits, by the last part of its name."""
    return _QUEUES.get(reason, str(claim.event.entity_type_id))


class LaneSigns:
    """Keeps the metrics of lanes and inner queues up to date."""

    def __init__(self, metrics: Metrics, now: float) -> None:
        """Show nothing yet."""
        self.oldest = OldestWaiting()
        self._metrics = metrics
        self._closed: set[tuple[str, str]] = set()
        self._waiting: set[tuple[str, str]] = set()
        self._aged: set[str] = set()
        self._shown_at = now

    def parked(self, claim: Claim, reason: str, now: float) -> None:
        """Note that a claim waits elsewhere now."""
        queue = queue_of(claim, reason)
        received_at = min(_received_at(delivery, now) for delivery in claim.deliveries)
        self.oldest.put(queue, claim.event.event_id, received_at, now)

    def show_lanes(self, closed: Iterable[ClosedLane], now: float) -> None:
        """Show the lanes that are not open, and count the time."""
        passed, self._shown_at = now - self._shown_at, now
        labels = {(self._metrics.lane(e.entity_type_id), str(e.reason)) for e in closed}
        for lane, reason in labels:
            self._metrics.lane_closed.labels(lane, reason).set(1)
            self._metrics.paused_seconds.labels(reason, lane).inc(passed)
        for each in self._closed - labels:
            self._metrics.lane_closed.labels(*each).set(0)
        self._closed = labels

    def show_waiting(
        self, depths: Mapping[str, int], reasons: Mapping[str, str], now: float
    ) -> None:
        """Show how many events wait for what, and since when."""
        waiting, oldest = dict[tuple[str, str], int](), dict[str, float]()
        for queue, depth in depths.items():
            label = self._metrics.lane(int(queue)) if queue.isdigit() else ALL_LANES
            if queue in reasons:
                labels = (label, reasons[queue])
                waiting[labels] = waiting.get(labels, 0) + depth
            oldest[label] = max(oldest.get(label, 0.0), self.oldest.seconds(queue, now))
        for labels, count in {**dict.fromkeys(self._waiting, 0), **waiting}.items():
            self._metrics.parked_messages.labels(*labels).set(count)
        self._waiting |= waiting.keys()
        for label, seconds in {**dict.fromkeys(self._aged, 0.0), **oldest}.items():
            self._metrics.oldest_parked.labels(label).set(seconds)
        self._aged |= oldest.keys()
