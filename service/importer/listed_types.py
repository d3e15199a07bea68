"""Knows which entity types the portal lists: those may have a queue, or have one already."""

import asyncio
import logging
from typing import Protocol

from service.domain.circuit_breaker import PausePolicy
from service.domain.inner_queue import Strangers
from service.domain.outcomes import CallFailed, CallKind, Fault
from service.importer.inner_queues import InnerQueues
from service.importer.memory import CallNotes

ANSWER_SECONDS = 15.0
"""Nothing waits longer for the list; without it one decides as where none is given."""
CLIENT_ERRORS = range(400, 500)
PASSING = frozenset(
    {CallKind.THROTTLED, CallKind.OVER_BUDGET, CallKind.UNAVAILABLE, CallKind.BARRED}
)

log = logging.getLogger(__name__)


class Listing(Protocol):
    """What can be asked of the portal."""

    async def types(self) -> frozenset[int]:
        """Return the entity types that it lists; raises CallFailed."""

    def pace(self) -> tuple[float, str]:
        """Tell how many seconds a call would wait for the portal's limits, and for which."""


class ListedTypes:
    """Asks for the list where it decides something, and keeps it.

    A portal shows it only to whoever may set up its CRM. One that refused it is asked again after
    the longest interval of a probe.
    """

    def __init__(self, portal: Listing, notes: CallNotes, pause: PausePolicy) -> None:
        """Know nothing; the notes know the loop's time, and what the memory tells."""
        self._portal = portal
        self._notes = notes
        self._pause = pause
        self._types: frozenset[int] = frozenset()
        self._asked_at = self._refused_until = float("-inf")
        self._look_at: float | None = None
        self._interval = 0.0
        self._looked = False
        self._strangers = Strangers()

    async def why_none(self, entity_type_id: int) -> str:
        """Return why a type gets no queue for which nothing else speaks; empty if it gets one.

        The portal's list decides. Without a list, only this many types get one.
        """
        match await self.has(entity_type_id):
            case True:
                return ""
            case False:
                return "the portal does not list this type, and never accepted an item of it"
            case None if self._strangers.admit(entity_type_id):
                return ""
            case None:
                return "too many such types have a queue already"

    async def has(self, entity_type_id: int) -> bool | None:
        """Tell whether the portal lists a type now; None where it gives no list."""
        if entity_type_id in self._types:
            return True
        if self._refuses or not await self._ask():
            return None
        return entity_type_id in self._types

    def again(self) -> None:
        """Note that there may be unknown queues."""
        if self._notes.clock() - self._asked_at > self._pause.probe:
            self._looked, self._look_at = False, None

    async def look(self, queues: InnerQueues) -> None:
        """Have the queues of listed types asked for where the memory does not tell which exist.

        Not at once: whatever came first has the portal for itself, and nobody else is held up.
        """
        now = self._notes.clock()
        if self._look_at is None:
            self._look_at = now + self._pause.probe
        if self._looked or now < self._look_at or self._portal.pace()[0] > 0:
            return
        memory = self._notes.memory
        if await memory.catch_up() and memory.tells_queues:
            self._looked = True
            return
        if await self._ask():
            queues.ask(self._types)
            self._looked = True
            return
        self._looked = self._refuses
        self._interval = min(2 * self._interval or self._pause.probe, self._pause.probe_cap)
        self._look_at = self._notes.clock() + self._interval

    @property
    def _refuses(self) -> bool:
        return self._notes.clock() < self._refused_until

    async def _ask(self) -> bool:
        """Ask for the list; tell whether it was given."""
        self._asked_at = self._notes.clock()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                self._types = await self._portal.types()
        except TimeoutError:
            log.info("the portal gave no list of its types", extra={"code": "CALL_TIMED_OUT"})
            return False
        except CallFailed as failed:
            log.info("the portal gave no list of its types", extra={"code": failed.fault.code})
            if _is_refusal(failed.fault):
                self._refused_until = self._asked_at + self._pause.probe_cap
            return False
        return True


def _is_refusal(fault: Fault) -> bool:
    """Tell whether the portal itself does not give the list to us."""
    return fault.answered and fault.http_status in CLIENT_ERRORS and fault.kind not in PASSING
