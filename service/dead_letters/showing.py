"""Shows dead letters whole: what happened, who must act, and every byte of the original."""

import argparse
import base64
import gzip
import json
import zlib
from collections.abc import Iterator

import msgspec

from service import console
from service.dead_letters.advice import advice_on
from service.dead_letters.doubling import may_double
from service.dead_letters.groups import age, written
from service.dead_letters.opening import opened
from service.errand import errand
from service.rabbit.letters import Letter, text

_OURS = "import_"
COUNTS = "x-delivery-count", "x-acquired-count"
"""What the broker counts for this queue; no part of the original."""


async def showing(options: argparse.Namespace) -> int:
    """Show every letter of one event id; every letter stays."""
    found: list[Letter] = []
    async with errand("dlq show") as work, opened(work) as reading:
        async for window in reading.windows("looking"):
            found += [letter for letter in window if letter.event_id == options.id]
            await reading.snapshot.keep(window)
        can_look_up = work.can_look_up
    for number, letter in enumerate(found, start=1):
        console.show(f"dead letter {number} of {len(found)}")
        for line in _described(letter, can_look_up=can_look_up):
            console.show(f"  {line}".rstrip())
        console.show()
    if not found:
        console.say(f"no dead letter of event {options.id} among {reading.snapshot.depth:,}")
    return 0 if found else 1


def _described(letter: Letter, *, can_look_up: bool) -> Iterator[str]:
    advice = advice_on(letter, may_double=may_double(letter, can_look_up=can_look_up))
    named = {
        "event id": letter.event_id,
        "entity type": letter.entity_type_id or "unknown",
        "failed": _when(letter),
        "kind, code": f"{letter.kind}, {letter.code or '-'}",
        "message": text(letter.headers.get("import_error_message")) or None,
        "http status": letter.headers.get("import_http_status"),
        "attempts": letter.headers.get("import_attempts"),
        "batch": letter.headers.get("import_batch_id"),
        "redriven": f"{letter.redrives} times" if letter.redrives else None,
        "it means": advice.meaning,
        "who must act": advice.who,
        "what to do": advice.action,
    }
    yield from _list(named)
    yield ""
    yield "original message"
    yield from (f"  {line}" for line in _list(_original(letter)))
    yield f"  body, {len(letter.body):,} bytes"
    yield from (f"    {line}" for line in _body(letter))


def _original(letter: Letter) -> dict[str, object]:
    exchange, routing_key = letter.origin
    original = letter.properties
    theirs = {
        f"header {name}": _plain(value)
        for name, value in letter.headers.items()
        if name == "import_dropped_headers" or not name.startswith((_OURS, *COUNTS))
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


def _list(named: dict[str, object]) -> Iterator[str]:
    """Yield a line for everything that is known."""
    known = {name: value for name, value in named.items() if value not in {None, ""}}
    width = max(map(len, known))
    yield from (f"{name:<{width}}  {value}" for name, value in known.items())


def _when(letter: Letter) -> str:
    moment = letter.failed_at
    return "unknown" if moment is None else f"{written(moment)} ({age(moment)})"


def _body(letter: Letter) -> Iterator[str]:
    """Yield the lines of a body, unpacked and indented where that is possible."""
    body = letter.body
    if (letter.properties.content_encoding or "").strip().lower() == "gzip":
        try:
            body = gzip.decompress(body)
        except (OSError, EOFError, zlib.error):
            yield "(not a whole gzip stream)"
    yield from _pretty(body)
    inner = _inside(body)
    if inner is not None:
        yield "data_base64 says"
        yield from _pretty(inner)


def _pretty(body: bytes) -> list[str]:
    """Return a body's lines, digits and escapes as they came."""
    try:
        readable = msgspec.json.format(body, indent=2)
    except (msgspec.MsgspecError, RecursionError):
        readable = body
    return readable.decode("utf-8", "backslashreplace").splitlines()


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
