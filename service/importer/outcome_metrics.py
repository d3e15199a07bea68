"""Counts and tells how each event ended: metrics, the history, the log."""

import logging
import time
from collections.abc import Callable
from functools import cache

from service.domain.delivery import Delivery
from service.domain.events import ItemEvent, Malformed
from service.domain.outcomes import Failed, FailureKind, Imported, Outcome
from service.domain.recent_events import Ended, RecentEvents
from service.telemetry.labels import OUTCOMES
from service.telemetry.metrics import Metrics

log = logging.getLogger(__name__)


class Reckoner:
    """Is told every delivery that ends; the first of a claim carries the outcome."""

    def __init__(self, metrics: Metrics, clock: Callable[[], float]) -> None:
        """Count with the metrics; `clock` is the loop's."""
        self._metrics = metrics
        self._clock = clock
        self._items = cache(metrics.items.labels)
        self._latency = {name: metrics.latency.labels(name) for name in OUTCOMES}
        self._age = {name: metrics.event_age.labels(name) for name in OUTCOMES}
        self.history = RecentEvents()

    def ended(
        self, delivery: Delivery, outcome: Outcome | None, *, batch_id: str | None, attempts: int
    ) -> None:
        """Note the end of one delivery; without an outcome it was a copy of another."""
        if outcome is None and not delivery.live:
            self._metrics.lost.inc()
            return
        now, event = self._clock(), delivery.event
        name, code = _named(outcome), outcome.code if isinstance(outcome, Failed) else None
        latency, age = now - delivery.received_at, max(0.0, now - delivery.born_at)
        if isinstance(outcome, Imported):
            # Only what the portal took earns a label: rubbish never takes one.
            self._metrics.earn(event.entity_type_id)
        if outcome is None:
            self.history.shared()
        else:
            told = Ended(event.event_id, event.entity_type_id, name, code, age, time.time())
            self.history.add(told)
        self._tell(event, name, outcome, batch_id=batch_id, attempts=attempts, age=age)
        if name == "imported":
            self._metrics.last_success.set(time.time())
        self._items(self._metrics.entity_type(event.entity_type_id), name).inc()
        self._latency[name].observe(latency)
        self._age[name].observe(age)

    def _tell(
        self,
        event: ItemEvent | Malformed,
        name: str,
        outcome: Outcome | None,
        *,
        batch_id: str | None,
        attempts: int,
        age: float,
    ) -> None:
        """Tell of a failure to operators, of any end to who looks closely.

        The portal's own words stay out of the log.
        """
        if not isinstance(outcome, Failed) and not log.isEnabledFor(logging.DEBUG):
            return
        shown: dict[str, object] = {
            "event_id": event.event_id,
            "entity_type": event.entity_type_id,
            "batch_id": batch_id,
            "attempts": attempts,
        }
        if event.origin.redrive_count:
            shown["redriven"] = event.origin.redrive_count
        if isinstance(outcome, Failed):
            shown |= {"kind": outcome.kind, "code": outcome.code}
            code = self._metrics.code(outcome.code)
            self._metrics.item_errors.labels(outcome.kind, code).inc()
            self._metrics.dead_letters.labels(outcome.kind).inc()
            log.warning("event failed", extra=shown)
        log.debug("event settled", extra=shown | _closely(name, outcome, age))


def _named(outcome: Outcome | None) -> str:
    match outcome:
        case Failed(kind=FailureKind.MALFORMED):
            return "malformed"
        case Failed():
            return "failed"
        case Imported(duplicate=False):
            return "imported"
        case _:
            return "duplicate"


def _closely(name: str, outcome: Outcome | None, age: float) -> dict[str, object]:
    item = outcome.item_id if isinstance(outcome, Imported) else None
    return {"outcome": name, "item_id": item, "age_seconds": round(age, 3)}
