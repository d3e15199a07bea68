"""Reads what a publisher wrote beside a body, whatever it is, and keeps the bytes it came in.

The broker passes on what the client library refuses to read: a time in the year 57,000, text that
is not UTF-8, a table nested a thousand deep. The library then gives up the whole connection, and
the next one meets the same message. So frames become values here.
"""

import struct
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple

import pamqp.frame
from pamqp import constants
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.header import ContentHeader

MAX_DEPTH: Final = 64
"""Levels of a header's value that are read; deeper ones stay bytes."""
UNREADABLE: Final = "(unreadable)"
"""The name of the rest after a value of an unknown kind, whose length nobody knows."""
_IN_MILLISECONDS = 0xFFFF_FFFF
"""Larger times are milliseconds: as seconds they would lie after the year 2106."""
_NUMBERS: Final = {
    ord(tag): struct.Struct(f">{form}")
    for tag, form in zip("tbBsuIilLfd", "?bBhHiIqqfd", strict=True)
}
_LENGTH: Final = struct.Struct(">I")
_TIME: Final = struct.Struct(">Q")
_DECIMAL: Final = struct.Struct(">Bi")
_PROPERTIES: Final = tuple(
    (name, Basic.Properties.flags[name], Basic.Properties.amqp_type(name))
    for name in Basic.Properties.__slots__
)
"""Each property, in the order of the wire: its name, its flag, its kind."""
_CONTENT: Final = frozenset({constants.FRAME_HEADER, constants.FRAME_BODY})
_library_unmarshal = pamqp.frame.unmarshal


class Escaped(str):
    r"""Text that is not UTF-8, its strange bytes as `\xNN`: readable, but not as it came."""

    __slots__ = ()


class Header(NamedTuple):
    """One header. `written` is name and value as they came.

    `bent`: other clients cannot read it, and `value` (or its name) stands for what came.
    """

    name: str
    value: Any
    written: bytes
    bent: bool


class _Unknown(Exception):  # noqa: N818 - never leaves this module
    """An unknown kind of value, or one that ends too early."""


class Received(Basic.Properties):
    """The properties of a message that came; never raises, whatever is in it.

    `written` has the bytes of every property but the headers, which `table` has one by one, also
    those with a name that came before; `headers` has the first of each name. `bent` names the
    properties that other clients cannot read.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        super().__init__()
        self.written: dict[str, bytes] = {}
        self.table: list[Header] = []
        self.bent: list[str] = []

    def unmarshal(self, flags: int, data: bytes) -> None:
        """Read the properties that a frame brought."""
        at = 0
        try:
            for name, flag, kind in _PROPERTIES:
                if flags & flag:
                    at = self._read(name, kind, data, at)
        except (struct.error, IndexError):
            self.bent.append(UNREADABLE)

    def _read(self, name: str, kind: str, data: bytes, at: int) -> int:
        """Read one property; returns where the next one begins."""
        if kind == "table":
            (length,) = _LENGTH.unpack_from(data, at)
            end: int = at + _LENGTH.size + length
            self.table = list(_entries(data, at + _LENGTH.size, min(end, len(data)), 1))
            self.headers = {each.name: each.value for each in reversed(self.table)}
            return end
        value: Any
        if kind == "octet":
            value, end = data[at], at + 1
        elif kind == "timestamp":
            (number,) = _TIME.unpack_from(data, at)
            value, end = moment(number), at + _TIME.size
        else:
            end = at + 1 + data[at]
            value = text(data[at + 1 : end])
        if end > len(data):
            raise IndexError
        # The receiver needs plain text: JSON encoders refuse some kinds.
        setattr(self, name, str(value) if isinstance(value, Escaped) else value)
        self.written[name] = data[at:end]
        if value is None or isinstance(value, Escaped):
            self.bent.append("type" if name == "message_type" else name)
        return end


def text(written: bytes) -> str:
    """Return text as it came, or `Escaped` where it is not UTF-8."""
    try:
        return written.decode()
    except UnicodeDecodeError:
        return Escaped(written.decode("utf-8", "backslashreplace"))


def moment(number: int) -> datetime | None:
    """Return the time of seconds, or of milliseconds where they are many; None out of range."""
    try:
        seconds = number / 1000 if number > _IN_MILLISECONDS else number
        return datetime.fromtimestamp(seconds, tz=UTC)
    except (ValueError, OverflowError, OSError):
        return None


def unmarshal(data: bytes) -> tuple[int, int, pamqp.frame.FrameTypes]:
    """Read one whole frame as the library does, but for the properties of a message."""
    kind, channel, _ = pamqp.frame.frame_parts(data)
    if kind not in _CONTENT or data[-1] != constants.FRAME_END:
        return _library_unmarshal(data)
    payload = data[constants.FRAME_HEADER_SIZE : -1]
    if kind == constants.FRAME_BODY:
        return len(data), channel, ContentBody(payload)
    header = ContentHeader(properties=Received())
    header.unmarshal(payload)
    return len(data), channel, header


def short_string(data: bytes) -> tuple[int, str]:
    """Read a name as the library does, whatever its bytes: how many they are, and the name."""
    end = 1 + data[0]
    return end, text(data[1:end])


def _entries(data: bytes, at: int, end: int, depth: int) -> Iterator[Header]:
    """Yield the entries of a table, each byte looked at once."""
    while at < end:
        start, key, value, bent = at, UNREADABLE, None, True
        try:
            key_end = at + 1 + data[at]
            key = text(data[at + 1 : key_end])
            value, at, bent = _value(data, key_end, end, depth)
        except (_Unknown, struct.error, IndexError):
            at = end + 1
        if at > end:
            yield Header(UNREADABLE, None, data[start:end], bent=True)
            return
        yield Header(str(key), value, data[start:at], bent or isinstance(key, Escaped))


def _value(data: bytes, at: int, end: int, depth: int) -> tuple[Any, int, bool]:
    """Return a value, where the next one begins, and whether it is not as it came."""
    tag, at = data[at], at + 1
    if tag in _NUMBERS:
        form = _NUMBERS[tag]
        return form.unpack_from(data, at)[0], at + form.size, False
    kind = chr(tag)
    match kind:
        case "V" | "\0":
            return None, at, False
        case "T":
            (number,) = _TIME.unpack_from(data, at)
            found = moment(number)
            # Many clients write times before 1970 as what they are: negative.
            signed = number - (1 << 64) if number >= 1 << 63 else number
            return signed if found is None else found, at + _TIME.size, found is None
        case "D":
            scale, digits = _DECIMAL.unpack_from(data, at)
            return Decimal(digits).scaleb(-scale), at + _DECIMAL.size, False
        case "S" | "x" | "A" | "F":
            (length,) = _LENGTH.unpack_from(data, at)
            at += _LENGTH.size
            if at + length > end:
                raise _Unknown
            value, bent = _sized(kind, data, at, at + length, depth)
            return value, at + length, bent
        case _:
            raise _Unknown


def _sized(tag: str, data: bytes, at: int, end: int, depth: int) -> tuple[Any, bool]:
    """Return a value whose bytes are known, and whether it is not as it came."""
    if tag == "x":
        return bytearray(data[at:end]), False
    if tag == "S":
        try:
            return data[at:end].decode(), False
        except UnicodeDecodeError:
            return data[at:end], False
    if depth >= MAX_DEPTH:
        return UNREADABLE, True
    if tag == "F":
        entries = list(_entries(data, at, end, depth + 1))
        return {each.name: each.value for each in reversed(entries)}, any(
            each.bent for each in entries
        )
    return _array(data, at, end, depth + 1)


def _array(data: bytes, at: int, end: int, depth: int) -> tuple[list[Any], bool]:
    found: list[Any] = []
    is_bent = False
    try:
        while at < end:
            value, at, bent = _value(data, at, end, depth)
            found.append(value)
            is_bent = is_bent or bent
    except (_Unknown, struct.error, IndexError):
        return found, True
    return found, is_bent
