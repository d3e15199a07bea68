"""Opens a portal on a socket for each test."""

import ssl
from collections.abc import AsyncIterator, Iterator
from logging import ERROR

import httpx
import pytest

from tests.sandbox import Portal, running_portal
from tests.support.patience import patient

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@pytest.fixture
def portal() -> Portal:
    """Give the test an empty portal of its own."""
    return Portal()


@pytest.fixture
async def client(portal: Portal) -> AsyncIterator[httpx.AsyncClient]:
    """Serve the portal and give the test a client that knows its address."""
    async with (
        running_portal(portal) as address,
        httpx.AsyncClient(base_url=address, timeout=patient(10), verify=NO_TLS) as client,
    ):
        yield client


@pytest.fixture(autouse=True)
def portal_does_not_stumble(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail a test in which the portal itself logs an error."""
    yield
    assert [] == [record for record in caplog.get_records("call") if record.levelno >= ERROR]
