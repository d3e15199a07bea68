"""Turns the bytes of a file into UTF-8: unpacks gzip, reads other encodings."""

import codecs
import shlex
import zlib
from collections.abc import Iterator
from itertools import chain

from service.commands.publish import formats
from service.commands.publish.source import STANDARD_INPUT
from service.factories import CannotStart

_GZIP_BITS = 31
"""zlib's number for a gzip header with the largest window."""
UNPACKED = 1_048_576
"""Most bytes that are unpacked at once, however much a chunk expands."""
_MARK = 4
"""Length of the longest byte order mark."""


def plain_text(chunks: Iterator[bytes], name: str, encoding: str | None) -> Iterator[bytes]:
    """Yield the text of a file in UTF-8, read in `encoding`, or in what it looks like.

    Raises CannotStart for what is no text, or damaged.
    """
    head, rest = _peeked(chunks)
    if head.startswith(formats.GZIP):
        head, rest = _peeked(_unpacked(chain([head], rest), name))
        if head.startswith(formats.GZIP):
            raise CannotStart(f"{name} is packed with gzip twice: unpack it once with gunzip")
    kind = formats.not_text(head)
    if kind is not None:
        file = "FILE" if name == STANDARD_INPUT else shlex.quote(name)
        raise CannotStart(f"{name} is {kind.replace('FILE', file)}; nothing was published")
    encoding = encoding or formats.wide_encoding(head)
    if encoding is None:
        _see_that_it_is_text(head, name)
    whole = chain([head], rest)
    yield from whole if encoding in (None, "utf-8") else _decoded(whole, name, str(encoding))


def _see_that_it_is_text(head: bytes, name: str) -> None:
    if formats.is_binary(head):
        raise CannotStart(
            f"{name} is a binary file, not text: publish takes JSON Lines and CSV; "
            "nothing was published"
        )
    # A line of JSON that is not UTF-8 is refused by itself: JSON has no other encoding.
    foreign = None if head.lstrip().startswith((b"{", b"[")) else formats.foreign_encoding(head)
    if foreign is not None:
        raise CannotStart(
            f"{name} is not UTF-8, it looks like {foreign}: add --encoding {foreign}, or save it "
            "as 'CSV UTF-8'; nothing was published"
        )


def _peeked(chunks: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """Return the first bytes, enough to know a mark, and what follows them."""
    head = b""
    for chunk in chunks:
        head += chunk
        if len(head) >= _MARK or head.endswith(b"\n"):
            break
    return head, chunks


def _unpacked(chunks: Iterator[bytes], name: str) -> Iterator[bytes]:
    """Unpack gzip, of several parts too, as `cat a.gz b.gz` makes it."""
    unpacker = zlib.decompressobj(wbits=_GZIP_BITS)
    for chunk in chunks:
        rest = chunk
        while rest:
            # Some tools pad the end with zeros.
            rest = rest.lstrip(b"\0") if unpacker.eof else rest
            if rest and unpacker.eof:
                unpacker = zlib.decompressobj(wbits=_GZIP_BITS)
            yield from _parts(unpacker, rest, name)
            rest = unpacker.unused_data if rest else b""
    if not unpacker.eof:
        raise CannotStart(f"{name} is cut off: its gzip data ends too early")


def _parts(unpacker: "zlib._Decompress", packed: bytes, name: str) -> Iterator[bytes]:
    """Unpack, a bounded piece at a time."""
    try:
        while plain := unpacker.decompress(packed, UNPACKED):
            yield plain
            packed = unpacker.unconsumed_tail
    except zlib.error:
        raise CannotStart(f"{name} is damaged: its gzip data cannot be unpacked") from None


def _decoded(chunks: Iterator[bytes], name: str, encoding: str) -> Iterator[bytes]:
    """Yield UTF-8; what is no text becomes what is no UTF-8, so that its line is refused."""
    is_wide = codecs.lookup(encoding).name.startswith(("utf-16", "utf-32"))
    decoder = codecs.getincrementaldecoder(encoding)(
        "surrogatepass" if is_wide else "surrogateescape"
    )
    try:
        for chunk in chunks:
            yield decoder.decode(chunk).encode("utf-8", "surrogatepass")
        yield decoder.decode(b"", final=True).encode("utf-8", "surrogatepass")
    except UnicodeError:
        raise CannotStart(
            f"{name} is cut off or damaged: it cannot be read as {encoding}"
        ) from None
