"""Proves that processes learn from the memory what others noted, on a real broker."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aio_pika
import pytest
from aiormq.abc import FieldValue

from service.domain.events import Identity, event_digest
from service.domain.last_words import LastWord, Word
from service.rabbit.connection import Address
from service.rabbit.memory import WAIT_SECONDS, Memory
from service.rabbit.memory_state import MemoryState
from service.rabbit.notes import Note, NoteKind, Owner
from tests.support.node import RabbitNode
from tests.support.patience import at_most, patient

QUEUE = "crm.items.memory"
OWNER = Owner("portal.example", "crm-importer")
LONG_SECONDS = 60.0
"""What waits this long, waits in vain."""


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the broker of a busy machine the time that it takes there to answer."""
    monkeypatch.setattr("service.rabbit.memory.WAIT_SECONDS", patient(WAIT_SECONDS))


def word(number: int, what: Word = Word.IMPORTED, *, item_id: int = 0) -> LastWord:
    """Return a word on the event of a number."""
    event = event_digest(Identity(2, f"e{number}"))
    return LastWord(event, what, 2, time.time(), 7, item_id=item_id)


def event(number: int) -> bytes:
    """Return the digest of the event of a number."""
    return word(number).event


@asynccontextmanager
async def attached(
    url: str, *, owner: Owner = OWNER, on_note: Callable[[Note], None] = lambda _: None
) -> AsyncIterator[Memory]:
    """Run a process's memory until it follows."""
    memory = Memory(
        address=Address([url], heartbeat=15),
        queue=QUEUE,
        owner=owner,
        remember=50_000,
        on_note=on_note,
    )
    task = asyncio.create_task(memory.run())
    try:
        await until(lambda: memory.state is MemoryState.FOLLOWING)
        yield memory
    finally:
        task.cancel()
        await asyncio.wait({task})


async def until(true: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait until something is true."""
    async with at_most(seconds):
        while not true():  # noqa: ASYNC110 - polls somebody else's state
            await asyncio.sleep(0.02)


async def test_a_process_knows_what_another_one_noted_before_it_came(amqp_url: str) -> None:
    """Words, in their order; the last one counts."""
    async with attached(amqp_url) as first:
        assert await first.add([word(1, Word.IN_CALL), word(2, Word.IN_CALL)])
        assert await first.add([word(1, item_id=15)])
    async with attached(amqp_url) as second:
        known = second.words.of(event(1))
        assert known is not None
        assert (Word.IMPORTED, 15) == (known.word, known.item_id)
        unsettled = second.words.of(event(2))
        assert unsettled is not None
        assert unsettled.perhaps_sent
        assert second.words.of(event(3)) is None


async def test_whoever_asks_before_the_memory_is_read_waits_for_that(amqp_url: str) -> None:
    """Deliveries may come over a connection that was quicker than the memory's."""
    async with attached(amqp_url) as first:
        assert await first.add([word(1)])
    memory = Memory(
        address=Address([amqp_url], heartbeat=15), queue=QUEUE, owner=OWNER, remember=9
    )
    task = asyncio.create_task(memory.run())
    try:
        assert await memory.catch_up()
        assert memory.words.of(event(1)) is not None
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_nobody_waits_for_what_cannot_be_used(
    amqp_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A queue of its name that is no stream: everybody goes on as without a memory."""
    monkeypatch.setattr("service.rabbit.memory.WAIT_SECONDS", LONG_SECONDS)
    connection = await aio_pika.connect(amqp_url)
    async with connection:
        await (await connection.channel()).declare_queue(QUEUE, durable=True)
    memory = Memory(
        address=Address([amqp_url], heartbeat=15), queue=QUEUE, owner=OWNER, remember=9
    )
    task = asyncio.create_task(memory.run())
    try:
        assert not await memory.catch_up()
        started = time.monotonic()
        assert not await memory.catch_up()
        assert time.monotonic() - started < LONG_SECONDS
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_a_mark_brings_what_was_confirmed_before_it(amqp_url: str) -> None:
    """Without one, the other's note may still be on its way."""
    async with attached(amqp_url) as one, attached(amqp_url) as other:
        assert await one.add([word(1)])
        assert await other.catch_up()
        assert other.words.of(event(1)) is not None


async def test_of_two_calls_of_one_event_the_second_sees_the_first(amqp_url: str) -> None:
    """Each reads its note back before it calls."""
    async with attached(amqp_url) as one, attached(amqp_url) as other:
        before = await asyncio.gather(
            one.before_call([word(1, Word.IN_CALL)._replace(writer=1)]),
            other.before_call([word(1, Word.IN_CALL)._replace(writer=2)]),
        )
        stood = [each[0] for each in before if each is not None]
        assert 2 == len(stood)
        assert 1 == sum(each is None for each in stood)


async def test_notes_of_another_portal_say_nothing(amqp_url: str) -> None:
    """Neither its words nor its page; and our own are found again after it."""
    async with attached(amqp_url) as first:
        assert await first.add([word(1)])
        assert await first.upkeep.add_page()
    async with attached(amqp_url, owner=Owner("other.example", "crm-importer")) as other:
        assert other.words.of(event(1)) is None
        assert await other.add([word(2)])
        assert await other.upkeep.add_page()
        assert await other.add([word(3)])
    async with attached(amqp_url) as again:
        assert again.words.of(event(1)) is not None
        assert again.words.of(event(2)) is None


async def test_a_reader_starts_at_the_page_and_misses_nothing(amqp_url: str) -> None:
    """What others noted while the page was written counts more than the page."""
    async with attached(amqp_url) as one, attached(amqp_url) as other:
        for start in range(0, 6_000, 20):
            await one.add([word(n) for n in range(start, start + 20)])
        page = asyncio.create_task(one.upkeep.add_page())
        await other.add([word(1, Word.UNKNOWN), word(7_000)])
        assert await page
        await one.add([word(8_000)])
    started = time.monotonic()
    async with attached(amqp_url) as third:
        assert time.monotonic() - started < patient(5)
        reading = third.reading
        assert reading is not None
        assert reading.met_page
        assert {Word.UNKNOWN} == {w.word for n in (1,) if (w := third.words.of(event(n)))}
        assert all(third.words.of(event(n)) for n in (0, 5_999, 7_000, 8_000))


async def test_other_notes_are_told(amqp_url: str) -> None:
    """Who follows hears of them, and so does who comes later."""
    heard: list[Note] = []
    async with attached(amqp_url) as one, attached(amqp_url, on_note=heard.append) as other:
        assert await one.tell(NoteKind.LANE_MADE, 128)
        assert await one.tell(NoteKind.SET_BACK)
        assert await other.catch_up()
        assert [(NoteKind.LANE_MADE, 128), (NoteKind.SET_BACK, 0)] == [
            (note.kind, note.number) for note in heard
        ]


async def test_words_from_before_a_set_back_are_stale(amqp_url: str) -> None:
    """In every process, also in one that comes later and starts at a page."""
    async with attached(amqp_url) as one:
        assert await one.add([word(1, item_id=5)])
        assert await one.tell(NoteKind.SET_BACK)
        await asyncio.sleep(0.01)
        assert await one.add([word(2, item_id=6)])
        assert await one.upkeep.add_page()
    async with attached(amqp_url) as other:
        known = [other.words.of(event(n)) for n in (1, 2)]
        assert [True, False] == [each.stale for each in known if each]
        assert [6] == [each.item_id for each in other.words.recent(2)]


async def test_rubbish_in_the_stream_is_skipped(amqp_url: str) -> None:
    """Other formats, other bodies, no headers at all."""
    async with attached(amqp_url) as first:
        assert await first.add([word(1)])
    connection = await aio_pika.connect(amqp_url)
    async with connection:
        channel = await connection.channel()
        whole: dict[str, FieldValue] = {
            "format": 1,
            "portal": OWNER.portal,
            "originator": OWNER.originator,
        }
        rubbish: tuple[dict[str, FieldValue], ...] = (
            {},
            {"format": 2, "page": 3},
            {**whole, "kind": "words"},
            {**whole, "kind": "words", "at": 1, "writer": 1, "number": 0, "part": 1, "parts": 1},
            {**whole, "kind": "?", "at": 1, "writer": 1, "number": 0, "part": 1, "parts": 1},
        )
        for headers in rubbish:
            message = aio_pika.Message(b"rubbish", headers=headers)
            await channel.default_exchange.publish(message, QUEUE)
    async with attached(amqp_url) as second:
        assert second.words.of(event(1)) is not None


async def test_what_a_killed_broker_forgot_is_still_known_and_read_again(
    node: RabbitNode, amqp_url: str
) -> None:
    """The process goes on by itself when the broker is back, and says again what is missing."""
    heard: list[Note] = []
    async with attached(amqp_url) as memory:
        await asyncio.sleep(3.5)
        assert await memory.add([word(n) for n in range(20)])
        node.kill()
        await until(lambda: memory.state is not MemoryState.FOLLOWING)
        assert not await memory.add([word(30)._replace(writer=memory.writer)])
        assert not await memory.tell(NoteKind.LANE_MADE, 128)
        node.restart()
        await until(lambda: memory.state is MemoryState.FOLLOWING, 60)
        assert all(memory.words.of(event(n)) for n in (0, 19, 30))
        # What nobody has confirmed is said again by whoever said it; a page is the active one's.
        assert memory.upkeep.due(active=False)
        await memory.upkeep.tend(active=False)
        assert not memory.upkeep.due(active=False)
        async with attached(amqp_url, on_note=heard.append) as other:
            assert other.words.of(event(30)) is not None
            assert [128] == [note.number for note in heard if note.kind is NoteKind.LANE_MADE]
        assert memory.upkeep.due(active=True)
        await memory.upkeep.tend(active=True)
        assert not memory.upkeep.due(active=True)
    async with attached(amqp_url) as third:
        reading = third.reading
        assert reading is not None
        assert reading.met_page
        assert all(third.words.of(event(n)) for n in (0, 19, 30))


async def test_a_deleted_memory_is_made_anew_and_filled_by_whoever_knows_it(amqp_url: str) -> None:
    """Nobody takes a stream for read that is not there any more."""
    async with attached(amqp_url) as memory:
        assert await memory.add([word(1)._replace(writer=memory.writer), word(2)])
        connection = await aio_pika.connect(amqp_url)
        async with connection:
            await (await connection.channel()).queue_delete(QUEUE)
        await until(lambda: memory.state is not MemoryState.FOLLOWING)
        await until(lambda: memory.state is MemoryState.FOLLOWING)
        assert not memory.reliable
        await memory.upkeep.tend(active=True)
    async with attached(amqp_url) as other:
        assert all(other.words.of(event(n)) for n in (1, 2))


async def test_nothing_waits_for_a_silent_memory_twice(
    node: RabbitNode, amqp_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frozen broker costs one wait, and none after it until it has answered."""
    # On a busy machine a broker that is well takes longer, too: it must be able to answer in it.
    wait = patient(3.0)
    monkeypatch.setattr("service.rabbit.memory.WAIT_SECONDS", wait)
    async with attached(amqp_url) as memory:
        node.freeze()
        try:
            assert not await memory.add([word(1)])
            started = time.monotonic()
            assert await memory.before_call([word(2, Word.IN_CALL)]) is None
            assert not await memory.catch_up()
            assert time.monotonic() - started < wait
        finally:
            node.thaw()
        await until(lambda: memory.state is MemoryState.FOLLOWING, 60)
        assert memory.words.of(event(1)) is not None


async def test_a_reader_of_a_page_learns_which_lanes_have_queues(amqp_url: str) -> None:
    """The notes of that stand before the page, where nobody reads any more."""
    async with attached(amqp_url) as one:
        assert await one.tell(NoteKind.LANE_MADE, 128)
        assert await one.tell(NoteKind.LANE_MADE, 2)
        assert await one.upkeep.add_page()
    async with attached(amqp_url) as two:
        assert await two.upkeep.add_page()
    heard: list[Note] = []
    async with attached(amqp_url, on_note=heard.append) as third:
        reading = third.reading
        assert reading is not None
        assert reading.met_page
    assert {128, 2} == {note.number for note in heard if note.kind is NoteKind.LANE_MADE}
