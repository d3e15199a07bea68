"""Proves that an event is judged by the memory only where the memory was read."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from service.domain.delivery import Delivery
from service.domain.events import ItemEvent
from service.domain.retry import RetryPolicy
from service.importer import judging
from service.importer.judging import CATCH_UPS, Admit, Unjudged
from service.importer.memory import NoMemory
from service.telemetry.metrics import Metrics
from tests.fakes import FakeDelivery, item_event


class Judged:
    """What was admitted, in its order, and whether the memory had been read for it."""

    def __init__(self) -> None:
        self.told: list[tuple[str, bool]] = []

    def admit(self, delivery: Delivery, event: ItemEvent, *, known: bool) -> None:
        assert delivery.event is event
        self.told.append((event.event_id, known))


async def judge(
    names: Sequence[str],
    admit: Admit,
    catch_up: Callable[[], Awaitable[bool]],
    *,
    early: bool = False,
) -> None:
    """Have events wait for the memory, until all are judged."""
    tasks: list[asyncio.Task[None]] = []
    unjudged = Unjudged(
        notes=cast("Any", SimpleNamespace(memory=SimpleNamespace(catch_up=catch_up))),
        background=cast(
            "Any", SimpleNamespace(start=lambda work: tasks.append(asyncio.create_task(work)))
        ),
        metrics=Metrics(),
        admit=admit,
    )
    for name in names:
        event = item_event(name, 2)
        unjudged.add(FakeDelivery(event, early=early), event)
    await asyncio.gather(*tasks)


@pytest.mark.parametrize("read", [True, False])
async def test_what_could_not_be_read_is_not_relied_on(*, read: bool) -> None:
    """A note that the broker refuses leaves the memory as it was, and tells nothing new."""

    async def catch_up() -> bool:
        return read

    judged = Judged()
    await judge(["a"], judged.admit, catch_up)
    assert [("a", read)] == judged.told


@pytest.mark.parametrize("read", [True, False])
async def test_what_was_never_delivered_is_sent_once_the_notes_are_read(*, read: bool) -> None:
    """Without a note it was in no call, also where the memory has only just begun."""
    early: list[bool] = []

    async def catch_up() -> bool:
        return read

    def admit(delivery: Delivery, *_: object, known: bool) -> None:
        early.append(delivery.early)
        assert known is read

    await judge(["a"], cast("Admit", admit), catch_up, early=True)
    assert [not read] == early


async def test_what_waited_for_the_memory_is_judged_in_order_of_arrival() -> None:
    """Of two messages of one event the older one is sent."""
    judged = Judged()

    async def catch_up() -> bool:
        await asyncio.sleep(0)
        return True

    await judge(["a", "b", "c"], judged.admit, catch_up)
    assert ["a", "b", "c"] == [name for name, _ in judged.told]


@pytest.mark.error_logs
@pytest.mark.parametrize("bugs", [1, CATCH_UPS])
async def test_a_bug_in_reading_the_memory_holds_up_nothing(
    monkeypatch: pytest.MonkeyPatch, bugs: int
) -> None:
    """It is read again a few times; then events are judged as without one."""
    monkeypatch.setattr(judging, "AGAIN", RetryPolicy(base=0.0, cap=0.0, max_attempts=1))
    judged, left = Judged(), [bugs]

    async def catch_up() -> bool:
        left[0] -= 1
        if left[0] >= 0:
            raise KeyError("a bug")
        return True

    await judge(["a"], judged.admit, catch_up)
    assert [("a", bugs < CATCH_UPS)] == judged.told


@pytest.mark.parametrize(
    ("why", "waits"),
    [
        ({}, False),
        ({"early": True}, True),
        ({"copy": True}, True),
        ({"redriven": True}, True),
        ({"perhaps_sent": True}, True),
    ],
)
def test_what_another_process_may_have_had_waits_for_the_memory(
    why: dict[str, bool], *, waits: bool
) -> None:
    """What it noted a moment ago decides; a new message waits for nothing."""
    for memory, expected in ((SimpleNamespace(), waits), (NoMemory(), False)):
        unjudged = Unjudged(
            notes=cast("Any", SimpleNamespace(memory=memory)),
            background=cast("Any", None),
            metrics=Metrics(),
            admit=Judged().admit,
        )
        delivery = FakeDelivery(item_event("a"), **why)  # type: ignore[arg-type]  # its flags
        assert expected is unjudged.must_wait(delivery)
