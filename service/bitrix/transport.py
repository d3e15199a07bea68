"""Exchanges a call for an answer over HTTP, signed and addressed; JSON or a `CallFailed`."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

import httpx
import msgspec

from service.bitrix.answers import json_object
from service.bitrix.auth import Endpoint
from service.bitrix.errors import (
    TOKEN_CODES,
    classify_call,
    classify_status,
    classify_transport,
)
from service.bitrix.http import Reply, Unanswered
from service.bitrix.retry_after import retry_after
from service.domain import addresses
from service.domain.outcomes import CallFailed, CallKind, Fault

QUESTION = "profile"
"""The method that is asked at a new address: it is cheap and changes nothing."""
QUESTION_SECONDS = 10.0
MAX_REDIRECTS = 3
REDIRECTS = range(300, 400)
OnResponse = Callable[[str, Fault | None, float], None]
"""Receives the method, the fault (or None) and the seconds of every post."""


class Auth(Protocol):
    """What gives calls their address and credentials, and mends them; may raise CallFailed."""

    @property
    def endpoint(self) -> Endpoint:
        """Where the portal is."""

    async def token(self) -> str:
        """Return the token that goes with a call; empty if there is none."""

    async def renew(self, refused: str, code: str) -> bool:
        """Get another token than the one refused; False if that would not help."""

    async def confirms_host(self, target: str) -> bool:
        """Tell whether the authorisation server names this address for the portal."""

    def note(self) -> None:
        """Write down where the portal was found."""

    async def close(self) -> None:
        """Let what is under way come to its end."""


class Http(Protocol):
    """What posts."""

    async def post(self, url: str, body: bytes, *, seconds: float) -> Reply:
        """Post once, for this many seconds in all; raises Unanswered."""

    async def close(self) -> None:
        """Close the connections."""


class Attempt(NamedTuple):
    """One post: how it was addressed and signed, and what came back."""

    place: str
    token: str
    document: dict[str, Any]
    fault: Fault | None
    location: str


class Transport:
    """Posts calls to the portal and reads its answers: one HTTP client, one pool."""

    def __init__(
        self,
        auth: Auth,
        *,
        http: Http,
        timeout: float,
        on_response: OnResponse,
        before_repeat: Callable[[], Awaitable[None]],
    ) -> None:
        """Take the HTTP client, which is closed with this; `timeout` bounds a post, in seconds.

        `on_response` is called after every post, `before_repeat` before a call is posted again.
        """
        self._auth = auth
        self._http = http
        self._timeout = timeout
        self._on_response = on_response
        self._before_repeat = before_repeat

    async def close(self) -> None:
        """Close the connections."""
        await self._auth.close()
        await self._http.close()

    async def __call__(self, method: str, body: bytes) -> dict[str, Any]:
        """Post a call and return the answer's JSON object, which has a result.

        A call that was refused before execution for its token or its address goes again, once for
        each; for its token once more, as the first was perhaps another process's, and old as well.
        """
        if self._auth.endpoint.doubt():
            await self._look_back()
        remedies = [self._renew, self._follow, self._renew]
        while True:
            attempt = await self._attempt(self._auth.endpoint.url, method, body, self._timeout)
            if attempt.fault is None:
                return attempt.document
            for remedy in dict.fromkeys(remedies):
                if await remedy(attempt, attempt.fault):
                    remedies.remove(remedy)
                    break
            else:
                if not attempt.fault.answered or attempt.fault.kind is CallKind.BARRED:
                    self._auth.endpoint.lost(attempt.place)
                raise CallFailed(attempt.fault)
            await self._before_repeat()

    async def _renew(self, attempt: Attempt, fault: Fault) -> bool:
        mendable = attempt.token and fault.code.lower() in TOKEN_CODES
        return bool(mendable) and await self._auth.renew(attempt.token, fault.code)

    async def _follow(self, attempt: Attempt, _: Fault) -> bool:
        """Move where redirects lead if the portal answers there; False if they lead nowhere."""
        place = await self._led(attempt)
        for _hop in range(MAX_REDIRECTS):
            if place in {"", self._auth.endpoint.url}:
                return bool(place)
            await self._before_repeat()
            attempt = await self._ask(place)
            if attempt.fault is None:
                return True
            onward = await self._led(attempt)
            if not onward:
                raise self._auth.endpoint.redirect_failed(place, attempt.fault)
            place = onward
        return False

    async def _led(self, attempt: Attempt) -> str:
        """Return where a redirect leads; empty if nowhere else, CallFailed if not trusted."""
        target = addresses.destination(attempt.place, attempt.location)
        if target is None:
            return ""
        if self._auth.endpoint.trusts(target) or await self._auth.confirms_host(target):
            return target
        raise self._auth.endpoint.refuse(target)

    async def _look_back(self) -> None:
        """Ask whether the portal is, or leads on, where it was configured."""
        attempt = await self._ask(self._auth.endpoint.configured)
        if attempt.fault is not None:
            with suppress(CallFailed):
                await self._follow(attempt, attempt.fault)
        await self._before_repeat()

    async def _ask(self, place: str) -> Attempt:
        """Ask at a place for the portal, and stay there if it gives a result."""
        seconds = min(QUESTION_SECONDS, self._timeout)
        attempt = await self._attempt(place, QUESTION, b"{}", seconds)
        if attempt.fault is not None and await self._renew(attempt, attempt.fault):
            await self._before_repeat()
            attempt = await self._attempt(place, QUESTION, b"{}", seconds)
        if attempt.fault is None and self._auth.endpoint.found(place):
            self._auth.note()
        return attempt

    async def _attempt(self, place: str, method: str, body: bytes, seconds: float) -> Attempt:
        """Post once; every result is traced."""
        token = await self._auth.token()
        loop = asyncio.get_running_loop()
        started = loop.time()
        document, location = None, ""
        fault: Fault | None
        try:
            reply = await self._http.post(
                f"{place}{method}", _signed(body, token), seconds=seconds
            )
        except Unanswered as unanswered:
            sent_at, fault = unanswered.sent_at, classify_transport(unanswered)
        else:
            document = json_object(reply.content)
            sent_at, fault = reply.sent_at, _fault(reply, document)
            location = reply.headers.get("Location", "") if reply.status in REDIRECTS else ""
        ended = loop.time()
        self._on_response(method, fault, ended - started)
        if fault is not None:
            sent_at = ended if sent_at is None else sent_at
            fault = replace(fault, sent_at=sent_at, lasted=ended - started)
        return Attempt(place, token, document or {}, fault, location)


def _signed(body: bytes, token: str) -> bytes:
    """Put the token into a JSON object, where neither a log of addresses nor of headers is."""
    if not token:
        return body
    more = b"" if body == b"{}" else b","
    return b'{"auth":%b%b%b' % (msgspec.json.encode(token), more, body[1:])


def _fault(reply: Reply, answer: Mapping[str, Any] | None) -> Fault | None:
    """Return what is wrong with an answer; None for a result."""
    rest = retry_after(reply.headers)
    if answer is not None and "error" in answer:
        error = answer["error"]
        code = error.get("code", "") if isinstance(error, dict) else error
        told = answer.get("error_description")
        return classify_call(code, told, reply.status, retry_after=rest)
    if answer is None or reply.status != httpx.codes.OK or "result" not in answer:
        return classify_status(reply.status, reply.flaw, retry_after=rest)
    return None
