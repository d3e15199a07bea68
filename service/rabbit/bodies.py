"""Unpacks bodies and reads them as strict JSON, in a time that grows with their bytes alone."""

import gc
import re
import zlib
from functools import lru_cache
from itertools import accumulate
from typing import Final

import jiter

from service.domain.events import MalformedCode

MAX_DEPTH: Final = 64
GZIP: Final = "gzip"
BOM: Final = b"\xef\xbb\xbf"
MAX_VALUES: Final = 250_000
"""Most values in a body, more than any item has."""
MAX_MEMBERS: Final = 1000
"""Most parts of a gzip body. Each part takes time, even when it is empty."""
MAX_DIGITS: Final = 1500
"""Most digits of a number. A double ends at 309, an id at 1,000."""
MAX_DOUBLE: Final = 309
PAIR: Final = 2
_PIECE = 65_536
_PLAIN = frozenset(
    {
        "",
        "identity",
        "cp65001",
        "us-ascii",
        "ascii",
        "iso646-us",
        "ansi-x3.4-1968",
        "ansi-x3.4-1986",
        "iso-646.irv",
        "iso-646.irv-1991",
        "iso-ir-6",
        "ibm367",
        "cp367",
        "us",
        "csascii",
        "7bit",
        "8bit",
        "binary",
    }
)
"""Names of ASCII, rare ones of UTF-8, and words for a body without encoding."""
_UTF_8 = re.compile(
    r"(?:cs|x-)?(?:unicode[-0-9]*)?(?:system\.text\.)?utf-?8-?(?:sig|bom|mb[34]|encoding\w*)?"
)
"""Names of UTF-8, those that .NET shows to people and those of databases too."""
_SPOKEN = re.compile(r"unicode \(utf-8\)|utf 8")
_PACKED = frozenset({GZIP, "x-gzip"})
_BETWEEN = re.compile(r"[\s,;:/+|&]+")
_PARAMETER = re.compile(r";\s*(?!charset=)[a-z0-9-]+=[^;,]*")
_STRINGS = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\Z)', re.DOTALL)
_LONG_DIGITS = re.compile(rb"(?<!\d)(\d{%d})\d++" % MAX_DIGITS)
_WITH_EXPONENT = re.compile(rb"(?<![\d.])\d++(?:\.\d++)?[eE][+-]?\d++")
_VERY_LONG = re.compile(rb"(?<![\d.])\d{%d}\d*+\.\d++(?![\deE])" % MAX_DOUBLE)
_VERY_LONG_WHOLE = re.compile(rb"(?<![\d.eE+-])-?(\d{%d}\d*+)(?![.eE])" % MAX_DOUBLE)
_MARKS = re.compile(rb"(?:%b)*+" % BOM)
_NO_BRACKETS = bytes(code for code in range(256) if code not in b"[]{}")
_KINDS = bytes.maketrans(b"123456789E", b"000000000e")
"""Maps all digits to one, and all signs of an exponent to one."""
_EXPONENT: Final = b"0e"
_STEP = [1 if code in b"[{" else -1 for code in range(256)]
_OTHERS: Final = (
    (b"\x1f\x8b", "it looks like gzip: set content_encoding to gzip"),
    (b"\xff\xfe", "it looks like UTF-16: send UTF-8"),
    (b"\xfe\xff", "it looks like UTF-16: send UTF-8"),
    (b"{\0", "it looks like UTF-16: send UTF-8"),
    (b"\0{", "it looks like UTF-16: send UTF-8"),
    (b"\0S", "it is an AMQP 1.0 value: send the JSON as binary data"),
    (
        b"\xac\xed\x00",
        "it is a Java object: send JSON, for example with Jackson2JsonMessageConverter",
    ),
    (b"\x80\x02", "it is a Python pickle: send JSON"),
    (b"\x80\x04", "it is a Python pickle: send JSON"),
    (b"\x80\x05", "it is a Python pickle: send JSON"),
    (b"<", "it looks like XML: send JSON"),
)
"""First bytes of other formats, and what to do about them."""


class Unreadable(Exception):  # noqa: N818 - reads as what it says
    """A body is no item event; the text names the thing and the remedy."""

    def __init__(self, code: MalformedCode, message: str) -> None:
        """Take the code of the failed event."""
        super().__init__(message)
        self.code = code


def wrong_shape(message: str) -> Unreadable:
    """Return what to raise for JSON that is no item event."""
    return Unreadable(MalformedCode.WRONG_SHAPE, message)


# Upstream sends few of them, for every event the same: only the first few are worked out.
@lru_cache(maxsize=16)
def encoding_of(content_encoding: str | None) -> str:
    """Return `gzip`, or nothing for a plain body; else the unknown encoding.

    A pair of both, as some clients write it, stands in any order. Parameters, as content types
    have them, tell nothing, but for the charset.
    """
    said = (content_encoding or "").strip().lower()
    named = _PARAMETER.sub("", said.replace("irv:", "irv-").replace('"', ""))
    named = _SPOKEN.sub("utf-8", named)
    words = [word.removeprefix("charset=").replace("_", "-") for word in _BETWEEN.split(named)]
    packed = sum(word in _PACKED for word in words)
    known = all(word in _PLAIN | _PACKED or _UTF_8.fullmatch(word) for word in words)
    if len(words) > PAIR or packed > 1 or not known:
        return said
    return GZIP if packed else ""


def plain_body(body: bytes, content_encoding: str | None, most: int) -> bytes:
    """Return a body unpacked; raises Unreadable, also where it has more than `most` bytes."""
    encoding = encoding_of(content_encoding)
    if encoding not in {"", GZIP}:
        raise Unreadable(
            MalformedCode.UNKNOWN_ENCODING,
            f"content_encoding {encoding[:50]!r} is not known: send UTF-8, plain or packed "
            f"with gzip",
        )
    if len(body) <= most and encoding == GZIP:
        plain = unpacked(body, most)
        if plain is None:
            raise Unreadable(
                MalformedCode.UNKNOWN_ENCODING,
                "content_encoding says gzip, but the body is not a whole gzip stream of at most "
                f"{MAX_MEMBERS:,} parts",
            )
        body = plain
    if len(body) > most:
        raise Unreadable(
            MalformedCode.MESSAGE_TOO_LARGE,
            f"the body is larger than {most} bytes: split it or raise RABBIT__MAX_MESSAGE_BYTES",
        )
    return body


def unpacked(body: bytes, most: int) -> bytes | None:
    """Unpack a gzip body to one byte more than `most` at most; None where it is not whole.

    It is fed in pieces: the library copies what is left behind each part.
    """
    plain = bytearray()
    inflate, members = zlib.decompressobj(wbits=31), 1
    rest, at = b"", 0
    try:
        while len(plain) <= most:
            if inflate.eof and (rest or at < len(body)):
                inflate, members = zlib.decompressobj(wbits=31), members + 1
            if not rest:
                rest, at = body[at : at + _PIECE], at + _PIECE
            if not rest or members > MAX_MEMBERS:
                break
            plain += inflate.decompress(rest, most + 1 - len(plain))
            rest = inflate.unused_data if inflate.eof else inflate.unconsumed_tail
    except zlib.error:
        return None
    is_whole = inflate.eof and members <= MAX_MEMBERS
    return bytes(plain) if len(plain) > most or is_whole else None


def strict_json(body: bytes) -> object:
    """Return a document; raises Unreadable.

    Of a number with very many digits only the first ones are kept: who sends fields on takes
    them from the body.
    """
    body = unmarked(body)
    kinds = body.translate(_KINDS)
    if _is_suspect(kinds):
        if _has_digits(kinds, MAX_DIGITS):
            body = _LONG_DIGITS.sub(rb"\1", body)
        _see_shape(_STRINGS.sub(b'"', body))
    try:
        document: object = jiter.from_json(body, catch_duplicate_keys=True, allow_inf_nan=False)
    except ValueError as error:
        hint = next((f" ({hint})" for start, hint in _OTHERS if body.startswith(start)), "")
        raise Unreadable(
            MalformedCode.NOT_JSON, f"the body is not strict UTF-8 JSON{hint}: {error}"
        ) from None
    return document


class uncollected:  # noqa: N801 - reads as the statement it is used in
    """Keep the garbage collector off while many objects are made that all go again."""

    __slots__ = ("_was_on",)

    def __enter__(self) -> None:
        """Turn it off."""
        self._was_on = gc.isenabled()
        gc.disable()

    def __exit__(self, *_: object) -> None:
        """Turn it on again, if it was on."""
        if self._was_on:
            gc.enable()


def _is_suspect(kinds: bytes) -> bool:
    """Tell whether a body must be looked at without its strings; most need not."""
    brackets = kinds.count(b"[") + kinds.count(b"{")
    return (
        brackets > MAX_DEPTH
        or brackets + kinds.count(b",") > MAX_VALUES
        or _EXPONENT in kinds
        or _has_digits(kinds, MAX_DOUBLE)
    )


def _see_shape(skeleton: bytes) -> None:
    """See that a document, without its strings, can be read in time; raises Unreadable."""
    brackets = skeleton.translate(None, _NO_BRACKETS)
    if len(brackets) > 2 * MAX_DEPTH and _deepest(brackets) > MAX_DEPTH:
        raise Unreadable(
            MalformedCode.WRONG_SHAPE,
            f"the body is nested deeper than {MAX_DEPTH} levels: flatten it",
        )
    if skeleton.count(b",") + len(brackets) // 2 > MAX_VALUES:
        raise Unreadable(
            MalformedCode.MESSAGE_TOO_LARGE,
            f"the body has more than {MAX_VALUES:,} values: split it, no item needs so many",
        )
    kinds = skeleton.translate(_KINDS)
    found = _VERY_LONG.findall(skeleton) if _has_digits(kinds, MAX_DOUBLE) else []
    if _EXPONENT in kinds:
        found += _WITH_EXPONENT.findall(skeleton)
    if any(float(number) == float("inf") for number in found):
        raise _infinite()


def see_whole_numbers(fields: bytes) -> None:
    """See that no whole number among an item's fields is infinite to the portal.

    Elsewhere, such as in an id, it is text to us and may be as long. Raises Unreadable.
    """
    if not _has_digits(fields.translate(_KINDS), MAX_DOUBLE):
        return
    found = _VERY_LONG_WHOLE.findall(_STRINGS.sub(b'"', fields))
    if any(len(digits) > MAX_DOUBLE or float(digits) == float("inf") for digits in found):
        raise _infinite()


def _infinite() -> Unreadable:
    return Unreadable(
        MalformedCode.NOT_JSON,
        "a number, such as 1e400, is too large: the portal would read infinity",
    )


def unmarked(body: bytes) -> bytes:
    """Return a body without the byte order marks at its start; some programs write several."""
    marks = _MARKS.match(body) if body.startswith(BOM) else None
    return body[marks.end() :] if marks else body


def _has_digits(kinds: bytes, many: int) -> bool:
    """Tell whether there are this many digits in a row; much faster than a pattern."""
    return b"0" * many in kinds


def _deepest(brackets: bytes) -> int:
    return max(accumulate(map(_STEP.__getitem__, brackets)), default=0)
