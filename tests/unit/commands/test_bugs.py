"""Bugs in a command: an exception at any await loses nothing, and what it did not strike stays."""

import argparse
import asyncio
import logging
import re
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from pamqp.commands import Basic

from service.commands import find, publish
from service.commands.console.desk import DeadLetters
from service.commands.console.history import ActionHistory
from service.commands.console.orders import Action, Order, Stage, Task
from service.commands.console.scans import Scans
from service.commands.console.tasks import Tasks
from service.commands.dlq.purging import purging
from service.commands.dlq.redriving import redriving
from service.commands.dlq.selection import Selection
from service.commands.lanes.failing import failing
from service.commands.lanes.returning import returning
from service.rabbit.waiting import Waiting, parked
from tests.fake_node import FakeNode, Stored
from tests.strikes import Aim
from tests.unit.commands.dlq.samples import body, ours
from tests.unit.rabbit.handed import original
from tests.unit.rabbit.test_waiting import AT
from tests.virtual_time import run

pytestmark = pytest.mark.simulation
DLQ, INTAKE, PARKED = "crm.items.dlq", "crm.items.import", "crm.items.parked.2"
SUCCEEDED, FAILED = "crm.items.succeeded", "crm.items.failed"
LETTERS = [f"e{number}" for number in range(11)]
"""More than one window of them."""
OTHER = "other"
"""A letter that no command here is about."""
WINDOW = 10
"""So many letters the first window holds, and so many are sent at once."""
MAX_AWAITS = 600
"""Far above what a command takes."""

Story = Callable[[FakeNode], Coroutine[Any, Any, object]]


@cache
def letter(event_id: str, kind: str = "rejected") -> Stored:
    """Return a dead letter as it lies in its queue."""
    headers = ours(event_id=event_id, error_kind=kind)
    properties = Basic.Properties(headers=headers, message_id=f"letter-{event_id}")
    return Stored(body(id=event_id), properties, "crm.items.dlx", "item.2")


@cache
def waiting(event_id: str) -> Stored:
    """Return an event as it waits for its lane."""
    told = Waiting(
        reason="scope",
        portal="portal.example",
        event_id=event_id,
        parked_at=AT,
        received_at=AT,
        exchange="crm.items",
        routing_key="item.2",
        message_id=f"m-{event_id}",
    )
    sent = parked(original(body(id=event_id)), told, PARKED)
    return Stored(sent.body, sent.properties, "", PARKED)


def made() -> FakeNode:
    """Return a broker with dead letters, with events that wait, and an empty intake."""
    node = FakeNode(
        bound={
            "crm.items": INTAKE,
            "crm.items.results": FAILED,
            "crm.items.dlx": DLQ,
        }
    )
    node.put(DLQ, *map(letter, LETTERS), letter(OTHER, "unsupported"))
    node.put(PARKED, *map(waiting, LETTERS))
    node.put(INTAKE)
    node.put(FAILED)
    return node


def options(**more: Any) -> argparse.Namespace:
    """Return what the command line says: all rejected letters."""
    told: dict[str, Any] = {
        "kind": "rejected",
        "code": None,
        "type": None,
        "since": None,
        "older_than": None,
        "id": [],
        "json": False,
        "yes": True,
        "dry_run": False,
        "limit": None,
        "patch": [],
        "resend_ambiguous": False,
    }
    return argparse.Namespace(**{**told, **more})


async def listed(*_: object) -> set[int]:
    """Answer in the place of a portal that lists its types."""
    await asyncio.sleep(0)
    return {128}


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give the commands a broker's and a portal's settings; keep their words out of the way."""
    monkeypatch.setenv("IMPORTER_RABBIT__MEMORY_QUEUE", "")
    monkeypatch.setenv("IMPORTER_BITRIX__WEBHOOK_URL", "https://portal.example/rest/1/a-secret/")
    monkeypatch.setattr("service.commands.inner_queues._listed_by_portal", listed)
    log = logging.getLogger("service")
    before = log.level
    log.setLevel(logging.CRITICAL)
    yield
    log.setLevel(before)


def struck(
    monkeypatch: pytest.MonkeyPatch, command: Callable[[], object]
) -> Iterator[tuple[str, FakeNode, object]]:
    """Raise at each await of a command in turn.

    Yields where, what the broker holds then, and the command's exit code or error.
    """
    for target in range(1, MAX_AWAITS):
        aim, node = Aim(target), made()

        async def live(work: Coroutine[Any, Any, Any], aim: Aim = aim) -> object:
            aim.at_tasks_of(asyncio.get_running_loop())
            return await asyncio.create_task(work)

        monkeypatch.setattr("service.commands.runtime.connect", node.connect)
        monkeypatch.setattr(asyncio, "run", lambda work, live=live: run(live(work)))
        ended: object = None
        try:
            ended = command()
        except KeyError as error:
            ended = error
        if not aim.struck:
            assert target > 20
            return
        assert 0 == node.held(), aim.struck
        yield f"{target} {aim.struck}", node, ended
    pytest.fail("the command does not end")


def doubled(ids: Sequence[str]) -> list[str]:
    """Return what is there twice."""
    return [each for each, times in Counter(ids).items() if times > 1]


def whole(node: FakeNode, *queues: str) -> Counter[str]:
    """Return how often each event lies in these queues; none twice in one of them."""
    lie = [node.ids(queue) for queue in queues]
    assert not any(map(doubled, lie))
    return Counter(each for ids in lie for each in ids)


def test_a_bug_in_a_redrive_loses_and_doubles_no_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    """A letter is in its queue or in the intake; in both only those of the window it struck."""
    mended = [("title", "y")]
    for where, node, _ in struck(monkeypatch, lambda: redriving(options(patch=mended))):
        found = whole(node, DLQ, INTAKE)
        assert {*LETTERS, OTHER} == {*found}, where
        assert sum(found.values()) - len(found) <= WINDOW, where
        assert OTHER in node.ids(DLQ), where


def test_a_bug_in_a_purge_removes_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was not selected stays; no letter is there twice."""
    for where, node, _ in struck(monkeypatch, lambda: purging(options())):
        assert OTHER in whole(node, DLQ), where
        assert [] == node.ids(INTAKE), where


def test_a_bug_in_sending_back_what_waits_loses_and_doubles_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An event waits, or is in the intake; in both only those of the window it struck."""
    for where, node, _ in struck(monkeypatch, lambda: returning(options(links=False))):
        found = whole(node, PARKED, INTAKE)
        assert {*LETTERS} == {*found}, where
        assert sum(found.values()) - len(found) <= WINDOW, where


def test_a_bug_in_ending_what_waits_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """An event waits, or its result and then its dead letter are there."""
    for where, node, _ in struck(monkeypatch, lambda: failing(options(type=2))):
        buried = node.ids(DLQ)[len(LETTERS) + 1 :]
        told = node.ids(FAILED)
        assert {*LETTERS} == {*node.ids(PARKED), *buried}, where
        assert [] == doubled(buried), where
        assert [] == doubled(told), where
        assert {*buried} <= {*told}, where


def test_a_bug_in_finding_an_event_leaves_everything_where_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only where it lies in its queue may change."""

    async def asked(*_: object) -> None:
        await asyncio.sleep(0)

    monkeypatch.setattr("service.commands.find.looking.ask_portal", asked)
    for where, node, _ in struck(monkeypatch, lambda: find.main(options(id="e3"))):
        assert {*LETTERS, OTHER} == {*whole(node, DLQ)}, where
        assert {*LETTERS} == {*whole(node, PARKED)}, where


def test_a_bug_in_publishing_says_how_to_go_on_and_skips_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever goes on after the event that it names has everything in the intake, once."""
    wanted = [f"p{number}" for number in range(12)]
    file = tmp_path / "events.jsonl"
    file.write_bytes(b"\n".join(body(id=each) for each in wanted))
    told = options(
        file=str(file), format="auto", entity_type=None, id_column=None, encoding=None, after=None
    )
    told.rehearse = False
    monkeypatch.setattr(publish, "Handover", AtOnce)
    for where, node, _ in struck(monkeypatch, lambda: publish.main(told)):
        there = whole(node, INTAKE)
        told_of = capsys.readouterr().err
        named = re.search("--after (p[0-9]+)", told_of)
        done = wanted.index(named[1]) + 1 if named else 0
        assert {*wanted[:done]} <= {*there}, where
        assert not there or "ended early" in told_of or len(there) == len(wanted), where


class AtOnce:
    """Reads a file without a thread."""

    def __init__(self, _: object) -> None:
        pass

    async def reads(self, found: Iterator[object]) -> AsyncGenerator[object]:
        for read in found:
            await asyncio.sleep(0)
            yield read


def test_a_bug_in_a_task_of_the_console_ends_that_task_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two at once: the other one does all that it was to do."""
    tasks: list[Task] = []

    async def both() -> None:
        desk = DeadLetters()
        board = Tasks(desk, Scans(desk), ActionHistory())
        orders = [
            Order(Action.SEND_BACK, Selection(kind="rejected")),
            Order(Action.RETURN, lane=2),
        ]
        both = (board.at_once(each, "me", "why") for each in orders)
        await asyncio.gather(*both, return_exceptions=True)
        await board.close()
        tasks[:] = sorted(board.newest_first, key=lambda each: each.number)

    for where, node, _ in struck(monkeypatch, lambda: asyncio.run(both())):
        stages = [each.stage for each in tasks]
        assert 1 == stages.count(Stage.FAILED) or [Stage.DONE] * 2 == stages, where
        redriven, returned = tasks
        if returned.stage is Stage.DONE:
            assert [] == node.ids(PARKED), where
        if redriven.stage is Stage.DONE:
            assert [OTHER] == node.ids(DLQ), where
        back = Counter(node.ids(INTAKE))
        left = {*node.ids(DLQ), *node.ids(PARKED)}
        assert {*LETTERS, OTHER} == left | {*back}, where
        assert all("unexpected error" in e.problem for e in tasks if e.stage is Stage.FAILED), (
            where
        )
