"""Shows the importer: how it goes now, its lanes, what is parked."""

import time
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from service.commands.console.drawing import Drawing, Line, drawing
from service.commands.console.parts import Parts, parts_of
from service.commands.console.rendering import page, problem
from service.commands.console.samples import Ring
from service.commands.console.verdict import verdict

HELD_SECONDS = 180.0
MAX_TYPE = 2_147_483_647


async def now(request: Request) -> Response:
    """Tell whether it is all right, why not, until when."""
    parts = parts_of(request)
    await parts.watch.first()
    seen = parts.watch.seen
    process = seen.process
    told = {
        "seen": seen,
        "process": process,
        "status": process.status if process else None,
        "verdict": verdict(process, seen.found, seen.broker_problem),
        "lanes": process.status["lanes"] if process and process.status else [],
        "queues": _queues(parts),
        "drawings": _drawings(parts.watch.ring),
        "status_url": parts.settings.status_url,
    }
    return page(request, "now.html", told)


async def all_lanes(request: Request) -> Response:
    """Show the lanes that are not open."""
    return page(request, "lanes.html", await _lanes(request))


async def one_lane(request: Request) -> Response:
    """Show the lane of one entity type, open or not."""
    number = request.path_params["number"]
    if not 1 <= number <= MAX_TYPE:
        return problem(request, 404, "There is no such entity type", "A type is a number from 1.")
    told = await _lanes(request)
    own = [each for each in told["lanes"] if each.get("entity_type") == number]
    status: Mapping[str, Any] = told["status"] or {}
    last = [each for each in status.get("last", []) if each.get("entity_type_id") == number]
    more = {
        "number": number,
        "lane": own[0] if own else None,
        "parked": [each for each in told["parked"] if each.get("entity_type") == number],
        "last": last,
        "cost": status.get("item_cost_seconds", {}).get(str(number)),
    }
    return page(request, "lane.html", {**told, **more})


async def what_is_parked(request: Request) -> Response:
    """Show the inner queues: events that wait."""
    return page(request, "parked.html", await _lanes(request))


async def _lanes(request: Request) -> dict[str, Any]:
    parts = parts_of(request)
    await parts.watch.first()
    seen = parts.watch.seen
    status = seen.process.status if seen.process else None
    return {
        "seen": seen,
        "process": seen.process,
        "status": status,
        "lanes": status["lanes"] if status else [],
        "parked": status["parked"] if status else [],
        "verdict": verdict(seen.process, seen.found, seen.broker_problem),
    }


def _queues(parts: Parts) -> list[dict[str, object]]:
    seen = parts.watch.seen
    what = {
        "intake": "events that wait to be imported",
        "dead": "dead letters",
        "succeeded": "results nobody has read yet",
        "failed": "failures nobody has read yet",
    }
    return [
        {"name": name, "what": what[key], "depth": seen.queues.get(name)}
        for key, name in parts.watch.names.items()
    ]


def is_held_by_others(parts: Parts) -> bool:
    """Tell whether dead letters that lay there a moment ago are out of sight now."""
    most = parts.watch.ring.most(lambda each: each.dead, time.time() - HELD_SECONDS)
    depth = parts.watch.seen.queues.get(parts.settings.rabbit.dead_letter_queue)
    return most > 0 and depth is not None and depth.ready == 0


def _drawings(ring: Ring) -> list[Drawing]:
    return [
        drawing(
            "rate",
            "Events that ended",
            "a minute",
            [
                Line("imported", "solid", ring.rate(lambda each: each.imported)),
                Line("failed", "dashed", ring.rate(lambda each: each.failed)),
            ],
        ),
        drawing(
            "age",
            "Age of events",
            "s",
            [
                Line("of the event that ended last", "solid", ring.values(lambda s: s.event_age)),
                Line("of the oldest one held", "dashed", ring.values(lambda s: s.oldest_held)),
            ],
        ),
        drawing(
            "budget",
            "The portal's budget",
            "% used",
            [Line("used", "solid", ring.values(lambda each: each.budget))],
        ),
        drawing(
            "queues",
            "Queues",
            "messages",
            [
                Line("waiting to be imported", "solid", ring.values(lambda each: each.waiting)),
                Line("dead letters", "dashed", ring.values(lambda each: each.dead)),
            ],
        ),
        drawing(
            "lanes",
            "Closed lanes",
            "lanes",
            [Line("closed", "solid", ring.values(lambda each: each.closed_lanes))],
        ),
    ]
