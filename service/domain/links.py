"""Reads what an event refers to, and decides how its references are resolved.

    "links": {"contactId": {"entityTypeId": 3, "id": "customer-77"}, "contactIds": [{…}, {…}]}

sets fields to the item numbers of other events. Until every one of them is known, the event waits.
"""

import json
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from service.domain.events import ExternalId, Identity, Links, Reference, Target, several_of
from service.domain.external_id import ExternalIds, original_name
from service.domain.witnessing import PROFILE_FIELDS

K = TypeVar("K", bound=Hashable)
MAX_REFERENCES = 1_000
"""In one event."""
MAX_ENTITY_TYPE = 2_147_483_647
DIGITS = len(str(MAX_ENTITY_TYPE))
MAX_ID = 1000
"""Characters of an event id."""
MAX_PATH = 50
"""So many events of a cycle are followed and named."""


class LinksError(ValueError):
    """The `links` of an event cannot be read; the text names the thing and the remedy."""


@dataclass(frozen=True, slots=True)
class Own:
    """What an event is beside its links: they must not contradict it.

    `fields`: what it sets itself; `external_id`: what its item will carry.
    """

    identity: Identity
    fields: Collection[str]
    external_id: ExternalId | None = None
    original_names: bool = False


def links_of(value: object, own: Own, ids: ExternalIds) -> Links:
    """Return what an event refers to, in the order given; raises LinksError.

    `ids` tells which external id the item of each reference carries.
    """
    if value is None:
        return {}
    if not isinstance(value, dict) or not value:
        raise LinksError('links must be an object such as {"contactId": {"entityTypeId": 3, …}}')
    found = {name: _target(name, target, ids) for name, target in value.items()}
    _refuse_names(list(found), own, ids)
    every = list(references(found))
    if len(every) > MAX_REFERENCES:
        raise LinksError(f"links has more than {MAX_REFERENCES:,} references: split the event")
    if any(_is_itself(each, own) for each in every):
        raise LinksError("the event refers to itself, so it could never be imported")
    return found


def _is_itself(each: Reference, own: Own) -> bool:
    """Tell whether a reference means the event's own item, by its id or by its external id."""
    if each.entity_type_id != own.identity.entity_type_id:
        return False
    same = each.external_id is not None and each.external_id == own.external_id
    return same or (each.originator is None and each.identity == own.identity)


def _refuse_names(names: Sequence[str], own: Own, ids: ExternalIds) -> None:
    """Raise LinksError for a field that is set twice, or that holds no item of the CRM."""
    taken = {_spelt(name, own): "fields" for name in own.fields}
    external = ids.field_of(own.identity.entity_type_id)
    identifying = {external, "originatorId"} if external == "originId" else {external}
    for name in names:
        if not name:
            raise LinksError("a field of links has no name")
        if {name, _spelt(name, own)} & {_spelt(each, own) for each in identifying if each}:
            raise LinksError(f'links "{name}": this field carries the id of the event itself')
        if name in PROFILE_FIELDS:
            raise LinksError(
                f'links "{name}": this field holds no item of the CRM: set it in fields'
            )
        if taken.get(_spelt(name, own)) == "fields":
            raise LinksError(f'"{name}" is in fields and in links: set it in only one of them')
        if taken.setdefault(_spelt(name, own), name) != name:
            raise LinksError(f'links sets "{name}" in two spellings: use only one')


def _spelt(name: str, own: Own) -> str:
    """Return a name in the one spelling that it is compared in; the portal reads both."""
    return original_name(name) if own.original_names else name


def references(links: Links) -> Iterator[Reference]:
    """Return every reference, in the order given."""
    for _, each in named(links):
        yield each


def named(links: Links) -> Iterator[tuple[str, Reference]]:
    """Yield every reference with the field that it is for."""
    for name, target in links.items():
        for each in several_of(target):
            yield name, each


def missing(links: Links, items: Mapping[Reference, int]) -> list[Reference]:
    """Return the references without a known item, each once."""
    return [each for each in dict.fromkeys(references(links)) if each not in items]


def resolved(links: Links, items: Mapping[Reference, int]) -> dict[str, int | list[int]]:
    """Return each field with the numbers of its items; raises KeyError while one is not known."""
    return {
        name: items[target] if isinstance(target, Reference) else [items[each] for each in target]
        for name, target in links.items()
    }


def members(values: Mapping[str, int | Sequence[int]]) -> bytes:
    """Write resolved fields as JSON members, each followed by a comma."""
    return "".join(
        f"{json.dumps(name)}:{json.dumps(value)}," for name, value in values.items()
    ).encode()


def cycle(start: K, waits_for: Callable[[K], Iterable[K]]) -> list[K]:
    """Return the events of a cycle that an event waits in, itself first; else nothing.

    `waits_for`: what a waiting event still waits for, as far as it is known here.
    """
    path: list[K] = []
    seen: set[K] = set()

    def reaches(event: K) -> bool:
        if event in seen or len(path) >= MAX_PATH:
            return False
        seen.add(event)
        path.append(event)
        for each in waits_for(event):
            if each == start or reaches(each):
                return True
        path.pop()
        return False

    return path if reaches(start) else []


def _target(name: str, value: object, ids: ExternalIds) -> Target:
    if isinstance(value, list):
        if not value:
            raise LinksError(f'links "{name}" is an empty list: leave it out')
        return tuple(_reference(name, each, ids) for each in value)
    return _reference(name, value, ids)


def _reference(name: str, value: object, ids: ExternalIds) -> Reference:
    if not isinstance(value, dict):
        raise LinksError(
            f'links "{name}" must be {{"entityTypeId": …, "id": …}}, or a list of these'
        )
    unknown = value.keys() - {"entityTypeId", "id", "source", "originatorId"}
    if unknown:
        raise LinksError(
            f'links "{name}" has "{min(unknown)[:100]}": known are entityTypeId, id, source '
            "and originatorId"
        )
    event_id = _event_id(name, value)
    originator = value.get("originatorId")
    if originator is not None and (not isinstance(originator, str) or not originator):
        raise LinksError(f'links "{name}": originatorId must be a non-empty string')
    originator = None if originator == ids.originator else originator
    entity_type_id = _entity_type(name, value.get("entityTypeId"))
    external_id = ids.of(entity_type_id, event_id, originator)
    return Reference(entity_type_id, event_id, originator, external_id)


def _event_id(name: str, value: Mapping[str, object]) -> str:
    given, source = value.get("id"), value.get("source")
    if isinstance(given, bool) or not isinstance(given, str | int) or given == "":
        raise LinksError(f'links "{name}": id must be a non-empty string or an integer')
    if source is not None and (not isinstance(source, str) or not source):
        raise LinksError(f'links "{name}": source must be a non-empty string')
    if isinstance(given, int) and abs(given) >= 10**MAX_ID:
        raise LinksError(f'links "{name}": the id has more than {MAX_ID:,} characters')
    found = str(given) if source is None else f"{source} {given}"
    if len(found) > MAX_ID:
        raise LinksError(f'links "{name}": the id has more than {MAX_ID:,} characters')
    return found


def _entity_type(name: str, value: object) -> int:
    found = entity_type_of(value)
    if found is None:
        raise LinksError(f'links "{name}": entityTypeId must be from 1 to {MAX_ENTITY_TYPE}')
    return found


def entity_type_of(value: object) -> int | None:
    """Return an entity type, given as a number or as its digits; None where it is none."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value) if len(value) <= DIGITS else None
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 1 <= value <= MAX_ENTITY_TYPE else None


def stuck(waits_for: Mapping[K, Iterable[K | None]]) -> set[K]:
    """Return the events that can never go on, since they wait for one another or for nothing.

    `waits_for`: what each waiting event waits for; None stands for what nobody will ever make. An
    event that is not named waits for nothing.
    """
    open_links: dict[K, int] = {}
    awaited: dict[K, list[K]] = {}
    for event, targets in waits_for.items():
        several = {each for each in targets if each is None or each in waits_for}
        open_links[event] = len(several)
        for each in several:
            if each is not None:
                awaited.setdefault(each, []).append(event)
    ready = [event for event, count in open_links.items() if not count]
    while ready:
        for event in awaited.pop(ready.pop(), ()):
            open_links[event] -= 1
            if not open_links[event]:
                ready.append(event)
    return {event for event, count in open_links.items() if count}
