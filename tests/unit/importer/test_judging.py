"""Proves that an event is judged by the memory only where the memory was read."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from service.domain.delivery import Delivery
from service.domain.events import ItemEvent
from service.importer.judging import Unjudged
from service.telemetry.metrics import Metrics
from tests.fakes import FakeDelivery, item_event


@pytest.mark.parametrize("read", [True, False])
async def test_what_could_not_be_read_is_not_relied_on(*, read: bool) -> None:
    """A note that the broker refuses leaves the memory as it was, and tells nothing new."""
    told: list[bool] = []

    def admit(delivery: Delivery, event: ItemEvent, *, known: bool) -> None:
        assert delivery.event is event
        told.append(known)

    async def catch_up() -> bool:
        return read

    tasks: list[asyncio.Task[None]] = []
    unjudged = Unjudged(
        notes=cast("Any", SimpleNamespace(memory=SimpleNamespace(catch_up=catch_up))),
        background=cast(
            "Any", SimpleNamespace(start=lambda work: tasks.append(asyncio.create_task(work)))
        ),
        metrics=Metrics(),
        admit=admit,
    )
    event = item_event("a", 2)
    unjudged.add(FakeDelivery(event), event)
    await asyncio.gather(*tasks)
    assert [read] == told
