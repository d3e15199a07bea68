"""Notes what the importer and the broker say to each other, as the frames pass."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pamqp import commands, frame
from pamqp.header import ContentHeader

Note = Callable[..., None]
"""Takes the name of an operation and its members."""
METHOD, HEADER, BODY = 1, 2, 3
PREFIX = "crm.items"
INTAKE = f"{PREFIX}.import"
MAX_NAME = 1_000
"""Characters of an event id; a longer one names no event."""
TARGETS: Mapping[str, str] = {
    PREFIX: "intake",
    f"{PREFIX}.dlx": "dead_letter",
}


@dataclass(slots=True)
class _Content:
    """A method that carries a message, and as much of the message as has passed."""

    method: object
    headers: Mapping[str, Any] = field(default_factory=dict)
    message_id: str | None = None
    left: int | None = None
    body: bytes = b""


@dataclass(slots=True)
class _Channel:
    """What is open on one channel: messages under way, acknowledgements and confirms to come."""

    content: dict[str, _Content] = field(default_factory=dict)
    queues: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    got: list[str] = field(default_factory=list)
    held: set[int] = field(default_factory=set)
    sent: int = 0
    unconfirmed: dict[int, str | None] = field(default_factory=dict)
    returned: set[int] = field(default_factory=set)


class Wiretap:
    """Turns frames into operations: deliver, ack, give_back, send, confirm, refuse, hang_up."""

    def __init__(self, note: Note) -> None:
        self._note = note
        self._lines = 0
        self._channels: dict[tuple[int, int], _Channel] = {}

    def connected(self) -> int:
        """Give a new connection its number."""
        self._lines += 1
        return self._lines

    def hung_up(self, line: int) -> None:
        """Note the end of a connection."""
        for place in [place for place in self._channels if place[0] == line]:
            del self._channels[place]
        self._note("hang_up", line=line)

    def frame(self, line: int, sender: str, head: bytes, rest: bytes) -> None:
        """Take a frame that passes."""
        number = int.from_bytes(head[1:3])
        if number == 0:
            return
        channel = self._channels.setdefault((line, number), _Channel())
        place = {"line": line, "channel": number}
        if head[0] == METHOD:
            self._method(channel, place, sender, frame.unmarshal(head + rest)[2])
            return
        content = channel.content.get(sender)
        if content is None:
            return
        if head[0] == HEADER:
            # class, weight, then the size of the body: readable whatever the properties are
            content.left = int.from_bytes(rest[4:12])
            _read_properties(content, head + rest)
        elif head[0] == BODY:
            content.body += rest[:-1]
        if content.left is not None and len(content.body) >= content.left:
            del channel.content[sender]
            self._message(channel, place, content)

    def _method(
        self, channel: _Channel, place: Mapping[str, int], sender: str, method: object
    ) -> None:
        match method:
            case commands.Basic.Publish():
                channel.sent += 1
                channel.content[sender] = _Content(method)
            case commands.Basic.Deliver() | commands.Basic.GetOk() | commands.Basic.Return():
                channel.content[sender] = _Content(method)
            case commands.Basic.Ack() | commands.Basic.Nack() | commands.Basic.Reject():
                self._answers(channel, place, sender, method)
            case _:
                _asked(channel, method)

    def _answers(
        self,
        channel: _Channel,
        place: Mapping[str, int],
        sender: str,
        method: "commands.Basic.Ack | commands.Basic.Nack | commands.Basic.Reject",
    ) -> None:
        """Note each message that an answer speaks of, the older ones too if it says so."""
        tag = int(method.delivery_tag or 0)
        several = bool(getattr(method, "multiple", False))
        positive = isinstance(method, commands.Basic.Ack)
        if sender == "client":
            for one in sorted(channel.held):
                if one == tag or (several and (tag == 0 or one < tag)):
                    channel.held.discard(one)
                    self._note("ack" if positive else "give_back", **place, tag=one)
            return
        for one in sorted(channel.unconfirmed):
            if one == tag or (several and one < tag):
                del channel.unconfirmed[one]
                good = positive and one not in channel.returned
                self._note("confirm" if good else "refuse", **place, number=one)

    def _message(self, channel: _Channel, place: Mapping[str, int], content: _Content) -> None:
        match content.method:
            case commands.Basic.Publish(exchange=exchange, routing_key=key):
                channel.unconfirmed[channel.sent] = content.message_id
                target = _target(str(exchange), str(key))
                named = "" if target == "memory" else event_of(content.headers, content.body)
                body = digest(content.body)
                self._note("send", **place, number=channel.sent, to=target, event=named, body=body)
            case commands.Basic.Return():
                back = [
                    number
                    for number, message_id in channel.unconfirmed.items()
                    if message_id == content.message_id
                ]
                channel.returned |= set(back[:1])
            case commands.Basic.Deliver(consumer_tag=consumer, delivery_tag=tag):
                queue = channel.queues.get(str(consumer), "")
                self._delivered(channel, place, content, queue, int(tag or 0))
            case commands.Basic.GetOk(delivery_tag=tag):
                queue = channel.got.pop(0) if channel.got else ""
                self._delivered(channel, place, content, queue, int(tag or 0))
            case _:
                pass

    def _delivered(
        self,
        channel: _Channel,
        place: Mapping[str, int],
        content: _Content,
        queue: str,
        tag: int,
    ) -> None:
        """Note a delivery; those of the memory are too many to be of use."""
        if queue.endswith(".memory"):
            return
        channel.held.add(tag)
        self._note(
            "deliver",
            **place,
            tag=tag,
            queue=queue,
            event=event_of(content.headers, content.body),
            redelivered=bool(getattr(content.method, "redelivered", False)),
        )


def _asked(channel: _Channel, method: object) -> None:
    """Keep in mind which queue a channel takes messages from."""
    match method:
        case commands.Basic.Consume() if method.consumer_tag:
            # A stream may deliver before the answer to this.
            channel.queues[str(method.consumer_tag)] = str(method.queue)
        case commands.Basic.Consume():
            channel.asked.append(str(method.queue))
        case commands.Basic.ConsumeOk() if (
            channel.asked and str(method.consumer_tag) not in channel.queues
        ):
            channel.queues[str(method.consumer_tag)] = channel.asked.pop(0)
        case commands.Basic.Get():
            channel.got.append(str(method.queue))
        case commands.Basic.GetEmpty() if channel.got:
            channel.got.pop(0)
        case commands.Confirm.Select():
            channel.sent = 0
        case _:
            pass


def digest(body: bytes) -> str:
    """Return a short name of a body: two that have it are the same, byte for byte."""
    return hashlib.sha256(body).hexdigest()[:16]


def event_of(headers: Mapping[str, Any], body: bytes) -> str:
    """Return the id of the event that a message speaks of, as the tests name it."""
    if (named := headers.get("import_event_id")) is not None:
        return str(named)
    try:
        read = json.loads(body)
        if isinstance(read, dict) and isinstance(data := read.get("data"), dict):
            read = {"id": data.get("eventId")}
        name = str(read["id"])
        if len(name) <= MAX_NAME:
            return name
    except (ValueError, LookupError, TypeError, RecursionError):
        pass
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def _target(exchange: str, key: str) -> str:
    """Say in a word where a message goes."""
    if exchange == f"{PREFIX}.results":
        return key.partition(".")[0]
    if exchange:
        return TARGETS.get(exchange, exchange)
    if key == INTAKE:
        return "intake"
    return key.removeprefix(f"{PREFIX}.").partition(".")[0] or "nowhere"


def _read_properties(content: _Content, written: bytes) -> None:
    """Read the properties; those that the library cannot read are not needed."""
    try:
        header = frame.unmarshal(written)[2]
    except Exception:  # noqa: BLE001 - hostile values are sent on purpose
        return
    if isinstance(header, ContentHeader):
        content.headers = dict(header.properties.headers or {})
        content.message_id = header.properties.message_id
