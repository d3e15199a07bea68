"""Calls a simulated portal as an application, over and over, until it is killed."""

import asyncio
import logging
import sys
from pathlib import Path

from service.bitrix import application as renewal
from service.bitrix import reasons
from service.bitrix.application import Application
from service.bitrix.auth import Endpoint
from service.bitrix.auth_server import AuthServer
from service.bitrix.http import HttpClient, Way, trust
from service.bitrix.tokens import TokenFile
from service.bitrix.transport import Transport
from service.domain.outcomes import CallFailed, Fault
from tests.support.patience import patient

PAUSE_SECONDS = 0.01


def transport(portal: str, file: Path) -> Transport:
    """Return an exchange that is signed by an application of the simulated portal."""
    application = Application(
        Endpoint(f"{portal}rest/"),
        store=TokenFile(file),
        server=AuthServer(
            f"{portal}oauth/token/",
            Way(reasons.AUTH_SERVER, trust()),
            client_id="app.sandbox",
            client_secret="app-secret",
        ),
        seed="refresh-0",
    )
    http = HttpClient(Way(reasons.ENDPOINT, trust()), connections=4)
    return Transport(
        application, http=http, timeout=patient(5.0), on_response=_ignore, before_repeat=_free
    )


async def _call_for_ever(portal: str, file: Path) -> None:
    renewal.PATIENCE_SECONDS = patient(renewal.PATIENCE_SECONDS)
    calling = transport(portal, file)
    while True:
        try:
            await calling("profile", b"{}")
        except CallFailed as failed:
            sys.stdout.write(f"failed {failed.fault.code}\n")
        else:
            sys.stdout.write("answered\n")
        sys.stdout.flush()
        await asyncio.sleep(PAUSE_SECONDS)


async def _free() -> None:
    """Pay nothing."""


def _ignore(method: str, fault: Fault | None, seconds: float) -> None:
    """Count nothing."""


if __name__ == "__main__":
    logging.basicConfig(level=logging.CRITICAL)
    asyncio.run(_call_for_ever(sys.argv[1], Path(sys.argv[2])))
