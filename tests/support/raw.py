"""Speaks AMQP byte by byte: any bytes in any property, as other clients may write them."""

import socket
import struct
from collections.abc import Mapping
from types import TracebackType
from typing import Self
from urllib.parse import unquote, urlsplit

BITS = {
    "content_type": 15,
    "content_encoding": 14,
    "headers": 13,
    "delivery_mode": 12,
    "priority": 11,
    "correlation_id": 10,
    "reply_to": 9,
    "expiration": 8,
    "message_id": 7,
    "timestamp": 6,
    "type": 5,
    "user_id": 4,
    "app_id": 3,
    "cluster_id": 2,
}
"""The bit of each property in the flags before them, which is also their order."""
_METHOD, _HEADER, _BODY = 1, 2, 3
_ACK, _RETURN = (60, 80), (60, 50)


def short(value: bytes) -> bytes:
    """Write a short string."""
    return bytes([len(value)]) + value


def long(value: bytes) -> bytes:
    """Write what is counted in four bytes."""
    return struct.pack(">I", len(value)) + value


def string(value: bytes) -> bytes:
    """Write a string as a value of a table."""
    return b"S" + long(value)


def table(*entries: tuple[bytes, bytes]) -> bytes:
    """Write a table of names and values, each value with its kind before it."""
    return long(b"".join(short(name) + value for name, value in entries))


def properties(written: Mapping[str, bytes]) -> bytes:
    """Write properties with their flags, in the order of the protocol."""
    present = sorted(written, key=lambda name: -BITS[name])
    flags = sum(1 << BITS[name] for name in present)
    return struct.pack(">H", flags) + b"".join(written[name] for name in present)


class Refused(Exception):  # noqa: N818 - reads as what it says
    """The broker takes no such message; it ended the connection or the channel."""


class RawUpstream:
    """A publisher with confirms; one message at a time."""

    def __init__(self, url: str) -> None:
        self._url = urlsplit(url)

    def __enter__(self) -> Self:
        """Connect and open a channel."""
        where = self._url
        self._socket = socket.create_connection((where.hostname or "", where.port or 5672), 30)
        self._socket.sendall(b"AMQP\x00\x00\x09\x01")
        self._read()
        user, password = (unquote(each or "guest") for each in (where.username, where.password))
        plain = long(f"\0{user}\0{password}".encode())
        self._method(0, 10, 11, table() + short(b"PLAIN") + plain + short(b"en_US"))
        self._read()
        self._method(0, 10, 31, struct.pack(">HIH", 2047, 131072, 0))
        self._method(0, 10, 40, short(unquote(where.path[1:]).encode()) + short(b"") + b"\0")
        self._read()
        self._method(1, 20, 10, short(b""))
        self._read()
        self._method(1, 85, 10, b"\0")
        self._read()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Hang up."""
        self._socket.close()

    def publish(
        self,
        body: bytes,
        written: Mapping[str, bytes],
        *,
        exchange: bytes = b"crm.items",
        key: bytes = b"item.2",
    ) -> None:
        """Publish a message, mandatory, and wait for its confirm; raises Refused."""
        self._method(1, 60, 40, b"\0\0" + short(exchange) + short(key) + b"\1")
        head = struct.pack(">HHQ", 60, 0, len(body)) + properties(written)
        self._frame(_HEADER, 1, head)
        for start in range(0, len(body), 100_000):
            self._frame(_BODY, 1, body[start : start + 100_000])
        while True:
            try:
                kind, payload = self._read()
            except OSError as error:
                raise Refused(str(error)) from None
            if kind != _METHOD:
                continue
            method = struct.unpack(">HH", payload[:4])
            if method == _ACK:
                return
            if method != _RETURN:
                raise Refused(f"{method} {payload[4:]!r}")

    def _method(self, channel: int, kind: int, method: int, arguments: bytes) -> None:
        self._frame(_METHOD, channel, struct.pack(">HH", kind, method) + arguments)

    def _frame(self, kind: int, channel: int, payload: bytes) -> None:
        self._socket.sendall(struct.pack(">BHI", kind, channel, len(payload)) + payload + b"\xce")

    def _read(self) -> tuple[int, bytes]:
        kind, _, length = struct.unpack(">BHI", self._exactly(7))
        payload = self._exactly(length)
        self._exactly(1)
        return kind, payload

    def _exactly(self, count: int) -> bytes:
        got = b""
        while len(got) < count:
            more = self._socket.recv(count - len(got))
            if not more:
                raise ConnectionError("the broker hung up")
            got += more
        return got
