"""Decides how doubtful an event's fate is, and remembers what is known of it."""

from dataclasses import dataclass, replace
from enum import IntEnum

from service.domain.events import ItemEvent
from service.domain.outcomes import Failed


class Doubt(IntEnum):
    """How likely it is that the event's item exists already."""

    NONE = 0
    """Never sent, as far as anybody knows."""
    WEAK = 1
    """Another process may have sent it: ask if asking is possible, else send."""
    STRONG = 2
    """It was perhaps sent: ask; where asking is impossible, the ambiguity policy decides."""


@dataclass(slots=True)
class Knowledge:
    """What this process knows of an unsettled event; survives the return of its deliveries.

    `look_at`: loop time before which a look-up proves nothing; `absent_once`: one look-up found
    nothing already; `fault`: why its last call failed; `refusal`: what stands if the item turns
    out to be absent; `solo_failures`: calls with this event alone that failed while the portal
    was otherwise healthy.
    """

    doubt: Doubt = Doubt.NONE
    look_at: float = 0.0
    absent_once: bool = False
    fault: Failed | None = None
    refusal: Failed | None = None
    attempts: int = 0
    solo_failures: int = 0
    first_failed_at: float | None = None
    batch_id: str | None = None

    def perhaps_sent(self, fault: Failed, look_at: float, *, stands: bool = False) -> None:
        """Note a call whose outcome for this event is unknown.

        `stands`: the portal refused the item; if it is absent, that is its end.
        """
        self.doubt, self.absent_once, self.look_at = Doubt.STRONG, False, look_at
        self.fault, self.refusal = fault, fault if stands else None

    def joined(self, other: "Knowledge") -> "Knowledge":
        """Return the more doubtful of two things known of one event."""
        first, second = (self, other) if self.doubt >= other.doubt else (other, self)
        return replace(
            first,
            look_at=max(first.look_at, second.look_at),
            solo_failures=max(first.solo_failures, second.solo_failures),
        )

    def surely_absent(self) -> None:
        """Note that the item does not exist."""
        self.doubt, self.absent_once, self.refusal = Doubt.NONE, False, None


def doubt_of(event: ItemEvent, *, copy: bool, resubmitted: bool, early: bool, ask: str) -> Doubt:
    """Return how doubtful the fate of a message is that this process knows nothing of.

    `copy`: it says it was delivered before; `resubmitted`: it was redriven or dead-lettered;
    `early`: it is among the first after attaching; `ask`: the setting `LOOKUP`.
    """
    if copy and (event.external_id is None or ask != "never"):
        return Doubt.STRONG
    if event.external_id is None or ask == "never":
        return Doubt.NONE
    return Doubt.WEAK if ask == "always" or resubmitted or early else Doubt.NONE
