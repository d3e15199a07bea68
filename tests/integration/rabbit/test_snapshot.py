"""Proves on a real broker that reading dead letters, however often, never loses one."""

from typing import Any

from aio_pika import Message

from service.domain.external_id import ExternalIds
from service.rabbit.connection import Address
from service.rabbit.decoding import Decoder
from service.rabbit.letters import Letter
from service.rabbit.session import connect
from service.rabbit.snapshot import MAX_RETURNS, open_snapshot
from tests.support.amqp import Upstream
from tests.support.broker import Broker
from tests.support.letters import QUEUE, Letters, letter

DECODER = Decoder(external_ids=ExternalIds("crm-importer"), max_bytes=2_000_000)
LIMIT_OF_RABBITMQ_4 = 20


async def read_all(url: str) -> list[Letter]:
    """Read every letter, keep it, and return what was seen."""
    seen: list[Letter] = []
    async with (
        connect(Address([url], heartbeat=15), "test") as session,
        open_snapshot(session, QUEUE, DECODER) as snapshot,
    ):
        async for window in snapshot.windows():
            seen += window
            await snapshot.keep(window)
        assert 0 == snapshot.unkept
    return seen


async def test_a_queue_read_again_and_again_keeps_every_letter(broker: Broker, vhost: str) -> None:
    """Twice as often as RabbitMQ 4 allows by itself: nothing lost, nothing doubled."""
    letters = Letters(broker, vhost)
    await letters.declare()
    wanted = [f"e{n}" for n in range(40)]
    await letters.put(*(letter(each) for each in wanted))
    for _ in range(2 * LIMIT_OF_RABBITMQ_4 + 2):
        seen = await read_all(broker.url(vhost))
        assert sorted(wanted) == sorted(each.event_id for each in seen)
        assert MAX_RETURNS >= max(each.returns for each in seen)
    assert sorted(wanted) == sorted(await letters.ids())


async def test_a_renewed_letter_is_the_same_letter(broker: Broker, vhost: str) -> None:
    """Body, reason, original keys and the broker's own reason survive the renewal."""
    letters = Letters(broker, vhost)
    await letters.declare()
    death: dict[str, Any] = {"queue": "q", "reason": "delivery_limit", "exchange": "crm.items"}
    undelivered = Message(
        b'{"entityTypeId":2,"id":"u","fields":{"a":1.10}}',
        headers={"x-death": [{**death, "routing-keys": ["item.2"]}], "CC": ["elsewhere"]},
        message_id="upstream-1",
    )
    await letters.put(letter("ours"), undelivered, routing_key="item.77")
    facts = [_facts(each) for each in await read_all(broker.url(vhost))]
    for _ in range(MAX_RETURNS + 1):
        await read_all(broker.url(vhost))
    seen = await read_all(broker.url(vhost))
    assert sorted(facts) == sorted(_facts(each) for each in seen)
    assert ["ours", "u"] == sorted(each.event_id for each in seen)


def _facts(seen: Letter) -> tuple[object, ...]:
    origin = str(seen.origin)
    return (seen.event_id, seen.kind, seen.code, origin, seen.message_id, seen.body)


async def test_the_copy_of_an_interrupted_renewal_is_removed(broker: Broker, vhost: str) -> None:
    """Killed between the copy's confirm and the old one's end, a renewal leaves no second.

    RabbitMQ 4.3 does not count what is put back: there nothing is ever renewed, nor removed.
    """
    letters = Letters(broker, vhost)
    await letters.declare()
    twin = letter("twin")
    await letters.put(twin, letter("other"))
    for _ in range(MAX_RETURNS):
        await read_all(broker.url(vhost))
    twin.headers["import_renewed"] = "mark"
    await letters.put(twin)
    seen = await read_all(broker.url(vhost))
    counts = max(each.returns for each in seen) >= MAX_RETURNS
    left = ["other", "twin"] if counts else ["other", "twin", "twin"]
    assert left == sorted(each.event_id for each in seen)
    assert len(left) == await letters.ready()


async def test_letters_that_are_alike_are_not_removed(broker: Broker, vhost: str) -> None:
    """Put there twice by somebody, they stay two, even when both were renewed."""
    letters = Letters(broker, vhost)
    await letters.declare()
    twin = letter("twin")
    await letters.put(twin, twin)
    for _ in range(MAX_RETURNS + 3):
        assert 2 == len(await read_all(broker.url(vhost)))
    assert 2 == await letters.ready()


async def test_letters_that_come_later_are_not_looked_at(broker: Broker, vhost: str) -> None:
    """A snapshot ends where the queue ended when it was opened."""
    letters = Letters(broker, vhost)
    await letters.declare()
    await letters.put(*(letter(f"old-{n}") for n in range(25)))
    seen: list[str] = []
    async with (
        connect(Address([broker.url(vhost)], heartbeat=15), "test") as session,
        open_snapshot(session, QUEUE, DECODER) as snapshot,
    ):
        async for window in snapshot.windows():
            seen += [each.event_id for each in window]
            await letters.put(letter("young"))
            await snapshot.take(window)
    assert [f"old-{n}" for n in range(25)] == sorted(seen, key=lambda each: int(each[4:]))
    assert {"young"} == set(await letters.ids())


async def test_what_others_hold_is_told(broker: Broker, vhost: str) -> None:
    """A second reader sees that the first one is at the queue, and ends without its letters."""
    letters = Letters(broker, vhost)
    await letters.declare()
    await letters.put(letter("a"), letter("b"))
    address = Address([broker.url(vhost)], heartbeat=15)
    async with (
        connect(address, "first") as session,
        open_snapshot(session, QUEUE, DECODER) as first,
    ):
        [window] = [window async for window in first.windows()]
        async with open_snapshot(session, QUEUE, DECODER) as second:
            assert (0, True) == (second.depth, second.others > 0)
        assert 2 == len(window)
    assert 2 == await letters.ready()


async def test_a_letter_taken_by_others_meanwhile_does_not_hold_us_up(
    broker: Broker, vhost: str
) -> None:
    """The queue may hold less than it did when we looked."""
    letters = Letters(broker, vhost)
    await letters.declare()
    await letters.put(*(letter(f"e{n}") for n in range(5)))
    async with (
        connect(Address([broker.url(vhost)], heartbeat=15), "test") as session,
        open_snapshot(session, QUEUE, DECODER) as snapshot,
    ):
        async with Upstream(broker.url(vhost)) as thief:
            await thief.drain(QUEUE, 3)
        seen = [each async for window in snapshot.windows() for each in window]
    assert 2 == len(seen)
