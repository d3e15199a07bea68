"""Writes what leaves: result events and dead letters."""

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Any

import msgspec
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from service.domain.claims import Settlement
from service.domain.events import ItemEvent, Malformed
from service.domain.external_id import shorten
from service.domain.outcomes import Failed, Imported
from service.rabbit.topology import Topology

CLOUD_EVENTS = "application/cloudevents+json; charset=UTF-8"
TEXT_LIMIT = 1000
"""Characters of an error message; details do not belong into headers (`anchors.md` C12)."""
WARNINGS_LIMIT = 1000
"""Characters of all warnings in a dead letter, a line each; the result has them whole."""
SHORT_STRING = 255
MOST_HEADER_BYTES = 100_000
"""Stays below the broker's frame of 131,064 bytes, whatever the properties."""
_OURS = "import_"


Settled = Settlement[Any]
"""A settlement of one of our deliveries; the pipeline knows them by its own protocol."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message ready to be published."""

    target: str
    exchange: str
    routing_key: str
    body: bytes
    properties: Basic.Properties


class Writer:
    """Turns settlements into messages; pure, so that a retry writes the same ids again."""

    def __init__(self, topology: Topology, *, portal_host: str) -> None:
        """Take the names to publish to, and the portal's host for the events' `source`."""
        self._topology = topology
        self._source = f"/crm-importer/{portal_host}"

    def write(self, settlement: Settled, now: datetime) -> list[Outgoing]:
        """Return the result event, and the dead letter of a failed one."""
        if isinstance(settlement.outcome, Imported):
            return [self._succeeded(settlement, settlement.outcome, now)]
        return [
            self._failed(settlement, settlement.outcome, now),
            self.dead_letter(settlement, settlement.outcome, now),
        ]

    def _succeeded(self, settlement: Settled, outcome: Imported, now: datetime) -> Outgoing:
        event = settlement.event
        data: dict[str, Any] = {
            "eventId": event.event_id,
            "entityTypeId": event.entity_type_id,
            "itemId": outcome.item_id,
            "importedAt": _time(now),
            "attempts": settlement.attempts,
            "batchId": settlement.batch_id,
            "reconciled": outcome.reconciled,
            "duplicate": outcome.duplicate,
        }
        unique = _digest(event.entity_type_id, event.event_id, "succeeded")
        return self._result("succeeded", unique, settlement, data, now)

    def _failed(self, settlement: Settled, outcome: Failed, now: datetime) -> Outgoing:
        event = settlement.event
        data = {
            "eventId": event.event_id,
            "entityTypeId": event.entity_type_id,
            "failedAt": _time(now),
            "attempts": settlement.attempts,
            "batchId": settlement.batch_id,
            "error": {
                "kind": outcome.kind,
                "code": outcome.code,
                "message": outcome.message[:TEXT_LIMIT],
                "httpStatus": outcome.http_status,
            },
        }
        unique = _digest(
            event.entity_type_id,
            event.event_id,
            "failed",
            event.digest,
            event.origin.redrive_count,
        )
        return self._result("failed", unique, settlement, data, now)

    def _result(
        self,
        target: str,
        unique: str,
        settlement: Settled,
        data: dict[str, Any],
        now: datetime,
    ) -> Outgoing:
        event = settlement.event
        kind = "unknown" if event.entity_type_id is None else str(event.entity_type_id)
        if warnings := _warnings(settlement):
            data["warnings"] = warnings
        envelope = {
            "specversion": "1.0",
            "id": unique,
            "source": self._source,
            "type": f"crm.item.import.{target}.v1",
            "subject": f"{kind}/{event.event_id}",
            "time": _time(now),
            "datacontenttype": "application/json",
            **event.origin.trace,
            "data": data,
        }
        properties = Basic.Properties(
            content_type=CLOUD_EVENTS,
            delivery_mode=2,
            message_id=unique,
            correlation_id=_correlation(event),
            timestamp=now,
        )
        body = msgspec.json.encode(envelope)
        return Outgoing(
            target, self._topology.results_exchange, f"{target}.{kind}", body, properties
        )

    def dead_letter(self, settlement: Settled, outcome: Failed, now: datetime) -> Outgoing:
        """Return the original message with the reason in its headers."""
        message = settlement.delivery.message
        original = message.header.properties
        headers = _without_ours(original.headers or {})
        headers |= _reason(settlement, outcome, now)
        properties = as_it_came(original, headers, uuid.uuid4().hex)
        _fit(properties)
        return Outgoing(
            "dead_letter",
            self._topology.dead_letter_exchange,
            message.routing_key or "",
            message.body,
            properties,
        )


def as_it_came(
    original: Basic.Properties, headers: Mapping[str, Any], message_id: str | None
) -> Basic.Properties:
    """Return a message's properties for a copy with other headers: persistent, never expiring."""
    return Basic.Properties(
        content_type=original.content_type,
        content_encoding=original.content_encoding,
        # The library reads a byte string of a header as bytes and writes only bytearrays.
        headers={
            name: bytearray(value) if isinstance(value, bytes) else value
            for name, value in headers.items()
        },
        delivery_mode=2,
        priority=original.priority,
        correlation_id=original.correlation_id,
        reply_to=original.reply_to,
        message_id=message_id,
        timestamp=original.timestamp,
        message_type=original.message_type,
        app_id=original.app_id,
    )


def bare(message: Outgoing) -> Outgoing:
    """Return a dead letter that can always be written: of the original only the body."""
    headers = message.properties.headers or {}
    ours = {name: value for name, value in headers.items() if name.startswith(_OURS)}
    ours["import_dropped_headers"] = "all, and every property: they could not be written"
    properties = Basic.Properties(
        headers=ours, delivery_mode=2, message_id=message.properties.message_id
    )
    return replace(message, properties=properties)


def _warnings(settlement: Settled) -> list[str]:
    """Return what of the event was ignored, by us or by the portal."""
    return [*settlement.event.notes, *settlement.warnings]


def _reason(settlement: Settled, outcome: Failed, now: datetime) -> dict[str, Any]:
    """Return our headers; what is null is absent, what would not fit is left out."""
    event, message = settlement.event, settlement.delivery.message
    headers: dict[str, Any] = {
        "import_error_kind": str(outcome.kind),
        "import_error_code": outcome.code[:SHORT_STRING],
        "import_error_message": outcome.message[:TEXT_LIMIT],
        "import_http_status": outcome.http_status,
        "import_attempts": settlement.attempts,
        "import_failed_at": _time(now),
        "import_event_id": event.event_id if len(event.event_id.encode()) <= TEXT_LIMIT else None,
        "import_batch_id": settlement.batch_id,
        "import_warnings": "\n".join(_warnings(settlement))[:WARNINGS_LIMIT] or None,
        "import_original_exchange": message.exchange or "",
        "import_original_routing_key": message.routing_key or "",
        "import_original_message_id": message.header.properties.message_id,
        "import_redrive_count": event.origin.redrive_count,
    }
    return {name: value for name, value in headers.items() if value is not None}


def _fit(properties: Basic.Properties) -> None:
    """Drop original headers, largest first, until the rest can be written and fits the frame."""
    headers: dict[str, Any] = dict(properties.headers or {})
    dropped: list[str] = []
    sizes = {name: _written(value) for name, value in headers.items()}
    for name in [name for name, size in sizes.items() if size is None]:
        del headers[name]
        dropped.append(name)
    theirs = sorted(_without_ours(headers), key=lambda name: sizes[name] or 0, reverse=True)
    while theirs and sum(sizes[name] or 0 for name in headers) > MOST_HEADER_BYTES:
        name = theirs.pop(0)
        del headers[name]
        dropped.append(name)
    if dropped:
        headers["import_dropped_headers"] = ", ".join(dropped)[:TEXT_LIMIT]
    properties.headers = headers


def _written(value: object) -> int | None:
    """Return the bytes a header takes on the wire; None when it cannot be written."""
    properties = Basic.Properties(headers={"h": value})  # type: ignore[dict-item]
    try:
        return len(ContentHeader(properties=properties).marshal()) + SHORT_STRING
    except (TypeError, ValueError, OverflowError, AttributeError):
        return None


def _without_ours(headers: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in headers.items() if not name.startswith(_OURS)}


def _correlation(event: ItemEvent | Malformed) -> str:
    known = event.origin.correlation_id
    if known is None:
        external = event.external_id if isinstance(event, ItemEvent) else None
        known = external.value if external else event.event_id
    return known if len(known.encode()) <= SHORT_STRING else shorten(known, 0)


def _digest(*parts: object) -> str:
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()


@lru_cache(maxsize=4)
def _time(now: datetime) -> str:
    """Write a time down, once for the many messages of a batch."""
    return now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
