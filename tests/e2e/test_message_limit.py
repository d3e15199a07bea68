"""Proves that a broker that takes no large bodies any more costs those bodies alone."""

import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from tests.support.amqp import wait_until
from tests.support.commands import Commands
from tests.support.environment import Environment
from tests.support.letters import INTAKE_QUEUE, QUEUE, Letters, letter
from tests.support.node import RabbitNode

LIMIT = 50_000
DEFAULT = 16 * 2**20
"""Of RabbitMQ 4; enough for every test."""
TITLE_REQUIRED = {"required": {"2": ["title"]}}


@contextmanager
def lowered(node: RabbitNode, most: int = LIMIT) -> Iterator[None]:
    """Lower the largest message of a broker, as an operator or an upgrade does."""
    _set(node, most)
    try:
        yield
    finally:
        _set(node, DEFAULT)


def _set(node: RabbitNode, most: int) -> None:
    # The first is read by RabbitMQ 3.10, the second by 4.x.
    node.ctl(
        "eval",
        f"application:set_env(rabbit, max_message_size, {most}), "
        f"persistent_term:put(max_message_size, {most}).",
    )


def body(event_id: str, size: int, *, good: bool) -> bytes:
    """Return an item event of a size, that the portal takes or refuses."""
    fields = {"comments": "x" * size, **({"title": "x"} if good else {})}
    return json.dumps({"id": event_id, "entityTypeId": 2, "fields": fields}).encode()


async def test_a_body_over_the_brokers_limit_is_left_out_and_named(
    node: RabbitNode, vhost: str, letters: Letters, commands: Commands
) -> None:
    """Its failed event and the reason are kept; its neighbours lose nothing.

    Those whose confirms were lost with the channel may lie there twice.
    """
    async with Environment(node, vhost, portal=TITLE_REQUIRED) as environment:
        small = [body(f"small {n}", 10, good=n % 2 == 0) for n in range(10)]
        large = [
            body("large bad", 2 * LIMIT, good=False),
            body("large good", 2 * LIMIT, good=True),
        ]
        await environment.publish([*small[:5], *large, *small[5:]])
        with lowered(node):
            await environment.start_service()
            await wait_until(_holds(letters, QUEUE, 6), 60, what="every dead letter")
            await environment.wait_idle()
            refused = await commands.run("dlq", "redrive", "--id", "large bad")
            assert refused.code == 1
            assert "publish the event again" in refused.out
            shown = await commands.run("dlq", "show", "large bad")
            assert "import_dropped_headers  body" in shown.out
            books = await environment.settle([])
    assert {f"small {n}" for n in range(0, 10, 2)} | {"large good"} == set(books.item_ids())
    dead = {letter.headers["import_event_id"]: letter for letter in books.dead}
    assert {f"small {n}" for n in range(1, 10, 2)} | {"large bad"} == set(dead)
    assert b"" == dead["large bad"].body
    assert {"body"} == {
        name for each in dead.values() if (name := each.headers.get("import_dropped_headers"))
    }


async def test_a_letter_over_the_brokers_limit_stays_and_the_others_go(
    node: RabbitNode, letters: Letters, commands: Commands
) -> None:
    """It says why; without an end it would be met again by every run."""
    large = letter("large", body=body("large", 2 * LIMIT, good=True))
    await letters.put(*(letter(f"a{n}") for n in range(4)), large, letter("b"))
    with lowered(node):
        done = await commands.run("dlq", "redrive")
        assert 1 == done.code, done.err
        assert "5 dead letters sent back" in done.out
        assert "the message is too large for the broker" in done.out
        assert 1 == await letters.ready()
        assert 5 <= await letters.ready(INTAKE_QUEUE)


def _holds(letters: Letters, queue: str, count: int) -> Callable[[], Awaitable[bool]]:
    async def holds() -> bool:
        return await letters.ready(queue) >= count

    return holds
