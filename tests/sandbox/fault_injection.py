"""Carries out a fault around one call: before the work, after it, or in its middle."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from tests.sandbox.call import Call, EntryError
from tests.sandbox.faults import Fault, Strike
from tests.sandbox.reply import CUT, Reply, error_reply, html_reply

Execute = Callable[[], Awaitable[Reply]]
Act = Callable[[Fault, Call, Execute], Awaitable[Reply]]

SOME_HTML = "<html><body>Service is being updated</body></html>"


async def perform(strike: Strike, call: Call, execute: Execute) -> Reply:
    """Execute a call as its faults demand and return what goes over the wire."""
    for fault in strike.entries:
        for position in call.chosen(fault.match, fault.index):
            code = "CRM_FIELD_ERROR_VALUE_NOT_VALID" if fault.code is None else fault.code
            description = fault.description or "Refused by the script"
            call.script.entry_errors[position] = EntryError(code, description, fault.saved)
    if strike.call is None:
        return await execute()
    return await ACTS[strike.call.kind](strike.call, call, execute)


async def _refuse(fault: Fault, _call: Call, _execute: Execute) -> Reply:
    refused = _error(fault, status=400, code="INTERNAL_SERVER_ERROR")
    return replace(refused, retry_after=fault.retry_after)


async def _redirect(fault: Fault, _call: Call, _execute: Execute) -> Reply:
    return replace(html_reply(fault.status or 302), location=fault.location)


async def _hang_before_commit(fault: Fault, _call: Call, execute: Execute) -> Reply:
    await asyncio.sleep(fault.seconds)
    return await execute()


async def _hang_after_commit(fault: Fault, _call: Call, execute: Execute) -> Reply:
    reply = await execute()
    await asyncio.sleep(fault.seconds)
    return reply


async def _slow(fault: Fault, call: Call, execute: Execute) -> Reply:
    call.script.extra_seconds = fault.seconds
    return await execute()


async def _cut_before_commit(fault: Fault, _call: Call, _execute: Execute) -> Reply:
    await asyncio.sleep(fault.seconds)
    return CUT


async def _cut_after_commit(fault: Fault, _call: Call, execute: Execute) -> Reply:
    await execute()
    await asyncio.sleep(fault.seconds)
    return CUT


async def _partial_then_error(fault: Fault, call: Call, execute: Execute) -> Reply:
    await _execute_prefix(_prefix(fault, call), call, execute)
    return _error(fault, status=400, code="0")


async def _partial_then_cut(fault: Fault, call: Call, execute: Execute) -> Reply:
    await _execute_prefix(_prefix(fault, call), call, execute)
    return CUT


async def _poison(fault: Fault, call: Call, execute: Execute) -> Reply:
    positions = call.chosen(fault.match, fault.index)
    if not positions:
        return await execute()
    await _execute_prefix(positions[0] + fault.saved, call, execute)
    if fault.then == "hang":
        await asyncio.sleep(fault.seconds)
    if fault.then in {"cut", "hang"}:
        return CUT
    if fault.then == "html":
        return html_reply(fault.status or 500)
    return _error(fault, status=400, code="0")


async def _html(fault: Fault, _call: Call, execute: Execute) -> Reply:
    if fault.committed:
        await execute()
    return html_reply(fault.status or 502)


async def _error_200(fault: Fault, _call: Call, execute: Execute) -> Reply:
    if fault.committed:
        await execute()
    return _error(fault, status=200, code="ERROR_CORE")


async def _empty_body(fault: Fault, _call: Call, execute: Execute) -> Reply:
    if fault.committed is not False:
        await execute()
    return Reply(fault.status or 200)


async def _not_json_200(fault: Fault, _call: Call, execute: Execute) -> Reply:
    if fault.committed is not False:
        await execute()
    return Reply(200, text=SOME_HTML, content_type="text/html")


async def _truncated(_fault: Fault, _call: Call, execute: Execute) -> Reply:
    return replace(await execute(), share=0.5)


async def _wrong_count(fault: Fault, _call: Call, execute: Execute) -> Reply:
    missing = fault.missing or (0 if fault.surplus else 1)

    def change(entries: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
        kept = entries[: len(entries) - missing]
        extra = ((f"extra{n}", {"item": {"id": 900_000_000 + n}}) for n in range(fault.surplus))
        return [*kept, *extra]

    return _changed(await execute(), change)


async def _null_entry(fault: Fault, call: Call, execute: Execute) -> Reply:
    return _replaced(await execute(), call.chosen(fault.match, fault.index), None)


async def _id_zero(fault: Fault, call: Call, execute: Execute) -> Reply:
    zero = {"item": {"id": 0}}
    return _replaced(await execute(), call.chosen(fault.match, fault.index), zero)


async def _list_form(_fault: Fault, _call: Call, execute: Execute) -> Reply:
    reply = await execute()
    items = _items(reply)
    if not isinstance(items, dict):
        return reply
    return replace(
        reply, payload={**(reply.payload or {}), "result": {"items": [*items.values()]}}
    )


ACTS: dict[str, Act] = {
    "refuse": _refuse,
    "redirect": _redirect,
    "hang_before_commit": _hang_before_commit,
    "hang_after_commit": _hang_after_commit,
    "slow": _slow,
    "cut_before_commit": _cut_before_commit,
    "cut_after_commit": _cut_after_commit,
    "partial_then_error": _partial_then_error,
    "partial_then_cut": _partial_then_cut,
    "poison": _poison,
    "html": _html,
    "error_200": _error_200,
    "empty_body": _empty_body,
    "not_json_200": _not_json_200,
    "truncated": _truncated,
    "wrong_count": _wrong_count,
    "null_entry": _null_entry,
    "id_zero": _id_zero,
    "list_form": _list_form,
}


def _error(fault: Fault, *, status: int, code: str) -> Reply:
    wanted = code if fault.code is None else str(fault.code)
    description = fault.description or "Refused by the script"
    return error_reply(fault.status or status, wanted, description)


async def _execute_prefix(stop: int, call: Call, execute: Execute) -> None:
    call.script.stop = stop
    await execute()


def _prefix(fault: Fault, call: Call) -> int:
    return len(call.entries()) // 2 if fault.items is None else fault.items


def _items(reply: Reply) -> object:
    result = (reply.payload or {}).get("result")
    return result.get("items") if isinstance(result, dict) else None


def _changed(
    reply: Reply, change: Callable[[list[tuple[str, Any]]], list[tuple[str, Any]]]
) -> Reply:
    """Return an answer with other entries, in the shape it had."""
    items = _items(reply)
    changed: object
    if isinstance(items, dict):
        changed = dict(change(list(items.items())))
    elif isinstance(items, list):
        changed = [entry for _, entry in change([(str(n), item) for n, item in enumerate(items)])]
    else:
        return reply
    return replace(reply, payload={**(reply.payload or {}), "result": {"items": changed}})


def _replaced(reply: Reply, positions: list[int], entry: object) -> Reply:
    def change(entries: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
        return [(key, entry if n in positions else old) for n, (key, old) in enumerate(entries)]

    return _changed(reply, change)
