"""Holds a unit test to what it is: no socket, no process, no waiting; its examples take time."""

import asyncio
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping

import pytest
from hypothesis import settings

from tests.virtual_time import VirtualLoop

BARRED = (
    (socket.socket, "connect"),
    (socket.socket, "bind"),
    (socket, "getaddrinfo"),
    (subprocess.Popen, "__init__"),
    (os, "fork"),
    (time, "sleep"),
)
"""What reaches beyond the process, or waits; tests that need it live in `integration/`."""

settings.register_profile("unit", deadline=None)
settings.load_profile("unit")


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run what is asynchronous on made-up time: nobody waits, and what would hang fails."""
    return {"made-up time": VirtualLoop}


@pytest.fixture(scope="package", autouse=True)
def _barred() -> Iterator[list[str]]:
    """Bar the way out for all unit tests; return what was tried nevertheless."""
    tried: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        for place, name in BARRED:
            patch.setattr(place, name, _refuse(f"{place.__name__}.{name}", tried))
        yield tried


@pytest.fixture(autouse=True)
def stays_inside(_barred: list[str]) -> Iterator[None]:
    """Fail a test that tried to reach out, even where the error was caught."""
    _barred.clear()
    yield
    assert [] == _barred


def _refuse(name: str, tried: list[str]) -> Callable[..., None]:
    def refused(*_: object, **__: object) -> None:
        tried.append(name)
        raise AssertionError(f"a unit test must not call {name}")

    return refused
