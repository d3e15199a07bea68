"""Proves that waking an empty intake loses no event, and takes none of another portal."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiormq import Channel
from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic

from service.rabbit import waking
from service.rabbit.confirms import Confirmer, PublishResult
from service.rabbit.encoding import Outgoing
from service.rabbit.inner_queues import InnerQueues
from service.rabbit.inner_roster import InnerNames
from service.rabbit.session import CannotConnect
from service.rabbit.waiting import Waiting, parked
from service.rabbit.waking import Waker
from service.telemetry.metrics import Metrics
from tests.unit.rabbit.handed import arrived, original

PORTAL = "portal.example"


class Queues:
    """The channel that inner queues are taken from, and the one that the intake is filled by."""

    def __init__(self, result: PublishResult, *there: DeliveredMessage) -> None:
        self.result = result
        self.there = list(there)
        self.acked: list[int] = []
        self.sent: list[Outgoing] = []

    async def basic_get(self, _: str, **__: object) -> DeliveredMessage:
        if not self.there:
            return cast("DeliveredMessage", SimpleNamespace(delivery=Basic.GetEmpty()))
        return self.there.pop(0)

    async def basic_ack(self, tag: int) -> None:
        self.acked.append(tag)

    async def basic_qos(self, **_: object) -> None:
        """Do nothing."""

    async def send(self, message: Outgoing) -> PublishResult:
        self.sent.append(message)
        return self.result


def waits(tag: int, portal: str) -> DeliveredMessage:
    """Return a message that waits for a portal."""
    now = datetime.now(UTC)
    said = Waiting("scope", portal, "e", parked_at=now, received_at=now)
    got = Basic.GetOk(tag, redelivered=False, exchange="", routing_key="q")
    return replace(arrived(parked(original(), said, "parked.2")), delivery=got)


def inner(depths: Sequence[str] = (), **consumer: object) -> InnerQueues:
    """Return inner queues in which something waits, for the portal of this process."""
    names = InnerNames("parked", "dlx", PORTAL)
    roster = SimpleNamespace(names=names, name=lambda queue: f"parked.{queue}")
    made = InnerQueues(
        cast("Any", roster),
        publisher=cast("Any", None),
        consumer=cast("Any", SimpleNamespace(**consumer)),
        metrics=Metrics(),
    )

    async def told() -> dict[str, int]:
        return dict.fromkeys(depths, 1)

    made.depths = told  # type: ignore[method-assign]  # asks no broker
    return made


def waker(queues: InnerQueues) -> Waker:
    """Return what wakes the intake of these queues."""
    return Waker(
        queues, address=cast("Any", None), intake_queue="crm.items.import", metrics=Metrics()
    )


@pytest.mark.parametrize(
    ("result", "acked"),
    [(PublishResult.CONFIRMED, [2]), (PublishResult.NACKED, []), (PublishResult.LOST, [])],
)
async def test_a_waiting_event_is_let_go_once_the_intake_has_it(
    result: PublishResult, acked: list[int]
) -> None:
    """What is not acknowledged goes back with its connection; another portal's stays."""
    queues = Queues(result, waits(1, "other.example"), waits(2, PORTAL), waits(3, PORTAL))
    told = await waker(inner())._send(  # noqa: SLF001 - without a connection
        cast("Channel", queues), cast("Confirmer", queues), ["2"]
    )
    assert (result is PublishResult.CONFIRMED, acked, 1) == (told, queues.acked, len(queues.sent))


async def test_the_next_queue_is_tried_where_only_others_wait() -> None:
    """Nothing of ours lies in the first one."""
    queues = Queues(PublishResult.CONFIRMED, waits(1, "other.example"))
    assert not await waker(inner())._send(  # noqa: SLF001 - as above
        cast("Channel", queues), cast("Confirmer", queues), ["2", "links"]
    )
    assert ([], []) == (queues.sent, queues.acked)


@pytest.mark.parametrize(
    ("attached", "active", "wakes"),
    [(True, None, True), (True, True, False), (False, None, False)],
)
async def test_nobody_is_woken_who_has_become_active_or_is_detached(
    monkeypatch: pytest.MonkeyPatch, *, attached: bool, active: bool | None, wakes: bool
) -> None:
    """It takes a while to ask how much waits, and all may have changed."""
    dialled: list[object] = []

    def connect(*what: object) -> object:
        dialled.append(what)
        raise CannotConnect("no broker here")

    monkeypatch.setattr(waking, "connect", connect)
    await waker(inner(["2"], attached=attached, active=active))._wake()  # noqa: SLF001 - one round
    assert wakes is bool(dialled)
