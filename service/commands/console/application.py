"""Joins pages and addresses to one application."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.convertors import IntegerConvertor, PathConvertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from service.commands.console import finding_pages, letter_pages, overview_pages, task_pages
from service.commands.console.parts import Parts
from service.commands.console.rendering import FOLDER, problem
from service.commands.console.safety import Rules, Safety
from service.settings.tree import Settings

log = logging.getLogger(__name__)


async def alive(_: Request) -> Response:
    """Say that the process answers."""
    return PlainTextResponse("alive\n")


class _Event(PathConvertor):
    """An event id: any text, with all its line ends."""

    regex = r"[\s\S]*"


class _Number(IntegerConvertor):
    """A number that is not too long to be read; `$` would let a line end follow."""

    regex = r"[0-9]{1,10}(?!\n)"


register_url_convertor("event", _Event())
register_url_convertor("number", _Number())
ROUTES = [
    Route("/", overview_pages.now),
    Route("/lanes", overview_pages.all_lanes),
    Route("/lanes/{number:number}", overview_pages.one_lane),
    Route("/lanes/{word}", overview_pages.named_lane),
    Route("/lanes/{number:number}/try", overview_pages.try_lane, methods=["POST"]),
    Route("/parked", overview_pages.what_is_parked),
    Route("/dead-letters", letter_pages.letters),
    Route("/dead-letters/look-again", letter_pages.look_again, methods=["POST"]),
    Route("/dead-letters/{event_id:event}", letter_pages.one),
    Route("/dead-letter", letter_pages.one),
    Route("/dead-letter", letter_pages.act_on_one, methods=["POST"]),
    Route("/find", finding_pages.find),
    Route("/tasks", task_pages.plan, methods=["POST"]),
    Route("/tasks/{number:number}", task_pages.show),
    Route("/tasks/{number:number}/start", task_pages.start, methods=["POST"]),
    Route("/tasks/{number:number}/stop", task_pages.stop, methods=["POST"]),
    Route("/history", task_pages.history),
    Route("/login", task_pages.login_form),
    Route("/login", task_pages.login, methods=["POST"]),
    Route("/leave", task_pages.leave, methods=["POST"]),
    Route("/livez", alive),
    Mount("/static", StaticFiles(directory=FOLDER / "static")),
]


def application(settings: Settings, rules: Rules) -> ASGIApp:
    """Return the console; what guards it stands before everything, also before pages of errors."""
    parts = Parts.of(settings, rules)

    @asynccontextmanager
    async def living(_: Starlette) -> AsyncIterator[None]:
        watching = asyncio.create_task(parts.watch.run(), name="watch")
        try:
            yield
        finally:
            watching.cancel()
            await parts.tasks.close()
            await parts.scans.close()
            await parts.questions.close()
            await asyncio.gather(watching, return_exceptions=True)

    made = Starlette(
        routes=ROUTES,
        exception_handlers={HTTPException: _refused, Exception: _broken},
        lifespan=living,
    )
    made.state.parts = parts
    return Safety(made, rules)


async def _refused(request: Request, error: Exception) -> Response:
    code = error.status_code if isinstance(error, HTTPException) else 500
    if code == 404:  # noqa: PLR2004 - HTTP's own number
        return problem(request, code, "There is no such page", "Take one of the links above.")
    return problem(request, code, "This is not possible here")


async def _broken(request: Request, error: Exception) -> Response:
    log.error("unexpected error: a page of the console", exc_info=error)
    return problem(request, 500, "An unexpected error of ours", "The console's log has it.")
