"""Writes and reads messages of the inner queues: events that wait, for a lane, a link, a proof."""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from aiormq.abc import DeliveredMessage, FieldValue
from pamqp.commands import Basic

from service.domain.parking import DOUBT, DOUBTFUL, LINK, LINKS, Stay
from service.rabbit.copies import (
    KEPT_COPIES,
    ROUTING_COPIES,
    SHORT_STRING,
    Copy,
    dropped,
    received,
    shortened,
)
from service.rabbit.delivery_counts import COUNTS
from service.rabbit.encoding import ID_BYTES, Outgoing
from service.rabbit.letters import MAX_REDRIVES, count, moment, text
from service.rabbit.our_headers import is_ours
from service.rabbit.wire import Escaped
from service.telemetry import steady

REASON: Final = "import_parked_reason"
"""The header that only messages of inner queues have."""
DELIVERY_LIMIT: Final = 2_000_000_000
"""No limit, in effect: a reader returns what it took, and every return counts."""
MAX_WAITED: Final = 1e9
_REASONS: Final = {DOUBTFUL: DOUBT, LINKS: LINK}


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a message says of its waiting.

    `portal`: host of the portal it waits for; `waited`: seconds that count of its waiting so far;
    `exchange`, `routing_key`, `message_id`: of the original; `attempts`: calls that carried it;
    `perhaps_sent`: None where no call may have carried it, else from when on a look-up proves
    something.
    """

    reason: str
    portal: str
    event_id: str
    parked_at: datetime
    received_at: datetime
    waited: float = 0.0
    exchange: str = ""
    routing_key: str = ""
    message_id: str | None = None
    redrive_count: int = 0
    attempts: int = 0
    perhaps_sent: datetime | None = None

    def headers(self) -> dict[str, FieldValue]:
        """Return our headers; what is null is absent."""
        named: dict[str, FieldValue] = {
            REASON: self.reason,
            "import_portal": self.portal,
            "import_event_id": _whole(self.event_id),
            "import_parked_at": _written(self.parked_at),
            "import_received_at": _written(self.received_at),
            # Text, because the client library writes a number with a point in 32 bits.
            "import_waited_seconds": f"{self.waited:.3f}",
            "import_original_exchange": shortened(self.exchange, SHORT_STRING),
            "import_original_routing_key": shortened(self.routing_key, SHORT_STRING),
            "import_original_message_id": self.message_id,
            "import_redrive_count": self.redrive_count,
            "import_attempts": self.attempts,
            "import_perhaps_sent": self.perhaps_sent and _written(self.perhaps_sent),
        }
        return {name: value for name, value in named.items() if value is not None}


def queue_arguments(dead_letter_exchange: str) -> dict[str, FieldValue]:
    """Return the arguments of an inner queue: what the broker ends, it dead-letters."""
    return {
        "x-queue-type": "quorum",
        "x-delivery-limit": DELIVERY_LIMIT,
        "x-dead-letter-exchange": dead_letter_exchange,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }


def parked(message: DeliveredMessage, waiting: Waiting, queue: str) -> Outgoing:
    """Return a message as it waits in an inner queue, whether it came from there or the intake."""
    properties = message.header.properties
    copy = Copy(properties, uuid.uuid4().hex, readable=False)
    copy.drop(*_lost(message))
    copy.add_theirs(_is_theirs)
    held = ROUTING_COPIES if ROUTING_COPIES in (properties.headers or {}) else KEPT_COPIES
    copy.add_renamed(held, KEPT_COPIES)
    copy.add_ours(waiting.headers())
    copy.fit(is_ours)
    return Outgoing("parked", "", queue, message.body, copy)


def sent_back(message: DeliveredMessage, intake_queue: str) -> Outgoing:
    """Return a message of an inner queue as it goes to the intake queue, all headers kept.

    Whoever gets it there goes on with it as if he had taken it from the inner queue. What may
    have been sent counts as redriven once more, so that an older version looks it up first.
    """
    properties = message.header.properties
    headers = properties.headers or {}
    copy = Copy(properties, properties.message_id or uuid.uuid4().hex, readable=False)
    counted = "import_perhaps_sent" in headers
    copy.add_theirs(
        lambda name: not (name in COUNTS or (counted and name == "import_redrive_count"))
    )
    if counted:
        redriven = count(headers.get("import_redrive_count")) + 1
        copy.add_ours({"import_redrive_count": min(redriven, MAX_REDRIVES)})
    return Outgoing("intake", "", intake_queue, message.body, copy)


def unparked(message: DeliveredMessage, waiting: Waiting, exchange: str) -> Outgoing:
    """Return a message of an inner queue as it goes back to the intake.

    What may have been sent counts as redriven once more, so that any version looks it up first,
    and says so, for those that know the word.
    """
    unique = waiting.message_id
    copy = Copy(message.header.properties, unique, readable=False)
    copy.add_theirs(_is_theirs)
    redriven = waiting.redrive_count + (waiting.perhaps_sent is not None)
    if waiting.perhaps_sent is not None:
        copy.add_ours({"import_perhaps_sent": _written(waiting.perhaps_sent)})
    copy.add_ours({"import_event_id": _whole(waiting.event_id)} if waiting.event_id else {})
    if redriven:
        copy.add_ours({"import_redrive_count": redriven})
    copy.fit(is_ours)
    routing_key = shortened(waiting.routing_key, SHORT_STRING)
    return Outgoing("intake", exchange, routing_key, message.body, copy)


def waiting_of(properties: Basic.Properties) -> Waiting | None:
    """Return what a message says of its waiting; None where it is none of ours."""
    headers = properties.headers or {}
    if REASON not in headers:
        return None
    parked_at = moment(headers.get("import_parked_at"))
    perhaps_sent = moment(headers.get("import_perhaps_sent"))
    if "import_perhaps_sent" in headers and perhaps_sent is None:
        perhaps_sent = parked_at or _now()
    return Waiting(
        reason=text(headers[REASON]),
        portal=text(headers.get("import_portal")),
        event_id=text(headers.get("import_event_id")),
        parked_at=parked_at or _now(),
        received_at=moment(headers.get("import_received_at")) or parked_at or _now(),
        waited=_seconds(headers.get("import_waited_seconds")),
        exchange=text(headers.get("import_original_exchange")),
        routing_key=text(headers.get("import_original_routing_key")),
        message_id=text(headers.get("import_original_message_id")) or None,
        redrive_count=count(headers.get("import_redrive_count")),
        attempts=count(headers.get("import_attempts")),
        perhaps_sent=perhaps_sent,
    )


def stay_of(properties: Basic.Properties, queue: str = "") -> Stay | None:
    """Return what the importer needs to know of a message's waiting; None where it never waited.

    `queue`: last part of the name of the inner queue that it was taken from. What somebody has
    put there by hand began to wait just now. Its times are by the clock that nobody sets.
    """
    waiting = waiting_of(properties)
    if waiting is None and not queue:
        return None
    if waiting is None:
        now = steady.time()
        return Stay(queue, _REASONS.get(queue, ""), 0.0, now, None, 0, now, mark=now)
    sent, ahead = waiting.perhaps_sent, steady.ahead()
    return Stay(
        queue,
        waiting.reason,
        waiting.waited,
        waiting.parked_at.timestamp() + ahead,
        # Written before or after the clock was set? Unknown: the later time counts.
        None if sent is None else sent.timestamp() + max(ahead, 0.0),
        waiting.attempts,
        waiting.received_at.timestamp() + ahead,
        mark=waiting.parked_at.timestamp(),
    )


def origin_of(message: DeliveredMessage, waiting: Waiting | None) -> tuple[str, str, str | None]:
    """Return exchange, routing key and message id of the original of a message."""
    if waiting is not None:
        return waiting.exchange, waiting.routing_key, waiting.message_id
    return message.exchange or "", message.routing_key or "", message.header.properties.message_id


def _lost(message: DeliveredMessage) -> list[str]:
    """Return what a copy in an inner queue does not carry as it came."""
    properties = message.header.properties
    bent = ["message_id"] if "message_id" in received(properties).bent else []
    places = (("exchange", message.exchange), ("routing_key", message.routing_key))
    bent += [name for name, place in places if isinstance(place, Escaped)]
    return [*dropped(properties.headers or {}), *bent]


def _is_theirs(name: str) -> bool:
    return not (is_ours(name) or name in COUNTS or name == ROUTING_COPIES)


def _whole(event_id: str) -> str | None:
    return event_id if len(event_id.encode("utf-8", "replace")) <= ID_BYTES else None


def _written(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _seconds(value: object) -> float:
    try:
        seconds = float(text(value))
    except ValueError:
        return 0.0
    return seconds if 0.0 <= seconds < MAX_WAITED else 0.0


def _now() -> datetime:
    return datetime.now(UTC)
