"""Shows dead letters: what happened, who must act, and the readable part of the original."""

import argparse
import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec

from service.commands import terminal
from service.commands.dlq.advice import advice_on
from service.commands.dlq.doubling import may_double
from service.commands.dlq.opening import Reading, opened
from service.commands.moments import age, written
from service.commands.runtime import command_runtime
from service.commands.text_layout import MARK
from service.domain.events import ItemEvent, several_of
from service.rabbit.bodies import GZIP, encoding_of, unpacked
from service.rabbit.delivery_counts import COUNTS
from service.rabbit.letters import Letter, text
from service.rabbit.our_headers import is_ours

MAX_SHOWN = 100_000
"""Characters of a body that are shown."""
MAX_FOUND = 100
"""Most letters of one id that are shown, and most ids that are listed when several match."""
_TEXTS = frozenset({"message", "warnings", "refers to", "it means", "who must act", "what to do"})
"""Values that may be wrapped at a terminal; ids and headers are never wrapped."""


Line = tuple[str, str]
"""A part that is never wrapped, and a text after it that may be wrapped between words."""


@dataclass(slots=True)
class Found:
    """Letters of an event id; of one that is cut with the mark, those of the one that begins so.

    `ids`: the ids that were found, with the number of their letters; while the id itself was not,
    those that begin so.
    """

    wanted: str
    letters: list[Letter] = field(default_factory=list)
    ids: dict[str, int] = field(default_factory=dict)

    def add(self, letter: Letter) -> None:
        """Keep a letter if it is one of them."""
        own = letter.event_id
        if own != self.wanted and (self.wanted in self.ids or not own.startswith(self._start)):
            return
        if own == self.wanted and own not in self.ids:
            self.ids.clear()
        if own in self.ids or len(self.ids) < MAX_FOUND:
            self.ids[own] = self.ids.get(own, 0) + 1
        if len(self.ids) > 1 or self.ids[own] == 1:
            self.letters.clear()
        is_it = own == self.wanted or self.wanted.endswith(MARK)
        if is_it and len(self.ids) == 1 and len(self.letters) < MAX_FOUND:
            self.letters.append(letter)

    @property
    def _start(self) -> str:
        return self.wanted.removesuffix(MARK)


async def showing(options: argparse.Namespace) -> int:
    """Show every letter of one event id; every letter stays."""
    found = Found(options.id)
    async with command_runtime("dlq show") as work, opened(work) as reading:
        await look_for(reading, found)
        can_look_up, most = work.can_look_up, work.settings.rabbit.max_message_bytes
    if found.letters:
        write = _write_json if options.json else _write
        write(found.letters, most, can_look_up=can_look_up)
    _tell_what_is_not_shown(found, reading)
    return 0 if found.letters and not reading.ended_early else 1


def how_to_show(event_id: str) -> str:
    """Return the command for an event's letters; before a NUL, which no argument holds, cut."""
    start, nul, _ = event_id.partition("\0")
    return terminal.command("dlq show ID", ID=start + MARK if nul else event_id)


async def look_for(reading: Reading, found: Found) -> None:
    """Find letters by their id; every letter stays."""
    async for window in reading.windows("looking"):
        for letter in window:
            found.add(letter)
        await reading.snapshot.keep(window)


def _tell_what_is_not_shown(found: Found, reading: Reading) -> None:
    wanted = terminal.clean(found.wanted)
    if reading.ended_early:
        terminal.say(reading.interrupted)
    shown = len(found.letters)
    if not shown and not reading.ended_early:
        terminal.say(f"no dead letter of event {wanted} among {reading.snapshot.depth:,}")
    if not shown and found.ids:
        terminal.say("these event ids begin so:")
    for each, count in found.ids.items():
        if not shown:
            terminal.say(f"  {how_to_show(each)}")
        elif count > shown:
            terminal.say(f"only the first {shown} of {count:,} letters are shown")


def _write(letters: Sequence[Letter], most: int, *, can_look_up: bool) -> None:
    for number, letter in enumerate(letters, start=1):
        terminal.show(f"dead letter {number} of {len(letters)}")
        for head, text_ in described(letter, most, can_look_up=can_look_up):
            first = f"  {head}"
            terminal.paragraph(
                text_, first=first if text_ else first.rstrip(), rest=" " * len(first)
            )
        terminal.show()


def described(letter: Letter, most: int, *, can_look_up: bool) -> Iterator[Line]:
    """Yield the lines that describe a letter, its body unpacked to `most` bytes."""
    advice = advice_on(letter, may_double=may_double(letter, can_look_up=can_look_up))
    named = {
        "event id": letter.event_id,
        "entity type": letter.entity_type_id or "unknown",
        "failed": _when(letter),
        "kind, code": f"{letter.kind}, {letter.code or '-'}",
        "message": text(letter.headers.get("import_error_message")) or None,
        "warnings": _warnings(letter),
        "http status": letter.headers.get("import_http_status"),
        "attempts": letter.headers.get("import_attempts"),
        "refers to": "; ".join(referred(letter)) or None,
        "batch": letter.headers.get("import_batch_id"),
        "redriven": terminal.many(letter.redrives, "time") if letter.redrives else None,
        "it means": advice.meaning,
        "who must act": advice.who,
        "what to do": advice.action,
    }
    yield from listed(named)
    for each in advice.commands:
        yield f"    {terminal.command(each, ID=letter.event_id)}", ""
    yield "", ""
    yield "original message", ""
    yield from ((f"  {head}", text) for head, text in listed(_original(letter)))
    yield f"  body, {len(letter.body):,} bytes", ""
    yield from ((f"    {line}", "") for line in body_lines(letter, most))


def _write_json(letters: Sequence[Letter], most: int, *, can_look_up: bool) -> None:
    told = [as_json(each, most, can_look_up=can_look_up) for each in letters]
    terminal.show_json({"letters": told})


def as_json(letter: Letter, most: int, *, can_look_up: bool) -> dict[str, object]:
    """Return a letter as `--json` shows it."""
    advice = advice_on(letter, may_double=may_double(letter, can_look_up=can_look_up))
    exchange, routing_key = letter.origin
    return {
        "eventId": letter.event_id,
        "entityTypeId": letter.entity_type_id,
        "failedAt": letter.failed_at and written(letter.failed_at),
        "kind": letter.kind,
        "code": letter.code,
        "message": text(letter.headers.get("import_error_message")),
        "warnings": text(letter.headers.get("import_warnings")).splitlines(),
        "refersTo": referred(letter),
        "redriveCount": letter.redrives,
        "means": advice.meaning,
        "whoMustAct": advice.who,
        "whatToDo": advice.action,
        "commands": [terminal.command(each, ID=letter.event_id) for each in advice.commands],
        "exchange": exchange,
        "routingKey": routing_key,
        "messageId": letter.message_id,
        "headers": {name: _plain(value) for name, value in letter.headers.items()},
        "body": "\n".join(body_lines(letter, most)),
    }


def referred(letter: Letter) -> list[str]:
    """Return what each field of `links` refers to."""
    links = letter.event.links if isinstance(letter.event, ItemEvent) else {}
    return [
        f"{name}: "
        + ", ".join(
            f"{each} of {each.originator}" if each.originator else str(each)
            for each in several_of(target)
        )
        for name, target in links.items()
    ]


def _warnings(letter: Letter) -> str | None:
    """Return what of the event was ignored, one after another."""
    return "; ".join(text(letter.headers.get("import_warnings")).splitlines()) or None


def _original(letter: Letter) -> dict[str, object]:
    exchange, routing_key = letter.origin
    original = letter.properties
    theirs = {
        f"header {name}": _plain(value)
        for name, value in letter.headers.items()
        if name == "import_dropped_headers" or not (is_ours(name) or name in COUNTS)
    }
    return {
        "exchange": exchange,
        "routing key": routing_key,
        "message id": letter.message_id,
        "correlation id": original.correlation_id,
        "content type": original.content_type,
        "encoding": original.content_encoding,
        "app id": original.app_id,
        **theirs,
    }


def listed(named: Mapping[str, object]) -> Iterator[Line]:
    """Yield one line for everything that is known, with any value."""
    known = {name: value for name, value in named.items() if value is not None and value != ""}
    width = max(map(len, known), default=0)
    for name, value in known.items():
        shown = terminal.clean(text(value))
        head = terminal.clean(f"{name:<{width}}  ")
        yield (head, shown) if name in _TEXTS else (head + shown, "")


def _when(letter: Letter) -> str:
    moment = letter.failed_at
    return "unknown" if moment is None else f"{written(moment)} ({age(moment)})"


def body_lines(letter: Letter, most: int) -> Iterator[str]:
    """Yield the lines of a body, unpacked to `most` bytes and indented where that is possible."""
    body = letter.body
    if encoding_of(letter.properties.content_encoding) == GZIP:
        plain = unpacked(body, most)
        if plain is None:
            yield "(not a whole gzip stream)"
        else:
            body = plain
    body = body[: most + 1]
    yield from _pretty(body)
    inner = _inside(body)
    if inner is not None:
        yield "data_base64 says"
        yield from _pretty(inner)


def _pretty(body: bytes) -> list[str]:
    """Return a body's first lines, digits and escapes as they came."""
    readable = body
    # Indenting a large body takes a thousand times its size where it is nested deep.
    if len(body) <= MAX_SHOWN:
        with suppress(msgspec.MsgspecError, RecursionError):
            readable = msgspec.json.format(body, indent=2)
    shown = readable[: 4 * MAX_SHOWN].decode("utf-8", "backslashreplace")
    is_cut = len(shown) > MAX_SHOWN or len(readable) > 4 * MAX_SHOWN
    return shown[:MAX_SHOWN].splitlines() + ["(… more)"] * is_cut


def _inside(body: bytes) -> bytes | None:
    try:
        encoded = msgspec.json.decode(body)["data_base64"]
        return base64.b64decode(encoded, validate=True)
    except (msgspec.MsgspecError, RecursionError, LookupError, TypeError, ValueError):
        return None


def _plain(value: object) -> str:
    if isinstance(value, dict | list):
        return json.dumps(value, default=text, ensure_ascii=False)
    return text(value)
