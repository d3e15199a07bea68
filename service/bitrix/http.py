"""Posts over HTTP and reads the answer: one client, no cookies, nothing of the environment."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

import httpx

from service import __version__
from service.bitrix import reasons
from service.bitrix.unpacking import PACKED, CannotRead, take_in
from service.domain import leave
from service.domain.certificates import expiry
from service.domain.network import Cause, Peer

CONNECT_SECONDS = 10.0
"""Longest time to connect; never more than half of a call's time. The library closes a socket when
this time is over, but leaks it when the handshake is cancelled."""
UNSENT_BYTES = 65536
"""Bytes of a body that may wait in the system's send buffer. Without this bound megabytes of a
slow upload would wait there, and count as sent."""
_UNSENT = getattr(socket, "TCP_NOTSENT_LOWAT", None)
_SOCKET = [] if _UNSENT is None else [(socket.IPPROTO_TCP, _UNSENT, UNSENT_BYTES)]


class Reply(NamedTuple):
    """An answer that came; `sent_at` as in Unanswered.

    `flaw`: why its content could not be taken in; then it is empty.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes
    sent_at: float | None = None
    flaw: str = ""


class Unanswered(Exception):  # noqa: N818 - reads as what it says
    """No answer came in full; `cause` says why, without the address.

    `left`: a part of the call may have arrived; `late`: nothing was cut, it only took too long;
    `sent_at`: loop time at which the body had wholly left; None where that is not known.
    """

    def __init__(
        self, cause: Cause, *, left: bool, late: bool, sent_at: float | None = None
    ) -> None:
        """Keep what is known."""
        super().__init__(cause.found)
        self.cause = cause
        self.left = left
        self.late = late
        self.sent_at = sent_at


class Way(NamedTuple):
    """How to reach somebody: who it is, whose certificates to believe, by which proxy if any."""

    peer: Peer
    trust: ssl.SSLContext
    proxy: str = ""


def trust(authority: Path | None = None, *, too: bool = False) -> ssl.SSLContext:
    """Return the trusted authorities: those in a file, else the system's; may raise OSError.

    `too`: those in the file beside the system's. The system's are where OpenSSL looks for them,
    so that SSL_CERT_FILE and SSL_CERT_DIR count.
    """
    context = ssl.create_default_context(cafile=None if too else authority)
    if too and authority is not None:
        context.load_verify_locations(authority)
    # As before Python 3.13: private authorities often do not meet RFC 5280 in full.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _proxy(way: Way) -> httpx.Proxy | None:
    if not way.proxy:
        return None
    return httpx.Proxy(way.proxy, ssl_context=way.trust if _is_tls(way.proxy) else None)


def _is_tls(url: str) -> bool:
    with suppress(ValueError):
        return urlsplit(url).scheme == "https"
    return False


class HttpClient:
    """Posts, and keeps connections open between posts; a context manager."""

    def __init__(
        self,
        way: Way,
        *,
        connections: int,
        on_expiry: Callable[[float], None] = lambda _: None,
    ) -> None:
        """Prepare a pool of this many connections.

        `on_expiry` is told when the other side's certificate ends, in seconds of the epoch.
        """
        self._way = way
        self._on_expiry = on_expiry
        self._http = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(
                verify=way.trust,
                proxy=_proxy(way),
                limits=httpx.Limits(
                    max_connections=connections,
                    max_keepalive_connections=connections,
                    keepalive_expiry=30,
                ),
                trust_env=False,
                socket_options=_SOCKET,
            ),
            headers={
                "User-Agent": f"crm-importer/{__version__}",
                "Accept": "application/json",
                "Accept-Encoding": PACKED,
            },
            cookies=_NoCookies(),
            follow_redirects=False,
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def post(
        self, url: str, body: bytes, *, seconds: float, content_type: str = "application/json"
    ) -> Reply:
        """Post once, for this many seconds in all; raises Unanswered."""
        sending = _Sending(by_proxy=bool(self._way.proxy))
        connect = min(CONNECT_SECONDS, seconds / 2)
        try:
            async with (
                asyncio.timeout(seconds),
                self._http.stream(
                    "POST",
                    url,
                    content=_pieces(body) if len(body) > UNSENT_BYTES else body,
                    headers={"Content-Type": content_type, "Content-Length": str(len(body))},
                    timeout=httpx.Timeout(seconds, connect=connect),
                    extensions={"trace": sending},
                ) as response,
            ):
                self._note_certificate(response)
                return await _reply(response, sending.ended)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            waited = connect if isinstance(error, httpx.ConnectTimeout) else seconds
            raise self._unanswered(error, sending, url, waited) from None

    def _note_certificate(self, response: httpx.Response) -> None:
        stream = response.extensions.get("network_stream")
        tls = stream.get_extra_info("ssl_object") if stream is not None else None
        shown = tls.getpeercert(True) if tls is not None else None  # noqa: FBT003 - DER
        end = expiry(shown) if shown else None
        if end is not None:
            self._on_expiry(end)

    def _unanswered(
        self, error: Exception, sending: "_Sending", url: str, seconds: float
    ) -> Unanswered:
        late = isinstance(error, httpx.TimeoutException | TimeoutError)
        if sending.left and not isinstance(error, NEVER_LEFT):
            cause = reasons.unanswered(error, self._way.peer, tls=_is_tls(url), seconds=seconds)
            return Unanswered(cause, left=True, late=late, sent_at=sending.ended)
        peer, address = self._way.peer, url
        if sending.to_proxy:
            peer, address = reasons.PROXY, self._way.proxy
        cause = reasons.unreached(error, peer, tls=_is_tls(address), seconds=seconds)
        return Unanswered(cause, left=False, late=late)


NEVER_LEFT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.InvalidURL,
    httpx.UnsupportedProtocol,
)
"""Errors that the client raises before it sends a byte of the call."""


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    """Yield a long body in pieces; raises NotOurs where its rest must not leave any more.

    A portal that got a part of a body runs nothing of it. Another process may take the messages
    over while a slow upload goes on, and would look its items up before they are made.
    """
    for start in range(0, len(body), UNSENT_BYTES):
        leave.ask()
        yield body[start : start + UNSENT_BYTES]


async def _reply(response: httpx.Response, sent_at: float | None) -> Reply:
    content, flaw = b"", ""
    try:
        packed = response.headers.get("Content-Encoding", "")
        content = await take_in(response.aiter_raw(), packed)
    except CannotRead as reason:
        flaw = str(reason)
    await response.aclose()
    # A response and its stream refer to each other, and hold the whole call: without this only
    # the garbage collector would free them, much later.
    response.stream = httpx.ByteStream(b"")
    return Reply(response.status_code, response.headers, content, sent_at, flaw)


class _NoCookies(CookieJar):
    """Keeps none: PHP locks a session to one call at a time, and kept names grow the request."""

    def extract_cookies(self, response: object, request: object) -> None:
        """Leave them."""


class _Sending:
    """Is told by the HTTP library how far a call is: connecting, then leaving, then left.

    A proxy is asked for a way first, with a request of its own that is no part of the call.
    """

    def __init__(self, *, by_proxy: bool) -> None:
        self.left = True
        """Whether bytes of the call may have left. True until the client is seen connecting."""
        self.to_proxy = False
        """Whether the peer is the proxy, not the portal."""
        self.ended: float | None = None
        self._by_proxy = by_proxy
        self._asked_proxy = False

    async def __call__(self, event: str, info: Mapping[str, Any]) -> None:
        """Note how far it is; raises NotOurs before a byte of a call that must not leave."""
        match event.split(".", 1)[-1]:
            case "connect_tcp.started":
                self.left, self.to_proxy = False, self._by_proxy
            case "start_tls.started" if self._asked_proxy:
                self.to_proxy = False
            case "send_request_headers.started":
                leave.ask()
                asking = info["request"].method == b"CONNECT"
                self.left, self._asked_proxy, self.ended = not asking, asking, None
            case "send_request_body.complete" if self.left:
                self.ended = asyncio.get_running_loop().time()
