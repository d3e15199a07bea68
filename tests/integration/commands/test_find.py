"""Proves on a real broker that `find` holds only the beginning of a long inner queue."""

import pytest

from service.commands.find import looking
from service.commands.find.places import Hidden
from service.commands.runtime import command_runtime
from tests.support.broker import Broker
from tests.support.letters import Letters
from tests.support.parked import ParkedQueues, lane, parked


async def test_only_the_beginning_of_a_long_queue_is_held(
    broker: Broker, vhost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies deeper is not seen, and that is said; all of it lies there afterwards."""
    monkeypatch.setenv("IMPORTER_RABBIT__URL", broker.url(vhost))
    monkeypatch.setattr(looking, "MAX_HELD", 20)
    letters = Letters(broker, vhost)
    await letters.declare()
    queue = lane(2)
    await ParkedQueues(broker, vhost).put(queue, *(parked(f"e{n}") for n in range(30)))
    async with command_runtime("find") as work:
        assert (await looking.look(work, "e19", None)).is_found
        found = await looking.look(work, "e20", None)
    assert not found.is_found
    assert Hidden(f"queue {queue}", "only the first 20 were looked at", 30) in found.hidden
    assert 30 == await letters.ready(queue)
