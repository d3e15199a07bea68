"""Real results of odd events: their schema, their ids, what they are correlated by."""

import asyncio
import gzip
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jsonschema
import pika
from aio_pika.abc import AbstractIncomingMessage

from tests.support.amqp import STRUCTURED, Upstream, wait_until
from tests.support.broker import Broker
from tests.support.environment import Environment, deals
from tests.support.processes import ROOT

DOCUMENT = json.loads((ROOT / "deploy/asyncapi.json").read_text(encoding="utf-8"))
SCHEMAS = {
    f"crm.item.import.{outcome}.v1": jsonschema.Draft7Validator(
        {**DOCUMENT, "$ref": f"#/components/schemas/{name}"},
        format_checker=jsonschema.FormatChecker(),
    )
    for outcome, name in (("succeeded", "SucceededEvent"), ("failed", "FailedEvent"))
}
PORTAL = {"required": {"2": ["title"]}}
QUORUM: dict[str, Any] = {"x-queue-type": "quorum"}


@dataclass(frozen=True, slots=True)
class Odd:
    """An odd event: how it is published, and the id and code that its result has."""

    body: bytes
    event_id: str
    properties: Mapping[str, Any]
    code: str = ""
    entity_type: int | None = 2

    @property
    def correlation(self) -> str:
        """Return what the result is correlated by: the message's own word, else the item's."""
        own = self.properties.get("correlation_id")
        name = str(own or self.event_id)
        plain = all(ord(each) <= 0xFFFF for each in name) and len(name.encode()) <= 255
        return name if plain else f"sha256:{hashlib.sha256(name.encode()).hexdigest()}"


def digest(body: bytes) -> str:
    """Return how an event without a readable id is named."""
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def written(event_id: str, **more: Any) -> bytes:
    """Return a plain event."""
    event = {"entityTypeId": 2, "id": event_id, "fields": {"title": "x"}, **more}
    return json.dumps(event, ensure_ascii=False).encode()


def odd_events() -> list[Odd]:
    """Return events as real senders write them: sound, odd, and broken."""
    nameless = json.dumps({"entityTypeId": 2, "fields": {"title": "no id"}}).encode()
    cloud = {
        "specversion": "1.0",
        "id": "7",
        "source": "/shop",
        "type": "t",
        "traceparent": "00-1",
    }
    item = {"entityTypeId": "2", "fields": {"title": "x"}}
    binary = {f"cloudEvents_{name}": cloud[name] for name in ("id", "source")}
    too_long = written("i" * 1001)
    required = "CRM_FIELD_ERROR_REQUIRED"
    return [
        Odd(written("plain"), "plain", {"correlation_id": "c-1"}),
        Odd(written("Заказ-1"), "Заказ-1", {}),
        Odd(written("order 😀"), "order 😀", {}),
        Odd(written("i" * 1000), "i" * 1000, {}),
        Odd(written("long correlation"), "long correlation", {"correlation_id": "é" * 127}),
        Odd(gzip.compress(written("zip")), "zip", {"content_encoding": "gzip"}),
        Odd(json.dumps({**cloud, "data": item}).encode(), "/shop 7", {"content_type": STRUCTURED}),
        Odd(
            json.dumps({**item, "entityTypeId": 1}).encode(), "/shop 7", {"headers": binary}, "", 1
        ),
        Odd(written("action", action="update"), "action", {}),
        Odd(nameless, digest(nameless), {}),
        Odd(written("refused", fields={"TITLE": "x", "nothing": 1}), "refused", {}, required),
        Odd(written("no type", entityTypeId=1044), "no type", {}, "NOT_FOUND", 1044),
        Odd(b"{", digest(b"{"), {}, "NOT_JSON", None),
        Odd(b"[1]", "m-1", {"message_id": "m-1", "correlation_id": "c-2"}, "WRONG_SHAPE", None),
        Odd(b'{"entityTypeId": 2, "id": "empty"}', "empty", {}, "WRONG_SHAPE"),
        Odd(too_long, digest(too_long), {}, "WRONG_SHAPE"),
        Odd(
            written("x", a=float("nan")),
            digest(written("x", a=float("nan"))),
            {},
            "NOT_JSON",
            None,
        ),
        Odd(written("packed"), "?", {"content_encoding": "br"}, "UNKNOWN_ENCODING", None),
    ]


def publish(url: str, events: Sequence[Odd]) -> None:
    """Publish with pika, which adds no property by itself; aio-pika adds a `message_id`."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        for event in events:
            properties = pika.BasicProperties(delivery_mode=2, **event.properties)
            channel.basic_publish("crm.items", "item.2", event.body, properties, mandatory=True)


async def test_results_of_odd_events_are_what_the_document_says(
    broker: Broker, vhost: str
) -> None:
    """Schema, key, id and correlation of each; links are in none, warnings in both kinds."""
    events = odd_events()
    async with Environment(broker, vhost, portal=PORTAL) as environment:
        await environment.start_service()
        async with Upstream(broker.url(vhost)) as upstream:
            await bind_own_queue(upstream)
            await asyncio.to_thread(publish, broker.url(vhost), events)
            messages = await upstream.drain("shop.results", len(events))
    found = {_identity(message): message for message in messages}
    assert len(events) == len(found)
    warned = set()
    for event in events:
        named = digest(event.body) if event.event_id == "?" else event.event_id
        message = found[event.entity_type, named]
        result = json.loads(message.body)
        assert [] == [error.message for error in SCHEMAS[result["type"]].iter_errors(result)]
        outcome = "failed" if event.code else "succeeded"
        kind = event.entity_type or "unknown"
        assert (f"{outcome}.{kind}", f"{kind}/{named}") == (
            message.routing_key,
            result["subject"],
        )
        assert event.code == result["data"].get("error", {"code": ""})["code"], named
        assert (result["id"], 2) == (message.message_id, message.delivery_mode)
        if event.event_id != "?":
            assert event.correlation == message.correlation_id, named
        assert "links" not in result["data"]
        if "warnings" in result["data"]:
            warned.add(outcome)
    assert {"succeeded", "failed"} == warned


async def test_publishes_of_one_id_share_their_results(broker: Broker, vhost: str) -> None:
    """Three at once get one result to three, all with one id, and never an id of their own."""
    async with Environment(broker, vhost, portal=PORTAL) as environment:
        await environment.start_service()
        async with Upstream(broker.url(vhost)) as upstream:
            await bind_own_queue(upstream)
            body = written("one")
            await upstream.many([body, body, body])
            await environment.wait_idle()
            got = await upstream.ready("shop.results")
            assert 1 <= got <= 3
            first = await upstream.results("shop.results", got)
            assert 1 == len({each["id"] for each in first})
            await upstream.publish(written("one", fields={"title": "other"}))
            (again,) = await upstream.results("shop.results", 1)
            assert (first[0]["id"], True) == (again["id"], again["data"]["duplicate"])
            assert "another body" in again["data"]["warnings"][0]
        assert 1 == environment.external_ids()["one"]


async def test_a_failed_try_has_one_id_for_each_body(broker: Broker, vhost: str) -> None:
    """The same body again says the same; mended it is a new try, and its result has another id."""
    bad = written("one", fields={"comments": "no title"})
    async with Environment(broker, vhost, portal=PORTAL) as environment:
        await environment.start_service()
        async with Upstream(broker.url(vhost)) as upstream:
            await bind_own_queue(upstream)
            told = []
            for body in (bad, bad, bad + b" ", written("one")):
                await upstream.publish(body)
                told += await upstream.results("shop.results", 1)
    ids = [each["id"] for each in told]
    assert ids[0] == ids[1]
    assert 3 == len(set(ids))
    assert "itemId" in told[-1]["data"]


async def test_a_full_queue_of_one_team_holds_up_the_results_of_all(
    broker: Broker, vhost: str
) -> None:
    """That is why the page forbids reject-publish; nothing is lost, and it goes on by itself."""
    ids: list[str] = []
    async with Environment(broker, vhost, portal=PORTAL) as environment:
        await environment.start_service()
        async with Upstream(broker.url(vhost)) as upstream:
            full = {**QUORUM, "x-max-length": 1, "x-overflow": "reject-publish"}
            queue = await upstream.channel.declare_queue(
                "shop.results", durable=True, arguments=full
            )
            await queue.bind("crm.items.results", "#")

            async def refusing() -> bool:
                """Publish one more: a quorum queue notices a moment late that it is full."""
                ids.append(f"d-{len(ids)}")
                await environment.publish(deals(ids[-1]))
                await asyncio.sleep(0.5)
                return bool(environment.service.probe("/readyz")[1]["refusing"])

            await wait_until(refusing, what="a refusal told")
            await queue.unbind("crm.items.results", "#")
            await environment.settle(ids)
        environment.assert_effectively_once(ids)


async def bind_own_queue(upstream: Upstream) -> None:
    """Make a queue as the page for upstream teams says, for every type."""
    queue = await upstream.channel.declare_queue("shop.results", durable=True, arguments=QUORUM)
    for key in ("succeeded.#", "failed.#"):
        await queue.bind("crm.items.results", key)


def _identity(message: AbstractIncomingMessage) -> tuple[int | None, str]:
    data = json.loads(message.body)["data"]
    return data["entityTypeId"], data["eventId"]
