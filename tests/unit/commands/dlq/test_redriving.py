"""Proves when a redrive goes on, when it ends early, and that it says so."""

from collections.abc import AsyncIterator, Iterable, Sequence
from types import SimpleNamespace
from typing import cast

import pytest

from service.commands.dlq.opening import Reading
from service.commands.dlq.redriving import Redrive
from service.commands.dlq.selection import Selection
from service.commands.runtime import CommandRuntime
from service.rabbit.confirms import PublishResult
from service.rabbit.connection import ConnectionLost
from service.rabbit.encoding import Outgoing
from service.rabbit.letters import Letter
from service.rabbit.snapshot import Snapshot
from tests.unit.commands.dlq.samples import letter, ours

OK, RETURNED, NACKED, LOST = (
    PublishResult.CONFIRMED,
    PublishResult.RETURNED,
    PublishResult.NACKED,
    PublishResult.LOST,
)


class Scripted:
    """Windows of letters, and a result for each."""

    def __init__(self, windows: Sequence[Sequence[PublishResult]]) -> None:
        self._windows = windows
        self._results = iter([result for window in windows for result in window])
        self.depth = sum(map(len, windows))
        self.confirmer = self
        self._is_cut = False

    async def windows(self) -> AsyncIterator[list[Letter]]:
        for window in self._windows:
            yield [letter() for _ in window]

    async def settle(self, *_: Iterable[Letter]) -> None:
        """Take no acknowledgement where the line was cut while results came."""
        if self._is_cut:
            raise self.lost()

    def lost(self) -> ConnectionLost:
        return ConnectionLost("CONNECTION_FORCED")

    async def send(self, message: Outgoing) -> PublishResult:
        assert "item.2" == message.routing_key
        result = next(self._results)
        self._is_cut = self._is_cut or result is LOST
        return result


async def walked(windows: Sequence[Sequence[PublishResult]], limit: int | None = None) -> Redrive:
    """Walk through the windows to the end, whatever that is."""
    settings = SimpleNamespace(rabbit=SimpleNamespace(intake_exchange="crm.items"))
    work = cast("CommandRuntime", SimpleNamespace(settings=settings, can_look_up=True))
    redrive = Redrive(work, Selection(), {}, limit, resend_ambiguous=False, dry_run=False)
    try:
        await redrive.walk(Reading(cast("Snapshot", Scripted(windows))))
    except ConnectionLost:
        assert any(LOST in window for window in windows)
    redrive.report()
    return redrive


@pytest.mark.parametrize(
    ("windows", "limit", "sent", "untried"),
    [
        ([[OK, OK], [OK]], None, 3, 0),
        ([[OK, RETURNED], [OK], [RETURNED, OK]], None, 3, 0),
        ([[OK], [RETURNED, RETURNED], [OK, OK, OK]], None, 1, 3),
        ([[OK, NACKED], [OK]], None, 1, 1),
        ([[OK, LOST], [OK, OK]], None, 1, 2),
        ([[OK, OK], [OK]], 2, 2, 0),
        ([[RETURNED]], None, 0, 0),
    ],
)
async def test_a_redrive_ends_early_only_when_there_is_no_use(
    windows: list[list[PublishResult]],
    limit: int | None,
    sent: int,
    untried: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One letter that no queue takes says nothing of the others; what was not tried is counted."""
    redrive = await walked(windows, limit)
    assert (sent, untried) == (redrive.tally.sent, redrive.untried)
    told = f"ended early: {untried} were not tried\n"
    assert bool(untried) == (told in capsys.readouterr().out)


async def test_that_nothing_matches_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """Zero alone could mean that something stayed."""
    redrive = await walked([])
    assert not redrive.has_failed
    assert capsys.readouterr().out.endswith("no dead letter matches\n")


def test_a_named_letter_that_stays_is_a_failure() -> None:
    """Who redrives everything expects that something stays."""
    doubtful = letter(headers=ours(error_kind="ambiguous"))
    for ids, expected in ((frozenset[str](), False), (frozenset({"e"}), True)):
        work = cast("CommandRuntime", SimpleNamespace(can_look_up=False))
        redrive = Redrive(work, Selection(ids=ids), {}, None, resend_ambiguous=False, dry_run=True)
        assert [] == redrive.chosen([doubtful])
        assert expected == redrive.has_failed
