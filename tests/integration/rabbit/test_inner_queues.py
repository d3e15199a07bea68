"""Proves on a real broker that events wait in inner queues and come back as they came."""

import asyncio
import logging
import struct
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import pytest

from service.domain.delivery import Parking, Settlement
from service.domain.external_id import ExternalIds
from service.domain.inner_queue import Asking
from service.domain.outcomes import Failed, FailureKind
from service.rabbit import publishing
from service.rabbit.address import Address
from service.rabbit.broker import Broker
from service.rabbit.confirms import PublishResult
from service.rabbit.decoding import Decoder
from service.rabbit.delivery import Delivery
from service.rabbit.encoding import Encoder
from service.rabbit.topology import Topology
from service.telemetry.metrics import Metrics
from tests.support.amqp import Upstream, wait_until
from tests.support.broker import Broker as Server
from tests.support.node import RabbitNode
from tests.support.patience import at_most
from tests.support.raw import RawUpstream, Refused, short, string, table
from tests.support.wild import Wild, deep

PREFIX = "crm.items.parked"
TOPOLOGY = Topology(
    "crm.items",
    "crm.items.import",
    "crm.items.results",
    "crm.items.succeeded",
    "crm.items.failed",
    "crm.items.dlx",
    "crm.items.dlq",
    1000,
    parked=PREFIX,
)
PORTAL = "portal.example"


@dataclass
class Process:
    """The broker side of one process."""

    broker: Broker
    got: list[Delivery] = field(default_factory=list)
    made: list[int] = field(default_factory=list)

    async def next(self) -> Delivery:
        """Return the next delivery, whether of the intake or of an inner queue."""
        await wait_until(lambda: bool(self.got), what="a delivery")
        return self.got.pop(0)

    async def park(self, *deliveries: Delivery, queue: str = "128", **more: Any) -> None:
        """Park deliveries, and acknowledge them."""
        await wait_until(lambda: self.broker.inner.usable(queue), what=f"{queue} being usable")
        parkings = [Parking(each, queue, "scope", **more) for each in deliveries]
        assert [True] * len(parkings) == await self.broker.inner.park(parkings)
        for each in deliveries:
            each.ack()
            await each.flush()


@asynccontextmanager
async def process(
    url: str, *, portal: str = PORTAL, prefetch: int = 50, asking: Asking | None = None
) -> AsyncIterator[Process]:
    """Run the broker side of a process, attached."""
    broker = Broker(
        address=Address([url], heartbeat=15),
        topology=TOPOLOGY,
        decoder=Decoder(external_ids=ExternalIds("test"), max_bytes=2_000_000),
        encoder=Encoder(TOPOLOGY, portal_host=portal),
        early=0,
        metrics=Metrics(),
    )
    running = Process(broker)
    if asking is not None:
        broker.roster.asking = asking

    async def noted(lane: int) -> None:
        running.made.append(lane)

    broker.roster.note = noted
    task = asyncio.create_task(broker.run(accept=running.got.append, on_change=lambda: None))
    try:
        await broker.attach(prefetch)
        # Queues are asked for over the connection that publishes.
        await wait_until(lambda: broker.consumer.attached and broker.connected, what="attaching")
        yield running
    finally:
        task.cancel()
        await asyncio.wait({task})


async def refused(*_: object) -> PublishResult:
    """Be a broker that takes no message so large."""
    return PublishResult.UNWRITABLE


def body(number: int) -> bytes:
    """Return an item event."""
    return b'{"entityTypeId": 128, "id": "e%d", "fields": {"title": "x"}}' % number


async def test_what_was_parked_comes_back_as_it_came(amqp_url: str) -> None:
    """Body, properties and headers; of waiting it says what was known of it."""
    async with process(amqp_url) as one, Upstream(amqp_url) as upstream:
        await upstream.publish(
            body(1),
            routing_key="item.128",
            message_id="m-1",
            correlation_id="c-1",
            priority=7,
            expiration=60,
            headers={"own": "value", "x-delivery-count": 9},
        )
        first = await one.next()
        await one.park(first, waited=2.5, perhaps_sent=1_700_000_000.0, attempts=2)
        assert [128] == one.made
        assert (1, 0) == await one.broker.inner.take("128", 10)
        again = await one.next()
        assert first.event == again.event
        assert (body(1), "c-1", 7, None) == (
            again.message.body,
            again.message.header.properties.correlation_id,
            again.message.header.properties.priority,
            again.message.header.properties.expiration,
        )
        assert again.stay is not None
        assert ("128", "scope", 2.5, 1_700_000_000.0, 2) == (
            again.stay.queue,
            again.stay.reason,
            again.stay.waited,
            again.stay.perhaps_sent,
            again.stay.attempts,
        )
        assert (False, 0, False, True) == (
            again.copy,
            again.times,
            again.early,
            again.perhaps_sent,
        )
        assert ("crm.items", "item.128", "m-1") == (
            again.exchange,
            again.routing_key,
            again.message_id,
        )


async def test_what_is_taken_is_settled_on_the_intakes_channel(amqp_url: str) -> None:
    """Acknowledged it is gone, given back it waits on; meanwhile the intake goes on."""
    async with process(amqp_url) as one, Upstream(amqp_url) as upstream:
        await upstream.many([body(number) for number in range(6)])
        await wait_until(lambda: 6 == len(one.got))
        await one.park(*one.got)
        one.got.clear()
        assert (4, 2) == await one.broker.inner.take("128", 4)
        await upstream.publish(body(7))
        await wait_until(lambda: 5 == len(one.got))
        for each in one.got[:2]:
            each.ack()
        one.got[4].ack()
        await one.got[0].flush()
        for each in one.got[2:4]:
            await each.give_back()
        await wait_until(lambda: _is(upstream, f"{PREFIX}.128", 4))
        assert 0 == await upstream.ready("crm.items.import")
    async with Upstream(amqp_url) as upstream:
        await wait_until(lambda: _is(upstream, f"{PREFIX}.128", 4))
        assert 0 == await upstream.ready("crm.items.import")


async def _is(upstream: Upstream, queue: str, count: int) -> bool:
    return count == await upstream.ready(queue)


WILD = 60
HOSTILE: Mapping[str, Mapping[str, bytes]] = {
    "a time in microseconds": {"timestamp": struct.pack(">Q", 1_764_364_800_000_000)},
    "a binary correlation id": {"correlation_id": short(bytes(range(0x80, 0x90)))},
    "a binary name": {"headers": table((b"\xff\xfe", string(b"x")))},
    "a deep table": {"headers": deep(5_000)},
    "a name twice": {"headers": table((b"a", string(b"1")), (b"a", string(b"2")))},
    "headers of ours": {
        "headers": table((b"import_attempts", b"V"), (b"import_redrive_count", b"T" + b"\xff" * 8))
    },
    "counts of another queue": {
        "headers": table((b"x-delivery-count", b"l" + struct.pack(">q", 1_999)))
    },
}


async def test_no_message_is_too_strange_to_wait(amqp_url: str) -> None:
    """Whatever the broker delivers can be parked, and comes back with the same bytes."""
    wild = Wild(7)
    sent = [*HOSTILE.values(), *(wild.properties() for _ in range(WILD))]
    async with process(amqp_url, prefetch=200) as one, Upstream(amqp_url) as upstream:
        count = sum(_sent(amqp_url, number, written) for number, written in enumerate(sent))
        assert count > WILD // 2
        await wait_until(lambda: count == len(one.got))
        first, one.got[:] = list(one.got), []
        await one.park(*first)
        assert (count, 0) == await one.broker.inner.take("128", 1_000)
        # RabbitMQ 4.3 orders by priority.
        again = sorted(one.got, key=lambda each: first.index(_twin(each, first)))
        for before, after in zip(first, again, strict=True):
            assert before.event == after.event
            assert _theirs(before) == _theirs(after)
            after.ack()
        await one.got[-1].flush()
        await wait_until(lambda: _is(upstream, f"{PREFIX}.128", 0))


def _twin(delivery: Delivery, among: list[Delivery]) -> Delivery:
    return next(each for each in among if each.event.event_id == delivery.event.event_id)


def _sent(url: str, number: int, written: Mapping[str, bytes]) -> bool:
    """Publish an event with any properties; tell whether the broker takes such a message."""
    try:
        with RawUpstream(url) as upstream:
            upstream.publish(body(number), written, key=b"item.\xff")
    except Refused:
        return False
    return True


def _theirs(delivery: Delivery) -> tuple[object, object]:
    """Return the bytes of the properties and headers that a copy keeps."""
    properties: Any = delivery.message.header.properties
    ours = ("import_", "x-delivery-count", "x-acquired-count")
    written = {
        name: value
        for name, value in properties.written.items()
        if name not in {"message_id", "delivery_mode", "expiration", "user_id"}
    }
    # The broker sorts headers by their names when it adds one of its own.
    return written, sorted(
        each.written for each in properties.table if not each.name.startswith(ours)
    )


@pytest.mark.error_logs
async def test_headers_near_the_limit_of_a_frame_cost_only_themselves(
    amqp_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The largest are left out, and named; what cannot be written at all is told of."""
    large = {"big": "b" * 78_000, "half": "h" * 50_000, "small": "s"}
    async with process(amqp_url) as one, Upstream(amqp_url) as upstream:
        await upstream.publish(body(1), headers={"CC": ["elsewhere"], **large})
        await one.park(await one.next())
        await one.broker.inner.take("128", 1)
        again = await one.next()
        with monkeypatch.context() as patched:
            patched.setattr(publishing, "frames", lambda *_: None)
            patched.setattr(publishing, "published", refused)
            assert [False] == await one.broker.inner.park([Parking(again, "128", "scope")])
        [told] = [each for each in caplog.records if "cannot wait" in each.getMessage()]
        assert ("e1", "crm.items.parked.128") == (told.event_id, told.queue)  # type: ignore[attr-defined]
        await one.park(again, queue="links")
        await one.broker.inner.take("links", 1)
        headers = (await one.next()).message.header.properties.headers or {}
        assert "big" not in headers
        assert "s" == headers["small"]
        assert "big" == headers["import_dropped_headers"]
        assert (None, ["elsewhere"]) == (headers.get("CC"), headers["import_original_cc"])


async def test_what_waited_ends_as_if_it_had_come_from_the_intake(amqp_url: str) -> None:
    """Its dead letter names the first place, has the headers of the first message, and its id."""
    async with process(amqp_url) as one, Upstream(amqp_url) as upstream:
        await upstream.publish(
            body(1), routing_key="item.128", message_id="m-1", headers={"CC": ["q"], "own": 1}
        )
        await one.park(await one.next(), perhaps_sent=1.7e9)
        await one.broker.inner.take("128", 1)
        again = await one.next()
        wrong = Failed(FailureKind.REJECTED, "100", "wrong")
        ended = Settlement(again.event, again, wrong, 1, "b")
        assert [True] == await one.broker.publisher.dead_letters([ended])
        [letter] = await upstream.drain("crm.items.dlq", 1)
        kept = dict(letter.headers)
        assert (["q"], 1) == (kept.pop("CC"), kept.pop("own"))
        assert ("crm.items", "item.128", "m-1") == (
            kept["import_original_exchange"],
            kept["import_original_routing_key"],
            kept["import_original_message_id"],
        )
        assert not {each for each in kept if each.startswith(("import_parked", "import_waited"))}
        assert not kept.keys() & {"import_portal", "import_received_at", "import_perhaps_sent"}


async def test_the_originals_of_a_young_queue_are_kept_for_a_while(amqp_url: str) -> None:
    """A broker that is killed right after the making may lose it, with all that lies there."""
    async with process(amqp_url) as one:
        assert 0.0 == one.broker.inner.ack_after("128")
        before = asyncio.get_running_loop().time()
        assert await one.broker.inner.usable("128")
        assert before + 9.0 < one.broker.inner.ack_after("128") < before + 60.0
        one.broker.roster.made(128, time.time())
        assert before + 9.0 < one.broker.inner.ack_after("128")
        # The memory tells that it was there before this process was.
        one.broker.roster.made(128, time.time() - 100.0)
        assert one.broker.inner.ack_after("128") <= asyncio.get_running_loop().time()


@pytest.mark.parametrize(
    ("lacks", "rights"),
    [
        ("configure", {"configure": "^$"}),
        ("read", {"read": "^crm\\.items\\.import$"}),
        ("write", {"write": "^crm\\.items(\\..*)?$"}),
    ],
)
async def test_a_missing_right_costs_only_the_inner_queues(
    broker: Server, vhost: str, lacks: str, rights: dict[str, str], amqp_url: str
) -> None:
    """The log says what to do; the intake's channel and the publishing one live on."""
    async with process(amqp_url):
        pass  # everything else is there
    if lacks != "configure":
        async with process(amqp_url) as owner:
            assert await owner.broker.inner.usable("128")
    with user(broker, vhost, rights) as url:
        asking = Asking(after=60.0, probe=0.2, cap=0.2)
        async with process(url, asking=asking) as one, Upstream(amqp_url) as upstream:
            await upstream.publish(body(1))
            delivery = await one.next()
            assert not await one.broker.inner.usable("128")
            assert [False] == await one.broker.inner.park([Parking(delivery, "128", "scope")])
            assert delivery.live
            assert "128" in one.broker.roster.denied()
            grant(broker, vhost, {})
            if lacks != "configure":
                # Events may lie there from before, and none may come to wait.
                await wait_until(lambda: "128" in one.broker.inner.known(), what="the right")
            await wait_until(lambda: one.broker.inner.usable("128"), what="the right")
            await one.park(delivery)


USER = "narrow"
SHIPPED = {
    "configure": r"^crm\.items\.parked\..*$",
    "write": r"^(amq\.default|crm\.items(\..*)?)$",
    "read": r"^crm\.items\.(import|dlq|memory|parked\..*)$",
}


def grant(broker: Server, vhost: str, rights: dict[str, str]) -> None:
    """Give the narrow user the shipped rights, with these instead of some."""
    broker.api("PUT", f"permissions/{quote(vhost, safe='')}/{USER}", {**SHIPPED, **rights})


@contextmanager
def user(broker: Server, vhost: str, rights: dict[str, str]) -> Iterator[str]:
    """Lend a user with few rights; returns the address for him."""
    broker.api("PUT", f"users/{USER}", {"password": "secret", "tags": ""})
    grant(broker, vhost, rights)
    try:
        yield broker.url(vhost).replace("guest:guest", f"{USER}:secret")
    finally:
        broker.api("DELETE", f"users/{USER}")


async def test_a_process_with_the_shipped_rights_makes_fills_and_reads_its_queues(
    broker: Server, vhost: str, amqp_url: str
) -> None:
    """Nothing else is needed."""
    async with process(amqp_url):
        pass
    with user(broker, vhost, {}) as url:
        async with process(url) as one, Upstream(amqp_url) as upstream:
            await wait_until(lambda: {"doubtful", "links"} <= set(one.broker.inner.known()))
            await upstream.publish(body(1))
            await one.park(await one.next())
            assert (1, 0) == await one.broker.inner.take("128", 1)


async def test_a_deleted_queue_is_made_anew(amqp_url: str) -> None:
    """What is parked meanwhile is not confirmed, so its original stays."""
    async with process(amqp_url) as one, Upstream(amqp_url) as upstream:
        await upstream.many([body(1), body(2)])
        first, second = await one.next(), await one.next()
        await one.park(first)
        await upstream.channel.queue_delete(f"{PREFIX}.128")
        assert [False] == await one.broker.inner.park([Parking(second, "128", "scope")])
        await one.park(second)
        assert [128, 128] == one.made
        await upstream.channel.queue_delete(f"{PREFIX}.128")
        assert (0, 0) == await one.broker.inner.take("128", 1)
        assert "128" not in one.broker.inner.known()
        assert one.broker.consumer.attached


async def test_what_waits_for_another_portal_stays(amqp_url: str) -> None:
    """It is seen once in each take, said once, and keeps nobody behind it."""
    async with process(amqp_url, portal="other.example") as other, Upstream(amqp_url) as upstream:
        await upstream.many([body(1), body(2)])
        await other.park(await other.next(), await other.next())
    async with process(amqp_url) as one, Upstream(amqp_url) as upstream:
        await upstream.publish(body(3))
        await one.park(await one.next())
        for _ in range(2):
            await wait_until(lambda: _is(upstream, f"{PREFIX}.128", 3))
            taken, _ = await one.broker.inner.take("128", 1)
            assert 1 == taken
            delivery = await one.next()
            assert "e3" == delivery.event.event_id
            await delivery.give_back()
        assert {"128": 2} == one.broker.inner.strangers()


async def test_a_take_that_is_broken_off_keeps_no_message(amqp_url: str) -> None:
    """And the intake's channel lives on."""
    async with process(amqp_url) as one, Upstream(amqp_url) as upstream:
        await upstream.many([body(number) for number in range(8)])
        await wait_until(lambda: 8 == len(one.got))
        await one.park(*one.got[1:])
        first = one.got[0]
        one.got.clear()
        for number in range(40):
            take = asyncio.create_task(one.broker.inner.take("128", 1))
            await asyncio.sleep(number / 5_000)
            take.cancel()
            await asyncio.wait({take})
        for each in one.got:
            await each.give_back()
        await wait_until(lambda: _is(upstream, f"{PREFIX}.128", 7))
        assert first.live


async def test_only_the_active_process_reads(amqp_url: str) -> None:
    """From the first intake message of its present consumer until that consumer ends."""
    async with process(amqp_url) as one, Upstream(amqp_url) as upstream:
        await upstream.publish(body(1))
        await one.park(await one.next())
        await one.broker.detach()
        assert (0, 0) == await one.broker.inner.take("128", 1)
        await one.broker.attach(10)
        assert (0, 0) == await one.broker.inner.take("128", 1)
        await upstream.publish(body(2))
        await one.next()
        assert (1, 0) == await one.broker.inner.take("128", 1)


async def test_what_waits_is_there_after_the_connection_came_back(
    node: RabbitNode, vhost: str, amqp_url: str
) -> None:
    """And what was taken and not settled."""
    async with process(amqp_url) as one, Upstream(amqp_url) as upstream:
        await upstream.publish(body(1))
        await one.park(await one.next())
        await one.broker.inner.take("128", 1)
        taken = await one.next()
        await asyncio.to_thread(node.close_connections, vhost)
        await wait_until(lambda: not taken.live and one.broker.connected)
    async with process(amqp_url) as one, Upstream(amqp_url) as upstream:
        await wait_until(lambda: "128" in one.broker.inner.known() or _asked(one))
        await upstream.publish(body(2))
        await one.next()
        await wait_until(lambda: _is(upstream, f"{PREFIX}.128", 1))
        assert (1, 0) == await one.broker.inner.take("128", 1)
        again = await one.next()
        assert taken.event == again.event
        assert not again.copy, "its queue is our own"
        assert again.times > 0, "but the broker counts"


def _asked(one: Process) -> bool:
    """Have the lane's queue asked for, as a note of the memory does."""
    one.broker.inner.ask([128])
    return False


async def test_one_waiting_event_wakes_an_empty_intake(amqp_url: str) -> None:
    """Whoever gets it is active; it waits on as if it had been taken from its queue."""
    async with process(amqp_url) as one, Upstream(amqp_url) as upstream:
        await upstream.publish(body(1), message_id="m-1")
        await one.park(await one.next(), waited=5.0, perhaps_sent=1.7e9)
    async with process(amqp_url, asking=Asking(probe=0.2, cap=0.4)) as two:
        _asked(two)
        again = await two.next()
        assert two.broker.consumer.active
        assert again.stay is not None
        assert ("", "scope", 5.0, True) == (
            again.stay.queue,
            again.stay.reason,
            again.stay.waited,
            again.perhaps_sent,
        )
        assert ("e1", "m-1", 1) == (
            again.event.event_id,
            again.message_id,
            again.event.origin.redrive_count,
        )
        assert {"128": 0} == {
            queue: count
            for queue, count in (await two.broker.inner.depths()).items()
            if queue == "128"
        }


async def test_who_hears_of_an_active_process_or_is_detached_wakes_nobody(amqp_url: str) -> None:
    """It stands by."""
    async with process(amqp_url) as one, Upstream(amqp_url) as upstream:
        await upstream.publish(body(1))
        await one.park(await one.next())
        async with process(amqp_url, asking=Asking(probe=1.5, cap=1.5)) as two:
            _asked(two)
            for _ in range(40):
                two.broker.waker.heard()
                await asyncio.sleep(0.1)
            assert 1 == await upstream.ready(f"{PREFIX}.128")
            await two.broker.detach()
            await asyncio.sleep(3.0)
            assert 1 == await upstream.ready(f"{PREFIX}.128")
            assert [] == one.got


async def test_a_queue_without_a_leader_is_left_alone_until_it_can_be_read(
    node: RabbitNode, vhost: str, amqp_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Asking for it ends connections, but never the intake's; the others go on."""
    server = f"{{'{vhost}_{PREFIX}.128', node()}}"
    asking = Asking(after=60.0, probe=0.5, cap=0.5)
    async with process(amqp_url, asking=asking) as one, Upstream(amqp_url) as upstream:
        await upstream.many([body(1), body(2)])
        first, second = await one.next(), await one.next()
        await one.park(first)
        await asyncio.to_thread(node.evaluate, f"ra:stop_server(quorum_queues, {server}).")

        async def broken() -> bool:
            await one.broker.inner.park([Parking(second, "128", "scope")])
            return f"{PREFIX}.128" in one.broker.inner.broken()

        with caplog.at_level(logging.INFO, "service"):
            await wait_until(broken, 120)
            assert (0, 0) == await one.broker.inner.take("128", 1)
            await wait_until(lambda: one.broker.inner.usable("130"))
            assert second.live
            await asyncio.to_thread(node.evaluate, f"ra:restart_server(quorum_queues, {server}).")
            await wait_until(lambda: not one.broker.inner.broken())
        await one.park(second)
        assert second.live
        told = [record for record in caplog.records if "inner queue broken" in record.message]
        assert 1 == len(told)
        assert "who_acts" in told[0].__dict__


async def test_a_queue_that_refuses_for_long_is_left_alone(
    broker: Server, vhost: str, amqp_url: str
) -> None:
    """Full, because somebody gave it a limit; its events stay in the intake."""
    pattern = {"pattern": "parked", "definition": {"max-length": 0}, "apply-to": "queues"}
    async with process(amqp_url, asking=Asking(0.5, 60.0, 60.0)) as one:
        async with Upstream(amqp_url) as upstream:
            await upstream.publish(body(1))
        delivery = await one.next()
        assert await one.broker.inner.usable("128")
        broker.api("PUT", f"policies/{quote(vhost, safe='')}/full", pattern)
        parking = Parking(delivery, "128", "scope")

        async def broken() -> bool:
            await one.broker.inner.park([parking])
            return f"{PREFIX}.128" in one.broker.inner.broken()

        await wait_until(broken)
        assert delivery.live


async def test_a_stop_ends_everything_also_while_queues_are_asked_for(amqp_url: str) -> None:
    """The client library may lose a cancellation in the moment of an answer."""
    for _ in range(5):
        async with at_most(60), process(amqp_url):
            pass
