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
BOMBS: Mapping[str, tuple[bytes, Mapping[str, bytes]]] = {
    "many empty parts": (gzip.compress(b"") * 400_000, GZIP),
    "many empty parts within the limit": (gzip.compress(b"") * (LARGEST // 20), GZIP),
    "much out of little": (gzip.compress(b" " * 200_000_000), GZIP),
    "nesting": (b"[" * (LARGEST - 1), {}),
    "brackets": (b'{"fields":[' + LISTS.encode() * (LARGEST // 120) + b"0]}", {}),
    "members": (json.dumps({f"{n:x}": 0 for n in range(150_000)}).encode(), {}),
    "digits": (b'{"entityTypeId":' + b"1" * (LARGEST - 100) + b"}", {}),
    "open text": (b'"' * (LARGEST - 1), {}),
}
GOOD = 40


async def test_bombs_hold_nobody_up(
    broker: Broker, vhost: str, letters: Letters, commands: Commands
) -> None:
    """Those behind them are imported at once; each ends as a dead letter that can be read."""
    events = deals(*(f"good {n}" for n in range(GOOD)))
    # A busy machine lets a second's work last longer than a short heartbeat.
    heartbeat = {"IMPORTER_RABBIT__HEARTBEAT_SECONDS": "15"}
    async with Environment(broker, vhost, settings=heartbeat) as environment:
        await environment.start_service()
        with RawUpstream(broker.url(vhost)) as upstream:
            for body, written in BOMBS.values():
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
    assert len(BOMBS) == len(books.failed) == len(books.dead)
    assert {"malformed"} == {event["data"]["error"]["kind"] for event in books.failed}
    with RawUpstream(broker.url(vhost)) as upstream:
        for body, written in BOMBS.values():
            upstream.publish(body, written, exchange=b"crm.items.dlx")
    listed = json.loads((await commands.run("dlq", "list", "--json")).out)
    assert len(BOMBS) == listed["matching"]
    for group in listed["groups"]:
        done = await commands.run("dlq", "show", group["sampleId"])
        assert 0 == done.code, done.err
    assert len(BOMBS) == await letters.ready()
