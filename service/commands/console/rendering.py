"""Makes pages from templates; all data from outside is escaped and cleaned."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import ChainableUndefined, Environment, FileSystemLoader
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import HTMLResponse

from service import __version__
from service.commands.console import filters, wording
from service.commands.console.parts import parts_of
from service.commands.console.verdict import REASONS, who_acts
from service.commands.dlq.selection import named
from service.commands.moments import written
from service.commands.terminal import clean

FOLDER = Path(__file__).parent


def finalized(value: object) -> object:
    """Return what a page shows for a value: nothing that hides or turns other text."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return clean(value)
    return "" if value is None else value


def lines(text: str) -> Markup:
    """Return a text of several lines, each cleaned."""
    return Markup("\n").join(escape(clean(line)) for line in text.split("\n"))


def exact(text: str) -> Markup:
    """Return a text for a box in which it is changed: every sign as it is.

    Browsers take away a line end at the start.
    """
    return Markup("\n") + escape(text)


def moment(value: object) -> Markup:
    """Return a time as everybody reads it; a script shows the browser's own time beside it."""
    at = value if isinstance(value, datetime) else wording.moment_of(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        at = datetime.fromtimestamp(value, UTC)
    if at is None:
        return Markup("unknown")
    text = written(at)
    return Markup('<time datetime="{}">{}</time>').format(text, text.replace("T", " "))


def figure(value: object) -> str:
    """Return a number for people; a dash for none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def seen(event_id: object) -> str:
    """Return any id of a status in a visible form."""
    return named(str(event_id))


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        # A status of another version may lack any member.
        undefined=ChainableUndefined,
        finalize=finalized,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "lines": lines,
        "exact": exact,
        "moment": moment,
        "figure": figure,
        "ago": wording.ago,
        "duration": wording.duration,
        "since": wording.since,
        "letters": wording.letters,
        "named": seen,
        "letter_address": filters.letter_address,
    }
    environment.globals |= {
        "version": __version__,
        "reasons": REASONS,
        "who_acts": who_acts,
        "address": filters.address,
    }
    return environment


_PAGES = _environment()


def page(
    request: Request, template: str, told: Mapping[str, Any] | None = None, code: int = 200
) -> HTMLResponse:
    """Return a page; every template knows whose session it is, and its token."""
    parts = parts_of(request)
    session = request.state.session
    always = {
        "path": request.url.path,
        "who": session.name,
        "token": parts.rules.seals.token(session),
        "locked": parts.rules.door.is_locked,
        "let_in": session.let_in,
        "waiting": parts.waiting(),
    }
    text = _PAGES.get_template(template).render({**always, **(told or {})})
    return HTMLResponse(text, code)


def problem(request: Request, code: int, says: str, remedy: str = "") -> HTMLResponse:
    """Return a page that says why there is none."""
    return page(request, "problem.html", {"says": says, "remedy": remedy}, code)
