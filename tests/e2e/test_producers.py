"""Proves that what common clients and frameworks write by default is read, or named and refused.

pika, aio-pika, kombu, Celery and amqplib run here themselves. The others are written byte by byte
as their sources write them, since their languages are not at hand.
"""

import asyncio
import gzip
import json
import re
import struct
import subprocess
from collections.abc import Mapping
from typing import Any

import kombu
import pika
from celery import Celery

from tests.support.broker import Broker
from tests.support.environment import Environment
from tests.support.raw import RawUpstream, short, string, table
from tests.support.upstream_page import PAGE, node_modules, tool

PERSISTENT = b"\x02"
NOW = 1_764_364_800
AMQPLIB = """
const amqp = require("amqplib");
(async () => {
  const connection = await amqp.connect(process.argv[1]);
  const channel = await connection.createConfirmChannel();
  channel.publish("crm.items", "item.2", Buffer.from(process.argv[2]));
  await channel.waitForConfirms();
  await connection.close();
})();
"""
SPRING = {
    "content_type": short(b"application/json"),
    "content_encoding": short(b"UTF-8"),
    "headers": table((b"__TypeId__", string(b"com.example.Item"))),
    "delivery_mode": PERSISTENT,
    "priority": b"\0",
}
NSERVICEBUS = {
    "content_type": short(b"application/json"),
    "headers": table(
        (b"NServiceBus.MessageId", string(b"5f0c9c5e-0a4e-4f7b-9a56-b3b600c2a3b1")),
        (b"NServiceBus.EnclosedMessageTypes", string(b"Shop.ImportItem, Shop")),
        (b"NServiceBus.ContentType", string(b"application/json")),
        (b"NServiceBus.TimeSent", string(b"2026-11-29 05:00:00:000000 Z")),
        (b"NServiceBus.Transport.RabbitMQ.ConfirmationId", string(b"1")),
    ),
    "delivery_mode": PERSISTENT,
    "correlation_id": short(b"5f0c9c5e-0a4e-4f7b-9a56-b3b600c2a3b1"),
    "reply_to": short(b"shop"),
    "message_id": short(b"5f0c9c5e-0a4e-4f7b-9a56-b3b600c2a3b1"),
    "type": short(b"Shop.ImportItem"),
}


def item(event_id: str) -> dict[str, Any]:
    """Return an item event."""
    return {"id": event_id, "entityTypeId": 2, "fields": {"title": event_id}}


def written(event_id: str) -> bytes:
    """Return an item event as bytes."""
    return json.dumps(item(event_id)).encode()


def masstransit(event_id: str) -> bytes:
    """Return the envelope that MassTransit writes around a message."""
    envelope = {
        "messageId": "0c8d0000-5d2b-0015-8f4c-08dc1b6a1d2e",
        "conversationId": "0c8d0000-5d2b-0015-9a1e-08dc1b6a1d2e",
        "sourceAddress": "rabbitmq://localhost/shop",
        "destinationAddress": "rabbitmq://localhost/crm.items",
        "messageType": ["urn:message:Shop:ImportItem"],
        "message": item(event_id),
        "sentTime": "2026-11-29T05:00:00Z",
        "headers": {},
        "host": {"machineName": "shop", "massTransitVersion": "8.3.0"},
    }
    return json.dumps(envelope).encode()


def dapr(event_id: str) -> bytes:
    """Return the CloudEvent that Dapr makes of whatever is published."""
    envelope = {
        "data": item(event_id),
        "datacontenttype": "application/json",
        "id": event_id,
        "pubsubname": "pubsub",
        "source": "shop",
        "specversion": "1.0",
        "time": "2026-11-29T05:00:00Z",
        "topic": "crm.items",
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "type": "com.dapr.event.sent",
    }
    return json.dumps(envelope).encode()


BYTES: Mapping[str, tuple[bytes, Mapping[str, bytes]]] = {
    "rabbot": (
        written("rabbot"),
        {
            "content_type": short(b"application/json"),
            "content_encoding": short(b"utf8"),
            "headers": table(),
            "delivery_mode": PERSISTENT,
            "correlation_id": short(b""),
            "reply_to": short(b""),
            "message_id": short(b""),
            "timestamp": struct.pack(">Q", NOW * 1000),
            "type": short(b"item.import"),
            "app_id": short(b"shop"),
        },
    ),
    "Spring AMQP": (written("Spring AMQP"), SPRING),
    "Spring AMQP with GZipPostProcessor": (
        gzip.compress(written("Spring AMQP with GZipPostProcessor")),
        {**SPRING, "content_encoding": short(b"gzip:UTF-8")},
    ),
    ".NET RabbitMQ.Client": (written(".NET RabbitMQ.Client"), {}),
    ".NET StreamWriter": (b"\xef\xbb\xbf" + written(".NET StreamWriter"), {}),
    "NServiceBus": (written("NServiceBus"), NSERVICEBUS),
    "NServiceBus in capitals": (
        b'{"EntityTypeId":2,"Id":"x","Fields":{"title":"x"}}',
        {**NSERVICEBUS, "message_id": short(b"NServiceBus in capitals")},
    ),
    "MassTransit": (
        masstransit("MassTransit"),
        {
            "content_type": short(b"application/vnd.masstransit+json"),
            "headers": table((b"MT-Activity-Id", string(b"00-4bf9-00f0-01"))),
            "delivery_mode": PERSISTENT,
            "message_id": short(b"MassTransit"),
        },
    ),
    "Dapr": (dapr("Dapr"), {"content_type": short(b"text/plain"), "delivery_mode": PERSISTENT}),
    "php-amqplib": (
        written("php-amqplib"),
        {"content_type": short(b"text/plain"), "delivery_mode": PERSISTENT},
    ),
    "Go amqp091": (
        written("Go amqp091"),
        {
            "headers": table((b"publishedAt", b"T" + struct.pack(">q", -62_135_596_800))),
            "timestamp": struct.pack(">Q", NOW),
        },
    ),
}
"""What those write whose languages are not at hand: body and properties."""
REFUSED = {
    "NServiceBus in capitals": "CamelCase",
    "MassTransit": "UseRawJsonSerializer",
    "Celery": "kombu's Producer",
}
IMPORTED = {*BYTES, "pika", "aio-pika", "kombu", "amqplib"} - REFUSED.keys()


async def test_what_common_clients_send_is_read(broker: Broker, vhost: str) -> None:
    """Imported under its own id, or refused with a word on what it is and what to do."""
    url = broker.url(vhost)
    async with Environment(broker, vhost) as environment:
        await environment.start_service()
        for body, properties in BYTES.values():
            with RawUpstream(url) as upstream:
                upstream.publish(body, properties)
        await environment.publish([item("aio-pika")])
        await asyncio.to_thread(_real_clients, url)
        names = {name: f"shop {name}" if name == "Dapr" else name for name in IMPORTED}
        books = await environment.settle(
            [*names.values(), "NServiceBus in capitals", "MassTransit"]
        )
        await environment.wait_idle()
        await environment.read()
    assert set(names.values()) == set(books.item_ids())
    told = [event["data"]["error"]["message"] for event in books.failed]
    assert len(REFUSED) == len(told)
    for hint in REFUSED.values():
        assert [message for message in told if hint in message], told
    assert {"WRONG_SHAPE"} == set(books.codes())


def test_the_page_names_what_was_tried() -> None:
    """Each row of the table is a client of this test, and the other way round."""
    section = PAGE.partition("## What your client sends")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+?) \|", section, re.MULTILINE)
    assert sorted(IMPORTED | REFUSED.keys()) == sorted(set(rows) - {"client", "---"})


def _real_clients(url: str) -> None:
    """Publish with the clients that are here, each as its users do."""
    connection = pika.BlockingConnection(pika.URLParameters(url))
    connection.channel().basic_publish("crm.items", "item.2", written("pika"))
    connection.close()
    with kombu.Connection(url) as rabbit:
        rabbit.Producer().publish(item("kombu"), exchange="crm.items", routing_key="item.2")
    app = Celery(broker=url)
    app.send_task("shop.import", [item("Celery")], exchange="crm.items", routing_key="item.2")
    app.close()
    node = [tool("node"), "-e", AMQPLIB, url, written("amqplib").decode()]
    subprocess.run(node, check=True, timeout=60, env={"NODE_PATH": str(node_modules())})
