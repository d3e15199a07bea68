"""Closes lanes, tries them, and reads back what waits: the active process only."""

import asyncio
import logging
import math
from collections.abc import Iterable
from typing import Protocol

from service.domain.circuit_breaker import CircuitBreaker, Mode
from service.domain.claim import Claim
from service.domain.lanes import Lanes, LaneState
from service.domain.limits import Limits
from service.domain.outcomes import Fault, PauseReason
from service.domain.parking import DOUBT, DOUBTFUL, LINK, LINKS
from service.domain.passes import Passes
from service.importer.intake_control import why_shut
from service.importer.lane_signs import LaneSigns, queue_of
from service.importer.listed_types import ListedTypes
from service.importer.parking_lot import ParkingLot
from service.telemetry.labels import OTHER
from service.telemetry.metrics import Metrics
from service.telemetry.supervision import contained

LOOK_SECONDS = 0.1
"""How often we look whether there is room for what waits, while something does."""
IDLE_SECONDS = 1.0
DEPTH_SECONDS = 15.0

log = logging.getLogger(__name__)


class Room(Protocol):
    """What is held here, and whether anything may be read."""

    stopping: bool

    def room(self) -> int:
        """Return how many messages of inner queues may be taken now."""

    def at_leisure(self) -> bool:
        """Tell whether few calls are made for what is new, so that some may be for what waits."""

    def holds_type(self, entity_type_id: int) -> bool:
        """Tell whether anything of a type is at work here."""

    def set_aside(self, entity_type_id: int, reason: PauseReason) -> None:
        """Let everything of a type that waits here wait in its lane's queue."""

    @property
    def active(self) -> bool | None:
        """Whether this is the process that gets the intake's messages."""


class LaneControl:
    """Follows the lanes: their events wait in queues of their own, and come back from there."""

    def __init__(
        self,
        *,
        lanes: Lanes,
        breaker: CircuitBreaker,
        lot: ParkingLot,
        limits: Limits,
        room: Room,
        metrics: Metrics,
    ) -> None:
        """Take the lanes to follow."""
        self.lanes = lanes
        self._breaker = breaker
        self._lot = lot
        self._batch = limits.batch.max_items
        self._room = room
        self._metrics = metrics
        self._clock = lot.clock
        self._passes = Passes(interval=limits.pause.probe, longest=limits.pause.probe_cap)
        self._faults: dict[int, Fault | None] = {}
        """What closed each lane that is not open."""
        self._wake = asyncio.Event()
        self._depths_at = float("-inf")
        self.signs = LaneSigns(metrics, self._clock())
        self._accepted: set[int] = set()
        self.listed: ListedTypes | None = None
        """What the portal lists; may be set until the first event comes."""
        self._was_reading = False
        self.depths: dict[str, int] = {}

    async def close(self, entity_type_id: int, reason: PauseReason, fault: Fault | None) -> None:
        """Close a lane; where its events cannot wait elsewhere, pause the whole intake."""
        deserves = await self._deserves_queue(entity_type_id)
        usable = deserves and await self._lot.queues.usable(str(entity_type_id))
        if not self._lot.exists or (not usable and self._lot.connected()):
            self.pause(entity_type_id, reason, fault)
            return
        was = self.lanes.state(entity_type_id)
        if self.lanes.close(entity_type_id, reason, self._clock()):
            self._faults[entity_type_id] = fault
            what = "lane closed" if was is LaneState.OPEN else "lane tried"
            self._announce(entity_type_id, what)
        self._room.set_aside(entity_type_id, reason)

    async def _deserves_queue(self, entity_type_id: int) -> bool:
        """Tell whether a queue may be made for a type, or is there already."""
        speaks = (
            entity_type_id in self._accepted
            or self._metrics.entity_type(entity_type_id) != OTHER
            or str(entity_type_id) in self._lot.queues.known()
        )
        why = "" if speaks or self.listed is None else await self.listed.why_none(entity_type_id)
        if why:
            extra = {"entity_type": entity_type_id, "why": why}
            log.warning("no queue for this entity type: it pauses the intake", extra=extra)
        return not why

    def pause(self, entity_type_id: int, reason: PauseReason, fault: Fault | None) -> None:
        """Pause the intake for what is the trouble of one type: its events have no place."""
        self.lanes.forget(entity_type_id, self._clock())
        self._breaker.fault = fault
        self._breaker.trip(reason, self._clock())

    def opened(self, entity_type_id: int) -> None:
        """Note that a lane is open again: what waits flows."""
        log.info("lane open", extra={"entity_type": entity_type_id})
        self._faults.pop(entity_type_id, None)
        self._passes.start(str(entity_type_id), self._clock())
        self._wake.set()

    def begin(self) -> None:
        """Note that there are queues now."""
        self._wake.set()

    def try_now(self, entity_type_id: int) -> None:
        """Have a closed lane tried at once."""
        self.lanes.try_now(entity_type_id, self._clock())
        self._wake.set()

    def unparkable(self, entity_type_id: int, queue: str, reason: str) -> None:
        """Note that events of a type could not wait elsewhere; its closed lane stops them all."""
        if queue != DOUBTFUL and reason in set(PauseReason):
            self.pause(entity_type_id, PauseReason(reason), None)

    def imported(self, types: Iterable[int], *, referred: bool) -> None:
        """Note that items of these types were imported: what waits for that is asked for.

        `referred`: other events wait for one of them.
        """
        kinds = set(types)
        if referred:
            self._passes.hasten(LINKS, self._clock())
        if kinds:
            self._passes.hasten(DOUBTFUL, self._clock())
        if not kinds <= self._accepted:
            # Events of these types may wait there from an earlier process.
            self._lot.queues.ask(kinds - self._accepted)
            self._accepted |= kinds

    def parked(self, claim: Claim, reason: str) -> None:
        """Note that a claim waits elsewhere now; a doubtful one can be asked for from a time."""
        self.signs.parked(claim, reason, self._clock())
        # What comes back waits there: counted now, and measured with all else in some seconds.
        queue = queue_of(claim, reason)
        self.depths[queue] = self.depths.get(queue, 0) + 1
        if reason == DOUBT:
            self._passes.by(DOUBTFUL, max(claim.known.look_at, self._clock()))
        elif reason == LINK:
            self._passes.known(LINKS, self._clock())

    async def run(self) -> None:
        """Try closed lanes and read back what waits, until cancelled."""
        while not self._lot.exists:
            # Without queues no lane ever closes.
            await self._wake.wait()
            self._wake.clear()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._search(), name="listed types")
            while True:
                busy = False
                with contained(self._metrics, "lanes"):
                    busy = await self._look()
                await self._rest(LOOK_SECONDS if busy else self._idle())

    async def _search(self) -> None:
        """Search for unknown queues in the background."""
        while True:
            if self.listed is not None and self._breaker.mode is Mode.FLOWING:
                with contained(self._metrics, "listed types"):
                    await self.listed.look(self._lot.queues)
            await asyncio.sleep(IDLE_SECONDS)

    def _idle(self) -> float:
        """Return the seconds until a closed lane is to be tried, or something may have come."""
        closed = [lane for lane in self.lanes.not_open() if lane.state is LaneState.CLOSED]
        waits = [lane.next_try - self._clock() for lane in closed]
        return max(LOOK_SECONDS, min([IDLE_SECONDS, *waits]))

    async def _rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()

    async def _look(self) -> bool:
        """Make one round; tell whether there is more to read."""
        await self._measure()
        reading = self._lot.exists and self._room.active is True and not self._room.stopping
        if reading and not self._was_reading and self.listed is not None:
            # Another process may have made queues without being able to tell.
            self.listed.again()
        self._was_reading = reading
        if not reading:
            self._lot.alone_since = math.inf
            self._passes.forget()
            return False
        if self._breaker.mode is not Mode.FLOWING:
            return False
        for queue in self._lot.queues.known():
            self._passes.known(queue, self._clock())
        await self._try_lanes()
        return await self._read()

    async def _try_lanes(self) -> None:
        """Let each lane whose interval is over try one batch of what waits."""
        self.lanes.due(self._clock())
        for number in self.lanes.on_trial():
            if self._room.holds_type(number):
                continue
            came, _ = await self._take(str(number), self._batch)
            if not (came or self.lanes.is_open(number)):
                self._passes.hasten(LINKS, self._clock())
            self.lanes.trial_of(number, self._clock(), waited=came > 0)

    async def _read(self) -> bool:
        """Take what there is room for of each queue whose turn it is."""
        more = False
        for queue in self._passes.due(self._clock()):
            if not self._may_read(queue):
                more = more or not queue.isdigit()
                continue
            room = self._room.room()
            if room <= 0:
                return True
            most = room if queue.isdigit() else min(room, self._batch)
            came, left = await self._take(queue, most)
            if came and not self._passes.under_way(queue):
                self.signs.oldest.pass_began(queue)
            self._passes.took(queue, came, left, self._clock())
            more = more or self._passes.under_way(queue)
        return more

    def _may_read(self, queue: str) -> bool:
        if queue.isdigit():
            return self.lanes.state(int(queue)) is LaneState.OPEN
        return self._room.at_leisure()

    async def _take(self, queue: str, most: int) -> tuple[int, int]:
        came, left = await self._lot.queues.take(queue, most)
        self.depths[queue] = left
        return came, left

    async def _measure(self) -> None:
        """Learn now and then how many events wait, and show what is not open."""
        now = self._clock()
        if self._lot.exists and now >= self._depths_at + DEPTH_SECONDS:
            self._depths_at = now
            found = dict(await self._lot.queues.depths())
            if found or not self._lot.queues.known():
                self.depths = found
            for queue, depth in found.items():
                self.signs.oldest.measured(queue, depth, now)
        self._show()

    def _show(self) -> None:
        """Bring the lanes' metrics up to date; a process that stands by has none."""
        now = self._clock()
        ours = self._room.active is True or self._breaker.mode is not Mode.FLOWING
        self.signs.show_lanes(self.lanes.not_open() if ours else (), now)
        self.signs.show_waiting(self.depths if ours else {}, self._lot.reasons, now)

    def _announce(self, entity_type_id: int, event: str) -> None:
        """Tell people once for each change: why, until when, and who must act."""
        lane = next(e for e in self.lanes.not_open() if e.entity_type_id == entity_type_id)
        fault, wait = self._faults.get(entity_type_id), lane.next_try - self._clock()
        shown = why_shut(lane.reason, fault, wait, "ImporterLaneClosed")
        level = logging.ERROR if lane.reason.needs_a_person else logging.WARNING
        level = level if event == "lane closed" else logging.INFO
        log.log(level, event, extra={"entity_type": entity_type_id, **shown})
