"""Shows where an event is: as a table for people, as JSON for programs."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from service.commands import terminal
from service.commands.find.places import DeadLetter, Found, Hidden, Item, Waits
from service.commands.moments import age, written
from service.domain.events import Reference
from service.domain.last_words import LastWord, Word

MAX_REFERRED = 5
"""So many of the events that it refers to are named."""
_WORDS = {
    Word.IN_CALL: "in a call without a noted answer",
    Word.UNKNOWN: "a call sent it, and the outcome is unknown",
    Word.NOT_THERE: "not in the CRM: refused, or looked up and absent",
    Word.LET_GO: "ended as ambiguous: items of its type cannot be looked up",
    Word.IMPORTED: "imported",
}


def show(found: Found) -> None:
    """Show a table of what was found, then what was asked and what was not seen."""
    rows = list(_rows(found))
    wanted = terminal.clean(found.event_id)
    if rows:
        terminal.table(["where", "type", "what", "since"], rows)
    if not found.is_found:
        terminal.show(f"event {wanted} was not found")
    not_seen = (f"not seen: {told(each)}" for each in found.hidden)
    for line in (*asked(found), *not_seen, *_referred(found.referred_to)):
        terminal.show(line)
    if found.letters:
        hint = terminal.command("dlq show ID", ID=found.event_id)
        terminal.show(f"more of the dead letter: {hint}")
    if not found.is_found:
        terminal.show(
            "is the id right? The id of a CloudEvent is its source and its id: 'SOURCE ID'"
        )
        if found.entity_type_id is None:
            terminal.show(
                "smart processes that are not known here are not searched: name one with --type"
            )


def _referred(references: Sequence[Reference]) -> Iterator[str]:
    """Yield what the event waits for, each with the command that tells where that is."""
    for each in references[:MAX_REFERRED]:
        kind = str(each.entity_type_id)
        hint = terminal.command("find ID --type=N", ID=each.event_id, N=kind)
        yield f"it refers to {terminal.clean(str(each))}: {hint}"
    if (more := len(references) - MAX_REFERRED) > 0:
        yield f"it refers to {more} more"


def _rows(found: Found) -> Iterator[Sequence[terminal.Cell]]:
    for item in found.items:
        yield terminal.Toned("imported", "good"), str(item.entity_type_id), named(item), "-"
    for letter in found.letters:
        what = f"{letter.kind}, {letter.code or '-'}"
        what += f": {letter.message}" if letter.message else ""
        yield terminal.Toned("dead letter", "bad"), _type(letter), what, age(letter.failed_at)
    for waits in found.waiting:
        what = f"waits for {waits_for(waits)}"
        if waits.perhaps_sent:
            what += "; a call may have sent it"
        yield terminal.Toned("parked", "warn"), _type(waits), what, age(waits.received_at)
    for word in found.words:
        tone = "good" if found.tells(word) else "dim"
        when = age(datetime.fromtimestamp(word.at, UTC))
        yield (
            terminal.Toned("memory", tone),
            str(word.entity_type_id),
            said_by_memory(found, word),
            when,
        )


def waits_for(waits: Waits) -> str:
    """Return what a message of an inner queue waits for, and where."""
    told = {"doubt": "proof that it is in the CRM or not", "link": "the items that it refers to"}
    return f"{told.get(waits.reason, f'its lane ({waits.reason})')}, in {waits.queue}"


def said_by_memory(found: Found, word: LastWord) -> str:
    """Return what the memory says of the event, beside what the portal shows."""
    if word.word is not Word.IMPORTED:
        return _WORDS[word.word]
    said = f"imported as item {word.item_id}"
    if word.stale:
        return f"{said}, before the portal was set back to older data"
    if word in found.gone:
        return f"{said}; the portal does not show it now: it is deleted, or hidden from this user"
    return said


def asked(found: Found) -> Iterator[str]:
    """Yield what the portal was asked, and what not, in sentences."""
    if found.asked:
        yield f"the portal was asked for items of {_types(found.asked)} by the external id"
    if found.unaskable:
        of = _types(found.unaskable)
        yield f"the portal cannot be asked for items of {of} by the external id: there is none"
    for number, code in found.refused.items():
        yield f"the portal does not show items of type {number}: {code}"
    if found.problem:
        yield f"the portal could not be asked: {found.problem}"


def _types(numbers: Sequence[int]) -> str:
    return f"type{'' if len(numbers) == 1 else 's'} {', '.join(map(str, numbers))}"


def told(hidden: Hidden) -> str:
    """Return where nobody could look, and why."""
    count = "" if hidden.messages is None else f" ({terminal.many(hidden.messages, 'message')})"
    return f"{hidden.place}{count}: {hidden.why}"


def named(item: Item) -> str:
    """Return which item it is, and how it was found."""
    external = item.external_id
    if external is None:
        return f"item {item.item_id}, asked for by its number"
    of = f" of {external.originator}" if external.originator else ""
    return f"item {item.item_id} carries {external.field} {external.value}{of}"


def _type(of: DeadLetter | Waits) -> str:
    return "unknown" if of.entity_type_id is None else str(of.entity_type_id)


def show_json(found: Found) -> None:
    """Show everything for a program."""
    terminal.show_json(as_json(found))


def as_json(found: Found) -> dict[str, Any]:
    """Return what was found as `--json` shows it."""
    return {
        "eventId": found.event_id,
        "entityTypeId": found.entity_type_id,
        "found": found.is_found,
        "imported": [_item(each) for each in found.items],
        "deadLetters": [_letter(each) for each in found.letters],
        "parked": [_waits(each) for each in found.waiting],
        "memory": [_word(each) for each in found.words],
        "asked": {
            "types": found.asked,
            "withoutExternalId": found.unaskable,
            "refused": {str(number): code for number, code in found.refused.items()},
            "problem": found.problem or None,
        },
        "notSeen": [
            {"place": each.place, "why": each.why, "messages": each.messages}
            for each in found.hidden
        ],
    }


def _item(item: Item) -> dict[str, Any]:
    external = item.external_id
    return {
        "entityTypeId": item.entity_type_id,
        "itemId": item.item_id,
        "externalId": external
        and {
            "field": external.field,
            "value": external.value,
            "originatorId": external.originator,
        },
    }


def _letter(letter: DeadLetter) -> dict[str, Any]:
    return {
        "entityTypeId": letter.entity_type_id,
        "kind": letter.kind,
        "code": letter.code,
        "message": letter.message,
        "failedAt": letter.failed_at and written(letter.failed_at),
        "redriveCount": letter.redrives,
    }


def _waits(waits: Waits) -> dict[str, Any]:
    return {
        "queue": waits.queue,
        "entityTypeId": waits.entity_type_id,
        "reason": waits.reason,
        "receivedAt": written(waits.received_at),
        "parkedAt": written(waits.parked_at),
        "waitedSeconds": waits.waited,
        "perhapsSent": waits.perhaps_sent is not None,
        "refersTo": [
            {"entityTypeId": each.entity_type_id, "eventId": each.event_id} for each in waits.links
        ],
    }


def _word(word: LastWord) -> dict[str, Any]:
    return {
        "entityTypeId": word.entity_type_id,
        "word": word.word.name.lower(),
        "at": written(datetime.fromtimestamp(word.at, UTC)),
        "itemId": word.item_id or None,
    }
