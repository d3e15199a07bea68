"""Proves that waits are longer where the machine is slow or busy, and never endless."""

import asyncio
import os
import time

import pytest

from tests.support import patience


@pytest.mark.parametrize(("load", "factor"), [(0.0, 1.0), (2.5, 2.5), (40.0, patience.MOST)])
def test_a_wait_is_longer_on_a_busy_machine(
    monkeypatch: pytest.MonkeyPatch, load: float, factor: float
) -> None:
    """By what wants each core, from one to the most."""
    _machine(monkeypatch, load=load, slowness=0.5)
    assert 10 * factor == patience.patient(10)


def test_a_wait_is_longer_on_a_slow_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measured once, by work of a fixed size."""
    _machine(monkeypatch, load=0.0, slowness=3.0)
    assert 3.0 == patience.factor()


def test_a_deadline_moves_away_when_the_machine_gets_busy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A wait that began on an idle machine is not ended by what began after it."""
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[-1])
    _machine(monkeypatch, load=0.0, slowness=1.0)
    deadline = patience.Deadline(10)
    clock.append(111.0)
    before = deadline.passed
    _machine(monkeypatch, load=2.0, slowness=1.0)
    assert (True, False) == (before, deadline.passed)
    assert 4.5 == deadline.left
    assert "11.0 s (10 s on an idle machine)" == str(deadline)


def test_a_wait_is_longer_on_a_machine_that_got_busy_just_now(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The load of a minute tells of it only later."""
    _machine(monkeypatch, load=1.0, slowness=1.0, others=12)
    assert 3.0 == patience.factor()


async def test_a_bounded_block_is_given_more_time_when_the_machine_gets_busy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What takes no longer than that comes to its end; what hangs is ended."""
    _machine(monkeypatch, load=0.0, slowness=1.0)
    async with patience.at_most(10):
        _machine(monkeypatch, load=3.0, slowness=1.0)
        await asyncio.sleep(29)
    with pytest.raises(TimeoutError):
        async with patience.at_most(10):
            await asyncio.sleep(31)


def _machine(
    monkeypatch: pytest.MonkeyPatch, *, load: float, slowness: float, others: int = 0
) -> None:
    monkeypatch.delenv("TEST_PATIENCE", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(os, "getloadavg", lambda: (4 * load, 0.0, 0.0))
    monkeypatch.setattr(patience, "_others", lambda: others)
    monkeypatch.setattr(patience, "_slowness", lambda: slowness)
