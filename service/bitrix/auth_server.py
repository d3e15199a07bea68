"""Asks the authorisation server for the next pair of tokens; one form POST, no retry."""

import time
from collections.abc import Callable
from urllib.parse import urlencode

import httpx

from service.bitrix.answers import json_object
from service.bitrix.errors import auth_server_trouble, classify_refresh
from service.bitrix.http import HttpClient, Reply, Unanswered
from service.bitrix.tokens import Pair, read_pair, seconds
from service.domain.outcomes import CallFailed

ANSWER_SECONDS = 20.0
_REDIRECTS = range(300, 400)


class AuthServer:
    """The server that exchanges a refresh token for a new pair. Its secret is never shown."""

    def __init__(
        self,
        url: str,
        *,
        client_id: str,
        client_secret: str,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Take the address of the exchange and the application's own credentials."""
        self._url = url
        self._client = {"client_id": client_id, "client_secret": client_secret}
        self._wall = wall

    async def refresh(self, refresh_token: str) -> Pair:
        """Return the next pair; raises CallFailed. The given token is worthless afterwards."""
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token, **self._client}
        try:
            async with HttpClient(connections=1) as http:
                reply = await http.post(
                    self._url,
                    urlencode(form).encode(),
                    seconds=ANSWER_SECONDS,
                    content_type="application/x-www-form-urlencoded",
                )
        except Unanswered:
            trouble = auth_server_trouble("the authorisation server could not be reached")
            raise CallFailed(trouble) from None
        return self._pair(reply)

    def _pair(self, reply: Reply) -> Pair:
        """Read the answer; lifetimes are counted from now, by our own clock."""
        told = json_object(reply.content)
        status = reply.status
        if told is not None and "error" in told and status not in _REDIRECTS:
            text = str(told.get("error_description", ""))
            raise CallFailed(classify_refresh(str(told["error"]), text, status))
        lasts = seconds(told.get("expires_in")) if told is not None else 0.0
        pair = read_pair(told, self._wall() + lasts if lasts else 0.0) if told else None
        if status != httpx.codes.OK or pair is None or not pair.access_token:
            text = f"the authorisation server answered HTTP {status} without a pair of tokens"
            raise CallFailed(auth_server_trouble(text, status))
        return pair
