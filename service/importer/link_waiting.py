"""Counts how long events wait for items, and remembers which wait for which."""

from collections.abc import Callable, Sequence

from service.domain.claim import Claim
from service.domain.events import Reference
from service.domain.link_waits import LinkWaits
from service.telemetry import steady
from service.telemetry.metrics import Metrics


class LinkWaiting:
    """The events that wait for items; `lane_is_open`, to be set before use, as its user says."""

    def __init__(self, open_seconds: Callable[[], float], metrics: Metrics) -> None:
        """Know none yet; `open_seconds`: how long the portal has taken imports."""
        self.lane_is_open: Callable[[int], bool] = lambda _: True
        self.events = LinkWaits()
        self._open_seconds, self._metrics = open_seconds, metrics

    def count(self, claim: Claim, absent: Sequence[Reference]) -> None:
        """Count the time that a claim has waited; only while all that it needs might come."""
        links, event = claim.known.links, claim.event
        types = {event.entity_type_id, *(each.entity_type_id for each in absent)}
        counts = all(self.lane_is_open(each) for each in types)
        waits_for = [each.identity for each in absent]
        now, moment, parked_at = self._open_seconds(), steady.time(), links.parked_at
        began_at = moment if links.began_at is None else links.began_at
        own = links.waited
        before, passed = self.events.counted(event.identity, now, counts=counts)
        # Copies of an event share its time: many of them wait no longer than one. No message has
        # waited since before it came: its event may have ended meanwhile, in another process.
        shared = max(own, before + passed)
        if parked_at is not None:
            # What counted before it was parked is in `waited` already, whoever parked it.
            passed = passed if self.events.knows(event.identity) else now * counts
            passed = min(passed, max(0.0, moment - parked_at))
        elif not links.waits:
            passed = 0.0
        waited = max(own + passed, min(max(own, before) + passed, moment - began_at))
        self.events.note(event.identity, waits_for, now, max(shared, waited), counts=counts)
        claim.known = claim.known.with_links(links.lacking(waited, began_at))

    def waits(self, reference: Reference) -> bool:
        """Tell whether an event waits for links; one that is held and does not ends soon."""
        return self.events.knows(reference.identity)

    def begins(self, claim: Claim, absent: Sequence[Reference]) -> bool:
        """Note that a claim waits, from now on or still; always True."""
        self.count(claim, absent)
        self.show()
        return True

    def show(self) -> None:
        """Tell the metrics how many wait."""
        self._metrics.links_waiting.set(len(self.events))
