"""Asks the portal for an event's items: by external id, then by the numbers in the memory."""

import asyncio
from collections.abc import Awaitable, Collection, Mapping

from service import factories
from service.bitrix.client import Portal
from service.commands.find.places import Found, Item
from service.domain.events import ExternalId
from service.domain.last_words import LastWord
from service.domain.outcomes import CallFailed, CallKind, Fault, PauseReason
from service.settings.tree import Settings
from service.telemetry.metrics import Metrics

ANSWER_SECONDS = 20.0
MAX_CALLS = 50
"""Most types, and most numbers, asked for: a running importer shares the request limit."""


async def ask_portal(
    settings: Settings, found: Found, ids: Mapping[int, Collection[ExternalId]]
) -> None:
    """Ask for the items, one call a type or number, until the portal stops answering."""
    if not (settings.bitrix.webhook_url or settings.bitrix.client_endpoint):
        found.problem = "the portal is not configured here (IMPORTER_BITRIX__WEBHOOK_URL)"
        return
    try:
        portal = factories.portal(settings, Metrics())
    except factories.CannotStart as reason:
        found.problem = str(reason)
        return
    async with portal:
        for number in sorted(ids)[:MAX_CALLS]:
            await _contained(found, number, _ask(portal, found, number, ids[number]))
            if found.problem:
                return
        # An event may bring an external id of its own, and some types have none.
        for word in found.not_shown[:MAX_CALLS]:
            await _contained(found, word.entity_type_id, _ask_by_number(portal, found, word))
            if found.problem:
                return


async def _contained(found: Found, number: int, asking: Awaitable[None]) -> None:
    """Wait for an answer; note what was refused, or why the portal did not answer."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            await asking
    except TimeoutError:
        found.problem = f"the portal did not answer within {ANSWER_SECONDS:g} s"
    except CallFailed as failed:
        fault = failed.fault
        if _is_about_the_type(fault):
            found.refused[number] = fault.code
        else:
            found.problem = f"{fault.cause or fault.code}; {fault.remedy}".rstrip("; ")


def _is_about_the_type(fault: Fault) -> bool:
    """Tell whether a refusal says nothing of other types."""
    denied = fault.kind is CallKind.SUSPECT and fault.pause is not PauseReason.CREDENTIALS
    return denied or fault.kind is CallKind.UNSUPPORTED


async def _ask(portal: Portal, found: Found, number: int, wanted: Collection[ExternalId]) -> None:
    items = await portal.find(number, sorted(wanted, key=str))
    found.asked.append(number)
    for external_id, seen in items.items():
        found.items += [Item(number, each.item_id, external_id) for each in seen]


async def _ask_by_number(portal: Portal, found: Found, word: LastWord) -> None:
    seen = await portal.shown(word.entity_type_id, [word.item_id])
    if any(each.item_id == word.item_id for each in seen):
        found.items.append(Item(word.entity_type_id, word.item_id, None))
    else:
        found.gone.append(word)
