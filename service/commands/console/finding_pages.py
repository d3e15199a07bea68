"""Finds where one event is now, as `find` does."""

from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from service.commands import option_values
from service.commands.console.desk import Follow
from service.commands.console.filters import read_filters
from service.commands.console.parts import parts_of
from service.commands.console.rendering import page
from service.commands.find.looking import look
from service.commands.find.places import Found
from service.commands.find.showing import asked, named, said_by_memory, told, waits_for


async def find(request: Request) -> Response:
    """Tell where an event is: in the CRM, failed, parked, or not known."""
    parts = parts_of(request)
    filters = read_filters(
        {name: request.query_params.get(name, "") for name in ("id", "type")},
        read_type=option_values.entity_type,
    )
    shown: dict[str, Any] = {"filters": filters, "question": None, "found": None}
    if filters.selection.ids and not filters.mistakes:
        [event_id] = filters.selection.ids
        number = filters.selection.entity_type_id

        async def work(follow: Follow) -> Found:
            # It reads the dead letters, too: one after another.
            async with parts.desk.turn(follow) as at_work:
                return await look(at_work, event_id, number)

        question = await parts.questions.ask(("find", event_id, number), work)
        shown |= {"question": question, "last": _ended(parts.watch.seen.process, event_id)}
        if question.result is not None and not question.result.is_found and filters.trimmed:
            return RedirectResponse(f"/find{filters.trimmed}", 303)
        if question.result is not None:
            shown |= _told(question.result)
    return page(request, "find.html", shown)


def _told(found: Found) -> dict[str, Any]:
    return {
        "found": found,
        "items": [(each, named(each)) for each in found.items],
        "waiting": [(each, waits_for(each)) for each in found.waiting],
        "words": [(each, said_by_memory(found, each)) for each in found.words],
        "asked": list(asked(found)),
        "hidden": [told(each) for each in found.hidden],
    }


def _ended(process: Any, event_id: str) -> list[Any]:  # noqa: ANN401 - of /status
    status = process.status if process else None
    return [each for each in (status or {}).get("last", []) if each.get("id") == event_id]
