"""Proves how long a memory that cannot be reached is waited for."""

import time

import pytest

from service.rabbit.connection import Address
from service.rabbit.memory import Memory
from service.rabbit.notes import Owner


async def test_a_memory_that_does_not_come_is_waited_for_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever asks next goes on at once."""
    monkeypatch.setattr("service.rabbit.memory.WAIT_SECONDS", 0.3)
    nowhere = Address(["amqp://guest:guest@127.0.0.1:1/"], heartbeat=15)
    memory = Memory(address=nowhere, queue="m", owner=Owner("a", "b"), remember=9)
    waits = []
    for _ in range(2):
        started = time.monotonic()
        assert not await memory.catch_up()
        waits.append(time.monotonic() - started)
    assert waits[0] >= 0.3
    assert waits[1] < 0.2
