"""Runs one fault in a whole environment, and audits what became of every event."""

import json
import random
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from tests.support.amqp import wait_until
from tests.support.broker import Broker
from tests.support.environment import Environment
from tests.support.node import RabbitNode
from tests.support.processes import ServiceProcess
from tests.support.proxy import Proxy

Outcomes = Sequence[frozenset[str]]
SUCCEEDED: Outcomes = (frozenset({"succeeded"}),)
REJECTED: Outcomes = (frozenset({"rejected"}),)
NOT_TWICE: Outcomes = (frozenset({"succeeded"}), frozenset({"ambiguous"}))
REFUSED = frozenset({"malformed", "rejected", "unsupported"})
SOME = 5
LOG_BYTES = 8000

BRIEF: Mapping[str, str] = {
    "IMPORTER_BITRIX__TIMEOUT_SECONDS": "2",
    "IMPORTER_BITRIX__SETTLE_SECONDS": "1",
}
"""No call takes longer than that here, unless a scenario says so."""
ADMIN: Mapping[str, Any] = {"admin": True}
SLOW: Mapping[str, Any] = {"admin": True, "default_item_seconds": 0.01}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One fault: what the environment is like, and what is done to it.

    `act` starts services, publishes and does the harm; what it published is then settled and
    audited. `proxied`: the service reaches the broker through a proxy; `own_node`: the broker is
    killed, frozen or starved, so it must be ours; `patience`: seconds for everything to settle.
    """

    name: str
    act: "Act"
    portal: Mapping[str, Any] = field(default_factory=lambda: SLOW)
    settings: Mapping[str, str] = field(default_factory=dict)
    proxied: bool = False
    own_node: bool = False
    patience: float = 60.0


@dataclass(slots=True)
class Audit:
    """What a trial found: event ids that were lost or doubled, and whatever else is wrong."""

    events: int = 0
    seconds: float = 0.0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    other: list[str] = field(default_factory=list)
    log: str = ""

    @property
    def clean(self) -> bool:
        """Tell whether every promise was kept."""
        return not (self.lost or self.doubled or self.other)

    def complaint(self) -> str:
        """Return what is wrong, in a few lines."""
        parts = (("lost", self.lost), ("doubled", self.doubled), ("other", self.other))
        return "\n".join(
            f"{name}: {len(found)}: {'; '.join(found[:SOME])}" for name, found in parts if found
        )


class Trial:
    """One run of a scenario: the environment, the dice, and what every event may end as."""

    def __init__(
        self,
        environment: Environment,
        dice: random.Random,
        *,
        proxy: Proxy | None,
        patience: float,
    ) -> None:
        """Begin with nothing published."""
        self.environment = environment
        self.dice = dice
        self.expected: dict[str, Outcomes] = {}
        self.may_double: set[str] = set()
        self.may_repeat: set[str] = set()
        self._proxy = proxy
        self._patience = patience
        self._started: float | None = None

    @property
    def proxy(self) -> Proxy:
        """Return the proxy between the service and the broker."""
        if self._proxy is None:
            raise RuntimeError("the scenario must say that it is proxied")
        return self._proxy

    @property
    def node(self) -> RabbitNode:
        """Return the broker as one that may be hurt."""
        if not isinstance(self.environment.broker, RabbitNode):
            raise TypeError("the scenario must say that it needs a node of our own")
        return self.environment.broker

    # ---- what acts are made of ----

    async def start(self, **settings: str) -> ServiceProcess:
        """Start a service and wait until it is ready."""
        return await self.environment.start_service(**settings)

    async def publish(
        self,
        count: int,
        *,
        types: Sequence[int] = (2, 128),
        may_end: Outcomes = SUCCEEDED,
        more: Mapping[str, Any] | None = None,
    ) -> list[str]:
        """Publish so many new events, their types in turn; return their ids."""
        first = len(self.expected)
        ids = [f"e{first + number}" for number in range(count)]
        bodies = [
            event(each, types[place % len(types)], **(more or {}))
            for place, each in enumerate(ids)
        ]
        await self.send(bodies, may_end=may_end)
        return ids

    async def send(
        self,
        bodies: Sequence[Mapping[str, Any]],
        *,
        may_end: Outcomes = SUCCEEDED,
        **properties: Any,
    ) -> None:
        """Publish bodies; each event is then expected to end as said."""
        self._started = self._started or time.monotonic()
        self.expected |= {body["id"]: may_end for body in bodies}
        await self.environment.publish(bodies, **properties)

    async def imported(self, count: int) -> None:
        """Wait until the CRM has so many items: then calls are in full swing."""
        await wait_until(
            lambda: self.environment.portal.summary()["items"] >= count, what=f"{count} items"
        )

    # ---- what comes of it ----

    async def settle(self) -> Audit:
        """Wait until everything has settled, and audit it; never raises for what it finds."""
        audit = Audit(events=len(self.expected))
        for step in (self._settled, self.environment.wait_balanced):
            try:
                await step()
            except AssertionError as broken:
                audit.other.append(str(broken).splitlines()[0])
        audit.seconds = time.monotonic() - (self._started or time.monotonic())
        self._examine(audit)
        return audit

    async def _settled(self) -> None:
        await self.environment.settle(self.expected, timeout=self._patience)

    def _examine(self, audit: Audit) -> None:
        stored: defaultdict[str, list[int]] = defaultdict(list)
        for item in self.environment.portal.ledger()["items"]:
            stored[str(item["fields"]["title"]).removeprefix("Deal ")].append(item["id"])
        outcomes = self.environment.books.outcomes()
        for event_id, may_end in self.expected.items():
            ended = frozenset(outcomes.get(event_id, ()))
            self._examine_event(event_id, ended, stored[event_id], audit)
            if ended and ended not in may_end:
                audit.other.append(f"{event_id} ended as {', '.join(sorted(ended))}")
        audit.other += self._wrong_results()
        audit.other += self._wrong_dead_letters(outcomes)

    def _examine_event(
        self, event_id: str, ended: frozenset[str], stored: list[int], audit: Audit
    ) -> None:
        """Compare what was said of an event with what the CRM has."""
        if not ended or ("succeeded" in ended and not stored):
            audit.lost.append(event_id)
        if len(stored) > 1 and event_id not in self.may_double:
            audit.doubled.append(event_id)
        if ended and ended <= REFUSED and stored:
            audit.other.append(f"{event_id} was refused and is in the CRM")
        told = self.environment.books.item_ids().get(event_id, set())
        if len(told) > 1 or not told <= set(stored):
            audit.other.append(f"{event_id} is item {stored}, and was said to be {told}")

    def _wrong_results(self) -> Iterable[str]:
        """Find events whose repeated results could not be told to be repeats."""
        books = self.environment.books
        for kind, events in (("succeeded", books.succeeded), ("failed", books.failed)):
            ids: defaultdict[str, set[str]] = defaultdict(set)
            for result in events:
                ids[result["data"]["eventId"]].add(result["id"])
            for event_id, different in ids.items():
                if len(different) > 1 and event_id not in self.may_repeat:
                    yield f"{event_id} {kind} under {len(different)} result ids"

    def _wrong_dead_letters(self, outcomes: Mapping[str, set[str]]) -> Iterable[str]:
        """Find dead letters without a failed event, and failed events without a dead letter."""
        buried: defaultdict[str, set[str]] = defaultdict(set)
        for letter in self.environment.books.dead:
            kind = str(letter.headers.get("import_error_kind", "undelivered"))
            event_id = letter.headers.get("import_event_id") or json.loads(letter.body)["id"]
            buried[str(event_id)].add(kind)
        for event_id in self.expected:
            failed = outcomes.get(event_id, set()) - {"succeeded"}
            if failed != buried[event_id]:
                yield f"{event_id} failed as {failed}, its dead letters say {buried[event_id]}"


Act = Callable[[Trial], Awaitable[None]]


def event(event_id: str, entity_type: int = 2, **fields: Any) -> dict[str, Any]:
    """Return a plain item event that the portal accepts; its title tells whose item it is."""
    named = {"title": f"Deal {event_id}", **fields}
    return {"entityTypeId": entity_type, "id": event_id, "fields": named}


async def run_trial(scenario: Scenario, broker: Broker, vhost: str, seed: int) -> Audit:
    """Run a scenario in an empty virtual host and return what the audit found."""
    async with AsyncExitStack() as stack:
        proxy = Proxy(broker.url(vhost)) if scenario.proxied else None
        if proxy is not None:
            await stack.enter_async_context(proxy)
        environment = Environment(
            broker,
            vhost,
            settings={**BRIEF, **scenario.settings},
            portal=scenario.portal,
            amqp_url=proxy.url if proxy else None,
        )
        await stack.enter_async_context(environment)
        dice = random.Random(f"{scenario.name} {seed}")
        trial = Trial(environment, dice, proxy=proxy, patience=scenario.patience)
        await scenario.act(trial)
        audit = await trial.settle()
        if not audit.clean:
            audit.log = environment.logs()[-LOG_BYTES:]
        return audit


def count_by_kind(outcomes: Mapping[str, set[str]]) -> Counter[str]:
    """Count the events by what they ended as."""
    return Counter(kind for ended in outcomes.values() for kind in ended)
