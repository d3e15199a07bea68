"""Writes result events and dead letters."""

import hashlib
import uuid
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, UnsetType
from pamqp.commands import Basic

from service.domain.delivery import Settlement
from service.domain.events import ItemEvent, Malformed
from service.domain.external_id import shorten
from service.domain.outcomes import Failed, FailureKind, Imported
from service.rabbit.copies import (
    BODY,
    DROPPED_BYTES,
    KEPT_COPIES,
    ROUTING_COPIES,
    SHORT_STRING,
    Copy,
    dropped,
    shortened,
)
from service.rabbit.delivery_counts import COUNTS
from service.rabbit.our_headers import is_ours
from service.rabbit.result_events import (
    TEXT_LIMIT,
    WARNINGS_LIMIT,
    DeadLetterHeaders,
    FailedData,
    FailedEvent,
    Failure,
    ResultEvent,
    SucceededData,
    SucceededEvent,
)
from service.rabbit.topology import Topology
from service.rabbit.wire import Escaped
from service.telemetry.logs import masked

CLOUD_EVENTS = "application/cloudevents+json; charset=UTF-8"
OTHER_BODY = (
    "another body was imported under this id; this body was not imported: give every item its "
    "own id; to change an item, use crm.item.update with its itemId"
)
ID_BYTES = 4 * TEXT_LIMIT
"""Most bytes of the characters of an event id."""
OUR_BYTES = 12_000
"""All headers that we add to a dead letter stay below this."""
_SPARED = ("warnings", "links")
ENTRY_BYTES = 8
"""Bytes of a header besides its name and its value."""


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message ready to be published."""

    target: str
    exchange: str
    routing_key: str
    body: bytes
    properties: Basic.Properties


class Encoder:
    """Turns settlements into messages; pure, so that a retry writes the same ids again."""

    def __init__(self, topology: Topology, *, portal_host: str) -> None:
        """Take the names to publish to, and the portal's host for the events' `source`."""
        self._topology = topology
        self.portal_host = portal_host
        self._source = f"/crm-importer/{portal_host}"

    def result(self, settlement: Settlement, now: datetime) -> Outgoing:
        """Return the result event."""
        if isinstance(settlement.outcome, Imported):
            return self._succeeded(settlement, settlement.outcome, now)
        return self._failed(settlement, settlement.outcome, now)

    def _succeeded(self, settlement: Settlement, outcome: Imported, now: datetime) -> Outgoing:
        event = settlement.event
        if event.entity_type_id is None:
            raise TypeError("an imported event has an entity type")
        data = SucceededData(
            event_id=event.event_id,
            entity_type_id=event.entity_type_id,
            item_id=outcome.item_id,
            imported_at=_time(now),
            attempts=settlement.attempts,
            batch_id=settlement.batch_id,
            reconciled=outcome.reconciled,
            duplicate=outcome.duplicate,
            warnings=_warnings(settlement) or UNSET,
            links=dict(settlement.links) if settlement.links else UNSET,
        )
        result = SucceededEvent(
            id=_digest(event.entity_type_id, event.event_id, "succeeded"),
            type="crm.item.import.succeeded.v1",
            data=data,
            **self._envelope(event, now),
        )
        return self._outgoing("succeeded", result, event, now)

    def _failed(self, settlement: Settlement, outcome: Failed, now: datetime) -> Outgoing:
        event = settlement.event
        data = FailedData(
            event_id=event.event_id,
            entity_type_id=event.entity_type_id,
            failed_at=_time(now),
            attempts=settlement.attempts,
            batch_id=settlement.batch_id,
            error=Failure(
                kind=outcome.kind,
                code=outcome.code,
                message=_words(outcome),
                http_status=outcome.http_status,
            ),
            warnings=_warnings(settlement) or UNSET,
        )
        redriven = event.origin.redrive_count
        result = FailedEvent(
            id=_digest(event.entity_type_id, event.event_id, "failed", event.digest, redriven),
            type="crm.item.import.failed.v1",
            data=data,
            **self._envelope(event, now),
        )
        return self._outgoing("failed", result, event, now)

    def _envelope(self, event: ItemEvent | Malformed, now: datetime) -> dict[str, Any]:
        """Return what both kinds of result event have."""
        return {
            "specversion": "1.0",
            "source": self._source,
            "subject": f"{_kind(event)}/{event.event_id}",
            "time": _time(now),
            "datacontenttype": "application/json",
            **event.origin.trace,
        }

    def _outgoing(
        self, target: str, result: ResultEvent, event: ItemEvent | Malformed, now: datetime
    ) -> Outgoing:
        properties = Basic.Properties(
            content_type=CLOUD_EVENTS,
            delivery_mode=2,
            message_id=result.id,
            correlation_id=_correlation(event),
            timestamp=now,
        )
        return Outgoing(
            target,
            self._topology.results_exchange,
            f"{target}.{_kind(event)}",
            msgspec.json.encode(result),
            properties,
        )

    def dead_letter(self, settlement: Settlement, now: datetime) -> Outgoing:
        """Return the original message of a failed event with the reason in its headers."""
        delivery = _original(settlement)
        message, exchange, routing_key = delivery.message, delivery.exchange, delivery.routing_key
        copy = Copy(message.header.properties, uuid.uuid4().hex, readable=True)
        for name, place in (("exchange", exchange), ("routing_key", routing_key)):
            if isinstance(place, Escaped):
                copy.drop(name)
        copy.add_theirs(lambda name: not (is_ours(name) or name in COUNTS))
        if delivery.stay is not None:
            copy.add_renamed(KEPT_COPIES, ROUTING_COPIES)
            copy.drop(*dropped(message.header.properties.headers or {}))
        copy.add_ours(_reason(settlement, now))
        copy.fit(is_ours)
        return Outgoing(
            "dead_letter",
            self._topology.dead_letter_exchange,
            shortened(routing_key, SHORT_STRING),
            message.body,
            copy,
        )


def bare(message: Outgoing) -> Outgoing:
    """Return a dead letter that can always be written: of the original only the body."""
    headers = message.properties.headers or {}
    copy = Copy(Basic.Properties(), message.properties.message_id, readable=True)
    copy.add_ours({name: value for name, value in headers.items() if is_ours(name)})
    copy.drop("all headers and properties: they could not be written")
    return replace(message, properties=copy)


def bodyless(message: Outgoing) -> Outgoing:
    """Return a dead letter without its body, which says so."""
    if isinstance(message.properties, Copy):
        message.properties.drop(BODY)
    return replace(message, body=b"")


def plain(message: Outgoing) -> Outgoing:
    """Return a result event without what a consumer can do without, so that it is short."""
    event = msgspec.json.decode(message.body)
    for members, names in ((event, ("traceparent", "tracestate")), (event["data"], _SPARED)):
        for name in names:
            members.pop(name, None)
    return replace(message, body=msgspec.json.encode(event))


def _original(settlement: Settlement) -> Any:  # noqa: ANN401 - see below
    """Return a delivery of ours, with the message that the rest of the service knows nothing of.

    It is a `Delivery`, or a `Parked` where a command settles.
    """
    return settlement.delivery


def _warnings(settlement: Settlement) -> list[str]:
    """Return what of the event was ignored, by us or by the portal."""
    outcome = settlement.outcome
    other = isinstance(outcome, Imported) and outcome.other_body
    return [*settlement.event.notes, *settlement.warnings, *[OTHER_BODY] * other]


def _reason(settlement: Settlement, now: datetime) -> dict[str, Any]:
    """Return our headers, together small; what is null is absent."""
    event, delivery, outcome = settlement.event, _original(settlement), settlement.outcome
    if isinstance(outcome, Imported):
        raise TypeError("an imported event has no dead letter")
    reason = DeadLetterHeaders(
        import_error_kind=outcome.kind,
        import_error_code=shortened(outcome.code, SHORT_STRING),
        import_error_message="",
        import_http_status=_given(outcome.http_status),
        import_attempts=settlement.attempts,
        import_failed_at=_time(now),
        import_event_id=event.event_id if len(event.event_id.encode()) <= ID_BYTES else UNSET,
        import_batch_id=_given(settlement.batch_id),
        import_warnings="\n".join(_warnings(settlement))[:WARNINGS_LIMIT] or UNSET,
        import_original_exchange=shortened(delivery.exchange, SHORT_STRING),
        import_original_routing_key=shortened(delivery.routing_key, SHORT_STRING),
        import_original_message_id=_cut(delivery.message_id),
        import_redrive_count=event.origin.redrive_count,
    )
    headers = {
        name: str(value) if isinstance(value, FailureKind) else value
        for name, value in msgspec.structs.asdict(reason).items()
        if value is not UNSET
    }
    taken = sum(len(name) + len(str(v).encode()) + ENTRY_BYTES for name, v in headers.items())
    room = OUR_BYTES - DROPPED_BYTES - taken
    # The portal may repeat the address of the call, which is a secret.
    return headers | {"import_error_message": shortened(_words(outcome), room)}


def _words(outcome: Failed) -> str:
    return masked(outcome.message)[:TEXT_LIMIT]


def _given(value: T | None) -> T | UnsetType:
    return UNSET if value is None else value


def _kind(event: ItemEvent | Malformed) -> str:
    """Return what routing keys and subjects say of the entity type."""
    return "unknown" if event.entity_type_id is None else str(event.entity_type_id)


def _cut(name: str | None) -> str | UnsetType:
    return shortened(name, SHORT_STRING) if name else UNSET


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
