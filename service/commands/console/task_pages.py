"""Plans, starts, stops and shows tasks; shows what was done; lets people in."""

import asyncio
import secrets
import time

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from service.commands.console.filters import form_filters
from service.commands.console.history import MAX_REASON, tidy
from service.commands.console.orders import LETTERS, Action, Order, Stage, Task, outcome
from service.commands.console.parts import parts_of
from service.commands.console.rendering import page, problem

WRONG_SECONDS = 0.5
"""A wrong password is answered so late."""


async def plan(request: Request) -> Response:
    """Count what would be sent back or removed; nothing is done yet."""
    parts, form = parts_of(request), request.state.form
    filters = form_filters(form)
    if filters.mistakes:
        return problem(request, 400, "A filter cannot be read", "; ".join(filters.mistakes))
    if form.get("action") not in set(Action):
        return problem(request, 400, "This form is incomplete", "Load the page again.")
    if parts.tasks.is_full:
        return problem(request, 503, "Too many tasks are running", "Try again in a moment.")
    action, lane = Action(form["action"]), filters.selection.entity_type_id
    if action in LETTERS:
        order = Order(action, filters.selection, resend=bool(form.get("resend")))
    else:
        order = Order(action, lane=lane, links=bool(form.get("links")))
    if action is Action.END and not lane:
        return problem(request, 400, "No entity type is named", "Open the lane of a type.")
    task = await parts.tasks.plan(order)
    return RedirectResponse(f"/tasks/{task.number}", 303)


async def start(request: Request) -> Response:
    """Do what was planned, for a user who gives a name and a reason."""
    task = _task(request)
    if task is None:
        return _unknown(request)
    form = request.state.form
    name = form.get("who", "").strip() or request.state.session.name
    reason = tidy(form.get("reason", ""), MAX_REASON)
    if not name or not reason:
        return problem(
            request, 400, "Your name or your reason is missing", "Go back and fill in both."
        )
    if task.stage is not Stage.PLANNED or not task.planned:
        return RedirectResponse(f"/tasks/{task.number}", 303)
    request.state.session = request.state.session.named(name)
    await parts_of(request).tasks.begin(task, request.state.session.name, reason)
    return RedirectResponse(f"/tasks/{task.number}", 303)


async def stop(request: Request) -> Response:
    """Stop a task after what it does at the moment."""
    task = _task(request)
    if task is None:
        return _unknown(request)
    parts_of(request).tasks.stop(task, request.state.session.name)
    return RedirectResponse(f"/tasks/{task.number}", 303)


async def show(request: Request) -> Response:
    """Show a task: its plan, how far it is, what became of it."""
    task = _task(request)
    if task is None:
        return _unknown(request)
    return page(request, "task.html", {"task": task, "outcome": outcome(task)})


async def history(request: Request) -> Response:
    """Show who did what and why."""
    parts = parts_of(request)
    return page(request, "history.html", {"records": parts.history.newest_first})


async def login_form(request: Request) -> Response:
    """Ask for the password."""
    if not parts_of(request).rules.door.is_locked:
        return RedirectResponse("/", 303)
    told = {"wrong": "", "next": _inside(request.query_params.get("next", "/"))}
    return page(request, "login.html", told)


async def login(request: Request) -> Response:
    """Let a user in who knows the password; tries are limited."""
    rules, form = parts_of(request).rules, request.state.form
    to, now = _inside(form.get("next", "/")), time.time()
    wait = rules.door.wait(now)
    if wait > 0:
        told = {"wrong": f"too many tries: wait {wait:.0f} s", "next": to}
        answer: Response = page(request, "login.html", told, 429)
        answer.headers["Retry-After"] = str(int(wait) + 1)
        return answer
    if not rules.door.opens(form.get("password", ""), now):
        await asyncio.sleep(WRONG_SECONDS + secrets.randbelow(100) / 1000)
        return page(request, "login.html", {"wrong": "that is not the password", "next": to}, 403)
    # A new session: nobody may have put the old one into this browser.
    request.state.session = rules.seals.new(now, name=form.get("who", ""), let_in=True)
    return RedirectResponse(to, 303)


async def leave(request: Request) -> Response:
    """Forget who sits there; with a password, it is asked for again."""
    seals = parts_of(request).rules.seals
    seals.end(request.state.session)
    request.state.session = seals.new(time.time())
    return RedirectResponse("/", 303)


def _inside(address: str) -> str:
    """Return an address of ours; that of any other site becomes the first page."""
    is_ours = address.startswith("/") and not address.startswith(("//", "/\\"))
    return address if is_ours and address.isprintable() else "/"


def _task(request: Request) -> Task | None:
    return parts_of(request).tasks.get(request.path_params["number"])


def _unknown(request: Request) -> Response:
    return problem(
        request,
        404,
        "This task is not known",
        "The console keeps the last hundred tasks while it runs. The log has a record of each.",
    )
