"""Proves that whoever looks at a queue next sees all that was held before."""

from collections.abc import Iterable
from typing import cast

from pamqp.commands import Basic, Queue

from service.rabbit.holding import hold
from service.rabbit.session import Session
from tests.fake_node import FakeChannel, FakeNode, FakeSession, Stored

QUEUE = "crm.items.dlq"


class Slow(FakeChannel):
    """A channel whose queue takes back one message for each time that it is asked how many."""

    returning = 0

    async def queue_declare(self, queue: str, **more: object) -> Queue.DeclareOk:
        told = await super().queue_declare(queue, **more)
        if self.returning:
            self.returning -= 1
            super()._return([max(self.unacked)])
        return told

    def _return(self, tags: Iterable[int]) -> None:
        self.returning += len(list(tags))


class SlowSession(FakeSession):
    """Opens such channels."""

    async def channel(self, *, confirms: bool = False) -> FakeChannel:  # noqa: ARG002 - as there
        self.opened.append(Slow(self.node))
        return self.opened[-1]


async def test_what_was_put_there_meanwhile_does_not_stand_for_what_goes_back() -> None:
    """Copies of some letters lie in the queue already while the others are on their way."""
    node = FakeNode()
    letters = [Stored(b"", Basic.Properties(), "", QUEUE) for _ in range(5)]
    node.put(QUEUE, *letters)
    async with hold(cast("Session", SlowSession(node)), QUEUE) as holding:
        assert [5] == [len(window) async for window in holding.windows()]
        await holding.take([1, 2])
        node.put(QUEUE, *letters[:2])
    assert 5 == len(node.queues[QUEUE])
