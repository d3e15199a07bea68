"""Proves on a real broker that no property of any message costs more than itself, and not that."""

import json
from collections.abc import Mapping

from tests.support.amqp import wait_until
from tests.support.broker import Broker
from tests.support.commands import Commands
from tests.support.environment import Environment
from tests.support.letters import QUEUE, Letters
from tests.support.raw import RawUpstream, Refused, short, string, table
from tests.support.wild import HOSTILE, Wild

TITLE_REQUIRED = {"required": {"2": ["title"]}}
PATIENT = {"IMPORTER_RABBIT__HEARTBEAT_SECONDS": "15"}
"""A connection may end for its messages only, not because the machine is busy."""
WILD = 120


def body(event_id: str, *, good: bool) -> bytes:
    """Return an item event that the portal takes, or one that it refuses by itself."""
    fields = {"title": "x"} if good else {"comments": "no title"}
    return json.dumps({"id": event_id, "entityTypeId": 2, "fields": fields}).encode()


def send(url: str, event_id: str, written: Mapping[str, bytes], *, key: bytes = b"item") -> bool:
    """Publish an event twice, good and bad; tells whether the broker takes such a message."""
    try:
        with RawUpstream(url) as upstream:
            upstream.publish(body(f"{event_id} good", good=True), written, key=key)
            upstream.publish(body(f"{event_id} bad", good=False), written, key=key)
    except Refused:
        return False
    return True


def breaks(environment: Environment) -> list[object]:
    """Return why connections ended, by the service's own words."""
    return [line["reason"] for line in environment.service.logs(event="broker connection lost")]


async def test_hostile_messages_are_like_any_others(broker: Broker, vhost: str) -> None:
    """Each is imported or refused for its content; no connection ends; what is lost is named."""
    url = broker.url(vhost)
    async with Environment(broker, vhost, portal=TITLE_REQUIRED, settings=PATIENT) as environment:
        await environment.start_service()
        accepted = {name for name, written in HOSTILE.items() if send(url, name, written)}
        assert send(url, "routing key", {}, key=b"item.gr\xf6\xdfe")
        accepted |= {"routing key"}
        assert {"timestamp in microseconds", "binary correlation id", "deep table"} <= accepted
        wild = Wild(1)
        accepted |= {f"wild {n}" for n in range(WILD) if send(url, f"wild {n}", wild.properties())}
        assert len(accepted) > WILD / 2
        expected = {f"{name} {end}" for name in accepted for end in ("good", "bad")}
        books = await environment.settle(expected)
        outcomes = books.outcomes()
        wrong = {
            event_id: outcome
            for event_id, outcome in outcomes.items()
            if outcome != {"succeeded" if event_id.endswith("good") else "rejected"}
        }
        assert {} == wrong
        assert expected == set(outcomes)
        assert [] == breaks(environment)
        dropped = {
            dead.headers["import_event_id"]: str(dead.headers.get("import_dropped_headers", ""))
            for dead in books.dead
        }
        assert expected - {f"{name} good" for name in accepted} == set(dropped)
        assert "timestamp" == dropped["timestamp in microseconds bad"]
        assert "at" == dropped["the year 1 bad"]
        assert "correlation_id" == dropped["binary correlation id bad"]
        assert "type" == dropped["type in Latin-1 bad"]
        assert "routing_key" == dropped["routing key bad"]
        assert "" == dropped["double bad"]


async def test_a_message_id_in_any_bytes_names_an_event(broker: Broker, vhost: str) -> None:
    """Where the body has no id; imported or not, its results and its dead letter name it."""
    good, bad = (
        json.dumps({"entityTypeId": 2, "fields": {each: "x"}}) for each in ("title", "no")
    )
    async with Environment(broker, vhost, portal=TITLE_REQUIRED, settings=PATIENT) as environment:
        await environment.start_service()
        with RawUpstream(broker.url(vhost)) as upstream:
            for body_, name in ((good, b"good\xff"), (bad, b"bad\xff"), ("?", b"none\xff")):
                trace = table((b"traceparent", string(b"\xff")), (b"import_event_id", b"V"))
                written = {"message_id": short(name), "headers": trace}
                upstream.publish(body_.encode(), written)
        books = await environment.settle(["good\\xff", "bad\\xff", "none\\xff"])
        assert [] == breaks(environment)
    assert {"good\\xff": {"succeeded"}, "bad\\xff": {"rejected"}, "none\\xff": {"malformed"}} == (
        books.outcomes()
    )
    assert {"message_id"} == {each.headers["import_dropped_headers"] for each in books.dead}


async def test_hostile_dead_letters_are_shown_sent_back_and_removed(
    broker: Broker, vhost: str, letters: Letters, commands: Commands
) -> None:
    """Those of the importer and those of the broker; sent back they are the same events."""
    url = broker.url(vhost)
    wild = Wild(2)
    messages = [*HOSTILE.values(), *(wild.properties() for _ in range(30))]
    put = 0
    for number, written in enumerate(messages):
        try:
            with RawUpstream(url) as upstream:
                upstream.publish(
                    body(f"broker's {number}", good=False),
                    written,
                    exchange=b"crm.items.dlx",
                    key=b"item.\xe4",
                )
        except Refused:
            continue
        put += 1
    listed = json.loads((await commands.run("dlq", "list", "--json")).out)
    assert (put, put) == (listed["letters"], listed["matching"])
    shown = [("dlq", "show", f"broker's {number}") for number in range(0, len(HOSTILE), 5)]
    for asked in (*shown, ("find", "broker's 0")):
        done = await commands.run(*asked)
        assert "unexpected" not in done.err
        assert "\x1b" not in done.out
    async with Environment(broker, vhost, portal=TITLE_REQUIRED, settings=PATIENT) as environment:
        done = await commands.run("dlq", "redrive", "--kind", "undelivered")
        assert 0 == done.code, done.err
        assert put == await letters.ready("crm.items.import")
        await environment.start_service()

        async def all_back() -> bool:
            return put == await letters.ready()

        await wait_until(all_back, 60, what="every letter back")
        assert [] == breaks(environment)
        listed = json.loads((await commands.run("dlq", "list", "--json")).out)
        assert {"rejected"} == {group["kind"] for group in listed["groups"]}
        done = await commands.run("dlq", "redrive", "--kind", "rejected", "--set", "title=mended")
        assert 0 == done.code, done.err
        await wait_until(
            lambda: len(environment.portal.ledger()["items"]) == put, 60, what="every item"
        )
        assert 0 == await letters.ready(QUEUE)


async def test_hostile_dead_letters_are_purged(
    broker: Broker, vhost: str, letters: Letters, commands: Commands
) -> None:
    """Removing needs reading, too."""
    with RawUpstream(broker.url(vhost)) as upstream:
        for written in (HOSTILE["timestamp at the end"], HOSTILE["deep table"]):
            upstream.publish(body("x", good=True), written, exchange=b"crm.items.dlx")
    done = await commands.run("dlq", "purge", "--yes")
    assert (0, "2 dead letters removed") == (done.code, done.out.splitlines()[-1])
    assert 0 == await letters.ready()
