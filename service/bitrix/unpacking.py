"""Takes in an answer piece by piece, unpacked, and never more of it than is allowed."""

import zlib
from collections.abc import AsyncIterator, Mapping
from types import MappingProxyType

MAX_BYTES = 8_000_000
"""Longest answer, unpacked. A full answer has a thousandth of it; a compressed one may unpack to a
thousand times its size."""
PACKED = "gzip, deflate"
"""The encodings that we accept."""
_WINDOWS: Mapping[str, int] = MappingProxyType(
    {"gzip": zlib.MAX_WBITS | 16, "x-gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}
)
_PLAIN = frozenset({"", "identity"})
_ZLIB_METHOD = 8
"""The low half of the first byte of a zlib header; raw deflate has no such header."""


class CannotRead(Exception):  # noqa: N818 - reads as what it says
    """An answer cannot be taken in; the text says why."""


async def take_in(pieces: AsyncIterator[bytes], encoding: str, most: int = MAX_BYTES) -> bytes:
    """Return a whole answer, unpacked as its `Content-Encoding` says; raises CannotRead."""
    steps = [each.strip().lower() for each in encoding.split(",")]
    named = [step for step in steps if step not in _PLAIN]
    if len(named) > 1 or not _WINDOWS.keys() >= set(named):
        raise CannotRead("is compressed in an unknown way")
    unpack = _Unpacking(_WINDOWS[named[0]]) if named else None
    taken, arrived = bytearray(), 0
    async for piece in pieces:
        arrived += len(piece)
        taken += piece if unpack is None else unpack(piece, most - len(taken))
        if len(taken) > most or arrived > most:
            raise CannotRead(f"is larger than {most // 1_000_000} MB")
    if unpack is not None and arrived and not unpack.whole:
        raise CannotRead("is compressed and incomplete")
    return bytes(taken)


class _Unpacking:
    """Unpacks one stream; what follows its end is no part of the answer."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._inflate: zlib._Decompress | None = None

    @property
    def whole(self) -> bool:
        return self._inflate is not None and self._inflate.eof

    def __call__(self, piece: bytes, room: int) -> bytes:
        """Return what a piece holds, at most a byte more than there is room for."""
        if self._inflate is None:
            if not piece:
                return b""
            headless = self._window == zlib.MAX_WBITS and piece[0] & 15 != _ZLIB_METHOD
            self._inflate = zlib.decompressobj(-zlib.MAX_WBITS if headless else self._window)
        if self._inflate.eof:
            return b""
        try:
            return self._inflate.decompress(piece, room + 1)
        except zlib.error:
            raise CannotRead("is compressed and damaged") from None
