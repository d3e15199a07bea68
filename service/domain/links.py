"""Reads what an event refers to, and decides how its references are resolved.

    "links": {"contactId": {"entityTypeId": 3, "id": "customer-77"}, "contactIds": [{…}, {…}]}

sets fields to the item numbers of other events. Until every one of them is known, the event waits.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from service.domain.events import Identity

MAX_REFERENCES = 500
"""In one event: a batch of such events still fits into one look-up a type."""
MAX_ENTITY_TYPE = 2_147_483_647
DIGITS = len(str(MAX_ENTITY_TYPE))
MAX_ID = 1000
"""Characters of an event id."""
MAX_PATH = 50
"""So many events of a cycle are followed and named."""


class LinksError(ValueError):
    """The `links` of an event cannot be read; the text names the thing and the remedy."""


@dataclass(frozen=True, slots=True)
class Reference:
    """One event that another one refers to; `originator`: who imported it, None for ourselves."""

    entity_type_id: int
    event_id: str
    originator: str | None = None

    @property
    def identity(self) -> Identity:
        """The pair that identifies the event."""
        return Identity(self.entity_type_id, self.event_id)

    def __str__(self) -> str:
        """Name it as people do."""
        return f"{self.entity_type_id}/{self.event_id}"


Target = Reference | tuple[Reference, ...]
"""What one field refers to: one item, or a list of them."""
Links = Mapping[str, Target]


def links_of(value: object, fields: Mapping[str, object], own: Identity) -> Links:
    """Return what an event refers to, in the order given; raises LinksError.

    `fields`: what it sets itself; `own`: its identity, which it must not refer to.
    """
    if value is None:
        return {}
    if not isinstance(value, dict) or not value:
        raise LinksError('links must be an object such as {"contactId": {"entityTypeId": 3, …}}')
    found: dict[str, Target] = {}
    for name, target in value.items():
        if name in fields:
            raise LinksError(f'"{name}" stands in fields and in links: set it in one of them')
        if not name:
            raise LinksError("a field of links has no name")
        found[name] = _target(name, target)
    every = list(references(found))
    if len(every) > MAX_REFERENCES:
        raise LinksError(f"links has more than {MAX_REFERENCES} references: split the event")
    if any(each.originator is None and each.identity == own for each in every):
        raise LinksError("the event refers to itself: nothing could ever resolve that")
    return found


def references(links: Links) -> Iterator[Reference]:
    """Return every reference, in the order given."""
    for target in links.values():
        yield from (target,) if isinstance(target, Reference) else target


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


def cycle(start: Identity, waits_for: Mapping[Identity, Sequence[Identity]]) -> list[Identity]:
    """Return the events of a cycle that an event waits in, itself first; else nothing.

    `waits_for`: what each waiting event still waits for, as far as it is known here.
    """
    path: list[Identity] = []
    seen: set[Identity] = set()

    def reaches(identity: Identity) -> bool:
        if identity in seen or len(path) >= MAX_PATH:
            return False
        seen.add(identity)
        path.append(identity)
        for each in waits_for.get(identity, ()):
            if each == start or reaches(each):
                return True
        path.pop()
        return False

    return path if reaches(start) else []


def _target(name: str, value: object) -> Target:
    if isinstance(value, list):
        if not value:
            raise LinksError(f'links "{name}" is an empty list: leave it out')
        return tuple(_reference(name, each) for each in value)
    return _reference(name, value)


def _reference(name: str, value: object) -> Reference:
    if not isinstance(value, dict):
        raise LinksError(
            f'links "{name}" must be {{"entityTypeId": …, "id": …}}, or a list of these'
        )
    unknown = value.keys() - {"entityTypeId", "id", "source", "originatorId"}
    if unknown:
        raise LinksError(
            f'links "{name}" has "{min(unknown)[:100]}": it takes entityTypeId, id, source and '
            "originatorId"
        )
    event_id = _event_id(name, value)
    originator = value.get("originatorId")
    if originator is not None and (not isinstance(originator, str) or not originator):
        raise LinksError(f'links "{name}": originatorId must be a non-empty string')
    return Reference(_entity_type(name, value.get("entityTypeId")), event_id, originator)


def _event_id(name: str, value: Mapping[str, object]) -> str:
    given, source = value.get("id"), value.get("source")
    if isinstance(given, bool) or not isinstance(given, str | int) or given == "":
        raise LinksError(f'links "{name}": id must be a non-empty string or an integer')
    if source is not None and (not isinstance(source, str) or not source):
        raise LinksError(f'links "{name}": source must be a non-empty string')
    found = str(given) if source is None else f"{source} {given}"
    if len(found) > MAX_ID:
        raise LinksError(f'links "{name}": the id has more than {MAX_ID:,} characters')
    return found


def _entity_type(name: str, value: object) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= DIGITS:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_ENTITY_TYPE:
        raise LinksError(f'links "{name}": entityTypeId must be from 1 to {MAX_ENTITY_TYPE}')
    return value
