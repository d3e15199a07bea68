"""Reads what a dead letter says, and writes what goes back to the intake or into the queue."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic

from service.domain.events import ItemEvent, Malformed
from service.rabbit.copies import BODY, DROPPED, SHORT_STRING, Copy, shortened
from service.rabbit.decoding import Decoder, Incoming
from service.rabbit.delivery_counts import COUNTS, returns
from service.rabbit.encoding import ID_BYTES, Outgoing
from service.rabbit.our_headers import is_ours

UNDELIVERED: Final = "undelivered"
"""The kind of a letter that the broker put there itself: it has none of our headers."""
_KIND: Final = "import_error_kind"
_RESEND: Final = "import_resend"
"""The header that orders a new send although the item may exist."""
_OURS = "import_"
"""So begin the headers of a letter; what of upstream is called so stays behind."""
_DEATHS = ("x-death", "x-first-death-", "x-last-death-")
_ROUTING = frozenset({"CC", "BCC"})
MAX_REDRIVES = 2**31 - 1
PERHAPS_SENT = frozenset({"ambiguous", UNDELIVERED})
"""Kinds of letters whose item may exist. The broker puts aside what was delivered too often."""


@dataclass(frozen=True, slots=True, eq=False)
class Letter:
    """A dead letter as it lies in the queue.

    `event` is what its body says now; `returns` how often the broker counts it as returned.
    """

    tag: int
    body: bytes
    exchange: str
    routing_key: str
    properties: Basic.Properties
    headers: Mapping[str, Any]
    event: ItemEvent | Malformed

    @property
    def event_id(self) -> str:
        """The id that `--id` takes."""
        return self.event.event_id

    @property
    def entity_type_id(self) -> int | None:
        """The entity type; None where it cannot be read."""
        return self.event.entity_type_id

    @property
    def kind(self) -> str:
        """The kind of the failure."""
        told = text(self.headers.get(_KIND))
        return told if told and not _is_the_brokers(self.headers) else UNDELIVERED

    @property
    def code(self) -> str:
        """The code of the failure; the broker's reason where the broker put the letter there."""
        reason = text(self._death.get("reason"))
        told = text(self.headers.get("import_error_code"))
        return reason if self.kind == UNDELIVERED and reason else told

    @property
    def failed_at(self) -> datetime | None:
        """When the event failed, if the letter says so."""
        for found in (
            moment(self.headers.get("import_failed_at")),
            self._death.get("time"),
            self.properties.timestamp,
        ):
            if isinstance(found, datetime):
                return found
        return None

    @property
    def origin(self) -> tuple[str, str]:
        """Exchange and routing key of the original message."""
        keys = self._death.get("routing-keys")
        key = keys[0] if isinstance(keys, list) and keys else self.routing_key
        return (
            text(self.headers.get("import_original_exchange", self._death.get("exchange"))),
            text(self.headers.get("import_original_routing_key", key)),
        )

    @property
    def message_id(self) -> str | None:
        """The message id of the original."""
        return _original_id(self.properties)

    @property
    def redrives(self) -> int:
        """How often it was sent back before."""
        return count(self.headers.get("import_redrive_count"))

    @property
    def returns(self) -> int:
        """How often the broker has counted it as returned to this queue, by any of its counts."""
        return returns(self.headers)

    @property
    def is_bodyless(self) -> bool:
        """Whether its body was larger than the broker took, and is not here."""
        dropped = text(self.headers.get(DROPPED)).split(", ")
        return not self.body and BODY in dropped

    @property
    def unique(self) -> tuple[str, str] | None:
        """What every copy of this very letter shares with it; None where nothing does."""
        own = self.properties.message_id
        return None if self.kind == UNDELIVERED or not own else (own, self.event.digest)

    @property
    def renewal(self) -> str:
        """The mark of its first renewal, which later ones keep; empty where there was none."""
        return text(self.headers.get("import_renewed"))

    @property
    def _death(self) -> Mapping[str, Any]:
        deaths = self.headers.get("x-death")
        known = deaths if isinstance(deaths, list) else []
        return next((death for death in known if isinstance(death, dict)), {})


def read(message: DeliveredMessage, decoder: Decoder) -> Letter:
    """Read any delivered message as a dead letter; never raises."""
    properties = message.header.properties
    return Letter(
        tag=message.delivery_tag or 0,
        body=message.body,
        exchange=message.exchange or "",
        routing_key=message.routing_key or "",
        properties=properties,
        headers=properties.headers or {},
        event=decoder.decode(_incoming(properties, message.body)),
    )


def decoded(letter: Letter, body: bytes, decoder: Decoder) -> ItemEvent | Malformed:
    """Return what the original would say with another body."""
    return decoder.decode(_incoming(letter.properties, body))


def redriven(letter: Letter, exchange: str, body: bytes, *, resend: bool = False) -> Outgoing:
    """Return the original as it goes back to the intake, marked as redriven.

    Its kind says whether it may be in the CRM; a mark, that it is to be sent again all the same.
    """
    _, routing_key = letter.origin
    copy = Copy(letter.properties, letter.message_id, readable=False)
    copy.add_theirs(_is_theirs)
    if len(letter.event_id.encode()) <= ID_BYTES:
        copy.add_ours({"import_event_id": letter.event_id})
    copy.add_ours({_KIND: letter.kind})
    copy.add_ours({"import_redrive_count": min(letter.redrives + 1, MAX_REDRIVES)})
    if resend and letter.kind in PERHAPS_SENT:
        copy.add_ours({_RESEND: datetime.now(UTC).isoformat(timespec="seconds")})
    copy.fit(is_ours)
    return Outgoing("intake", exchange, shortened(routing_key, SHORT_STRING), body, copy)


def perhaps_sent(headers: Mapping[str, Any]) -> bool:
    """Tell whether a message of the intake says that its item may be in the CRM.

    Whoever moves dead letters back with another tool leaves the kind, and no mark of ours.
    """
    if "import_perhaps_sent" in headers:
        return True
    is_redriven = count(headers.get("import_redrive_count")) > 0
    return is_redriven and text(headers.get(_KIND)) in PERHAPS_SENT and _RESEND not in headers


def renewed(letter: Letter, queue: str) -> Outgoing:
    """Return the letter as it is put into its queue again, its returns forgotten."""
    exchange, routing_key = letter.origin
    unique = letter.properties.message_id or uuid.uuid4().hex
    copy = Copy(letter.properties, unique, readable=False)
    copy.add_theirs(lambda name: name not in COUNTS and name not in _ROUTING)
    ours = {
        "import_original_exchange": exchange,
        "import_original_routing_key": routing_key,
        "import_renewed": uuid.uuid4().hex,
    }
    copy.add_ours({name: ours[name] for name in ours.keys() - letter.headers.keys()})
    copy.fit(is_ours)
    return Outgoing("renewed", "", queue, letter.body, copy)


def text(value: object) -> str:
    """Return any value of a header as text."""
    if isinstance(value, bytes | bytearray):
        return value.decode("utf-8", "replace")
    return "" if value is None else str(value)


def _incoming(properties: Basic.Properties, body: bytes) -> Incoming:
    """Return what decides the original's content."""
    headers = properties.headers or {}
    return Incoming(
        body=body,
        headers=headers,
        content_type=properties.content_type,
        content_encoding=properties.content_encoding,
        message_id=_original_id(properties),
    )


def _original_id(properties: Basic.Properties) -> str | None:
    headers = properties.headers or {}
    if _KIND not in headers or _is_the_brokers(headers):
        return properties.message_id
    return text(headers.get("import_original_message_id")) or None


def _is_the_brokers(headers: Mapping[str, Any]) -> bool:
    """Tell whether the broker put a letter there: a redriven message names a kind, too."""
    return "x-death" in headers and "import_failed_at" not in headers


def _is_theirs(name: str) -> bool:
    """Tell whether a header goes back with the original: none of a letter, none that routes."""
    return not (name in COUNTS | _ROUTING or name.startswith((_OURS, *_DEATHS)))


def count(value: object) -> int:
    """Return a header's value as a count, one that can be raised; 0 where it is none."""
    return min(value, MAX_REDRIVES) if isinstance(value, int) and value > 0 else 0


def moment(value: object) -> datetime | None:
    """Return a header's value as a time in UTC; None where it is none."""
    try:
        found = datetime.fromisoformat(text(value))
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
