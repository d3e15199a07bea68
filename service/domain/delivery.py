"""Says what a delivery is, and how it leaves: settled, or parked in an inner queue."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from service.domain.events import ItemEvent, Malformed
from service.domain.outcomes import Outcome
from service.domain.parking import Stay


class Delivery(Protocol):
    """One message handed over and not settled.

    `copy`: it says that it was delivered before, `redriven`: that it was redriven or dead-lettered
    once, `perhaps_sent`: that its item may be in the CRM; `early`: it is among the first after its
    consumer attached; `times`: how often it had been delivered before; `stay`: what it says of its
    waiting in an inner queue. `received_at` and `born_at`, the event's own time, are loop times.
    """

    event: ItemEvent | Malformed
    received_at: float
    born_at: float
    size: int
    copy: bool
    perhaps_sent: bool
    redriven: bool
    early: bool
    times: int
    stay: Stay | None
    priority: int

    @property
    def live(self) -> bool:
        """Whether it can still be acknowledged."""

    def ack(self) -> None:
        """Acknowledge it with the next `flush`."""

    async def flush(self) -> None:
        """Send what was acknowledged on its channel; never raises."""

    async def give_back(self) -> None:
        """Return it to its queue; never raises."""


@dataclass(frozen=True, slots=True)
class Settlement:
    """How the message of one delivery ended; `batch_id` None: no call was made for it.

    `links`: the numbers of the items that the event refers to, where they are known.
    """

    event: ItemEvent | Malformed
    delivery: Delivery
    outcome: Outcome
    attempts: int = 0
    batch_id: str | None = None
    warnings: Sequence[str] = ()
    links: Mapping[str, int | list[int]] | None = None


@dataclass(frozen=True, slots=True)
class Parking:
    """A delivery that is to wait in an inner queue; the members are those of `Stay`."""

    delivery: Delivery
    queue: str
    reason: str
    waited: float = 0.0
    perhaps_sent: float | None = None
    attempts: int = 0
