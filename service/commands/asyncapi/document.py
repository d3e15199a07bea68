"""Builds the AsyncAPI document: servers, channels, operations and messages."""

from typing import Any
from urllib.parse import urlsplit

from service import __version__
from service.commands.asyncapi import examples
from service.commands.asyncapi.schemas import schemas
from service.domain.addresses import bracketed
from service.factories import topology, virtual_host
from service.rabbit.cloud_events import STRUCTURED
from service.rabbit.encoding import CLOUD_EVENTS
from service.rabbit.topology import Queue, Topology
from service.settings.tree import Rabbit

Part = dict[str, Any]

_BINDING = "0.3.0"
_PORTS = {"amqp": 5672, "amqps": 5671}
_DESCRIPTION = """\
One process imports item events into one Bitrix24 portal, in batches, effectively once.

Publish item events to the intake exchange. Each ends in exactly one outcome, succeeded or \
failed, and a result event tells it; the original of a failed one also lies in the dead-letter \
queue, with the reason.
An event is identified by its entity type and its id: give each a stable one. Correlate results \
by these two: several publishes of one event may share one result, and a result may come twice \
with one CloudEvents id. It may take hours while the portal is away.
Items are created, never updated or deleted."""

_ITEM = """\
`content_encoding` is empty, `identity`, `utf-8` or `gzip` (the body is compressed). The result \
has the `correlation_id` of the item event."""
_RESULT = """\
Persistent; `message_id` is the `id` of the CloudEvent. `correlation_id` is the one of the item \
event's message that was settled; if it had none, the item's external id, else the event id (a \
digest of what exceeds 255 bytes)."""


def build(rabbit: Rabbit) -> Part:
    """Return the document, with the names that the settings give."""
    names = topology(rabbit)
    urls = [url.strip() for url in rabbit.url.get_secret_value().split(",")]
    vhost = virtual_host(rabbit)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "crm-importer",
            "version": __version__,
            "description": _DESCRIPTION,
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "servers": {f"broker{place}": _server(url) for place, url in enumerate(urls, start=1)},
        "channels": _channels(names, vhost),
        "operations": _operations(names),
        "components": {
            "messages": {name: {"name": name, **message} for name, message in _messages().items()},
            "schemas": schemas(),
            "securitySchemes": {
                "password": {"type": "userPassword", "description": "user of the broker"}
            },
        },
    }


def _server(url: str) -> Part:
    """Describe one node of the broker, without its password."""
    parts = urlsplit(url)
    return {
        "host": f"{bracketed(parts.hostname or '')}:{parts.port or _PORTS[parts.scheme]}",
        "pathname": parts.path or "/",
        "protocol": parts.scheme,
        "protocolVersion": "0-9-1",
        "description": "RabbitMQ",
        "security": [_ref("securitySchemes", "password")],
    }


def _channels(names: Topology, vhost: str) -> Part:
    queues = {queue.name: queue for queue in names.queues}
    return {
        "intake": {
            "address": "item.{entityTypeId}",
            "title": "Item events",
            "description": f"Exchange {names.intake_exchange}. Every routing key reaches the "
            f"queue; with this convention others can bind to single types.",
            "parameters": {"entityTypeId": {"description": "entity type of the item"}},
            "messages": _named("itemEvent", "itemCloudEvent", "itemBinaryCloudEvent"),
            "bindings": {
                "amqp": {
                    "is": "routingKey",
                    "exchange": {
                        "name": names.intake_exchange,
                        "type": "topic",
                        "durable": True,
                        "autoDelete": False,
                        "vhost": vhost,
                    },
                    "bindingVersion": _BINDING,
                }
            },
        },
        "succeeded": _queue_channel(
            queues[names.succeeded_queue],
            "Items that are in the CRM",
            "itemSucceeded",
            vhost,
        ),
        "failed": _queue_channel(
            queues[names.failed_queue],
            "Items that are not in the CRM, and why",
            "itemFailed",
            vhost,
        ),
        "deadLetters": _queue_channel(
            queues[names.dead_letter_queue], "Originals of failed events", "deadLetter", vhost
        ),
    }


def _queue_channel(queue: Queue, title: str, message: str, vhost: str) -> Part:
    keys = " and ".join(f"`{key}`" for key in queue.keys if key)
    by = f" by the routing key {keys}" if keys else ""
    return {
        "address": queue.name,
        "title": title,
        "description": f"A quorum queue of the operator's, bound to the exchange {queue.exchange}"
        f"{by}. Bind a queue of your own in the same way to get copies. If you read from this "
        f"queue, you take messages away from its other readers.",
        "messages": _named(message),
        "bindings": {
            "amqp": {
                "is": "queue",
                "queue": {
                    "name": queue.name,
                    "durable": True,
                    "exclusive": False,
                    "autoDelete": False,
                    "vhost": vhost,
                },
                "bindingVersion": _BINDING,
            }
        },
    }


def _operations(names: Topology) -> Part:
    taken = {"ack": True, "bindingVersion": _BINDING}
    sent = {"deliveryMode": 2, "mandatory": True, "bindingVersion": _BINDING}
    return {
        "importItem": {
            "action": "receive",
            "channel": {"$ref": "#/channels/intake"},
            "summary": "Import an item",
            "description": f"Taken from the queue {names.intake_queue}; acknowledged only after "
            "the result is confirmed.",
            "bindings": {"amqp": taken},
        },
        "tellSucceeded": _send("succeeded", "Tell that an item is in the CRM", sent),
        "tellFailed": _send("failed", "Tell why an item is not in the CRM", sent),
        "keepDeadLetter": _send("deadLetters", "Keep the original of a failed event", sent),
    }


def _send(channel: str, summary: str, binding: Part) -> Part:
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": summary,
        "bindings": {"amqp": binding},
    }


def _messages() -> Part:
    return {
        "itemEvent": _message(
            "Item event",
            "application/json",
            "ItemEvent",
            {"payload": examples.ITEM},
            {"payload": examples.LINKED_ITEM},
        ),
        "itemCloudEvent": _message(
            "Item event, CloudEvents structured",
            STRUCTURED,
            "ItemCloudEvent",
            {"payload": examples.CLOUD_ITEM},
        ),
        "itemBinaryCloudEvent": _message(
            "Item event, CloudEvents binary",
            "application/json",
            "ItemEvent",
            {"headers": examples.BINARY_HEADERS, "payload": examples.BINARY_ITEM},
            headers="ItemCloudEventHeaders",
        ),
        "itemSucceeded": _message(
            "Item succeeded",
            CLOUD_EVENTS,
            "SucceededEvent",
            {"payload": examples.SUCCEEDED},
            {"payload": examples.LINKED_SUCCEEDED},
            described=_RESULT,
        ),
        "itemFailed": _message(
            "Item failed",
            CLOUD_EVENTS,
            "FailedEvent",
            {"payload": examples.FAILED},
            described=_RESULT,
        ),
        "deadLetter": {
            "title": "Dead letter",
            "summary": "The original message: body, content type and headers as they came.",
            "headers": _ref("schemas", "DeadLetterHeaders"),
            "payload": {"description": "what upstream published, even if unreadable"},
            "examples": [{"headers": examples.DEAD_LETTER_HEADERS, "payload": examples.ITEM}],
        },
    }


def _message(
    title: str,
    content_type: str,
    payload: str,
    *shown: Part,
    headers: str | None = None,
    described: str = _ITEM,
) -> Part:
    return {
        "title": title,
        "description": described,
        "contentType": content_type,
        **({"headers": _ref("schemas", headers)} if headers else {}),
        "payload": _ref("schemas", payload),
        "examples": list(shown),
    }


def _named(*messages: str) -> Part:
    return {name: _ref("messages", name) for name in messages}


def _ref(kind: str, name: str) -> Part:
    return {"$ref": f"#/components/{kind}/{name}"}
