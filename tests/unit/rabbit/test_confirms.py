"""Proves that every publish gets the broker's answer, or ends with its channel."""

import asyncio
from typing import cast

import pytest
from aiormq import Channel
from pamqp.commands import Basic

from service.rabbit import broken
from service.rabbit.confirms import Confirmer, PublishResult
from service.rabbit.encoding import Outgoing


class Waiting:
    """A channel whose publishes wait until they are answered."""

    def __init__(self) -> None:
        self.is_closed = False
        self.answers: asyncio.Queue[asyncio.Future[None]] = asyncio.Queue()
        self._observers: list[asyncio.Future[None]] = []

    @property
    def closing(self) -> "asyncio.Future[None]":
        observer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._observers.append(observer)
        return observer

    @property
    def observers(self) -> int:
        return sum(not each.done() for each in self._observers)

    def close(self) -> None:
        self.is_closed = True
        for observer in self._observers:
            observer.set_result(None)

    async def basic_publish(self, _: bytes, **__: object) -> None:
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.answers.put_nowait(answer)
        await answer


def message(unique: str) -> Outgoing:
    """Return a message with an id."""
    return Outgoing("intake", "x", "k", b"", Basic.Properties(message_id=unique))


async def test_a_closed_channel_ends_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where the library itself would wait for ever; later publishes end at once."""
    monkeypatch.setattr(broken, "LAST_WORDS_SECONDS", 0.0)
    channel = Waiting()
    confirmer = Confirmer(cast("Channel", channel))
    sending = asyncio.create_task(confirmer.send(message("a")))
    unanswered = await channel.answers.get()
    channel.close()
    assert PublishResult.LOST is await sending
    assert PublishResult.LOST is await confirmer.send(message("b"))
    assert channel.answers.empty()
    assert unanswered.cancelled()


async def test_two_messages_of_one_id_go_one_after_the_other() -> None:
    """In flight together they would take each other's answers."""
    channel = Waiting()
    confirmer = Confirmer(cast("Channel", channel))
    both = [asyncio.create_task(confirmer.send(message("same"))) for _ in range(2)]
    first = await channel.answers.get()
    for _ in range(5):
        await asyncio.sleep(0)
    assert channel.answers.empty()
    first.set_result(None)
    (await channel.answers.get()).set_result(None)
    assert [PublishResult.CONFIRMED] * 2 == await asyncio.gather(*both)
    assert 0 == channel.observers


async def test_who_sends_may_be_cancelled() -> None:
    """A cancellation of ours is one, not a lost connection."""
    channel = Waiting()
    confirmer = Confirmer(cast("Channel", channel))
    sending = asyncio.create_task(confirmer.send(message("a")))
    answer = await channel.answers.get()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    await asyncio.sleep(0)
    assert answer.cancelled()
    assert 0 == channel.observers
