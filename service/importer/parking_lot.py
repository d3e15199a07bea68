"""Parks events in inner queues: a confirmed copy first, then the original is acknowledged."""

import asyncio
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from service.domain.claim import Claim
from service.domain.claims import Claims
from service.domain.delivery import Delivery, Parking
from service.domain.events import ItemEvent
from service.domain.history import Doubt
from service.domain.outcomes import PauseReason
from service.domain.parking import DOUBT, LINK, LINKS, Stay
from service.domain.retry import broker_delay
from service.importer.background import BackgroundTasks
from service.importer.inner_queues import InnerQueues, NoInnerQueues
from service.importer.settlement import Settler
from service.telemetry import steady
from service.telemetry.metrics import Metrics
from service.telemetry.supervision import AGAIN, contained

LONG_SECONDS = 5.0
"""What waits no longer than this to be looked up waits here."""
RECONNECT_SECONDS = 0.5
ANSWERED = 0.001
"""Seconds waited at least once a look-up was answered: from then on the waiting counts."""

GoOn = Callable[[Sequence[Claim]], None]


class ParkingLot:
    """Parks claims, and lets their deliveries go when the broker has the copies.

    `queues` may be set until the first event comes; `go_on` takes the claims that have to wait
    for another one no longer. `keep` takes each claim that cannot wait elsewhere, one at a time;
    `unparkable` is told of them afterwards, with the queue and the reason. `open_seconds` tells
    how long a type could be imported so far, `lacks_items` whether a claim waits for items.
    """

    def __init__(
        self,
        *,
        claims: Claims,
        settler: Settler,
        background: BackgroundTasks,
        metrics: Metrics,
        clock: Callable[[], float],
        go_on: GoOn,
    ) -> None:
        """Park nothing until there are queues."""
        self.queues: InnerQueues = NoInnerQueues()
        self.keep: Callable[[Claim], None] = _nowhere
        self.unparkable: Callable[[list[Claim], str, str], None] = _unheard
        self.open_seconds: Callable[[int], float] = _none
        self.open_since: Callable[[int, float], float] = _none_since
        self.lacks_items: Callable[[Claim], bool] = _lacks_none
        self.connected: Callable[[], bool] = lambda: True
        self.alone_since = math.inf
        """Since when all messages come to this process, since the epoch: what was parked before
        then may have been sent by another process since."""
        self.reasons: dict[str, str] = {}
        """Why events wait in each queue, as far as this process has seen one."""
        self.on_parked: Callable[[Claim, str], None] = _untold
        self._claims = claims
        self._settler = settler
        self._background = background
        self._metrics = metrics
        self.clock = clock
        self._go_on = go_on

    @property
    def exists(self) -> bool:
        """Whether events may wait elsewhere at all."""
        return not isinstance(self.queues, NoInnerQueues)

    def back(self, event: ItemEvent, stay: Stay) -> Stay:
        """Return what a message says of its waiting, with the time that it lay in the queue."""
        if stay.queue:
            self.reasons.setdefault(stay.queue, stay.reason)
        if stay.reason != DOUBT or not stay.waited:
            # Waiting for items is counted elsewhere; doubt counts from the first answer on.
            return stay
        more = self.open_since(event.entity_type_id, self._parked_at(stay))
        return replace(stay, waited=stay.waited + more)

    def recall(self, claim: Claim, stay: Stay | None) -> None:
        """Take over that an event was refused before its lane closed: others may pass now."""
        if stay is not None and stay.attempts and stay.reason in set(PauseReason):
            claim.known = claim.known.refused(self._parked_at(stay))

    def worth(self, claim: Claim, until: float) -> bool:
        """Tell whether a doubtful claim that waits until a time is better off elsewhere.

        What this process has sent itself is looked up here: how its call broke tells whose fault
        that was.
        """
        if not self.exists or claim.event.external_id is None or claim.known.fault is not None:
            return False
        return until - self.clock() > LONG_SECONDS

    def park(self, claims: Iterable[Claim], queue: str, reason: str) -> None:
        """Let claims wait in a queue, for a reason."""
        going = [claim for claim in claims if not claim.leaving]
        for claim in going:
            claim.leaving = True
        if going:
            self.reasons[queue] = reason
            self._background.start(self._park(going, queue, reason))

    def set_aside(self, claims: Sequence[Claim], entity_type_id: int, reason: str) -> None:
        """Let claims of a type whose lane is shut wait: first for the items that they lack."""
        lacking = [claim for claim in claims if self.exists and self.lacks_items(claim)]
        self.park(lacking, LINKS, LINK)
        self.park([c for c in claims if c not in lacking], str(entity_type_id), reason)

    async def _park(self, going: list[Claim], queue: str, reason: str) -> None:
        tries, bugs = 0, 0
        try:
            while claims := self._still_ours(going):
                # Left to itself, a claim would keep its event, and every copy of it, for ever.
                with contained(self._metrics, "park") as work:
                    if not self.connected():
                        await asyncio.sleep(RECONNECT_SECONDS)
                        continue
                    await self._try(claims, queue, reason)
                    if self._still_ours(claims):
                        tries += 1
                        await asyncio.sleep(broker_delay(tries - 1, 1.0))
                if work.struck:
                    bugs += 1
                    await asyncio.sleep(AGAIN.delay(bugs, 1.0))
        finally:
            for claim in going:
                claim.leaving = False

    async def _try(self, claims: list[Claim], queue: str, reason: str) -> None:
        """Let go of what a queue has confirmed; of all, where it cannot be used."""
        if not await self.queues.usable(queue) and self.connected():
            for claim in claims:
                # First the new place: a bug in between must not leave a claim without a place.
                self.keep(claim)
                claim.leaving = False
            self.unparkable(claims, queue, reason)
            return
        confirmed = await self._publish(claims, queue, reason)
        await self._until(self.queues.ack_after(queue))
        await self._let_go(claims, confirmed, reason)

    def _still_ours(self, claims: Iterable[Claim]) -> list[Claim]:
        return [claim for claim in claims if claim.leaving and self._claims.holds(claim)]

    async def _publish(
        self, claims: Sequence[Claim], queue: str, reason: str
    ) -> Mapping[Claim, Doubt]:
        """Publish one copy for all messages of a claim, which share its outcome anyhow.

        Return the claims of which a copy is confirmed, and the doubt that it tells of.
        """
        living = [(claim, [each for each in claim.deliveries if each.live]) for claim in claims]
        going = [(claim, max(here, key=_priority)) for claim, here in living if here]
        told = {claim: claim.known.doubt for claim, _ in going}
        if not going:
            return told
        answers = await self.queues.park([self._parking(*each, queue, reason) for each in going])
        return {claim: told[claim] for claim, ok in zip(told, answers, strict=True) if ok}

    async def _until(self, at: float) -> None:
        """Keep the originals while the queue is so young that a killed broker may lose it."""
        left = at - self.clock()
        if left > 0:
            await asyncio.sleep(left)

    async def _let_go(
        self, claims: Sequence[Claim], confirmed: Mapping[Claim, Doubt], reason: str
    ) -> None:
        """End the claims that wait elsewhere now, and those of which no message is ours."""
        gone: list[Delivery] = []
        for claim in claims:
            if not any(each.live for each in claim.deliveries):
                self._give_up(claim)
                continue
            # A message that joined meanwhile may have been sent by others: its copy must say so.
            if claim not in confirmed or claim.known.doubt > confirmed[claim]:
                continue
            waiters = self._claims.park(claim)
            claim.leaving = False
            # In every case the claims that waited for this one continue.
            with contained(self._metrics, "parked"):
                labels = self._metrics.waits(claim.event.entity_type_id, reason)
                for delivery in self._settler.taken(claim.deliveries):
                    if delivery.live:
                        delivery.ack()
                        gone.append(delivery)
                        self._metrics.parked_total.labels(*labels).inc()
                    else:
                        self._metrics.lost.inc()
                self.on_parked(claim, reason)
            self._go_on(waiters)
        for delivery in gone:
            await delivery.flush()

    def _give_up(self, claim: Claim) -> None:
        """Keep what is known of a claim whose messages went back: they come again from there."""
        back = self._settler.released([claim])
        claim.leaving = False
        self._background.start(self._settler.give_back(back))

    def _parked_at(self, stay: Stay) -> float:
        """Return the loop time at which a message was parked."""
        return self.clock() - max(0.0, steady.time() - stay.parked_at)

    def _parking(self, claim: Claim, delivery: Delivery, queue: str, reason: str) -> Parking:
        known, sent, waited = claim.known, None, 0.0
        if known.doubt is Doubt.STRONG:
            # For others, and for people: by the system's clock.
            sent = time.time() + max(0.0, known.look_at - self.clock())
        if reason == DOUBT:
            waited = known.unproved_for(self.open_seconds(claim.event.entity_type_id))
            waited = max(ANSWERED, waited) if known.asked else waited
        elif reason == LINK:
            waited = known.links.waited
        return Parking(delivery, queue, reason, waited, sent, known.attempts)


def _priority(delivery: Delivery) -> int:
    return delivery.priority


def _nowhere(_: Claim) -> None:
    """Do nothing: no listener is set yet."""


def _unheard(_: list[Claim], __: str, ___: str) -> None:
    """Do nothing: no listener is set yet."""


def _lacks_none(_: Claim) -> bool:
    return False


def _none(_: int) -> float:
    return 0.0


def _none_since(_: int, __: float) -> float:
    return 0.0


def _untold(_: Claim, __: str) -> None:
    """Do nothing: no listener is set yet."""
