"""Holds what is worked on: an event, and every delivery that shares its outcome."""

from dataclasses import dataclass, field, replace

from service.domain.copies import joined
from service.domain.delivery import Delivery
from service.domain.events import PRIORITY, ItemEvent
from service.domain.history import History


@dataclass(slots=True, eq=False)
class Claim:
    """The right to work on one event, and every delivery that shares its outcome.

    `waiters` are claims that must wait for this one: the same id with another body, or another
    event that carries the same external id. `judged_at`: up to when it is known what calls may
    have carried the event, in seconds since the epoch. `messages`: how many share it; a message
    that the broker took back comes again. `leaving`: it is being parked.
    """

    event: ItemEvent
    deliveries: list[Delivery]
    since: float
    size: int
    known: History = field(default_factory=History)
    waiters: list["Claim"] = field(default_factory=list)
    priority: int = PRIORITY
    judged_at: float = float("inf")
    messages: int = 1
    leaving: bool = False

    def takes(self, other: "Claim", *, copy: bool) -> bool:
        """Tell whether another claim of the same message may join this one.

        One whose result is out, or that is being parked, takes back only its own messages: a new
        publish needs an outcome of its own, and what else comes may be the very copy for which
        the original is let go.
        """
        free = not (self.leaving or self.known.told)
        of_intake = (self.known.mark, other.known.mark) == (None, None)
        return free or self._is_own(other) or (copy and of_intake and self._lacks_one)

    def join(self, other: "Claim", *, copy: bool) -> None:
        """Take over the deliveries of another claim of the same message.

        A `copy` takes the place of a message that is not here.
        """
        if not (self._lacks_one and (copy or self._is_own(other))):
            self.messages += other.messages
        self.deliveries += other.deliveries
        # An event that is sent again with a higher priority is wanted sooner.
        self.priority = max(self.priority, other.priority)
        self.known = joined(self.known, other.known, askable=bool(self.event.external_id))

    @property
    def _lacks_one(self) -> bool:
        return [each.live for each in self.deliveries].count(True) < self.messages

    def _is_own(self, other: "Claim") -> bool:
        """Tell whether another claim has the same stay in an inner queue."""
        return self.known.mark == other.known.mark is not None

    def perhaps_sent(self) -> list[ItemEvent]:
        """Return the event as each message of its id has perhaps been sent."""
        others = self.known.asks - {self.event.asks}
        return [self.event, *(replace(self.event, asks=asks) for asks in others)]

    def same_message(self, event: ItemEvent) -> bool:
        """Tell whether a message is a copy of the one this claim was made for."""
        return self.event.identity == event.identity and self.event.message == event.message
