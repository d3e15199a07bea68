"""Proves that no body stops the importer, nor a command, however it was made."""

import gzip
import json
from collections.abc import Mapping

from tests.support.broker import Broker
from tests.support.commands import Commands
from tests.support.environment import Environment, deals
from tests.support.letters import Letters
from tests.support.patience import Deadline
from tests.support.raw import RawUpstream, short

LARGEST = 2_000_000
GZIP = {"content_encoding": short(b"gzip")}
LISTS = "[" * 50 + "]" * 50 + ","
Bomb = tuple[bytes, Mapping[str, bytes]]
GOOD = 40


def bombs() -> list[Bomb]:
    """Make them: a second's work, which is none of whoever only reads this module."""
    return [
        (gzip.compress(b"") * 400_000, GZIP),  # many empty parts
        (gzip.compress(b"") * (LARGEST // 20), GZIP),  # many empty parts within the limit
        (gzip.compress(b" " * 200_000_000), GZIP),  # much out of little
        (b"[" * (LARGEST - 1), {}),  # nesting
        (b'{"fields":[' + LISTS.encode() * (LARGEST // 120) + b"0]}", {}),  # brackets
        (json.dumps({f"{n:x}": 0 for n in range(150_000)}).encode(), {}),  # members
        (b'{"entityTypeId":' + b"1" * (LARGEST - 100) + b"}", {}),  # digits
        (b'"' * (LARGEST - 1), {}),  # open text
    ]


async def test_bombs_hold_nobody_up(
    broker: Broker, vhost: str, letters: Letters, commands: Commands
) -> None:
    """Those behind them are imported at once; each ends as a dead letter that can be read."""
    hostile = bombs()
    events = deals(*(f"good {n}" for n in range(GOOD)))
    # A busy machine lets a second's work last longer than a short heartbeat.
    heartbeat = {"IMPORTER_RABBIT__HEARTBEAT_SECONDS": "15"}
    async with Environment(broker, vhost, settings=heartbeat) as environment:
        await environment.start_service()
        with RawUpstream(broker.url(vhost)) as upstream:
            for body, written in hostile:
                upstream.publish(body, written)
            for event in events:
                upstream.publish(json.dumps(event).encode(), {})
        deadline = Deadline(30)
        books = environment.books
        while len(books.item_ids()) < GOOD:
            # Eight bombs of a second at most.
            assert not deadline.passed, f"{len(books.item_ids())} of {GOOD}"
            answer, _ = environment.service.probe("livez")
            assert 200 == answer
            await environment.read()
        await environment.wait_idle()
        await environment.read()
        assert [] == environment.service.logs(event="broker connection lost")
    assert len(hostile) == len(books.failed) == len(books.dead)
    assert {"malformed"} == {event["data"]["error"]["kind"] for event in books.failed}
    with RawUpstream(broker.url(vhost)) as upstream:
        for body, written in hostile:
            upstream.publish(body, written, exchange=b"crm.items.dlx")
    listed = json.loads((await commands.run("dlq", "list", "--json")).out)
    assert len(hostile) == listed["matching"]
    for group in listed["groups"]:
        done = await commands.run("dlq", "show", group["sampleId"])
        assert 0 == done.code, done.err
    assert len(hostile) == await letters.ready()
