"""Puts a portal on a socket, half-finished answers included."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from tests.sandbox import control
from tests.sandbox.call import Call
from tests.sandbox.portal import OAUTH, Portal
from tests.sandbox.reply import Reply, html_reply

MAX_BODY = 256 * 2**20
HALF_PAIR = b"\\ud"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def running_portal(
    portal: Portal, *, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[str]:
    """Serve a portal and yield its address; leave and enter again to close its port a while."""
    runner = web.AppRunner(application(portal), access_log=None, shutdown_timeout=0.05)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, reuse_address=True).start()
        yield f"http://{host}:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


def application(portal: Portal) -> web.Application:
    """Build the program that exposes a portal and its control."""
    app = web.Application(client_max_size=MAX_BODY)
    app.add_routes(
        [
            web.route("*", "/rest/{path:.+}", _rest(portal)),
            web.route("*", "/oauth/token{slash:/?}", _oauth(portal)),
            web.get("/control/ledger", _control(lambda r: control.ledger(portal, r.query))),
            web.get("/control/summary", _control(lambda _: control.summary(portal))),
            web.get("/control/faults", _control(lambda _: control.faults(portal))),
            web.post("/control/faults", _control_json(portal, control.add_faults)),
            web.delete("/control/faults", _control(lambda _: portal.faults.clear())),
            web.get("/control/settings", _control(lambda _: control.settings(portal))),
            web.post("/control/settings", _control_json(portal, control.change_settings)),
            web.post("/control/tokens", _control_json(portal, control.change_tokens)),
            web.post("/control/set_back", _control_json(portal, control.set_back)),
            web.post("/control/items", _control_json(portal, control.change_items)),
            web.post("/control/delete", _control_json(portal, control.delete_items)),
            web.post("/control/reset", _control(lambda _: portal.reset())),
        ]
    )
    return app


def _rest(portal: Portal) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        most = portal.settings.most_body_bytes
        if most is not None and len(body) > most:
            if portal.settings.too_large == "413":
                return await _send(request, html_reply(413))
            body = b""
        parts = request.match_info["path"].strip("/").split("/")
        match parts:
            case [user, secret, method]:
                call = _call(portal, request, body, method)
                call.user, call.secret = user, secret
            case [method]:
                call = _call(portal, request, body, method)
            case _:
                return await _send(request, html_reply(404))
        return await _send(request, await portal.answer(call))

    return handle


def _oauth(portal: Portal) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        form = await request.post()
        agent = request.headers.get("User-Agent", "")
        record = portal.ledger.open_call(OAUTH, b"", auth="client", user_agent=agent)
        call = Call(OAUTH, {**request.query, **form}, b"", record, base_url=_base_url(request))
        return await _send(request, await portal.refresh(call))

    return handle


def _call(portal: Portal, request: web.Request, body: bytes, method: str) -> Call:
    """Read a request as the portal reads it: what it cannot read, it ignores."""
    name = method.lower().removesuffix(".json")
    params = _params(request, body)
    token, auth = _token(request, params)
    record = portal.ledger.open_call(
        name, body, auth=auth, user_agent=request.headers.get("User-Agent", "")
    )
    record.asks(params, light=portal.ledger.light)
    return Call(name, params, body, record, source=request.remote or "", token=token)


def _params(request: web.Request, body: bytes) -> dict[str, Any]:
    """Decode a JSON body; one that PHP could not decode counts as empty."""
    if "json" not in request.content_type:
        return {}
    try:
        params = json.loads(body, parse_constant=_refuse_constant)
        if HALF_PAIR in body.lower():
            json.dumps(params, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return {}
    return params if isinstance(params, dict) else {}


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def _token(request: web.Request, params: dict[str, Any]) -> tuple[str | None, str]:
    """Return an application's token and where it was; the header wins over the body."""
    header = request.headers.get("Authorization", "")
    if header.lower().startswith("bearer "):
        return header[7:].strip(), "header"
    for name in ("auth", "access_token"):
        if isinstance(params.get(name), str):
            return params[name], "body"
    return None, "path"


def _base_url(request: web.Request) -> str:
    return f"{request.scheme}://{request.host}/"


async def _send(request: web.Request, reply: Reply) -> web.StreamResponse:
    """Send an answer, or as much of it as a cut line lets through."""
    headers = {"Content-Type": f"{reply.content_type}; charset=utf-8"}
    if reply.location is not None:
        headers["Location"] = reply.location
    if reply.retry_after is not None:
        headers["Retry-After"] = reply.retry_after
    if reply.share is None:
        return web.Response(status=reply.status, body=reply.body(), headers=headers)
    response = web.StreamResponse(status=reply.status or 200, headers=headers)
    if reply.share > 0:
        body = reply.body()
        response.content_length = len(body)
        await response.prepare(request)
        await response.write(body[: int(len(body) * reply.share)])
    if request.transport is not None:
        request.transport.close() if reply.share > 0 else request.transport.abort()
    return response


def _control(act: Callable[[web.Request], dict[str, Any] | None]) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        return web.json_response(act(request) or {})

    return handle


def _control_json(portal: Portal, act: Callable[[Portal, Any], dict[str, Any]]) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return web.json_response(act(portal, await request.json()))
        except (ValueError, TypeError) as mistake:
            return web.json_response({"mistake": str(mistake)}, status=400)

    return handle
