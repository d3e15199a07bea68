"""Publishes outcomes: the result first, the dead letter of a failed event after its confirm."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from service.domain.bounded_memory import Remembered
from service.domain.claim import Claim
from service.domain.claims import message_digest
from service.domain.delivery import Delivery, Settlement
from service.domain.events import ItemEvent, Malformed
from service.domain.history import History
from service.domain.outcomes import Failed, Outcome
from service.telemetry.metrics import Metrics
from service.telemetry.supervision import struck


class Publisher(Protocol):
    """Publishes outcomes, one try at a time.

    Both methods return for each whether the broker has confirmed it, or the bug that keeps it
    from being written.
    """

    async def ready(self) -> None:
        """Return when there is a connection to publish on."""

    async def results(self, settlements: Sequence[Settlement]) -> list["Confirmed"]:
        """Publish result events."""

    async def dead_letters(self, settlements: Sequence[Settlement]) -> list["Confirmed"]:
        """Publish the originals of failed events."""


Confirmed = bool | Exception
Publish = Callable[[Sequence[Settlement]], Awaitable[list[Confirmed]]]


@dataclass(slots=True, eq=False)
class Ending:
    """An outcome on its way out; `known` tells what of it is confirmed.

    `alone`: what is known where there is no claim that knows it.
    """

    event: ItemEvent | Malformed
    outcome: Outcome
    claim: Claim | None
    alone: History = field(default_factory=History)
    struck: bool = False
    deliveries: list[Delivery] = field(default_factory=list)

    @property
    def known(self) -> History:
        return self.alone if self.claim is None else self.claim.known

    @known.setter
    def known(self, known: History) -> None:
        if self.claim is None:
            self.alone = known
        else:
            self.claim.known = known

    @property
    def done(self) -> bool:
        known = self.known
        return known.told and (known.buried or not isinstance(self.outcome, Failed))

    def settlement(self) -> Settlement:
        known = self.known
        return Settlement(
            self.event,
            self.deliveries[0],
            self.outcome,
            known.attempts,
            known.batch_id,
            known.warnings or (),
            known.links.values,
        )


class Outlet:
    """Puts outcomes out, one try at a time; what is confirmed is never published again."""

    def __init__(self, *, publisher: Publisher, metrics: Metrics, remember: int) -> None:
        """Publish; remember this many outcomes whose messages went back before their end."""
        self._publisher = publisher
        self._metrics = metrics
        self._out: Remembered[bytes, History] = Remembered(remember)

    async def ready(self) -> None:
        """Return when there is a connection to publish on."""
        await self._publisher.ready()

    def of_claim(self, claim: Claim, outcome: Outcome) -> Ending:
        """Return the outcome of a claim, to be put out; what is out already stays so."""
        return Ending(claim.event, outcome, claim)

    def of_message(self, delivery: Delivery, outcome: Outcome) -> Ending:
        """Return the outcome of one delivery; of a copy, what is out already stays so."""
        known = self._out.pop(message_digest(delivery.event)) if delivery.copy else None
        return Ending(delivery.event, outcome, None, known or History(), deliveries=[delivery])

    def remember(self, ending: Ending) -> None:
        """Remember what is out of an outcome, for when the message is back."""
        if ending.known.told:
            self._out.put(message_digest(ending.event), ending.known)

    async def publish(self, pending: Sequence[Ending]) -> None:
        """Make one try at what is not confirmed: results first, dead letters after."""
        untold = [each for each in pending if not each.known.told]
        for each in await self._confirmed(self._publisher.results, untold):
            each.known = each.known.told_result()
        # A message may have gone back meanwhile.
        dead = [each for each in pending if each.known.told and not each.done and each.deliveries]
        for each in await self._confirmed(self._publisher.dead_letters, dead):
            each.known = each.known.buried_letter()

    async def _confirmed(self, publish: Publish, endings: Sequence[Ending]) -> list[Ending]:
        """Return those whose publish was confirmed; mark those that a bug has struck."""
        if not endings:
            return []
        try:
            answers = await publish([each.settlement() for each in endings])
        except Exception as error:  # noqa: BLE001 - told below, with its traceback
            answers = [error] * len(endings)
        bugs = {id(each): each for each in answers if isinstance(each, Exception)}
        for bug in bugs.values():
            struck(self._metrics, "publish", bug)
        for each, answer in zip(endings, answers, strict=True):
            each.struck = isinstance(answer, Exception)
        return [each for each, answer in zip(endings, answers, strict=True) if answer is True]
