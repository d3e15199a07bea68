"""Finds where one event is now."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from service.commands.console.filters import read_filters
from service.commands.console.parts import parts_of
from service.commands.console.rendering import page


async def find(request: Request) -> Response:
    """Tell where an event is: among the dead letters, or among those that ended last."""
    parts = parts_of(request)
    filters = read_filters({name: request.query_params.get(name, "") for name in ("id", "type")})
    told: dict[str, Any] = {"filters": filters, "scan": None, "last": []}
    told["asked"] = bool(filters.selection.ids)
    if filters.selection.ids and not filters.mistakes:
        [event_id] = filters.selection.ids
        process = parts.watch.seen.process
        last = process.status["last"] if process and process.status else []
        told["last"] = [each for each in last if each.get("id") == event_id]
        told["scan"] = await parts.scans.look(filters.selection)
    return page(request, "find.html", told)
