"""Knows what is held, how much more may be held, and where waiting events go."""

from collections.abc import Iterator

from service.domain.batch import Batch
from service.domain.claim import Claim
from service.domain.delivery import Delivery
from service.domain.history import Doubt
from service.domain.lanes import LaneState
from service.domain.limits import Limits
from service.domain.outcomes import PauseReason
from service.domain.parking import DOUBT, DOUBTFUL
from service.importer.intake import Desk
from service.importer.intake_control import Intake
from service.importer.slots import Slots
from service.telemetry.supervision import AGAIN

SOON = 0.9
"""What is held for so much of the longest time goes back with what is overdue."""
OTHERS = 9
"""So many batches start for each one that may only ask for what waits."""


class Holdings:
    """What the controls of intake and lanes need to know of the work, and do to it."""

    def __init__(self, desk: Desk, slots: Slots, limits: Limits, intake: Intake) -> None:
        """Look at the desk, and at what is in flight."""
        self._desk = desk
        self._slots = slots
        self._limits = limits
        self._intake = intake
        self._asked_at = 0
        self.stopping = False

    @property
    def active(self) -> bool | None:
        """Whether this is the process that gets the intake's messages; None: not known."""
        return self._intake.active

    def busy(self) -> bool:
        """Tell whether anything is held that may be sent: what waits for a proof may not."""
        return bool(len(self._slots)) or self._desk.batcher.sendable()

    def return_all(self) -> None:
        """Give up everything that waits."""
        self._desk.release(self._desk.batcher.prune(lambda _claim, _due: False))

    def sweep(self, now: float) -> None:
        """Give up what waits too long, or whose deliveries the broker has taken back."""
        hold = self._limits.hold
        # Soon due ones go along: each time, the consumer is cancelled.
        hold *= SOON if self._desk.settler.oldest_held(waiting=True) > hold else 1.0
        late = self._desk.overdue(now - hold)
        if late:
            self._desk.background.start(self._give_back(late))

    async def _give_back(self, late: list[Delivery]) -> None:
        begun = False
        try:
            async with self._intake.cancelled():
                begun = True
                await self._desk.settler.give_back(late)
        except Exception:
            # Nobody holds these any more: left here, the broker would wait for them for ever.
            if not begun:
                await self._desk.settler.give_back(late)
            raise

    def room(self) -> int:
        """Return how many messages of inner queues may be taken now.

        A full prefetch of new ones never keeps what waits out: one batch of it always fits.
        """
        held, batch = self._desk.settler.held, self._limits.batch.max_items
        waited = sum(each.stay is not None and bool(each.stay.queue) for each in held)
        return max(self._limits.prefetch - len(held), batch - waited, 0)

    def at_leisure(self) -> bool:
        """Tell whether one more batch may ask for what waits: at most one call in ten does."""
        started = self._slots.started
        if self._desk.batcher.sendable() and started - self._asked_at < OTHERS:
            return False
        self._asked_at = started
        return True

    def holds_type(self, entity_type_id: int) -> bool:
        """Tell whether any event of a type is at work here.

        One on its way into the lane's queue is not, nor is a message without a claim, malformed
        or a repeat: such may come without end. But while that queue is young its events' originals
        stay, and their copies are not to be taken; nor while some wait here for their originals.
        """
        lot = self._desk.lot
        young = lot.queues.ack_after(str(entity_type_id)) > lot.clock()
        claims = self._desk.claims.of_type(entity_type_id)
        return any(young or claim.waiters or not claim.leaving for claim in claims)

    def set_aside(self, entity_type_id: int, reason: PauseReason) -> None:
        """Let what waits here of a type wait in its lane's queue; doubt is cleared first."""

        def stays(claim: Claim, _: float) -> bool:
            return claim.event.entity_type_id != entity_type_id or claim.known.asks_first

        gone = self._desk.batcher.prune(stays)
        self._desk.lot.set_aside(gone, entity_type_id, str(reason))

    def again(self, batch: Batch) -> None:
        """Let a batch wait that goes again: here, or elsewhere if its lane is closed."""
        kind, desk, reason = batch.key.entity_type_id, self._desk, None
        if desk.lanes.state(kind) is LaneState.CLOSED:
            reason = desk.lanes.reason(kind)
        if reason is not None:
            calm = [claim for claim in batch.claims if not claim.known.asks_first]
            desk.lot.set_aside(calm, kind, str(reason))
        if batch.waits_since is not None and desk.lot.exists:
            # Only a look-up can tell, and not soon: another item of the type must be seen first.
            asked = [claim for claim in batch.claims if claim.event.external_id is not None]
            desk.lot.park(asked, DOUBTFUL, DOUBT)
        if batch.failed_look_ups:
            long = [c for c in batch.claims if _tells_doubt(c) and desk.lot.worth(c, batch.due)]
            desk.lot.park(long, DOUBTFUL, DOUBT)
        left = [claim for claim in batch.claims if not claim.leaving]
        if left:
            desk.batcher.put(batch.only(left))

    def struck(self, batch: Batch, now: float) -> Iterator[Batch]:
        """Return each event of a batch alone that a bug has struck: one may be the reason."""
        for claim in batch.claims:
            if self._desk.claims.holds(claim):
                claim.known = claim.known.struck_by_bug()
                wait = AGAIN.delay(claim.known.struck, 1.0)
                yield batch.part([claim], max(now + wait, claim.known.look_at))

    def keep(self, claim: Claim) -> None:
        """Keep a claim that cannot wait elsewhere."""
        soon = self._desk.lot.clock() + self._limits.rules.ask_again[0]
        self._desk.batcher.defer(claim, max(claim.known.look_at, soon))


def _tells_doubt(claim: Claim) -> bool:
    """Tell whether the messages of a claim, when they come again, are looked up as before."""
    redriven = all(delivery.redriven for delivery in claim.deliveries)
    return claim.known.doubt is Doubt.STRONG or (bool(claim.known.doubt) and redriven)
