"""Proves when the memory can be relied on, and that a note is known before its call is made."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiormq import Channel
from aiormq.abc import DeliveredMessage
from aiormq.exceptions import ChannelNotFoundEntity

from service.domain.events import Identity, event_digest
from service.domain.last_words import LastWord, LastWords, Word
from service.domain.rereading import Rereading
from service.rabbit import memory as module
from service.rabbit.confirms import PublishResult
from service.rabbit.connection import Address
from service.rabbit.encoding import Outgoing
from service.rabbit.memory import FORGOTTEN_SECONDS, WAIT_SECONDS, Memory
from service.rabbit.memory_reading import Reading, UnusableError, ensure
from service.rabbit.memory_state import MemoryState
from service.rabbit.notes import NoteKind, Owner
from service.telemetry import steady
from tests.virtual_time import START, now

NOWHERE = Address(["amqp://guest:guest@127.0.0.1:1/"], heartbeat=15)
HOLD = 600.0
THEIRS = 2


def memory_of(portal: str = "a") -> Memory:
    """Return the memory of a portal, of which nothing was read yet."""
    return Memory(address=NOWHERE, queue="m", owner=Owner(portal, "b"), remember=9, hold=HOLD)


def word(name: str, said: Word, *, ago: float = 0.0, writer: int = THEIRS) -> LastWord:
    """Return a word on an event of this name, said so many seconds ago."""
    digest = event_digest(Identity(2, name))
    return LastWord(digest, said, 2, round(steady.time() - ago, 3), writer)


class Wire:
    """A stream on a channel: keeps what is published, and hands it to whoever reads."""

    def __init__(self, patch: pytest.MonkeyPatch, *, answer: PublishResult) -> None:
        self.answer = answer
        self.sent: list[Outgoing] = []
        self.channel = SimpleNamespace(
            is_closed=False, closing=asyncio.get_running_loop().create_future()
        )
        patch.setattr(module, "published", self.published)

    async def published(self, _: object, message: Outgoing) -> PublishResult:
        self.sent.append(message)
        return self.answer

    def follow(self, memory: Memory) -> Reading:
        """Have a memory follow this stream."""
        channel, owner = cast("Channel", self.channel), Owner("a", "b")
        made = Reading(channel, "m", owner, memory.words, memory.heard, follows=True)
        memory.reading, memory.state = made, MemoryState.FOLLOWING
        return made

    async def read(self, reading: Reading, sent: Outgoing) -> None:
        """Hand a message of the stream over."""
        properties: Any = sent.properties
        properties.headers["x-stream-offset"] = self.sent.index(sent)
        header = SimpleNamespace(properties=properties)
        message = SimpleNamespace(header=header, body=sent.body, delivery_tag=1)
        await reading._receive(cast("DeliveredMessage", message))  # noqa: SLF001 - its one task


async def test_a_memory_that_does_not_come_is_waited_for_once() -> None:
    """Whoever asks next goes on at once."""
    memory = memory_of()
    for _ in range(2):
        assert not await memory.catch_up()
        assert START + WAIT_SECONDS == now()


@pytest.mark.parametrize("state", MemoryState)
@pytest.mark.parametrize("begun", [None, HOLD + 5.0, HOLD - 5.0])
async def test_no_word_proves_something_only_where_every_call_was_noted(
    state: MemoryState, begun: float | None
) -> None:
    """While it does not answer others may call; before this process began it nobody noted any."""
    memory = memory_of()
    memory.state = state
    memory.begun_at = None if begun is None else steady.time() - begun
    old = begun is None or begun > HOLD
    assert (state is MemoryState.FOLLOWING and old) is memory.reliable


async def test_a_call_waits_until_its_note_was_read_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """What another process noted before it is told: of two calls of one event one is withdrawn."""
    wire, memory, other = (
        Wire(monkeypatch, answer=PublishResult.CONFIRMED),
        memory_of(),
        memory_of(),
    )
    reading = wire.follow(memory)
    wire.follow(other)
    theirs = word("a", Word.IN_CALL, ago=1.0, writer=other.writer)
    assert await other.add([theirs])
    ours = [word(name, Word.IN_CALL, writer=memory.writer) for name in "ab"]
    call = asyncio.create_task(memory.before_call(ours))
    await asyncio.sleep(0.01)
    assert not call.done()
    for sent in list(wire.sent):
        await wire.read(reading, sent)
    before = await call
    assert before is not None
    [first, second] = before
    assert (theirs.event, other.writer) == (first and first.event, first and first.writer)
    assert second is None


@pytest.mark.parametrize("how", ["refused", "not followed"])
async def test_what_was_not_confirmed_counts_here_and_is_said_again(
    monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """From the oldest such word on."""
    wire, memory = Wire(monkeypatch, answer=PublishResult.NACKED), memory_of()
    if how == "refused":
        wire.follow(memory)
    call, end = word("a", Word.IN_CALL, ago=9.0), word("b", Word.IMPORTED, ago=3.0)
    assert not await memory.add([end])
    assert end.at == memory.unsure_since
    assert await memory.before_call([call]) is None
    assert call.at == memory.unsure_since
    assert [call, end] == [memory.words.of(each.event) for each in (call, end)]


async def test_what_must_not_be_missed_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """That a lane has a queue, that the portal was set back; not who is active just now."""
    wire, memory = Wire(monkeypatch, answer=PublishResult.NACKED), memory_of()
    wire.follow(memory)
    for kind in (NoteKind.LANE_MADE, NoteKind.ACTIVE, NoteKind.MARK):
        assert not await memory.tell(kind, 128)
    await memory.set_back()
    assert [(NoteKind.LANE_MADE, 128), (NoteKind.SET_BACK, 0)] == list(memory.untold)


async def test_what_a_killed_broker_may_have_forgotten_is_said_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its confirm is no proof for the last moment before the connection ended."""
    memory = memory_of()
    memory._gone("no connection")  # noqa: SLF001 - what its connection calls
    assert memory.unsure_since is None
    Wire(monkeypatch, answer=PublishResult.CONFIRMED).follow(memory)
    memory._gone("the broker was killed")  # noqa: SLF001 - as above
    assert memory.unsure_since == pytest.approx(steady.time() - FORGOTTEN_SECONDS, abs=2.0)
    assert not memory.reliable


@pytest.mark.parametrize("again", [True, False])
async def test_what_only_we_still_know_survives_reading_anew(
    monkeypatch: pytest.MonkeyPatch,
    again: bool,  # noqa: FBT001
) -> None:
    """A killed broker has forgotten our last words, and knows what others said meanwhile."""
    memory = memory_of()
    lost, stale = word("a", Word.IN_CALL, ago=1.0), word("b", Word.IN_CALL, ago=9.0)
    newer = word("b", Word.IMPORTED, ago=5.0)
    for each in (lost, stale):
        memory.words.say(each)
    words = Rereading(memory.words) if again else LastWords(9)
    words.say(stale._replace(word=Word.NOT_THERE))
    words.say(newer)
    words.say(lost._replace(at=lost.at - 1.0))
    anew = Reading(cast("Channel", None), "m", Owner("a", "b"), words, memory.heard)

    async def page(*_: object) -> None:
        return None

    async def whole(*_: object) -> Reading:
        return anew

    monkeypatch.setattr(module, "last_page", page)
    monkeypatch.setattr(module, "read_whole", whole)
    await memory._read_all(cast("Channel", None))  # noqa: SLF001 - the step under test
    assert [lost, newer] == [memory.words.of(each.event) for each in (lost, stale)]
    assert (True, MemoryState.FOLLOWING) == (memory.read_anew, memory.state)


@pytest.mark.parametrize("make", [True, False])
async def test_a_missing_memory_is_made_only_by_who_declares(make: bool) -> None:  # noqa: FBT001
    """With `TOPOLOGY=check` somebody else owns it; it is named."""
    asked: list[bool] = []

    class Asked:
        """A channel of a broker that has no such queue."""

        async def queue_declare(self, _: str, *, passive: bool, **__: object) -> None:
            """Note whether it is to be made."""
            asked.append(passive)
            if passive:
                raise ChannelNotFoundEntity("NOT_FOUND - no queue 'm'")

    @asynccontextmanager
    async def lent() -> AsyncIterator[Channel]:
        yield cast("Channel", Asked())

    if make:
        assert await ensure(lent, "m", make=True)
        assert [True, False] == asked
        return
    with pytest.raises(UnusableError, match="queue m is missing, and RABBIT__TOPOLOGY=check"):
        await ensure(lent, "m", make=False)
    assert [True] == asked
