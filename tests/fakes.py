"""Stands in for the broker and the portal: state, seeded faults, and no network."""

import asyncio
import hashlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random

from prometheus_client import Counter, Gauge

from service.domain import leave
from service.domain.delivery import Settlement
from service.domain.events import (
    NOTHING_ASKED,
    PRIORITY,
    BatchKey,
    ExternalId,
    Identity,
    ItemEvent,
    Malformed,
    MalformedCode,
    Origin,
    Profile,
)
from service.domain.fields import Field
from service.domain.outcomes import (
    Accepted,
    CallFailed,
    CallKind,
    Failed,
    Fault,
    Imported,
    Outcome,
    PauseReason,
    RefusalKind,
    Refused,
    Report,
    Verdict,
)
from service.domain.parking import Stay
from service.domain.witnessing import Oneself, Seen
from service.importer.results import Confirmed
from service.rabbit.delivery_counts import deliveries_before
from tests.virtual_time import now

DEAL = 2
QUOTE = 7
"""A type without external id."""
HIDDEN = 3
"""A type whose items may be imported but not read."""
GIVEN = Profile("1", "0", "Y")
"""What an item has whose event asks for nothing."""
CLOSED = 130
"""A type the portal does not know."""


class Nature(StrEnum):
    """What becomes of an item by its own fault, however healthy the portal is."""

    GOOD = "good"
    BAD = "bad"
    """Refused by name."""
    VAGUE = "vague"
    """Refused with a code that may hide a saved item; it is not saved."""
    SAVED = "saved"
    """As vague, but it is saved."""
    POISON = "poison"
    """Breaks its call, and is not saved."""
    SAVED_POISON = "saved_poison"
    """Is saved, and breaks its call then."""
    BINDER = "binder"
    """Has the whole call refused before execution."""
    DENIED = "denied"
    """Refused for want of rights to what it refers to."""


PRIORITIES = (PRIORITY, PRIORITY, 0, 9)
"""What messages carry, one after the other."""
VERSIONS = ("3.10", "4.0", "4.3")
"""The brokers that are played; `integration/rabbit/test_delivery_counts.py` tries real ones."""
BOUNCE_SECONDS = 0.5
FATAL = frozenset({Nature.BAD, Nature.VAGUE, Nature.POISON, Nature.BINDER, Nature.DENIED})


def item_event(  # noqa: PLR0913 - what tells two events apart
    event_id: str,
    entity_type_id: int = DEAL,
    *,
    nature: Nature = Nature.GOOD,
    body: str = "",
    external_id: str | None = None,
    redrive_count: int = 0,
    original_names: bool = False,
    asks: Profile = NOTHING_ASKED,
) -> ItemEvent:
    """Return an event; `body` tells two of one id apart, `external_id` is one it brings."""
    text = f'{{"nature":"{nature}","body":"{body}"}}'
    external = None
    if entity_type_id != QUOTE:
        external = ExternalId("originId", external_id or event_id, "crm-importer")
    return ItemEvent(
        entity_type_id=entity_type_id,
        event_id=event_id,
        fields=memoryview(text.encode()),
        original_names=original_names,
        digest=hashlib.sha256(f"{entity_type_id} {event_id} {text}".encode()).hexdigest(),
        external_id=external,
        origin=Origin(redrive_count=redrive_count),
        asks=asks,
    )


def malformed(event_id: str = "broken") -> Malformed:
    """Return a message that is no event."""
    digest = hashlib.sha256(event_id.encode()).hexdigest()
    return Malformed(event_id, None, MalformedCode.NOT_JSON, "not JSON", digest)


def nature_of(event: ItemEvent) -> Nature:
    """Return what the event's item is like."""
    return Nature(bytes(event.fields).split(b'"')[3].decode())


def identity_of(event: ItemEvent | Malformed) -> tuple[int | None, str]:
    """Return what identifies a message's event; a malformed one has perhaps no type."""
    return (event.entity_type_id, event.event_id)


@dataclass(eq=False)
class FakeDelivery:
    """A delivery without a broker: remembers what was done to it."""

    event: ItemEvent | Malformed
    received_at: float = 0.0
    born_at: float = 0.0
    size: int = 100
    copy: bool = False
    perhaps_sent: bool = False
    redriven: bool = False
    early: bool = False
    live: bool = True
    times: int = 0
    stay: Stay | None = None
    priority: int = PRIORITY
    acked: int = 0
    flushed: int = 0
    returned: int = 0

    def ack(self) -> None:
        self.acked += 1

    async def flush(self) -> None:
        self.flushed += 1

    async def give_back(self) -> None:
        self.returned += 1


@dataclass(eq=False)
class Message:
    """A message of the made-up broker."""

    number: int
    event: ItemEvent | Malformed
    flagged: bool = False
    acked: bool = False
    published_at: float = 0.0
    returned: int = 0
    """Given back by who held it."""
    lost: int = 0
    """Come back with its connection."""
    stay: Stay | None = None
    """What it says of its waiting in an inner queue."""
    queue: str = ""
    """The last part of the inner queue's name where it lies; empty: the intake."""
    was_parked: bool = False
    """Somebody has returned it to the intake from an inner queue."""

    def headers(self, version: str) -> dict[str, int]:
        """Return what a broker of this version says of it."""
        both = self.returned + self.lost
        if version < "4.3":
            counts = {"x-delivery-count": both}
        else:
            counts = {"x-acquired-count": both, "x-delivery-count": self.lost}
        return {name: count for name, count in counts.items() if count}


@dataclass(eq=False)
class _Consumer:
    """One registration at the queue; the prefetch counts by it."""

    prefetch: int
    unsettled: int = 0
    seen: int = 0
    bounced: set[int] = field(default_factory=set)


@dataclass(eq=False)
class _Session:
    """One connection from its opening to its end."""

    live: bool = True
    deliveries: dict["BrokerDelivery", None] = field(default_factory=dict)
    answered: set["BrokerDelivery"] = field(default_factory=set)
    """Whose acknowledgement is on its way."""


@dataclass(eq=False)
class BrokerDelivery:
    """A delivery of the made-up broker."""

    connection: "FakeConnection"
    session: _Session
    consumer: _Consumer
    message: Message
    received_at: float
    born_at: float
    early: bool
    copy: bool
    size: int = 100
    perhaps_sent: bool = False
    redriven: bool = False
    stay: Stay | None = None

    @property
    def priority(self) -> int:
        """The priority of its message."""
        return PRIORITIES[self.message.number % len(PRIORITIES)]

    @priority.setter
    def priority(self, _: int) -> None:
        raise AttributeError

    @property
    def times(self) -> int:
        """How often the message came back before."""
        headers = self.message.headers(self.connection.broker.version)
        flagged = self.message.flagged if self.message.queue else self.copy
        return deliveries_before(headers, redelivered=flagged)

    @times.setter
    def times(self, _: int) -> None:
        raise AttributeError

    @property
    def event(self) -> ItemEvent | Malformed:
        return self.message.event

    @event.setter
    def event(self, _: ItemEvent | Malformed) -> None:
        raise AttributeError

    @property
    def live(self) -> bool:
        return self.session.live

    def ack(self) -> None:
        self.connection.settle(self, acked=True)

    async def flush(self) -> None:
        """Do nothing: this broker hears at once."""

    async def give_back(self) -> None:
        self.connection.settle(self, acked=False)


@dataclass(eq=False)
class Result:
    """A result event that the broker keeps.

    `known_at`: when its publisher learnt of that; never, where the confirm was lost.
    """

    identity: tuple[int | None, str]
    digest: str
    outcome: Outcome
    known_at: float = float("inf")
    said_at: float = 0.0


@dataclass(frozen=True)
class BrokerFaults:
    """How often publishes go wrong, while `until` has not come."""

    unconfirmed: float = 0.0
    stored_unconfirmed: float = 0.0
    slow: float = 0.0
    until: float = float("inf")
    full: tuple[float, float] = (0.0, 0.0)
    """From when until when the queue of failed results refuses."""


class FakeBroker:
    """The intake queue and the kept results; outlives the processes that connect to it.

    Single active consumer: the connection that attached first is served, the others wait.
    """

    def __init__(
        self, rng: Random, faults: BrokerFaults = BrokerFaults(), *, version: str = "4.3"
    ) -> None:
        """Start with an empty queue; the version decides what is counted where."""
        self.version = version
        self.rng = rng
        self.faults = faults
        self.messages: list[Message] = []
        self.ready: deque[Message] = deque()
        self.inner: dict[str, deque[Message]] = {}
        self.provable: dict[int, tuple[float, float]] = {}
        """When a message was parked, and from when on a look-up proves something of it."""
        self.results: list[Result] = []
        self.letters: list[Result] = []
        self.unsure = 0
        """Publishes and acknowledgements whose fate their sender does not know."""
        self.parks_unsure = True
        """Whether a copy for an inner queue may be stored although no confirm tells so."""
        self.violations: list[str] = []
        self.young = 0.0
        """Seconds for which an inner queue counts as young after the first message."""
        self.made: dict[str, float] = {}
        self.hold = float("inf")
        """Seconds after which a process gives back what it has not settled."""
        self.bounces = 0
        """Messages that one consumer returned at once, again and again."""
        self._line: list[FakeConnection] = []

    def publish(self, event: ItemEvent | Malformed) -> None:
        """Put a message into the intake queue, as upstream does."""
        message = Message(len(self.messages), event, published_at=now())
        self.messages.append(message)
        self.ready.append(message)
        self.serve()

    def return_one(self, queue: str) -> None:
        """Return the oldest event of an inner queue to the intake, as an operator does."""
        waiting = self.inner[queue]
        if waiting and waiting[0].stay is not None and waiting[0].stay.perhaps_sent is None:
            parked = waiting.popleft()
            self.publish(parked.event)
            self.messages[-1].was_parked = parked.acked = True

    @property
    def empty(self) -> bool:
        """Whether every message was acknowledged."""
        return all(message.acked for message in self.messages)

    def stand_in_line(self, connection: "FakeConnection") -> None:
        """Note a consumer that wants messages."""
        if connection not in self._line:
            self._line.append(connection)
        self.serve()

    def leave(self, connection: "FakeConnection") -> None:
        """Note that a consumer wants no messages any more."""
        if connection in self._line:
            self._line.remove(connection)
        self.serve()

    def requeue(self, messages: Iterable[Message], *, flag: bool, lost: bool) -> None:
        """Put messages back where they were; `lost`: with their connection.

        Without a flag there is no count: nobody can tell such a message from a new publish.
        """
        back = [message for message in messages if not message.acked]
        told = {each.digest for each in self.results}
        for message in back:
            message.flagged = message.flagged or flag
            message.lost += lost and flag
            message.returned += not lost and flag
            self.unsure += not flag and message.event.digest in told
        intake = [message for message in back if not message.queue]
        self.ready = deque(sorted({*self.ready, *intake}, key=lambda each: each.number))
        for message in reversed(back):
            if message.queue:
                self.inner[message.queue].appendleft(message)
        self.serve()

    def serves(self, connection: "FakeConnection") -> bool:
        """Tell whether a connection is the one that gets messages."""
        return bool(self._line) and self._line[0] is connection

    def serve(self) -> None:
        """Deliver what the active consumer may have."""
        if self._line:
            active = self._line[0]
            while self.ready and active.has_room():
                active.deliver(self.ready.popleft())

    def keep(self, settlement: Settlement) -> Result:
        """Keep a result for good."""
        event = settlement.event
        result = Result(identity_of(event), event.digest, settlement.outcome, said_at=now())
        self.results.append(result)
        return result

    def bury(self, settlement: Settlement) -> Result:
        """Keep a dead letter for good; its result must lie in its queue already."""
        event = settlement.event
        letter = Result(identity_of(event), event.digest, settlement.outcome)
        if not any(each.digest == event.digest for each in self.results):
            self.violations.append(f"dead letter before its result: {event.event_id}")
        self.letters.append(letter)
        return letter

    def acknowledge(self, message: Message) -> None:
        """Forget a message; an outcome of its own must have been confirmed before.

        A failure is its own if it was not known before the message was published.
        """
        message.acked = True
        event = message.event
        copies = (m for m in self.messages if (m.queue or m.was_parked) and m is not message)
        if any(not copy.acked and copy.event.digest == event.digest for copy in copies):
            # A copy of it waits.
            return
        for result in self.results:
            if result.identity != identity_of(event):
                continue
            ours = result.digest == event.digest and result.known_at >= message.published_at
            if isinstance(result.outcome, Imported) or ours:
                return
        self.violations.append(f"acknowledged without an outcome of its own: {event.event_id}")


class FakeConnection:
    """One process's connection to the broker: its intake and its publisher."""

    def __init__(self, broker: FakeBroker, *, early: int = 1_000_000) -> None:
        """Connect; nothing comes before `attach`."""
        self.broker = broker
        self.accept: Callable[[BrokerDelivery], None] = _refuse
        self.on_change: Callable[[], None] = _nothing
        self.received = 0
        self.unparked = 0
        self.attachments: list[int | None] = []
        self._early = early
        self._session = _Session()
        self._consumer: _Consumer | None = None
        self._up = asyncio.Event()
        self._up.set()
        self._dead = False
        self._arrives_at = 0.0

    @property
    def active(self) -> bool | None:
        """Whether messages come here."""
        return self.broker.serves(self) if self._consumer is not None else None

    @property
    def session(self) -> _Session:
        """The present connection."""
        return self._session

    def fit(self) -> bool:
        """Tell whether the connection is up."""
        return self._up.is_set()

    async def attach(self, prefetch: int, *, seen: int = 0) -> None:
        """Register anew; messages follow."""
        self.attachments.append(prefetch)
        await asyncio.sleep(self._latency())
        self._consumer = _Consumer(prefetch, seen=seen)
        if self._up.is_set():
            self.broker.stand_in_line(self)

    async def detach(self) -> None:
        """Cancel the consumer; what is on its way still arrives."""
        self.attachments.append(None)
        await asyncio.sleep(self._latency())
        self._consumer = None
        self.broker.leave(self)

    @asynccontextmanager
    async def cancelled(self) -> AsyncIterator[None]:
        """Have no consumer meanwhile."""
        was = self._consumer
        if was is not None:
            await self.detach()
        yield
        if was is not None:
            await self.attach(was.prefetch, seen=was.seen)

    async def flush(self) -> None:
        """Wait until every answer was read."""
        await asyncio.sleep(0.06)

    async def ready(self) -> None:
        """Wait while there is no connection."""
        await self._up.wait()

    async def results(self, settlements: Sequence[Settlement]) -> list[Confirmed]:
        """Keep results, or fail to; wait while there is no connection."""
        for each in settlements:
            if not each.delivery.live:
                gone = f"published for a message that is gone: {each.event.event_id}"
                self.broker.violations.append(gone)
        return await self._publish(settlements, self.broker.keep)

    async def dead_letters(self, settlements: Sequence[Settlement]) -> list[Confirmed]:
        """Keep dead letters, or fail to."""
        return await self._publish(settlements, self.broker.bury)

    async def _publish(
        self,
        settlements: Sequence[Settlement],
        keep: Callable[[Settlement], Result],
    ) -> list[Confirmed]:
        await self._up.wait()
        session = self._session
        kept = await asyncio.gather(*(self._one(each, session, keep) for each in settlements))
        for each in kept:
            if each is not None:
                each.known_at = now()
        return [each is not None for each in kept]

    def has_room(self) -> bool:
        """Tell whether the prefetch allows one more."""
        consumer = self._consumer
        return consumer is not None and consumer.unsettled < consumer.prefetch

    def hand_over(self, message: Message) -> None:
        """Send a message of an inner queue on its way: no prefetch counts it, nor any flag."""
        delivery = BrokerDelivery(
            self,
            self._session,
            _Consumer(0),
            message,
            received_at=0.0,
            born_at=0.0,
            early=False,
            copy=False,
            perhaps_sent=message.stay is not None and message.stay.perhaps_sent is not None,
            stay=message.stay,
        )
        self._session.deliveries[delivery] = None
        self.unparked += 1
        self._arrive(delivery)

    def deliver(self, message: Message) -> None:
        """Send a message on its way."""
        consumer = self._consumer
        assert consumer is not None
        consumer.unsettled += 1
        consumer.seen += 1
        delivery = BrokerDelivery(
            self,
            self._session,
            consumer,
            message,
            received_at=0.0,
            born_at=0.0,
            early=consumer.seen <= self._early,
            copy=message.flagged,
        )
        self._session.deliveries[delivery] = None
        # A line keeps the order; timers of one moment would not.
        self._arrives_at = max(now() + 0.002, self._arrives_at + 1e-6)
        asyncio.get_running_loop().call_at(self._arrives_at, self._arrive, delivery)

    def settle(self, delivery: BrokerDelivery, *, acked: bool) -> None:
        """Send an answer on its way; it is lost with its connection."""
        if not acked and delivery.live and now() - delivery.received_at < BOUNCE_SECONDS:
            consumer, number = delivery.consumer, delivery.message.number
            self.broker.bounces += number in consumer.bounced
            consumer.bounced.add(number)
        if delivery.live:
            if acked:
                delivery.session.answered.add(delivery)
            loop = asyncio.get_running_loop()
            loop.call_later(self._latency(), self._settled, delivery, acked)
        elif acked:
            self.broker.unsure += 1
        if not acked and now() - delivery.received_at >= self.broker.hold:
            # Its outcome may be on its way at that very moment.
            told = {each.digest for each in self.broker.results}
            self.broker.unsure += delivery.event.digest in told

    def cut(self, *, flag: bool = True) -> None:
        """End the connection: what was unsettled is ready again."""
        session, self._session = self._session, _Session()
        session.live = False
        self.broker.unsure += len(session.answered)
        # Out already, and not acknowledged yet: a neighbour of the same batch was slow.
        out = {each.digest for each in self.broker.letters}
        waiting = [each for each in session.deliveries if each not in session.answered]
        self.broker.unsure += sum(each.event.digest in out for each in waiting)
        self._up.clear()
        self.broker.leave(self)
        self.broker.requeue([each.message for each in session.deliveries], flag=flag, lost=True)
        self.on_change()

    def mend(self) -> None:
        """Connect again, and consume if that is wanted."""
        if self._dead:
            return
        self._up.set()
        if self._consumer is not None:
            self._consumer = _Consumer(self._consumer.prefetch)
            self.broker.stand_in_line(self)
        self.on_change()

    def kill(self) -> None:
        """End the connection for good, with the process."""
        self._dead = True
        self.on_change = _nothing
        self.cut()

    @property
    def unsettled(self) -> int:
        """Deliveries that the broker has no answer for."""
        return len(self._session.deliveries)

    def _arrive(self, delivery: BrokerDelivery) -> None:
        if delivery.live:
            delivery.received_at = delivery.born_at = now()
            self.received += not delivery.message.queue
            self.accept(delivery)

    def _settled(self, delivery: BrokerDelivery, acked: bool) -> None:  # noqa: FBT001
        if not delivery.live:
            return
        delivery.session.answered.discard(delivery)
        if self._session.deliveries.pop(delivery, delivery) is not None:
            self.broker.violations.append(f"settled twice: {delivery.event.event_id}")
            return
        delivery.consumer.unsettled -= 1
        if acked:
            self.broker.acknowledge(delivery.message)
            self.broker.serve()
        else:
            self.broker.requeue([delivery.message], flag=True, lost=False)

    async def _one(
        self,
        settlement: Settlement,
        session: _Session,
        keep: Callable[[Settlement], Result],
    ) -> Result | None:
        rng, faults = self.broker.rng, self.broker.faults
        faulty = now() < faults.until
        slow = faulty and rng.random() < faults.slow
        await asyncio.sleep(rng.uniform(1.0, 15.0) if slow else self._latency())
        failed = isinstance(settlement.outcome, Failed) and keep == self.broker.keep
        if failed and faults.full[0] <= now() < faults.full[1]:
            return None
        if not session.live:
            self._perhaps(settlement, keep, 0.0 if self._dead else 0.5)
            return None
        if faulty and rng.random() < faults.unconfirmed:
            self._perhaps(settlement, keep, faults.stored_unconfirmed)
            return None
        kept = keep(settlement)
        await asyncio.sleep(self._latency())
        self.broker.unsure += not session.live
        return kept if session is self._session else None

    def _perhaps(
        self,
        settlement: Settlement,
        keep: Callable[[Settlement], Result],
        chance: float,
    ) -> None:
        """Keep a publish whose confirm is lost, or lose it."""
        if self.broker.rng.random() < chance:
            self.broker.unsure += 1
            keep(settlement)

    def _latency(self) -> float:
        return self.broker.rng.uniform(0.0, 0.05)


class Weather(StrEnum):
    """What the portal does to a call, whatever is in it."""

    FINE = "fine"
    PATCHY = "patchy"
    """Answers, but says nothing about some items, saved or not."""
    THROTTLED = "throttled"
    OVER_BUDGET = "over_budget"
    UNAVAILABLE = "unavailable"
    BARRED = "barred"
    NO_AUTH = "no_auth"
    """Imports are refused for want of credentials, while everything else is answered."""
    BROKEN = "broken"
    """Answers with an error after some items."""
    LOST = "lost"
    """The connection is cut; the portal works on, up to `settle` seconds."""
    HANG = "hang"
    """As lost, and nobody says so before the timeout."""
    SLOW = "slow"


REFUSALS = {
    Weather.THROTTLED: Fault(
        CallKind.THROTTLED, "QUERY_LIMIT_EXCEEDED", "too many requests", 503, answered=True
    ),
    Weather.OVER_BUDGET: Fault(
        CallKind.OVER_BUDGET,
        "OPERATION_TIME_LIMIT",
        "spent",
        429,
        PauseReason.OPERATING_LIMIT,
        answered=True,
    ),
    Weather.UNAVAILABLE: Fault(CallKind.UNAVAILABLE, "CONNECTION_LOST", "unreachable"),
    Weather.BARRED: Fault(
        CallKind.BARRED, "expired_token", "expired", 401, PauseReason.CREDENTIALS, answered=True
    ),
}
BROKEN = Fault(CallKind.AMBIGUOUS, "0", "internal error", 500, answered=True)
GATEWAY = Fault(CallKind.AMBIGUOUS, "HTTP_502", "bad gateway", 502)
LOST = Fault(CallKind.AMBIGUOUS, "CONNECTION_LOST", "the connection was cut")
TIMED_OUT = Fault(CallKind.AMBIGUOUS, "CALL_TIMED_OUT", "no answer in time")
NO_AUTH = Fault(
    CallKind.SUSPECT, "NO_AUTH_FOUND", "no auth", 401, PauseReason.CREDENTIALS, answered=True
)
BINDER = Fault(CallKind.SUSPECT, "100", "could not find value", 400, answered=True)
UNSUPPORTED = Fault(CallKind.UNSUPPORTED, "NOT_FOUND", "no such type", 400, answered=True)


REFUSED = {
    Nature.BAD: Refused(RefusalKind.REJECTED, "BX_INVALID_VALUE", "bad"),
    Nature.DENIED: Refused(RefusalKind.DENIED, "ACCESS_DENIED", "denied"),
    Nature.VAGUE: Refused(RefusalKind.REFUSED_UNCLEAR, "0", "vague"),
    Nature.SAVED: Refused(RefusalKind.REFUSED_UNCLEAR, "0", "vague"),
}
"""What the portal says of an item that it refuses by name."""


@dataclass(frozen=True)
class Item:
    """An item of the CRM."""

    item_id: int
    entity_type_id: int
    external_id: ExternalId | None
    identity: Identity
    seen_from: float
    has: Profile = GIVEN


@dataclass(frozen=True)
class Bounds:
    """What no call may exceed, and how slow the portal may be."""

    items: int = 20
    size: int = 16_000_000
    slots: int = 1_000
    timeout: float = 7.0
    settle: float = 6.5
    lag: float = 0.0
    upload: float = 0.0
    """How long the body of a call may take to leave; only then does the portal begin."""
    paced: float = 0.0
    """How often a call changes what the portal's limits allow."""


TOLD_WHEN_SENT = True
"""Whether a broken call tells when its body had wholly left; else when the call began."""


class FakePortal:
    """The portal: works through a call in order, whether its caller still waits or not."""

    def __init__(
        self,
        rng: Random,
        *,
        weather: Callable[[], Weather] = lambda: Weather.FINE,
        bounds: Bounds = Bounds(),
    ) -> None:
        """Start with an empty CRM; `weather` is asked once per call."""
        self.rng = rng
        self.weather = weather
        self.bounds = bounds
        self.ledger: list[Item] = []
        self.lost: list[Item] = []
        """Items of before the portal was set back."""
        self.unread: set[Identity] = set()
        """Events of which an item was made while an earlier one could not be read."""
        self.made: list[tuple[int, Profile, float]] = []
        """Each item that was ever made: its type, who may see it, and when it was made."""
        self.admin: Callable[[], bool] = _yes
        self.hides: Callable[[Item], bool] = _hidden_type
        """Whether an item may not be read now."""
        self.calls: list[list[str]] = []
        self.violations: list[str] = []
        self.probes: list[float] = []
        self.paced_until = 0.0
        self.carries = bounds.items
        """What one call should carry, as the portal has shown."""

    async def import_items(self, key: BatchKey, events: Sequence[ItemEvent]) -> Report:
        """Import; every item is saved at its own time."""
        self.calls.append([event.event_id for event in events])
        self._check(key, events)
        if self.rng.random() < self.bounds.paced:
            self.paced_until = now() + self.rng.uniform(0.1, 2.0)
            self.carries = self.rng.randint(1, self.bounds.items)
        return await self._import(key, events, now())

    async def find(
        self, entity_type_id: int, wanted: Sequence[ExternalId]
    ) -> dict[ExternalId, list[Seen]]:
        """Return the visible items that carry an external id."""
        await self._cheap()
        if entity_type_id == CLOSED:
            raise CallFailed(UNSUPPORTED)
        found: dict[ExternalId, list[Seen]] = {}
        for item in self.ledger:
            external = item.external_id if item.entity_type_id == entity_type_id else None
            if external in wanted and item.seen_from <= now() and not self.hides(item):
                found.setdefault(external, []).append(Seen(item.item_id, item.has))  # type: ignore[arg-type]
        return found

    async def shown(self, entity_type_id: int, item_ids: Sequence[int]) -> list[Seen]:
        """Return the visible items of some numbers."""
        await self._cheap()
        return [
            Seen(item.item_id, item.has)
            for item in self.ledger
            if item.entity_type_id == entity_type_id
            and item.item_id in item_ids
            and item.seen_from <= now()
            and not self.hides(item)
        ]

    async def types(self) -> frozenset[int]:
        """List every type that is not built in."""
        return frozenset({CLOSED})

    async def oneself(self) -> Oneself:
        """Tell who calls."""
        await self._cheap()
        return Oneself("1", self.admin())

    def set_back(self, kept: int) -> None:
        """Bring older data back: the newest items are gone, and their numbers come again."""
        self.lost += self.ledger[kept:]
        del self.ledger[kept:]

    async def probe(self) -> None:
        """Answer, unless nobody would be answered."""
        self.probes.append(now())
        weather = self.weather()
        await asyncio.sleep(0.05)
        if weather in {Weather.UNAVAILABLE, Weather.BARRED}:
            raise CallFailed(REFUSALS[weather])
        if weather in {Weather.LOST, Weather.HANG}:
            raise CallFailed(LOST)

    async def fields(self, key: BatchKey) -> Mapping[str, Field]:  # noqa: ARG002 - the protocol's
        """Describe no field, so that every field is complained of."""
        await self._cheap()
        return {}

    def shut_for(self, reason: PauseReason | None) -> float:  # noqa: ARG002 - the protocol's
        """Tell that a probe may be made at any time."""
        return 0.0

    def pace(self) -> tuple[float, str]:
        """Tell how long an import would wait."""
        return (max(0.0, self.paced_until - now()), "bucket")

    def most(self, entity_type_id: int, most: int) -> int:  # noqa: ARG002 - the protocol's
        """Return how many items one call should carry."""
        return min(most, self.carries)

    def count(self, identity: Identity) -> int:
        """Return how many items an event has."""
        return sum(item.identity == identity for item in self.ledger)

    def _check(self, key: BatchKey, events: Sequence[ItemEvent]) -> None:
        bounds = self.bounds
        if not 1 <= len(events) <= bounds.items:
            self.violations.append(f"a call with {len(events)} items")
        if any(event.batch_key != key for event in events):
            self.violations.append("a call with events of several keys")
        if len({event.identity for event in events}) != len(events):
            self.violations.append("a call with one event twice")

    async def _cheap(self) -> None:
        weather = self.weather()
        slow = weather is Weather.SLOW
        await asyncio.sleep(self.rng.uniform(3.0, 6.0) if slow else self.rng.uniform(0.02, 0.3))
        if weather in REFUSALS:
            raise CallFailed(REFUSALS[weather])
        if weather is Weather.BROKEN:
            raise CallFailed(BROKEN)
        if weather is Weather.HANG:
            await asyncio.sleep(self.bounds.timeout)
            raise CallFailed(TIMED_OUT)
        if weather is Weather.LOST:
            raise CallFailed(LOST)

    async def _import(self, key: BatchKey, events: Sequence[ItemEvent], sent_at: float) -> Report:
        weather, rng = self.weather(), self.rng
        if weather in REFUSALS:
            await asyncio.sleep(rng.uniform(0.02, 0.3))
            raise CallFailed(REFUSALS[weather])
        if weather is Weather.NO_AUTH:
            raise CallFailed(NO_AUTH)
        if key.entity_type_id == CLOSED:
            raise CallFailed(UNSUPPORTED)
        if self.bounds.upload:
            await asyncio.sleep(rng.uniform(0.0, self.bounds.upload))
            sent_at = now() if TOLD_WHEN_SENT else sent_at
        if any(nature_of(event) is Nature.BINDER for event in events):
            await asyncio.sleep(0.1)
            raise CallFailed(BINDER)
        work = _Work(self, events, patchy=weather is Weather.PATCHY)
        if weather in {Weather.LOST, Weather.HANG}:
            work.save_all(rng.choice([0.0, 0.5, 1.0]), self.bounds.settle)
            hang = weather is Weather.HANG
            await asyncio.sleep(self.bounds.timeout if hang else rng.uniform(0.05, 3.0))
            fault = TIMED_OUT if hang else rng.choice([LOST, GATEWAY])
            raise CallFailed(_sent(fault, sent_at))
        seconds = rng.uniform(3.0, 6.0) if weather is Weather.SLOW else rng.uniform(0.05, 1.0)
        work.save_all(rng.random() if weather is Weather.BROKEN else 1.0, seconds)
        await asyncio.sleep(seconds)
        if work.broke or weather is Weather.BROKEN:
            answered = weather is Weather.BROKEN or rng.random() < 0.7
            raise CallFailed(_sent(BROKEN if answered else GATEWAY, sent_at))
        return Report(len(events), work.verdicts)

    def save(self, event: ItemEvent) -> int:
        """Create an item, whether there is one already or not."""
        item = Item(
            len(self.ledger) + 1,
            event.entity_type_id,
            event.external_id,
            event.identity,
            now() + self.rng.uniform(0.0, self.bounds.lag),
            Profile(*(wish or given for wish, given in zip(event.asks, GIVEN, strict=True))),
        )
        if any(each.identity == item.identity and self.hides(each) for each in self.ledger):
            self.unread.add(item.identity)
        self.ledger.append(item)
        self.made.append((item.entity_type_id, item.has, now()))
        return item.item_id


class PortalView:
    """The portal as one process calls it: counts the calls of that process."""

    waits = 0.0
    """How often a call waits before it leaves, as for limits and connections."""

    def __init__(self, portal: FakePortal, fit: Callable[[], bool]) -> None:
        """Look at the portal; `fit` tells whether the process may call."""
        self._portal = portal
        self._fit = fit
        self._in_flight = 0

    async def import_items(self, key: BatchKey, events: Sequence[ItemEvent]) -> Report:
        """Import as the portal does; bounded by the slots, and perhaps after a wait."""
        self._in_flight += 1
        if self._in_flight > self._portal.bounds.slots:
            self._portal.violations.append(f"{self._in_flight} calls in flight")
        rng = self._portal.rng
        try:
            if self.waits and rng.random() < self.waits:
                await asyncio.sleep(rng.uniform(0.0, 15.0))
            leave.ask()
            if not self._fit():
                self._portal.violations.append("sent by an old check")
            return await self._portal.import_items(key, events)
        finally:
            self._in_flight -= 1

    async def fields(self, key: BatchKey) -> Mapping[str, Field]:
        """Describe what the portal does."""
        return await self._portal.fields(key)

    def shut_for(self, reason: PauseReason | None) -> float:
        """Tell what the portal tells."""
        return self._portal.shut_for(reason)

    def pace(self) -> tuple[float, str]:
        """Tell what the portal does."""
        return self._portal.pace()

    def most(self, entity_type_id: int, most: int) -> int:
        """Return what the portal does."""
        return self._portal.most(entity_type_id, most)

    async def find(
        self, entity_type_id: int, wanted: Sequence[ExternalId]
    ) -> dict[ExternalId, list[Seen]]:
        """Look up as the portal does."""
        return await self._portal.find(entity_type_id, wanted)

    async def shown(self, entity_type_id: int, item_ids: Sequence[int]) -> list[Seen]:
        """Look up by number as the portal does."""
        return await self._portal.shown(entity_type_id, item_ids)

    async def types(self) -> frozenset[int]:
        """List what the portal lists."""
        return await self._portal.types()

    async def oneself(self) -> Oneself:
        """Tell who calls, as the portal does."""
        return await self._portal.oneself()

    async def probe(self) -> None:
        """Probe as the portal does."""
        await self._portal.probe()


class _Work:
    """One call as the portal works through it."""

    def __init__(self, portal: FakePortal, events: Sequence[ItemEvent], *, patchy: bool) -> None:
        self._portal = portal
        self._events = events
        self._patchy = patchy
        self.verdicts: dict[int, Verdict] = {}
        self.broke = False

    def save_all(self, share: float, seconds: float) -> None:
        """Work through a share of the items within a time; stop where one breaks the call."""
        rng = self._portal.rng
        many = round(share * len(self._events))
        times = sorted(rng.uniform(0.0, seconds) for _ in range(many))
        for position, after in enumerate(times):
            nature = nature_of(self._events[position])
            asyncio.get_running_loop().call_later(after, self._one, position)
            if nature in {Nature.POISON, Nature.SAVED_POISON}:
                self.broke = True
                break

    def _one(self, position: int) -> None:
        event, rng = self._events[position], self._portal.rng
        nature = nature_of(event)
        if nature is Nature.GOOD and self._patchy and rng.random() < 0.4:
            if rng.random() < 0.5:
                self._portal.save(event)
        elif nature is Nature.GOOD:
            self.verdicts[position] = Accepted(self._portal.save(event))
        elif nature in {Nature.SAVED, Nature.SAVED_POISON}:
            self._portal.save(event)
        if nature in REFUSED:
            self.verdicts[position] = REFUSED[nature]


def value(metric: Counter | Gauge) -> float:
    """Return the value of a metric, or of one of its label sets."""
    found = next(iter(metric.collect())).samples[0].value
    return float(found)


def failed_results(results: Iterable[Result]) -> list[tuple[Result, Failed]]:
    """Return the results that are failures."""
    return [(each, each.outcome) for each in results if isinstance(each.outcome, Failed)]


def _sent(fault: Fault, at: float) -> Fault:
    return Fault(
        fault.kind,
        fault.code,
        fault.message,
        fault.http_status,
        fault.pause,
        answered=fault.answered,
        sent_at=at,
    )


def _yes() -> bool:
    return True


def _hidden_type(item: Item) -> bool:
    return item.entity_type_id == HIDDEN


def _refuse(_: BrokerDelivery) -> None:
    raise AssertionError("a delivery although nobody accepts any")


def _nothing() -> None:
    """Do nothing: nobody listens."""
