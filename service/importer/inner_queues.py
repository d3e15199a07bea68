"""Says what the importer needs of the inner queues, where events wait without being held."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from service.domain.delivery import Parking


class InnerQueues(Protocol):
    """The queues of closed lanes, of doubtful events, and of events that wait for items.

    A queue is named by the last part of its name: an entity type, or one of the names in
    `domain/parking.py`. Nothing here raises.
    """

    async def usable(self, queue: str) -> bool:
        """Tell whether events may wait there; the queue is made if it is missing."""

    async def park(self, parkings: Sequence[Parking]) -> list[bool]:
        """Publish a copy of each delivery into its queue; tell which are confirmed."""

    def ack_after(self, queue: str) -> float:
        """Return the loop time before which no original may be acknowledged: a young queue."""

    async def take(self, queue: str, most: int) -> tuple[int, int]:
        """Have at most this many messages delivered; return how many came, and how many remain."""

    async def depths(self) -> Mapping[str, int]:
        """Return how many messages lie ready in each queue."""

    def known(self) -> Sequence[str]:
        """Return the queues that exist, as far as anybody knows."""

    def ask(self, types: Iterable[int]) -> None:
        """Have the queues of these entity types asked for soon: they may be there."""


class NoInnerQueues:
    """Stands where there are none: a closed lane pauses the intake, doubt is waited out here."""

    async def usable(self, _: str) -> bool:
        """Tell that nothing may wait elsewhere."""
        return False

    async def park(self, parkings: Sequence[Parking]) -> list[bool]:
        """Tell that nothing was parked."""
        return [False] * len(parkings)

    def ack_after(self, _: str) -> float:
        """Return that nothing has to wait."""
        return 0.0

    async def take(self, _: str, __: int) -> tuple[int, int]:
        """Tell that nothing waits."""
        return 0, 0

    async def depths(self) -> Mapping[str, int]:
        """Return nothing."""
        return {}

    def known(self) -> Sequence[str]:
        """Return nothing."""
        return ()

    def ask(self, types: Iterable[int]) -> None:
        """Do nothing."""
