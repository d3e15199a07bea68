"""Tests in how many whole time-outs an item that makes its calls hang is found, wherever it is."""

from collections.abc import Sequence

import pytest

from service.domain.events import BatchKey, ItemEvent
from service.domain.outcomes import CallFailed, Failed, FailureKind, Report
from tests.unit.bitrix.scripted import ScriptedPortal
from tests.unit.domain.samples import RULES, claim
from tests.unit.importer.test_batch_import import TIMED_OUT, Bench

NAMES = [f"e{number:02}" for number in range(20)]


class Hanging(ScriptedPortal):
    """Hangs in every call with one item, after what stands before it was saved, or before all."""

    def __init__(self, guilty: str, *, in_order: bool) -> None:
        """Remember how many items each hanging call had."""
        super().__init__()
        self.hung: list[int] = []
        self._guilty = guilty
        self._in_order = in_order

    async def import_items(self, key: BatchKey, events: Sequence[ItemEvent]) -> Report:
        """Import, unless the guilty item is in the call."""
        ids = [event.event_id for event in events]
        if self._guilty not in ids:
            return await super().import_items(key, events)
        self.hung.append(len(ids))
        for event in events[: ids.index(self._guilty) if self._in_order else 0]:
            self.create(event)
        raise CallFailed(TIMED_OUT)


@pytest.mark.parametrize("in_order", [True, False])
@pytest.mark.parametrize("guilty", NAMES)
async def test_an_item_whose_call_hangs_is_alone_after_three_time_outs(
    guilty: str, *, in_order: bool
) -> None:
    """The others are imported once, and nothing pauses for what mends itself."""
    bench = Bench(portal=Hanging(guilty, in_order=in_order))
    portal = bench.portal
    assert isinstance(portal, Hanging)
    outcomes = await bench.settle(*map(claim, NAMES))
    assert portal.hung.index(1) + 1 <= (2 if in_order else 3)
    assert RULES.retry.max_attempts == portal.hung.count(1)
    assert {name: 1 for name in NAMES if name != guilty} == {
        name: len(ids) for name, ids in portal.created.items()
    }
    failed = outcomes[guilty]
    assert isinstance(failed, Failed)
    assert FailureKind.REJECTED is failed.kind
    assert 0 == bench.pauses
