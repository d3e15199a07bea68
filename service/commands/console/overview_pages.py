"""Shows the importer: how it goes now, its lanes, what is parked."""

import time
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from service.commands.console.desk import Follow
from service.commands.console.drawing import Drawing, Line, drawing
from service.commands.console.history import Record
from service.commands.console.history import now as now_at
from service.commands.console.parts import Parts, parts_of
from service.commands.console.rendering import page, problem
from service.commands.console.samples import Ring
from service.commands.console.verdict import verdict
from service.commands.lanes.overview import (
    Lane,
    Overview,
    Waits,
    told_by_broker,
    told_by_importer,
)
from service.commands.lanes.retrying import told_to_try
from service.commands.runtime import ENDS, in_words
from service.commands.status_reading import Process

HELD_SECONDS = 180.0
MAX_TYPE = 2_147_483_647
NO_TYPE = "There is no such entity type", "A type is a number from 1."
T = TypeVar("T", Lane, Waits)
LABELS = {
    "all": "the whole intake, not one lane. These are the lanes that are not open.",
    "other": "any type beyond the first fifty with a lane: all of them are listed here.",
    "unknown": "no type: unreadable events have no lane. See the dead letters of kind malformed.",
}
"""Values of labels of metrics that stand where a type's number stands, and what they mean."""


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
        "lanes": [each for each in _told(process) if each.state != "open"],
        "queues": _queues(parts),
        "drawings": _drawings(parts.watch.ring),
        "status_url": parts.settings.status_url,
    }
    return page(request, "now.html", told)


async def all_lanes(request: Request) -> Response:
    """Show the lanes."""
    return page(request, "lanes.html", await _lanes(request))


async def one_lane(request: Request) -> Response:
    """Show the lane of one entity type, open or not."""
    number = request.path_params["number"]
    if not 1 <= number <= MAX_TYPE:
        return problem(request, 404, *NO_TYPE)
    told = await _lanes(request)
    overview: Overview | None = told["overview"]
    process = parts_of(request).watch.seen.process
    status = (process.status if process else None) or {}
    more = {
        "number": number,
        "lane": _of(overview.lanes, number) if overview else None,
        "queue": _of(overview.parked, number) if overview else None,
        "last": [e for e in status.get("last", []) if e.get("entity_type_id") == number],
        "cost": status.get("item_cost_seconds", {}).get(str(number)),
    }
    return page(request, "lane.html", {**told, **more})


async def named_lane(request: Request) -> Response:
    """Show all lanes for a label of a metric that is not an entity type."""
    word = request.path_params["word"]
    if word not in LABELS:
        return problem(request, 404, "There is no such lane", "A lane has the number of its type.")
    told = {**await _lanes(request), "label": f"“{word}” is {LABELS[word]}"}
    return page(request, "lanes.html", told)


async def try_lane(request: Request) -> Response:
    """Have a lane tried at once."""
    parts, form = parts_of(request), request.state.form
    number, name = request.path_params["number"], form.get("who", "").strip()
    if not 1 <= number <= MAX_TYPE:
        return problem(request, 404, *NO_TYPE)
    request.state.session = request.state.session.named(name or request.state.session.name)
    if not request.state.session.name:
        return problem(request, 400, "Your name is missing", "Go back and fill it in.")
    try:
        async with parts.desk.beside(Follow()) as work:
            words = (await told_to_try(work, number)).words
    except ENDS as error:
        words = in_words(error)
    parts.history.add(
        Record(now_at(), request.state.session.name, "try", f"lane {number}", "", words, 0)
    )
    told = {"says": f"Lane of entity type {number}", "remedy": words, "back": f"/lanes/{number}"}
    return page(request, "problem.html", told)


async def what_is_parked(request: Request) -> Response:
    """Show the inner queues: events that wait."""
    return page(request, "parked.html", await _lanes(request))


async def _lanes(request: Request) -> dict[str, Any]:
    """Return the lanes from the importer; else from the broker, which takes a moment."""
    parts = parts_of(request)
    await parts.watch.first()
    seen = parts.watch.seen
    overview = told_by_importer(seen.process) if seen.process else None
    question = None
    if overview is None:

        async def ask(follow: Follow) -> Overview:
            async with parts.desk.beside(follow) as work:
                return await told_by_broker(work)

        question = await parts.questions.ask("lanes", ask)
        overview = question.result
    return {
        "question": question,
        "overview": overview,
        "verdict": verdict(seen.process, seen.found, seen.broker_problem),
    }


def _told(process: Process | None) -> list[Lane]:
    overview = told_by_importer(process) if process else None
    return overview.lanes if overview else []


def _of(listed: list[T], number: int) -> T | None:
    return next((each for each in listed if each.entity_type_id == number), None)


def _queues(parts: Parts) -> list[dict[str, object]]:
    seen = parts.watch.seen
    what = {
        "intake": "events that wait to be imported",
        "dead": "dead letters",
        "succeeded": "results that are not read yet",
        "failed": "failures that are not read yet",
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
            "Lanes",
            "closed",
            [Line("not open", "solid", ring.values(lambda each: each.closed_lanes))],
        ),
    ]
