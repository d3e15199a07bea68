"""Says what of an event's own members is ignored."""

from collections.abc import Mapping

from service.domain.nearest import nearest

MEMBERS = frozenset({"entityTypeId", "fields", "links", "useOriginalUfNames", "id"})
"""The members of an item event; all others are ignored."""
MAX_NOTES = 20
MAX_NAME = 100
_ALSO_MEANT = {
    "eventId": "id",
    "messageId": "id",
    "externalId": "id",
    "key": "id",
    "typeId": "entityTypeId",
    "type": "entityTypeId",
    "entityType": "entityTypeId",
    "data": "fields",
    "item": "fields",
}
NO_ID = (
    "no id was given: equal bodies are one event, and any changed byte makes a new event; "
    'send a stable "id", or an AMQP message_id'
)


def notes_on(event: Mapping[str, object]) -> tuple[str, ...]:
    """Return a sentence for each member that is ignored, with what may have been meant."""
    unknown = [name for name in event if name not in MEMBERS]
    told = [f"the member {_shown(name)} is ignored{_hint(name)}" for name in unknown[:MAX_NOTES]]
    more = len(unknown) - len(told)
    return (*told, f"{more} more members are ignored") if more else tuple(told)


def _hint(name: str) -> str:
    meant = nearest(name, MEMBERS | _ALSO_MEANT.keys())
    meant = _ALSO_MEANT.get(meant or "", meant)
    if meant is not None:
        return f": did you mean {meant}?"
    return (
        ": the importer knows only entityTypeId, fields, links, useOriginalUfNames and id; it "
        "creates items and never updates them"
    )


def _shown(name: str) -> str:
    return f'"{name[:MAX_NAME]}"'
