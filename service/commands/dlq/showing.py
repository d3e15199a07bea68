"""Shows dead letters: what happened, who must act, and the original as far as it is readable."""

import argparse
import base64
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress

import msgspec

from service.commands import terminal
from service.commands.dlq.advice import advice_on
from service.commands.dlq.doubling import may_double
from service.commands.dlq.groups import age, written
from service.commands.dlq.opening import opened
from service.commands.runtime import command_runtime
from service.rabbit.bodies import GZIP, encoding_of, unpacked
from service.rabbit.delivery_counts import COUNTS
from service.rabbit.letters import Letter, text

MAX_SHOWN = 100_000
"""Characters of a body; nobody reads further."""
_OURS = "import_"


async def showing(options: argparse.Namespace) -> int:
    """Show every letter of one event id; every letter stays."""
    found: list[Letter] = []
    async with command_runtime("dlq show") as work, opened(work) as reading:
        async for window in reading.windows("looking"):
            found += [letter for letter in window if letter.event_id == options.id]
            await reading.snapshot.keep(window)
        can_look_up, most = work.can_look_up, work.settings.rabbit.max_message_bytes
    for number, letter in enumerate(found, start=1):
        terminal.show(f"dead letter {number} of {len(found)}")
        for line in described(letter, most, can_look_up=can_look_up):
            terminal.show(f"  {line}".rstrip())
        terminal.show()
    if not found:
        wanted = terminal.clean(options.id)
        terminal.say(f"no dead letter of event {wanted} among {reading.snapshot.depth:,}")
    return 0 if found else 1


def described(letter: Letter, most: int, *, can_look_up: bool) -> Iterator[str]:
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
        "batch": letter.headers.get("import_batch_id"),
        "redriven": f"{letter.redrives} times" if letter.redrives else None,
        "it means": advice.meaning,
        "who must act": advice.who,
        "what to do": advice.action,
    }
    yield from listed(named)
    yield ""
    yield "original message"
    yield from (f"  {line}" for line in listed(_original(letter)))
    yield f"  body, {len(letter.body):,} bytes"
    yield from (f"    {line}" for line in body_lines(letter, most))


def _warnings(letter: Letter) -> str | None:
    """Return what of the event was ignored, one after another."""
    return "; ".join(text(letter.headers.get("import_warnings")).splitlines()) or None


def _original(letter: Letter) -> dict[str, object]:
    exchange, routing_key = letter.origin
    original = letter.properties
    theirs = {
        f"header {name}": _plain(value)
        for name, value in letter.headers.items()
        if name == "import_dropped_headers" or not (name.startswith(_OURS) or name in COUNTS)
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


def listed(named: Mapping[str, object]) -> Iterator[str]:
    """Yield one line for everything that is known, whatever its value is."""
    known = {name: value for name, value in named.items() if value is not None and value != ""}
    width = max(map(len, known), default=0)
    for name, value in known.items():
        yield terminal.clean(f"{name:<{width}}  {text(value)}")


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
