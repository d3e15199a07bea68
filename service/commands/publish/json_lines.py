"""Reads item events from JSON Lines, and from objects that are written over several lines."""

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import msgspec

from service.commands.publish.formats import BOM
from service.commands.publish.lines import Line, Lines
from service.commands.publish.records import JSON, Place, Read, RefusedLine, judged
from service.domain.events import MalformedCode
from service.rabbit.cloud_events import STRUCTURED
from service.rabbit.decoding import Decoder

TOO_LONG = "it is longer than a message may be"
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]]')
_INDENTED = b" ", b"\t", b"}", b"]", b'"'
_STEP = {b"{": 1, b"[": 1, b"}": -1, b"]": -1}
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
"""A name that jq takes without quotes."""
MAX_NAME = 80
"""Characters of a list's name; a longer one is not repeated."""
_BEGINS_LIST = re.compile(rb"\[\s*\{")
_BETWEEN = re.compile(rb"(?:[\s,]|" + BOM + rb")*+")


def of_json_lines(lines: Lines, decoder: Decoder, entity_type: int | None) -> Iterator[Read]:
    """Read an item event, plain or a CloudEvent, from every line or spread-out object."""
    objects = _Objects(lines.longest)
    for line in lines:
        for place, text in objects.add(line):
            yield from _of_text(place, text, decoder, entity_type)
    for place, text in objects.rest():
        yield from _of_text(place, text, decoder, entity_type)


@dataclass(slots=True)
class _Objects:
    """Puts together the lines of an object that does not end on the line it begins on.

    Who writes an object over several lines indents what is inside. So a line that does not look
    like the inside of an object begins a new one: a broken object costs no others.
    """

    longest: int
    depth: int = 0
    parts: list[Line] = field(default_factory=list)
    size: int = 0

    def add(self, line: Line) -> Iterator[tuple[Place, bytes | None]]:
        """Yield every text that is complete with this line; None for one that is too long."""
        text = line.text
        if self.parts and (text is None or (not text.startswith(_INDENTED) and text.strip())):
            yield from self.rest()
        if text is None:
            yield Place.at(line.number), None
        elif self.parts or text.strip():
            self.parts.append(line)
            self.size += len(text) + 1
            self.depth += sum(_STEP.get(token, 0) for token in _TOKEN.findall(text))
            if self.depth <= 0 or self.size > self.longest:
                yield from self.rest()

    def rest(self) -> Iterator[tuple[Place, bytes | None]]:
        """Yield what is open as it is."""
        if not self.parts:
            return
        place = Place(self.parts[0].number, self.parts[-1].number)
        whole = b"\n".join(line.text or b"" for line in self.parts)
        self.parts.clear()
        self.depth = self.size = 0
        yield place, whole if len(whole) <= self.longest else None


def _of_text(
    place: Place, text: bytes | None, decoder: Decoder, entity_type: int | None
) -> Iterator[Read]:
    if text is None:
        yield RefusedLine(place, TOO_LONG)
        return
    read = event_of(place, text, decoder, entity_type)
    pieces = [*_pieces(text)] if _is_glued(read) else []
    if len(pieces) > 1 and all(_is_object(piece) for piece in pieces):
        for piece in pieces:
            yield event_of(place, piece, decoder, entity_type)
    else:
        yield read


def event_of(place: Place, text: bytes, decoder: Decoder, entity_type: int | None) -> Read:
    """Return what the text of one item event stands for."""
    # A list without its brackets has a comma after every object.
    body, content_type = _event_of(text.strip().removesuffix(b",").rstrip(), entity_type)
    read = judged(place, body, content_type, decoder)
    if isinstance(read, RefusedLine) and (name := _list_in(body)):
        path = (
            f".{name}[]"
            if _PLAIN.fullmatch(name)
            else f".[{json.dumps(name, ensure_ascii=False)}][]"
        )
        advice = f"jq -c {shlex.quote(path)} FILE | crm-importer publish -"
        return replace(
            read, reason=f"{read.reason}; if the items are in its list {name}: {advice}"
        )
    return read


def _list_in(body: bytes) -> str | None:
    """Return the member that alone is a list of objects, as programs answer who asks for items."""
    try:
        members = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    if members.keys() & {"entityTypeId", "fields", "specversion"}:
        return None
    lists = [name for name, value in members.items() if _BEGINS_LIST.match(bytes(value))]
    return lists[0] if len(lists) == 1 and len(lists[0]) <= MAX_NAME else None


def _is_glued(read: Read) -> bool:
    """Tell whether one object may follow another on the same line, as files joined by `cat` do."""
    return isinstance(read, RefusedLine) and read.reason.startswith(MalformedCode.NOT_JSON)


def _pieces(text: bytes) -> Iterator[bytes]:
    """Yield what may be the objects of a line, and what is left behind the last."""
    depth = start = 0
    for token in _TOKEN.finditer(text):
        depth += _STEP.get(token[0], 0)
        if depth == 0 and token[0] == b"}":
            yield text[start : token.end()]
            start = _end_of_blanks(text, token.end())
    if start < len(text):
        yield text[start:]


def _end_of_blanks(text: bytes, at: int) -> int:
    blanks = _BETWEEN.match(text, at)
    return blanks.end() if blanks else at


def _is_object(text: bytes) -> bool:
    try:
        msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return False
    return True


def _event_of(text: bytes, entity_type: int | None) -> tuple[bytes, str]:
    """Return the body that a text stands for, and its content type."""
    try:
        members = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return text, JSON
    is_wrapped = "source" in members and ("data" in members or "data_base64" in members)
    if "fields" not in members and ("specversion" in members or is_wrapped):
        return text, STRUCTURED
    if entity_type is None or "entityTypeId" in members:
        return text, JSON
    # Written into the text: a member that is named twice must still be seen to be.
    return b'{"entityTypeId":%d%s%s' % (entity_type, b"," * bool(members), text[1:]), JSON
