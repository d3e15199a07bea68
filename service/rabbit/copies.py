"""Writes the properties of a message that is sent on: what stays as it came, byte for byte."""

import logging
import struct
from collections.abc import Callable, Mapping
from typing import Any, Final

from pamqp import encode
from pamqp.commands import Basic

from service.rabbit.wire import Header, Received

SHORT_STRING: Final = 255
"""Most bytes of a property, a header's name, a routing key."""
MAX_HEADER_BYTES: Final = 126_000
"""Most bytes of all headers: the broker's frame has 131,064 bytes, the other properties may take
2,100 of them, and the broker adds counts of its own."""
DROPPED: Final = "import_dropped_headers"
DROPPED_BYTES: Final = 1000
"""Most bytes of the list of dropped headers."""
ROUTING_COPIES: Final = "CC"
"""The broker takes it for more routing keys: at the default exchange, for names of queues."""
KEPT_COPIES: Final = "import_original_cc"
"""The name of that header while it must not route."""
BODY: Final = "body"
"""The name of the body in the list of what was dropped."""
_LEFT_OUT = frozenset({"headers", "delivery_mode", "message_id", "expiration", "user_id"})
_COPIED = tuple(name for name in Basic.Properties.__slots__ if name not in _LEFT_OUT)
_UNWRITABLE = (TypeError, ValueError, OverflowError, AttributeError, struct.error, RecursionError)
# The library warns of every long name; it is written as it came, not by the library.
logging.getLogger("pamqp.encode").setLevel(logging.ERROR)


class Copy(Basic.Properties):
    """The properties of a copy: persistent, never expiring, of nobody, under an id of its own.

    With `readable`, what other clients cannot read is written so that they can, or left out, and
    named in `import_dropped_headers`; without it the copy is exact.
    """

    def __init__(
        self, original: Basic.Properties, message_id: str | None, *, readable: bool
    ) -> None:
        """Copy all but the headers."""
        unique = shortened(message_id, SHORT_STRING) if message_id else None
        super().__init__(delivery_mode=2, message_id=unique)
        self.values: dict[str, Any] = {}
        self.headers = self.values
        self.dropped: dict[str, None] = {}
        self._told = ""
        """As much of the list of dropped headers as is told; joined anew for each it is slow."""
        self._readable = readable
        self._original = received(original)
        self._written: dict[str, bytes] = {}
        self._table: list[tuple[str, bytes]] = []
        for name in _COPIED:
            if name in self._original.written:
                self._copy(name)
        if readable and "message_id" in self._original.bent:
            self.drop("message_id")

    def add_theirs(self, wanted: Callable[[str], bool]) -> None:
        """Copy the original's headers whose names are wanted."""
        for header in self._original.table:
            if wanted(header.name):
                self._add(header)

    def add_renamed(self, old: str, new: str) -> None:
        """Copy the original's headers of one name under another one."""
        name = encode.short_string(new)
        for header in self._original.table:
            if header.name == old and header.written:
                written = name + header.written[1 + header.written[0] :]
                self._add(header._replace(name=new, written=written))

    def add_ours(self, headers: Mapping[str, Any]) -> None:
        """Add headers of our own."""
        for name, value in headers.items():
            self._put(name, value, _entry(name, value))

    def fit(self, is_ours: Callable[[str], bool]) -> None:
        """Drop headers, largest first, until the rest fits a frame; ours stay."""
        table = self._table
        theirs = [at for at, (name, _) in enumerate(table) if not is_ours(name)]
        theirs.sort(key=lambda at: len(table[at][1]))
        over = sum(len(written) for _, written in table) - MAX_HEADER_BYTES
        gone: dict[int, None] = {}
        while theirs and over > 0:
            largest = theirs.pop()
            over -= len(table[largest][1])
            gone[largest] = None
        self._table = [entry for at, entry in enumerate(table) if at not in gone]
        for name in {table[at][0] for at in gone} - {name for name, _ in self._table}:
            self.values.pop(name, None)
        self.drop(*(table[at][0] for at in gone))

    def drop(self, *names: str) -> None:
        """Note what this copy does not carry as it came."""
        for name in names:
            if name not in self.dropped:
                if len(self._told) < DROPPED_BYTES:
                    self._told += f", {name}" if self.dropped else name
                self.dropped[name] = None
        if self.dropped:
            self.values[DROPPED] = shortened(self._told, DROPPED_BYTES)

    def marshal(self) -> bytes:
        """Write them for the wire."""
        parts = dict(self._written)
        table = b"".join(each for _, each in self._table)
        if self.dropped:
            table += _entry(DROPPED, self.values[DROPPED])
        parts["headers"] = len(table).to_bytes(4, "big") + table
        parts["delivery_mode"] = b"\x02"
        if self.message_id:
            parts["message_id"] = encode.short_string(self.message_id)
        flags = sum(self.flags[name] for name in parts)
        names = (name for name in Basic.Properties.__slots__ if name in parts)
        return flags.to_bytes(2, "big") + b"".join(parts[name] for name in names)

    def _copy(self, name: str) -> None:
        value, written = getattr(self._original, name), self._original.written[name]
        called = _called(name)
        if self._readable and called in self._original.bent:
            self.drop(called)
            if value is None:
                return
            value = shortened(value, SHORT_STRING)
            written = encode.short_string(value)
        setattr(self, name, value)
        self._written[name] = written

    def _add(self, header: Header) -> None:
        name, value, written, bent = header
        if bent and self._readable:
            self.drop(name)
            try:
                name = shortened(name, 128)
                written = _entry(name, value)
            except _UNWRITABLE:
                return
        self._put(name, value, written)

    def _put(self, name: str, value: object, written: bytes) -> None:
        self._table.append((name, written))
        self.values.setdefault(name, value)


def dropped(headers: Mapping[str, Any]) -> list[str]:
    """Return what earlier copies of a message could not carry over."""
    told = headers.get(DROPPED)
    return told.split(", ") if isinstance(told, str) and told else []


def received(original: Basic.Properties) -> Received:
    """Return properties as if they had come over the wire; what cannot be written is bent."""
    if isinstance(original, Received):
        return original
    found = Received()
    for name in Basic.Properties.__slots__:
        value = getattr(original, name)
        if name == "headers":
            found.headers = value
            found.table = [_header(*each) for each in (value or {}).items()]
        elif value not in {None, ""}:
            try:
                found.written[name] = original.encode_property(name, value)
                setattr(found, name, value)
            except _UNWRITABLE:
                found.written[name] = b""
                found.bent.append(_called(name))
    return found


def _header(name: str, value: Any) -> Header:  # noqa: ANN401 - whatever a header may hold
    # The library reads a byte string as bytes and writes only bytearrays.
    value = bytearray(value) if isinstance(value, bytes) else value
    try:
        return Header(name, value, _entry(name, value), bent=False)
    except _UNWRITABLE:
        return Header(name, value, b"", bent=True)


def _entry(name: str, value: Any) -> bytes:  # noqa: ANN401 - whatever a header may hold
    return encode.short_string(name) + encode.encode_table_value(value)


def _called(name: str) -> str:
    """Return what people call a property."""
    return "type" if name == "message_type" else name


def shortened(text: str, most: int) -> str:
    """Return what of a text fits into this many bytes; what cannot be written is replaced."""
    return text.encode("utf-8", "replace")[:most].decode("utf-8", "ignore")
