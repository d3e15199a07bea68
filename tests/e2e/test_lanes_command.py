"""Proves that `lanes` shows what waits, sends it back whole, and ends it as the service would."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest
from aio_pika import Message

from tests.support.amqp import Upstream, wait_until
from tests.support.broker import Broker
from tests.support.commands import Commands
from tests.support.letters import INTAKE_QUEUE, QUEUE, Letters
from tests.support.parked import (
    DOUBTFUL,
    FAILED_QUEUE,
    LINKS,
    MEMORY,
    ParkedQueues,
    lane,
    parked,
)
from tests.support.patience import at_most

WEBHOOK = "http://127.0.0.1/rest/1/secret/"
RECORD_BYTES = 78
"""Of one word in a note."""
PERHAPS = {"import_perhaps_sent": "2026-03-01T12:00:00.000Z"}


@pytest.fixture
async def waiting(broker: Broker, vhost: str, letters: Letters) -> ParkedQueues:
    """Lend the inner queues, beside an intake that nobody consumes."""
    found = ParkedQueues(broker, vhost)
    await found.declare(DOUBTFUL, LINKS)
    await found.declare_results()
    return found


@pytest.fixture
def operator(broker: Broker, vhost: str) -> Commands:
    """Lend the command line, set for the broker and a portal that nobody reaches."""
    nobody = {
        "IMPORTER_BITRIX__WEBHOOK_URL": WEBHOOK,
        "IMPORTER_CONSOLE__STATUS_URL": "http://127.0.0.1:1/status",
    }
    return Commands(broker.url(vhost), nobody)


async def taken(broker: Broker, vhost: str, queue: str, count: int) -> list[Any]:
    """Take so many messages of a queue; no more are there."""
    async with Upstream(broker.url(vhost)) as upstream:
        messages = await upstream.drain(queue, count, timeout=10)
        assert 0 == await upstream.ready(queue)
    return messages


def ids(messages: Sequence[Any]) -> list[str]:
    """Return the event ids of messages."""
    return [str(json.loads(each.body)["id"]) for each in messages]


# ---- lanes ----


async def test_without_an_importer_the_broker_tells_what_waits(
    waiting: ParkedQueues, operator: Commands, letters: Letters
) -> None:
    """How many, why and since when; not whether a lane is closed, and it says so."""
    await waiting.put(lane(2), *(parked(f"e{n}", reason="plan") for n in range(3)))
    await waiting.put(DOUBTFUL, parked("d", reason="doubt"))
    done = await operator.run("lanes", "--json")
    document = json.loads(done.out)
    assert (0, "broker") == (done.code, document["source"])
    [told] = document["lanes"]
    assert (2, None, "plan", 3) == (
        told["entityTypeId"],
        told["state"],
        told["reason"],
        told["parked"],
    )
    assert {DOUBTFUL: 1, LINKS: 0, lane(2): 3} == {
        each["queue"]: each["messages"] for each in document["parked"]
    }
    assert "IMPORTER_CONSOLE__STATUS_URL" in document["notes"][0]
    for_people = await operator.run("lanes")
    assert ["2", "unknown", "plan"] == for_people.out.splitlines()[1].split()[:3]
    assert f"in doubt, to be looked up: 1 event in {DOUBTFUL}" in for_people.out
    assert "not whether a lane is closed" in for_people.err
    assert 3 == await letters.ready(lane(2))


async def test_the_importer_tells_of_its_lanes(broker: Broker, vhost: str) -> None:
    """State, reason and next try come from /status, and no broker is asked."""
    status = {
        "state": "flowing",
        "active": True,
        "lanes": [
            {
                "entity_type": 128,
                "state": "closed",
                "reason": "scope",
                "since": "2026-03-01T12:00:00+00:00",
                "next_try_seconds": 12.3,
                "parked": 17,
            }
        ],
        "parked": [
            {"queue": lane(128), "entity_type": 128, "reason": "lane", "messages": 17},
            {"queue": lane(2), "entity_type": 2, "reason": "lane", "messages": 0},
            {
                "queue": DOUBTFUL,
                "entity_type": None,
                "reason": "doubt",
                "messages": 4,
                "oldest_id": "order 7",
            },
        ],
    }
    async with _serving(status) as url:
        person = Commands("amqp://127.0.0.1:1/", {"IMPORTER_CONSOLE__STATUS_URL": url})
        done = await person.run("lanes", "--json")
        for_people = await person.run("lanes")
    document = json.loads(done.out)
    assert (0, "importer") == (done.code, document["source"])
    assert [(2, "open", 0), (128, "closed", 17)] == [
        (each["entityTypeId"], each["state"], each["parked"]) for each in document["lanes"]
    ]
    assert ("scope", 12.3) == (
        document["lanes"][1]["reason"],
        document["lanes"][1]["nextTrySeconds"],
    )
    assert "in 12 s" in for_people.out
    assert f"in doubt, to be looked up: 4 events in {DOUBTFUL}" in for_people.out
    assert "the oldest in doubtful: crm-importer find 'order 7'" in for_people.out
    assert "crm-importer lanes retry --type=128" in for_people.out


def _serving(status: dict[str, Any]) -> "_Status":
    return _Status(json.dumps(status).encode())


class _Status:
    """A /status of an importer that tells what it is told to."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aenter__(self) -> str:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}/status"

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(self._body)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + self._body)
        await writer.drain()
        writer.close()


# ---- retry ----


async def test_retry_notes_the_lane_in_the_memory(
    waiting: ParkedQueues, operator: Commands, broker: Broker, vhost: str
) -> None:
    """The note names portal, originator and lane, for the active process to read."""
    await waiting.declare_memory()
    done = await operator.run("lanes", "retry", "--type", "128")
    assert (0, "lane 128 is tried at once") == (done.code, done.out.partition(",")[0])
    [note] = await _notes(broker, vhost, 1)
    wanted = {"kind": "try_lane", "number": 128, "portal": "127.0.0.1", "parts": 1}
    assert wanted == {name: note.headers[name] for name in wanted}
    assert "crm-importer" == note.headers["originator"]


async def test_retry_without_a_memory_says_when_the_lane_is_tried(
    waiting: ParkedQueues, operator: Commands, broker: Broker, vhost: str
) -> None:
    """At its next interval; a command makes no memory."""
    done = await operator.run("lanes", "retry", "--type", "128")
    assert 0 == done.code
    assert "lane 128 is tried at its next interval" in done.out
    async with Upstream(broker.url(vhost)) as upstream:
        assert not await upstream.exists(MEMORY)


async def _notes(broker: Broker, vhost: str, count: int) -> list[Any]:
    """Read notes of the memory from its beginning."""
    found: list[Any] = []
    async with Upstream(broker.url(vhost)) as upstream:
        await upstream.channel.set_qos(100)
        queue = await upstream.queue(MEMORY)
        came = asyncio.Event()

        async def take(message: Any) -> None:  # noqa: ANN401 - the library's
            found.append(message)
            if len(found) >= count:
                came.set()

        await queue.consume(take, arguments={"x-stream-offset": "first"})
        async with at_most(20):
            await came.wait()
    return found


# ---- return ----


async def test_return_sends_back_what_is_parked_and_in_doubt(
    waiting: ParkedQueues, operator: Commands, letters: Letters, broker: Broker, vhost: str
) -> None:
    """As it came, under its own key; what waits for links stays, and that is said."""
    await waiting.put(lane(2), parked("a", headers={"import_redrive_count": 1}))
    await waiting.put(lane(31), parked("b", entity_type=31))
    await waiting.put(DOUBTFUL, parked("c", reason="doubt", headers=PERHAPS))
    await waiting.put(LINKS, parked("l", reason="link"))
    done = await operator.run("lanes", "return")
    assert (0, "3 events sent back to the intake\n") == (done.code, done.out)
    assert "--links sends them back as well" in done.err
    back = {str(each.headers["import_event_id"]): each for each in await _back(broker, vhost, 3)}
    assert {"a": "item.2", "b": "item.31", "c": "item.2"} == {
        name: each.routing_key for name, each in back.items()
    }
    assert ("m-a", "c-a", "kept") == (
        back["a"].message_id,
        back["a"].correlation_id,
        back["a"].headers["theirs"],
    )
    assert {"a": 1, "c": 1} == {
        name: each.headers["import_redrive_count"]
        for name, each in back.items()
        if "import_redrive_count" in each.headers
    }
    assert "import_perhaps_sent" in back["c"].headers
    assert not any("import_parked_reason" in each.headers for each in back.values())
    assert (0, 1) == (await letters.ready(lane(2)), await letters.ready(LINKS))


async def test_return_of_a_type_leaves_the_others(
    waiting: ParkedQueues, operator: Commands, letters: Letters, broker: Broker, vhost: str
) -> None:
    """Its own come from every queue, those of other types stay there."""
    await waiting.put(lane(2), parked("a"))
    await waiting.put(lane(1), parked("b", entity_type=1))
    await waiting.put(DOUBTFUL, parked("c", entity_type=1), parked("d"), parked("e"))
    await waiting.put(LINKS, parked("f"), parked("g", entity_type=1))
    done = await operator.run("lanes", "return", "--type", "2", "--links")
    assert 0 == done.code
    assert "without their links" in done.err
    assert ["a", "d", "e", "f"] == sorted(ids(await _back(broker, vhost, 4)))
    assert (0, 1, 1, 1) == (
        await letters.ready(lane(2)),
        await letters.ready(lane(1)),
        await letters.ready(DOUBTFUL),
        await letters.ready(LINKS),
    )


async def test_return_of_links_asks_at_a_terminal(
    waiting: ParkedQueues, operator: Commands, letters: Letters
) -> None:
    """It says what an older version would lose."""
    await waiting.put(LINKS, parked("f"))
    with operator.terminal("lanes", "return", "--links") as terminal:
        terminal.wait_for("Type links to send them back as well:")
        terminal.type("no\n")
        assert 1 == terminal.wait()
    assert 1 == await letters.ready(LINKS)


async def test_what_was_parked_for_another_portal_stays(
    waiting: ParkedQueues, operator: Commands, letters: Letters
) -> None:
    """It would be imported into the wrong one."""
    other = parked("b", headers={"import_portal": "other.example"})
    await waiting.put(lane(2), parked("a"), other)
    done = await operator.run("lanes", "return")
    assert "1 event sent back" in done.out
    assert "parked for another portal (other.example)" in done.err
    assert 1 == await letters.ready(lane(2))


async def test_an_intake_that_refuses_keeps_everything_where_it_is(
    broker: Broker, vhost: str, operator: Commands
) -> None:
    """Confirmed first, acknowledged after: exit 1, and nothing is lost."""
    letters = Letters(broker, vhost)
    await letters.declare(x_max_length=1, x_overflow="reject-publish")
    waiting = ParkedQueues(broker, vhost)
    wanted = [f"e{n}" for n in range(60)]
    await waiting.put(lane(2), *(parked(each) for each in wanted))
    done = await operator.run("lanes", "return")
    assert 1 == done.code
    assert "is full and refuses" in done.err
    back = await _back(broker, vhost, await letters.ready(INTAKE_QUEUE))
    left = await taken(broker, vhost, lane(2), await letters.ready(lane(2)))
    assert sorted(wanted) == sorted(ids(back) + ids(left))


async def _back(broker: Broker, vhost: str, count: int) -> list[Any]:
    return await taken(broker, vhost, INTAKE_QUEUE, count)


# ---- fail ----


async def test_fail_ends_events_as_the_service_would(
    waiting: ParkedQueues, operator: Commands, letters: Letters, broker: Broker, vhost: str
) -> None:
    """A failed result and a dead letter each, as if they had come from the intake."""
    await waiting.put(lane(2), parked("a", headers={"import_attempts": 3}))
    await waiting.put(DOUBTFUL, parked("d", headers=PERHAPS), parked("x", entity_type=1))
    await waiting.put(LINKS, parked("l"))
    done = await operator.run("lanes", "fail", "--type", "2", "--yes")
    assert 0 == done.code, done.err
    assert "3 events of type 2 ended" in done.out
    results = await taken(broker, vhost, FAILED_QUEUE, 3)
    data = {each["data"]["eventId"]: each["data"] for each in map(_body, results)}
    assert {
        "a": ("rejected", "ENDED_BY_OPERATOR", 3),
        "d": ("ambiguous", "ENDED_BY_OPERATOR", 1),
        "l": ("rejected", "ENDED_BY_OPERATOR", 1),
    } == {
        name: (each["error"]["kind"], each["error"]["code"], each["attempts"])
        for name, each in data.items()
    }
    assert {"failed.2"} == {each.routing_key for each in results}
    assert {"c-a", "c-d", "c-l"} == {each.correlation_id for each in results}
    dead = {str(each.headers["import_event_id"]): each for each in await _dead(broker, vhost, 3)}
    wanted = {
        "import_error_kind": "rejected",
        "import_error_code": "ENDED_BY_OPERATOR",
        "import_attempts": 3,
        "import_original_exchange": "crm.items",
        "import_original_routing_key": "item.2",
        "import_original_message_id": "m-a",
        "import_redrive_count": 0,
        "theirs": "kept",
    }
    headers = dead["a"].headers
    assert wanted == {name: headers[name] for name in wanted}
    assert not [name for name in headers if name.startswith(("import_parked", "import_portal"))]
    assert "ambiguous" == dead["d"].headers["import_error_kind"]
    assert (0, 1, 0) == (
        await letters.ready(lane(2)),
        await letters.ready(DOUBTFUL),
        await letters.ready(LINKS),
    )


async def test_what_fail_has_ended_comes_back_by_a_redrive(
    waiting: ParkedQueues, operator: Commands, broker: Broker, vhost: str
) -> None:
    """The letter is whole: body, key and id as upstream sent them."""
    await waiting.put(lane(2), parked("a"))
    assert 0 == (await operator.run("lanes", "fail", "--type", "2", "--yes")).code
    shown = await operator.run("dlq", "show", "a")
    assert "an operator ended what was parked" in shown.out
    assert 0 == (await operator.run("dlq", "redrive", "--id", "a")).code
    [back] = await _back(broker, vhost, 1)
    assert ("item.2", "m-a", 1) == (
        back.routing_key,
        back.message_id,
        back.headers["import_redrive_count"],
    )


@pytest.mark.parametrize(("typed", "code", "left"), [("2\n", 0, 0), ("y\n", 1, 2)])
async def test_fail_asks_for_the_number(
    waiting: ParkedQueues, operator: Commands, letters: Letters, typed: str, code: int, left: int
) -> None:
    """It shows how they would end first."""
    await waiting.put(lane(2), parked("a"), parked("b"))
    with operator.terminal("lanes", "fail", "--type", "2") as terminal:
        terminal.wait_for("Type 2 to end 2 events of type 2:")
        assert "rejected" in terminal.text
        terminal.type(typed)
        assert code == terminal.wait()
    assert left == await letters.ready(lane(2))


async def test_fail_without_anybody_to_ask_wants_a_yes(
    waiting: ParkedQueues, operator: Commands, letters: Letters
) -> None:
    """Exit 1, and nothing is touched; nor without a type."""
    await waiting.put(lane(2), parked("a"))
    done = await operator.run("lanes", "fail", "--type", "2")
    assert 1 == done.code
    assert "there is no terminal to ask at: lanes fail needs --yes" in done.err
    assert 2 == (await operator.run("lanes", "fail", "--yes")).code
    assert 1 == await letters.ready(lane(2))


async def test_the_result_stands_before_the_dead_letter(
    broker: Broker, vhost: str, letters: Letters, operator: Commands
) -> None:
    """A failed queue that refuses leaves the event where it waits, and no dead letter."""
    waiting = ParkedQueues(broker, vhost)
    await waiting.declare_results(x_max_length=1, x_overflow="reject-publish")
    await waiting.put(lane(2), *(parked(f"e{n}") for n in range(40)))
    for _ in range(3):
        done = await operator.run("lanes", "fail", "--type", "2", "--yes")
        assert 1 == done.code
        assert "is full and refuses" in done.err
    letters_there, left = await letters.ready(QUEUE), await letters.ready(lane(2))
    assert 40 == letters_there + left
    assert await letters.ready(FAILED_QUEUE) >= letters_there


async def test_fail_notes_what_may_have_been_sent(
    waiting: ParkedQueues, operator: Commands, broker: Broker, vhost: str
) -> None:
    """An estimate is let go, a deal's call stays unknown; what was never sent needs no note."""
    await waiting.declare_memory()
    await waiting.put(
        DOUBTFUL,
        parked("e", entity_type=7, headers=PERHAPS),
        parked("f", entity_type=7),
    )
    assert 0 == (await operator.run("lanes", "fail", "--type", "7", "--yes")).code
    [note] = await _notes(broker, vhost, 1)
    assert ("words", 1) == (note.headers["kind"], len(note.body) // RECORD_BYTES)
    found = await operator.run("find", "e", "--type", "7", "--json")
    assert ["let_go"] == [each["word"] for each in json.loads(found.out)["memory"]]
    await waiting.put(DOUBTFUL, parked("d", headers=PERHAPS))
    assert 0 == (await operator.run("lanes", "fail", "--type", "2", "--yes")).code
    found = await operator.run("find", "d", "--type", "2", "--json")
    assert ["unknown"] == [each["word"] for each in json.loads(found.out)["memory"]]


async def _dead(broker: Broker, vhost: str, count: int) -> list[Any]:
    return await taken(broker, vhost, QUEUE, count)


def _body(message: Any) -> dict[str, Any]:  # noqa: ANN401 - the library's
    document: dict[str, Any] = json.loads(message.body)
    return document


# ---- whatever happens meanwhile ----


async def test_a_killed_return_loses_nothing(
    waiting: ParkedQueues, operator: Commands, letters: Letters, broker: Broker, vhost: str
) -> None:
    """Each event is in the intake or where it was; one may be in both, which does no harm."""
    wanted = [f"e{n}" for n in range(2000)]
    await waiting.put(lane(2), *(parked(each) for each in wanted))
    process = operator.start("lanes", "return")

    async def some_are_back() -> bool:
        return await letters.ready(INTAKE_QUEUE) > 0

    await wait_until(some_are_back)
    process.kill()
    process.communicate()

    async def all_are_ready() -> bool:
        return await letters.ready(INTAKE_QUEUE) + await letters.ready(lane(2)) >= len(wanted)

    await wait_until(all_are_ready)
    back = await _back(broker, vhost, await letters.ready(INTAKE_QUEUE))
    left = await taken(broker, vhost, lane(2), await letters.ready(lane(2)))
    assert set(wanted) == {*ids(back), *ids(left)}


async def test_what_somebody_put_there_by_hand_goes_back_too(
    waiting: ParkedQueues, operator: Commands, broker: Broker, vhost: str
) -> None:
    """It has none of our headers; the intake takes it by any key."""
    bare = Message(b'{"entityTypeId": 2, "id": "h", "fields": {"title": "x"}}')
    await waiting.put(lane(2), bare)
    assert 0 == (await operator.run("lanes", "return")).code
    assert ["h"] == ids(await _back(broker, vhost, 1))
