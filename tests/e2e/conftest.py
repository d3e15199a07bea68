"""Lends the tests of commands the command line, and queues without the importer."""

import pytest

from tests.support.broker import Broker
from tests.support.commands import Commands
from tests.support.letters import Letters


@pytest.fixture
async def letters(broker: Broker, vhost: str) -> Letters:
    """Lend the queue of dead letters, and an intake that nobody consumes."""
    found = Letters(broker, vhost)
    await found.declare()
    return found


@pytest.fixture
def commands(broker: Broker, vhost: str) -> Commands:
    """Lend the command line, set for the test's virtual host."""
    return Commands(broker.url(vhost))
