"""Proves the helpers that run programs: scripted from outside, and gone when they should be."""

import asyncio
import sys
import time
from collections.abc import Iterator

import pytest

from tests.support.amqp import wait_until
from tests.support.child_process import ChildProcess, Scratch
from tests.support.processes import PortalProcess, ProcessError, ServiceProcess


@pytest.fixture
def portal() -> Iterator[PortalProcess]:
    """Run a portal for one test."""
    with PortalProcess() as portal:
        yield portal


def test_a_portal_is_scripted_from_outside(portal: PortalProcess) -> None:
    """Settings and faults reach the running portal, and its ledger starts empty."""
    portal.settings({"secret": "another"})
    portal.faults([{"kind": "slow", "seconds": 0.1}])
    assert portal.webhook_url == f"{portal.url}rest/1/another/"
    assert 1 == len(portal.control("GET", "faults")["faults"])
    assert [] == portal.ledger()["items"]


def test_a_portal_comes_back_at_its_address(portal: PortalProcess) -> None:
    """A portal that was killed and started again listens where it did before."""
    before = portal.url
    portal.kill()
    assert before == portal.start().url


def test_a_refused_script_is_named(portal: PortalProcess) -> None:
    """A mistake in a script fails the test that made it."""
    with pytest.raises(ProcessError, match="no such"):
        portal.faults([{"kind": "no such"}])


def test_waiting_for_a_service_that_ended_fails_at_once() -> None:
    """The exit code and the last words are in the failure, without waiting for the time-out."""
    with (
        ServiceProcess({"IMPORTER_NO_SUCH": "1"}) as service,
        pytest.raises(ProcessError, match=r"(?s)ended with 2.*IMPORTER_NO_SUCH"),
    ):
        service.wait_ready(timeout=60)


def test_what_a_process_started_ends_with_it() -> None:
    """Killing a process kills its children too, and its folder goes away."""
    child = "import subprocess, sys, time; subprocess.Popen(['sleep', '60']); time.sleep(60)"
    with Scratch.make("child") as scratch:
        process = ChildProcess(
            [sys.executable, "-c", child], env={}, cwd=scratch.path, name="tree"
        )
        process.kill()
        assert -9 == process.exit_code
    assert not scratch.path.exists()


def test_what_is_frozen_stands_still_at_once_and_goes_on_when_thawed() -> None:
    """Each of its threads: a busy machine stops them late."""
    counting = (
        "import threading\n"
        "def count():\n"
        "    while True:\n"
        "        print('x', flush=True)\n"
        "threading.Thread(target=count).start()\n"
        "count()\n"
    )
    with Scratch.make("frozen") as scratch:
        process = ChildProcess(
            [sys.executable, "-c", counting], env={}, cwd=scratch.path, name="counting"
        )
        asyncio.run(wait_until(lambda: _written(process) > 0, what="the first word"))
        process.freeze()
        before = _written(process)
        time.sleep(0.2)
        assert before == _written(process)
        process.thaw()
        asyncio.run(wait_until(lambda: _written(process) > before, what="the next word"))
        process.kill()


def _written(process: ChildProcess) -> int:
    return process.stdout.stat().st_size
