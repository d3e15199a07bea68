"""Proves that waits are longer where the machine is slow or busy, and never endless."""

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


def _machine(monkeypatch: pytest.MonkeyPatch, *, load: float, slowness: float) -> None:
    monkeypatch.delenv("TEST_PATIENCE", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(os, "getloadavg", lambda: (4 * load, 0.0, 0.0))
    monkeypatch.setattr(patience, "_slowness", lambda: slowness)
