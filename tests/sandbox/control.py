"""Lets a test outside the process script the portal and read its ledger, as JSON."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from tests.sandbox.faults import Fault
from tests.sandbox.ledger import ItemRecord
from tests.sandbox.portal import Portal


def ledger(portal: Portal, query: Mapping[str, str]) -> dict[str, Any]:
    """Return items and calls in order, from the positions `items_from` and `calls_from`."""
    items = portal.ledger.items[int(query.get("items_from", 0)) :]
    calls = portal.ledger.calls[int(query.get("calls_from", 0)) :]
    return {
        "items": [_item(portal, item) for item in items],
        "calls": [dataclasses.asdict(call) for call in calls],
    }


def summary(portal: Portal) -> dict[str, Any]:
    """Return the ledger in numbers."""
    return portal.ledger.summary()


def faults(portal: Portal) -> dict[str, Any]:
    """Return the plan, with how often each fault was considered and has struck."""
    return {"faults": [_shown(fault) for fault in portal.faults.faults]}


def add_faults(portal: Portal, data: object) -> dict[str, Any]:
    """Append one fault or a list of them; all are read before the first is added."""
    listed: list[Any] = data if isinstance(data, list) else [data]
    parsed = [Fault.parse(item) for item in listed]
    portal.faults.add(*parsed)
    return faults(portal)


def settings(portal: Portal) -> dict[str, Any]:
    """Return the settings in force."""
    return dataclasses.asdict(portal.settings)


def change_settings(portal: Portal, data: Mapping[str, Any]) -> dict[str, Any]:
    """Replace the named settings."""
    portal.configure(**data)
    return settings(portal)


def set_back(portal: Portal, data: Mapping[str, Any]) -> dict[str, Any]:
    """Bring older data back: keep so many of the oldest items, by default none."""
    portal.ledger.set_back(int(data.get("kept", 0)))
    return {}


def change_items(portal: Portal, data: Mapping[str, Any]) -> dict[str, Any]:
    """Change fields of items, by default of all, as people do: hand them over, close them."""
    ids = data.get("ids")
    for item in portal.ledger.items:
        if ids is None or item.id in ids:
            item.fields |= data["fields"]
    return {}


def delete_items(portal: Portal, data: Mapping[str, Any]) -> dict[str, Any]:
    """Delete items, as people do."""
    portal.ledger.delete(data["ids"])
    return {}


def change_tokens(portal: Portal, data: Mapping[str, Any]) -> dict[str, Any]:
    """Expire the access tokens or revoke the refresh token."""
    if data.get("expire"):
        portal.tokens.expire()
    if data.get("revoke"):
        portal.tokens.revoke()
    return {}


def _item(portal: Portal, item: ItemRecord) -> dict[str, Any]:
    text = portal.ledger.raw_text(item)
    external = item.external
    return {
        "id": item.id,
        "entityTypeId": item.entity_type,
        "call": item.call,
        "position": item.position,
        "key": item.key,
        "at": item.at,
        "wall": item.wall,
        "originatorId": external[1] if external else None,
        "externalId": external[2] if external else None,
        "fields": item.fields,
        "raw": json.loads(text) if text else None,
        "rawText": text,
    }


def _shown(fault: Fault) -> dict[str, Any]:
    return {
        item.name: getattr(fault, item.name)
        for item in dataclasses.fields(fault)
        if not item.name.startswith("_")
    }
