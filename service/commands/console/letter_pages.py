"""Shows dead letters: their groups, a list, and one of them whole."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from service.commands.console.editing import MAX_FIELDS, NEW, changes, editable
from service.commands.console.filters import (
    KINDS,
    Filters,
    form_filters,
    letter_address,
    read_filters,
)
from service.commands.console.history import MAX_REASON, tidy
from service.commands.console.orders import Action, Order
from service.commands.console.overview_pages import is_held_by_others
from service.commands.console.parts import Parts, parts_of
from service.commands.console.rendering import page, problem
from service.commands.console.scans import FIRST_LOOK, MAX_ROWS, Scan
from service.commands.dlq.doubling import may_double
from service.commands.dlq.patching import patch_of
from service.commands.dlq.selection import Selection
from service.commands.dlq.showing import as_json
from service.commands.option_values import UNKNOWN
from service.rabbit.letters import Letter

ROWS = 50
EVERY = 10**9


async def letters(request: Request) -> Response:
    """Show the groups, then the letters, that the filters in the address select."""
    parts, filters = parts_of(request), read_filters(request.query_params)
    scan = await parts.scans.look(filters.selection)
    if scan.is_complete and not scan.matching and filters.trimmed:
        return RedirectResponse(f"/dead-letters{filters.trimmed}", 303)
    number = request.query_params.get("page", "1")
    at = max(1, int(number)) if number.isdecimal() and len(number) < 6 else 1  # noqa: PLR2004 - far beyond the last page
    return page(request, "letters.html", _list(parts, scan, filters, at))


async def look_again(request: Request) -> Response:
    """Read the letters again, all of them if that is asked for."""
    form = request.state.form
    filters = form_filters(form)
    parts = parts_of(request)
    await parts.scans.look(filters.selection, anew=EVERY if form.get("all") else FIRST_LOOK)
    return RedirectResponse(f"/dead-letters{filters.fixed.query}", 303)


async def one(request: Request) -> Response:
    """Show every letter of one event."""
    event_id = _event_id(request)
    if not event_id:
        return problem(request, 404, "No event is named", "Open an event from the list.")
    parts = parts_of(request)
    scan = await parts.scans.look(Selection(ids=frozenset([event_id])), whole=True)
    most, can_look_up = parts.settings.rabbit.max_message_bytes, parts.settings.lookup != "never"
    told = {
        "event_id": event_id,
        "scan": scan,
        "held": is_held_by_others(parts),
        "done": parts.history.of(event_id),
        "letters": [
            {
                "told": as_json(letter, most, can_look_up=can_look_up),
                "fields": editable(letter),
                "most_fields": MAX_FIELDS,
                "bodyless": letter.is_bodyless,
                "doubtful": may_double(letter, can_look_up=can_look_up),
                "type": letter.entity_type_id,
                "which": urlencode({"id": event_id, "type": letter.entity_type_id or UNKNOWN}),
                "size": len(letter.body),
            }
            for letter in scan.letters
        ],
        "new": range(NEW),
        "alone": len(_types(scan.letters)) == scan.matching,
    }
    is_there = scan.letters or scan.ended is None or scan.problem
    return page(request, "letter.html", told, 200 if is_there else 404)


async def act_on_one(request: Request) -> Response:
    """Send the letters of one event back, with fields set."""
    parts, form = parts_of(request), request.state.form
    filters = form_filters(form)
    name = form.get("who", "").strip() or request.state.session.name
    if filters.mistakes:
        return problem(request, 400, "A filter cannot be read", "; ".join(filters.mistakes))
    if not filters.selection.ids or form.get("action") != Action.SEND_BACK:
        return problem(request, 400, "This form is incomplete", "Load the page again.")
    if not name:
        return problem(request, 400, "Your name is missing", "Go back and fill it in.")
    request.state.session = request.state.session.named(name)
    if parts.tasks.is_full:
        return problem(request, 503, "Too many tasks are running", "Try again in a moment.")
    order = Order(
        Action.SEND_BACK,
        filters.selection,
        patch_of(changes(form)),
        resend=bool(form.get("resend")),
    )
    reason = tidy(form.get("reason", ""), MAX_REASON)
    task = await parts.tasks.at_once(order, request.state.session.name, reason)
    return RedirectResponse(f"/tasks/{task.number}", 303)


def _event_id(request: Request) -> str:
    return str(request.path_params.get("event_id") or request.query_params.get("id", ""))


def _types(letters: list[Letter]) -> set[int | None]:
    return {letter.entity_type_id for letter in letters}


def _list(parts: Parts, scan: Scan, filters: Filters, at: int) -> Mapping[str, Any]:
    pages = max(1, -(-len(scan.rows) // ROWS))
    at = min(at, pages)
    return {
        "filters": filters,
        "kinds": KINDS,
        "scan": scan,
        "groups": list(scan.groups),
        "rows": scan.rows[(at - 1) * ROWS : at * ROWS],
        "at": at,
        "pages": pages,
        "most_rows": MAX_ROWS,
        "held": is_held_by_others(parts),
        "queue": parts.settings.rabbit.dead_letter_queue,
        "letter_address": letter_address,
    }
