"""Asks the authorisation server for the next pair of tokens; one form POST, no retry."""

import time
from collections.abc import Callable
from urllib.parse import urlencode

from service.bitrix.answers import json_object
from service.bitrix.errors import auth_server_trouble, classify_refresh
from service.bitrix.http import HttpClient, Reply, Unanswered, Way
from service.bitrix.reasons import no_pair
from service.bitrix.tokens import TokenPair, read_pair, seconds
from service.domain.outcomes import CallFailed

ANSWER_SECONDS = 20.0
_OK = 200
_REDIRECTS = range(300, 400)


class AuthServer:
    """The server that exchanges a refresh token for a new pair. Its secret is never shown."""

    def __init__(
        self,
        url: str,
        way: Way,
        *,
        client_id: str,
        client_secret: str,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Take the address of the exchange, the way to it, and the application's credentials."""
        self._url = url
        self._way = way
        self._client = {"client_id": client_id, "client_secret": client_secret}
        self._wall = wall

    def rekey(self, secret: str) -> None:
        """Take another secret of the application, for the next renewal."""
        self._client["client_secret"] = secret

    async def refresh(self, refresh_token: str) -> TokenPair:
        """Return the next pair; raises CallFailed. The given token is worthless afterwards."""
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token, **self._client}
        try:
            async with HttpClient(self._way, connections=1) as http:
                reply = await http.post(
                    self._url,
                    urlencode(form).encode(),
                    seconds=ANSWER_SECONDS,
                    content_type="application/x-www-form-urlencoded",
                )
        except Unanswered as unanswered:
            raise CallFailed(auth_server_trouble(unanswered.cause)) from None
        return self._pair(reply)

    def _pair(self, reply: Reply) -> TokenPair:
        """Read the answer; lifetimes are counted from now, by our own clock."""
        told = json_object(reply.content)
        if told is not None and "error" in told and reply.status not in _REDIRECTS:
            text = told.get("error_description")
            raise CallFailed(classify_refresh(told["error"], text, reply.status))
        lasts = seconds(told.get("expires_in")) if told is not None else 0.0
        pair = read_pair(told, self._wall() + lasts if lasts else 0.0) if told else None
        if reply.status != _OK or pair is None or not pair.access_token:
            cause = no_pair(reply.status, reply.flaw)
            raise CallFailed(auth_server_trouble(cause, reply.status))
        return pair
