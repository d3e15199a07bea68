"""Posts over HTTP and reads the answer: one client, no cookies, nothing of the environment."""

import asyncio
import socket
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import httpx

from service import __version__

CONNECT_SECONDS = 10.0
UNSENT_BYTES = 65536
"""What of a body may wait in the system's buffer: the rest has left when it was written.

Without this bound megabytes of a slow upload would wait there, and count as sent.
"""
_UNSENT = getattr(socket, "TCP_NOTSENT_LOWAT", None)
_SOCKET = [] if _UNSENT is None else [(socket.IPPROTO_TCP, _UNSENT, UNSENT_BYTES)]


class Reply(NamedTuple):
    """An answer that came in full; `sent_at` as in Unanswered."""

    status: int
    headers: Mapping[str, str]
    content: bytes
    sent_at: float | None = None


class Unanswered(Exception):  # noqa: N818 - reads as what it says
    """No answer came in full; `error` says why, and may hold the address.

    `sent_at`: loop time at which the body had wholly left; None where that is not known.
    """

    def __init__(self, error: Exception, sent_at: float | None) -> None:
        """Keep the error, whose text is not shown."""
        super().__init__(type(error).__name__)
        self.error = error
        self.sent_at = sent_at


class HttpClient:
    """Posts JSON; a context manager, since it keeps connections open."""

    def __init__(self, *, connections: int) -> None:
        """Prepare a pool of so many connections."""
        self._http = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(
                limits=httpx.Limits(
                    max_connections=connections,
                    max_keepalive_connections=connections,
                    keepalive_expiry=30,
                ),
                trust_env=False,
                socket_options=_SOCKET,
            ),
            headers={"User-Agent": f"crm-importer/{__version__}", "Accept": "application/json"},
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
        """Post once, for so many seconds in all; raises Unanswered."""
        sending = _Sending()
        try:
            async with asyncio.timeout(seconds):
                response = await self._http.post(
                    url,
                    content=body,
                    headers={"Content-Type": content_type},
                    timeout=httpx.Timeout(seconds, connect=min(CONNECT_SECONDS, seconds)),
                    extensions={"trace": sending},
                )
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            raise Unanswered(error, sending.ended) from None
        # A response and its stream refer to each other, and hold the whole call: without this
        # only the garbage collector would free them, much later.
        response.stream = httpx.ByteStream(b"")
        return Reply(response.status_code, response.headers, response.content, sending.ended)


class _Sending:
    """Is told by the HTTP library how far a request is.

    A proxy is asked for a way first, with a request of its own: the last one counts.
    """

    ended: float | None = None

    async def __call__(self, event: str, _: Mapping[str, Any]) -> None:
        """Note when a body has wholly left."""
        if event == "http11.send_request_headers.started":
            self.ended = None
        elif event == "http11.send_request_body.complete":
            self.ended = asyncio.get_running_loop().time()
