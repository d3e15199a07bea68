"""Writes properties that any client may send: random and hostile, byte by byte."""

import random
import struct
from collections.abc import Callable, Mapping

from tests.support.raw import long, short, string, table

TEXTS = [
    b"Best\xe4tigung",
    bytes(range(0x80, 0x90)),
    b"",
    b"\xff" * 255,
    b"\xc3",
    b"a\x00\n\x1b[31m",
]
TIMES = [0, 1, 2**32, 1_764_364_800_000, 1_764_364_800_000_000, 2**63 - 1, 2**63, 2**64 - 1]
GO_ZERO = -62_135_596_800
"""The year 1, as clients in Go write a time that is not set."""
SHORT_TEXTS = (
    "content_type",
    "correlation_id",
    "reply_to",
    "message_id",
    "type",
    "app_id",
)


class Wild:
    """Makes properties by a seed, so that what failed can be made again."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)

    def properties(self) -> dict[str, bytes]:
        """Return some properties, each as it is written."""
        rng = self.rng
        written = {name: short(self.text()) for name in SHORT_TEXTS if rng.random() < 0.3}
        if rng.random() < 0.5:
            written["timestamp"] = self.time()
        if rng.random() < 0.3:
            written["priority"] = bytes([rng.randrange(256)])
        if rng.random() < 0.3:
            written["delivery_mode"] = bytes([rng.randrange(256)])
        if rng.random() < 0.8:
            written["headers"] = self.table(3)
        return written

    def text(self) -> bytes:
        """Return text, or what is none."""
        rng = self.rng
        if rng.random() < 0.5:
            return rng.choice(TEXTS)
        return rng.randbytes(rng.randrange(64))

    def time(self) -> bytes:
        """Return eight bytes of a time, mostly far away."""
        rng = self.rng
        if rng.random() < 0.2:
            return struct.pack(">q", GO_ZERO)
        return struct.pack(">Q", rng.choice(TIMES) if rng.random() < 0.7 else rng.getrandbits(64))

    def table(self, depth: int) -> bytes:
        """Return a table of names and values of all kinds, some names twice."""
        count = self.rng.randrange(6)
        return table(*((self.name(), self.value(depth)) for _ in range(count)))

    def name(self) -> bytes:
        """Return the name of a header: none of the broker's, which it reads itself."""
        return b"h" + self.text()[:254]

    def value(self, depth: int) -> bytes:
        """Return a value of any kind that the broker knows."""
        rng = self.rng
        simple: dict[bytes, Callable[[], bytes]] = {
            b"t": lambda: rng.randbytes(1),
            b"b": lambda: rng.randbytes(1),
            b"B": lambda: rng.randbytes(1),
            b"s": lambda: rng.randbytes(2),
            b"u": lambda: rng.randbytes(2),
            b"I": lambda: rng.randbytes(4),
            b"i": lambda: rng.randbytes(4),
            b"l": lambda: rng.randbytes(8),
            b"f": lambda: rng.randbytes(4),
            b"d": lambda: rng.randbytes(8),
            b"D": lambda: rng.randbytes(5),
            b"T": self.time,
            b"V": lambda: b"",
            b"S": lambda: long(self.text()),
            b"x": lambda: long(self.text()),
        }
        kind = rng.choice([*simple, b"A", b"F"]) if depth else rng.choice([*simple])
        if kind == b"F":
            return kind + self.table(depth - 1)
        if kind == b"A":
            values = (self.value(depth - 1) for _ in range(rng.randrange(4)))
            return kind + long(b"".join(values))
        return kind + simple[kind]()


def deep(levels: int, *, arrays: bool = False) -> bytes:
    """Return a table whose one value is nested so deep."""
    value = string(b"bottom")
    for _ in range(levels):
        value = b"A" + long(value) if arrays else b"F" + table((b"n", value))
    return table((b"deep", value))


def many(count: int) -> bytes:
    """Return a table of so many of the smallest headers there are."""
    return table(*((b"", b"V") for _ in range(count)))


HOSTILE: Mapping[str, Mapping[str, bytes]] = {
    "timestamp in microseconds": {"timestamp": struct.pack(">Q", 1_764_364_800_000_000)},
    "timestamp at the end": {"timestamp": b"\xff" * 8},
    "the year 1": {"headers": table((b"at", b"T" + struct.pack(">q", GO_ZERO)))},
    "binary correlation id": {"correlation_id": short(bytes(range(0x80, 0x90)))},
    "correlation id of 255 strange bytes": {"correlation_id": short(b"\xff" * 255)},
    "type in Latin-1": {"type": short(b"Best\xe4tigung")},
    "binary message id": {"message_id": short(b"\xc3\x28")},
    "binary content type": {"content_type": short(b"\xff")},
    "binary name": {"headers": table((b"\xff\xfe", string(b"x")))},
    "deep table": {"headers": deep(5_000)},
    "deep array": {"headers": deep(5_000, arrays=True)},
    "many headers": {"headers": many(50_000)},
    "priority and mode": {"priority": b"\xff", "delivery_mode": b"\x07"},
    "double": {"headers": table((b"d", b"d" + struct.pack(">d", 1e300)))},
    "a name twice": {"headers": table((b"a", string(b"1")), (b"a", string(b"2")))},
    "a long name": {"headers": table((b"n" * 255, string(b"1")))},
    "large headers": {"headers": table((b"big", string(b"b" * 129_000)))},
    "headers of ours": {
        "headers": table((b"import_attempts", b"V"), (b"import_redrive_count", b"T" + b"\xff" * 8))
    },
    "strange trace": {"headers": table((b"traceparent", string(b"\xff")), (b"tracestate", b"V"))},
}
