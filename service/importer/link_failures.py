"""Says why an event's links cannot be resolved, for the person who must correct them."""

from collections.abc import Sequence
from dataclasses import dataclass

from service.domain.events import Reference
from service.domain.outcomes import MAX_TEXT, Failed, FailureKind

LINK_NOT_FOUND = "LINK_NOT_FOUND"
LINK_NOT_POSSIBLE = "LINK_NOT_POSSIBLE"
CODES = frozenset({LINK_NOT_FOUND, LINK_NOT_POSSIBLE})
REDRIVE = "; then redrive this one"
"""How the message ends where the event is a dead letter; a rehearsal has none."""
MAX_NAME = 200
"""Characters of an event's name in a message."""


@dataclass(frozen=True, slots=True)
class NotFound:
    """What was waited for without success: `field` refers to the first of `missing`.

    `waited`: seconds; `circle`: the events that wait for one another, this one first.
    """

    field: str
    missing: Sequence[Reference]
    waited: float
    circle: Sequence[str]


def not_found(found: NotFound) -> Failed:
    """Return the failure of an event that waited for items for too long."""
    first, *more = found.missing
    where, waited = _field(found.field), f"{found.waited:,.0f} s"
    text = f"{where}: the item of {_named(first)} was not found in {waited}"
    if len(more) == 1:
        text += f", nor that of {_named(more[0])}"
    elif more:
        text += f", nor those of {len(more)} other references, such as {_named(more[0])}"
    if found.circle:
        names = " → ".join([*found.circle, found.circle[0]])
        text += (
            f": these events refer to one another ({names}), so none can be imported first: "
            f"leave one link out, and set that field later with crm.item.update"
        )
    else:
        text += f": publish that event, or correct the reference{REDRIVE}"
    return _failed(LINK_NOT_FOUND, text)


def no_external_id(field: str, each: Reference) -> Failed:
    """Return the failure of an event that refers to a type without a field for external ids."""
    return _failed(
        LINK_NOT_POSSIBLE,
        f"{_field(field)}: the item of {_named(each)} cannot be looked up, because items of type "
        f"{each.entity_type_id} have no field for an external id: name one in "
        "IMPORTER_BITRIX__EXTERNAL_ID_FIELDS, or send the item's number in fields",
    )


def unknown_type(field: str, each: Reference) -> Failed:
    """Return the failure of an event that refers to a type that the portal does not know."""
    return _failed(
        LINK_NOT_POSSIBLE,
        f"{_field(field)}: the portal knows no entity type {each.entity_type_id}, so there is no "
        f"item of {_named(each)}: correct entityTypeId in the reference, or create the type",
    )


def _failed(code: str, text: str) -> Failed:
    return Failed(FailureKind.REJECTED, code, text[:MAX_TEXT])


def _field(name: str) -> str:
    return f'links "{name[:MAX_NAME]}"'


def _named(each: Reference) -> str:
    name = str(each) if len(str(each)) <= MAX_NAME else f"{str(each)[:MAX_NAME]}…"
    return name if each.originator is None else f"{name} of {each.originator[:MAX_NAME]}"
