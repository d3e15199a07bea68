"""Guards every page: checks access, and tells browsers what they may do."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.commands.console.guard import Door, Seals, Session, is_our_host, is_our_origin

MAX_FORM = 8_000_000
"""Bytes of a form."""
MAX_OPEN_FORM = 20_000
"""Bytes of a form that anybody may send: a name and a password."""
MAX_MEMBERS = 5_000
FORM_SECONDS = 60.0
"""Longest time in which a form comes."""
METHODS = ("GET", "HEAD", "POST")
OPEN = ("/login", "/static/", "/livez")
"""Addresses that need no password."""
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Nothing goes to other sites. With `no-referrer` browsers would hide the Origin of our forms.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


_ENDED = "the session has ended: nothing was done. Open the console again and log in"


class Refusal(Exception):  # noqa: N818 - reads as what it says
    """A request that is not answered; the text says why and what to do."""

    def __init__(self, code: int, text: str) -> None:
        """Take the HTTP status and the text."""
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class Rules:
    """Who may ask. `listening`: the address we listen at; `names`: those of this machine."""

    seals: Seals
    door: Door
    listening: str
    names: tuple[str, ...] = ()


class Safety:
    """Checks each request; gives pages `request.state.session` and `.form`.

    A page that puts another session there changes the browser's cookie.
    """

    def __init__(self, app: ASGIApp, rules: Rules) -> None:
        """Stand before an application."""
        self._app = app
        self._rules = rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        scope["state"] = dict(scope.get("state", {}))
        send = self._with_headers(scope, send)
        try:
            answer = await self._admit(scope, receive)
        except Refusal as refusal:
            answer = PlainTextResponse(f"{refusal}\n", refusal.code)
        await (answer or self._app)(scope, receive, send)

    async def _admit(self, scope: Scope, receive: Receive) -> Response | None:
        """Let a request pass with what its session says; or return the way to the login."""
        headers, path = Headers(scope=scope), str(scope["path"])
        host = headers.get("host", "")
        if not is_our_host(host, self._rules.listening, self._rules.names):
            raise Refusal(
                421,
                "this console does not know that host name: open it at 127.0.0.1, "
                "through kubectl port-forward or ssh -L",
            )
        if scope["method"] not in METHODS:
            raise Refusal(405, "only GET, HEAD and POST")
        session = self._known(headers)
        if scope["method"] == "POST":
            site = headers.get("sec-fetch-site")
            if not is_our_origin(headers.get("origin"), site, host):
                raise Refusal(403, "this form was sent from another site: nothing was done")
        if self._is_shut(path, session):
            if scope["method"] == "POST":
                raise Refusal(403, _ENDED)
            return RedirectResponse(f"/login?next={quote(_address(scope), safe='')}", 303)
        state = scope["state"]
        state["form"] = await self._form(scope, receive, session)
        state["session"] = session or self._rules.seals.new(time.time())
        return None

    def _is_shut(self, path: str, session: Session | None) -> bool:
        """Tell whether a page needs a password that nobody gave."""
        is_in = session is not None and session.let_in
        return self._rules.door.is_locked and not is_in and not path.startswith(OPEN)

    def _known(self, headers: Headers) -> Session | None:
        cookie = _cookie(headers, cookie_name(headers.get("host", "")))
        return self._rules.seals.read(cookie, time.time())

    async def _form(
        self, scope: Scope, receive: Receive, session: Session | None
    ) -> dict[str, str]:
        if scope["method"] != "POST":
            return {}
        most = MAX_OPEN_FORM if scope["path"].startswith(OPEN) else MAX_FORM
        try:
            async with asyncio.timeout(FORM_SECONDS):
                form = await _read(Request(scope, receive), most)
        except (TimeoutError, ClientDisconnect):
            raise Refusal(
                408, "the form did not arrive: nothing was done. Send it again"
            ) from None
        if session is None or not self._rules.seals.is_token(form.pop("token", ""), session):
            raise Refusal(
                403,
                "this form is out of date (the console was restarted, or the "
                "session has ended): nothing was done. Load the page again",
            )
        return form

    def _with_headers(self, scope: Scope, send: Send) -> Send:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                self._tell_session(scope, headers)
            await send(message)

        return sending

    def _tell_session(self, scope: Scope, headers: MutableHeaders) -> None:
        """Set the cookie where the browser has none, or another."""
        session, asked = scope["state"].get("session"), Headers(scope=scope)
        if session is None or scope["path"].startswith("/static/"):
            return
        if session != self._known(asked):
            left = max(0, int(session.until - time.time()))
            headers.append(
                "Set-Cookie",
                f"{cookie_name(asked.get('host', ''))}={self._rules.seals.write(session)}; "
                f"Max-Age={left}; Path=/; HttpOnly; SameSite=Strict",
            )


def cookie_name(host: str) -> str:
    """Return the cookie's name: browsers tell consoles on different ports apart by it only."""
    return f"console_{urlsplit(f'//{host}').port or 80}"


def _cookie(headers: Headers, name: str) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(name)
    except CookieError:
        return ""
    return found.value if found else ""


def _address(scope: Scope) -> str:
    query = scope["query_string"].decode("latin-1")
    path = quote(scope["path"])
    return f"{path}?{query}" if query else path


async def _read(request: Request, most: int) -> dict[str, str]:
    """Read a form; of members that come more than once the last one counts."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise Refusal(415, "only forms are accepted")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise Refusal(
                413,
                "this form is too large: nothing was done. Use "
                "`crm-importer dlq redrive --set` instead",
            )
    try:
        pairs = await asyncio.to_thread(
            parse_qsl, body.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_MEMBERS
        )
    except ValueError:
        raise Refusal(400, "this form cannot be read") from None
    return dict(pairs)
