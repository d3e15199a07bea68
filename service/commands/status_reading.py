"""Asks the importer for its /status, at every address of its name, and finds the active process.

A name may stand for several processes (a stand-by, a headless Service): each is asked.
"""

import asyncio
import json
import socket
import ssl
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import httpx

from service.bitrix.unpacking import PACKED, CannotRead, take_in

ASK_SECONDS = 3.0
"""Longest time until an answer is whole."""
MAX_ADDRESSES = 16
MAX_BYTES = 2_000_000
MAX_DIGITS, MAX_NUMBER = 19, 1e18
_OBJECTS = ("slots", "held", "bucket", "budget", "item_cost_seconds", "outcomes", "codes")
_LISTS = ("lanes", "parked", "last")


@dataclass(frozen=True, slots=True)
class Process:
    """One process of the importer: its address, and its /status, or why there is none."""

    address: str
    status: Mapping[str, Any] | None = None
    problem: str = ""

    @property
    def active(self) -> bool | None:
        """Whether it gets messages; None if unknown, or if nothing answers."""
        told = (self.status or {}).get("active")
        return told if isinstance(told, bool) else None


async def processes(url: str) -> list[Process]:
    """Ask every address of a URL's name; never raises."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    try:
        async with asyncio.timeout(ASK_SECONDS):
            addresses = await _addresses(host, port)
    except TimeoutError:
        return [Process(host, problem=f"the name {host} was not resolved in time")]
    except (OSError, UnicodeError):
        return [Process(host, problem=f"the name {host} cannot be resolved")]
    tls = ssl.create_default_context() if parts.scheme == "https" else False
    # Plain HTTP needs no authorities: loading them is slow.
    async with httpx.AsyncClient(
        headers={"Accept-Encoding": PACKED},
        verify=tls,
        trust_env=False,
        timeout=ASK_SECONDS,
        follow_redirects=False,
    ) as client:
        found = await asyncio.gather(*(_ask(client, url, each) for each in addresses))
    return _of_this_machine(found)


def shown(found: Sequence[Process]) -> Process | None:
    """Return the process to show: the active one, else one that may be, else any that answers."""
    answered = [each for each in found if each.status is not None]
    return min(answered, key=lambda each: (True, None, False).index(each.active), default=None)


async def _addresses(host: str, port: int) -> list[str]:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))[:MAX_ADDRESSES]


async def _ask(client: httpx.AsyncClient, url: str, address: str) -> Process:
    """Ask one address, under the name that the URL has."""
    parts = urlsplit(url)
    to = httpx.URL(url).copy_with(host=address)
    headers, extensions = {"Host": parts.netloc}, {"sni_hostname": parts.hostname or ""}
    try:
        async with (
            asyncio.timeout(ASK_SECONDS),
            client.stream("GET", to, headers=headers, extensions=extensions) as answer,
        ):
            if answer.status_code != httpx.codes.OK:
                return Process(address, problem=f"it answers with status {answer.status_code}")
            body = await _read(answer)
    except (httpx.HTTPError, TimeoutError, OSError) as error:
        return Process(address, problem=_why(error))
    except (httpx.InvalidURL, UnicodeError):
        return Process(address, problem="the address cannot be used")
    return _understood(address, body)


async def _read(answer: httpx.Response) -> bytes:
    """Return an answer, unpacked; nothing where it is too large or cannot be unpacked."""
    with suppress(CannotRead):
        packed = answer.headers.get("Content-Encoding", "")
        return await take_in(answer.aiter_raw(), packed, MAX_BYTES)
    return b""


def _understood(address: str, body: bytes) -> Process:
    try:
        # An unexpected value is left out.
        told = json.loads(
            body, parse_float=_number, parse_int=_number, parse_constant=lambda _: None
        )
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict) or "state" not in told:
        return Process(address, problem="the answer is not from an importer")
    return Process(address, _in_shape(told))


def _number(text: str) -> float | None:
    """Return a number as long as it can be reckoned with."""
    is_whole = text.removeprefix("-").isdecimal()
    number = int(text) if is_whole and len(text) <= MAX_DIGITS else float(text)
    return number if abs(number) < MAX_NUMBER else None


def _in_shape(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return a status without members of an unexpected shape."""
    status = {
        name: value
        for name, value in told.items()
        if not (name in _OBJECTS and not isinstance(value, dict))
    }
    for name in _LISTS:
        if name in told:
            rows = told[name] if isinstance(told[name], list) else []
            status[name] = [each for each in rows if isinstance(each, dict)]
    budget = status.get("budget", {}).items()
    return {**status, "budget": {name: each for name, each in budget if isinstance(each, dict)}}


def _why(error: Exception) -> str:
    match error:
        case httpx.ConnectError():
            return "nothing answers there"
        case httpx.TimeoutException() | TimeoutError():
            return "no answer in time"
        case _:
            return "the connection broke"


def _of_this_machine(found: list[Process]) -> list[Process]:
    """Return one process for the several addresses of loopback, which lead to the same one."""
    if not all(ip_address(each.address.partition("%")[0]).is_loopback for each in found):
        return found
    answered = [each for each in found if each.status is not None]
    return (answered or found)[:1]
