"""Writes the bodies of calls to the portal."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from service.domain.events import BatchKey, ItemEvent
from service.domain.witnessing import PROFILE_FIELDS

DEAL = 2
FIRST_SMART_PROCESS = 128


def encode_import(key: BatchKey, events: Sequence[ItemEvent]) -> bytes:
    """Write the body of `crm.item.batchImport`; fields go in byte for byte.

    `data` is an object, so that the answer mirrors its keys (`bitrix/README.md` §1).
    """
    items = [b'"m%02d":{%b' % (place, _members(event)) for place, event in enumerate(events)]
    return b'{"entityTypeId":%d,"useOriginalUfNames":"%b","data":{%b}}' % (
        key.entity_type_id,
        b"Y" if key.original_names else b"N",
        b",".join(items),
    )


def _members(event: ItemEvent) -> bytes:
    """Return what follows the opening brace of an item: stamp and links, then its own fields."""
    own = bytes(event.fields).lstrip()[1:].lstrip()
    added = event.stamp + event.linked
    return (added.rstrip(b",") if own.startswith(b"}") else added) + own


def profile_fields(entity_type_id: int) -> list[str]:
    """Return which fields rights may depend on; only deals and smart processes have pipelines."""
    has_pipelines = entity_type_id == DEAL or entity_type_id >= FIRST_SMART_PROCESS
    return [name for name in PROFILE_FIELDS if has_pipelines or name != "categoryId"]


def encode_list(entity_type_id: int, select: Sequence[str], where: Mapping[str, Any]) -> bytes:
    """Write the body of `crm.item.list`: the items with the lowest ids, without counting them."""
    return msgspec.json.encode(
        {
            "entityTypeId": entity_type_id,
            "select": select,
            "filter": where,
            "order": {"id": "ASC"},
            "start": -1,
            "useOriginalUfNames": "N",
        }
    )
