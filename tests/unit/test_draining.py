"""Tests that a drain begins no call that its deadline may cut and nobody can ask about."""

from dataclasses import replace

import pytest

from service.domain.outcomes import Imported
from tests.fakes import DEAL, QUOTE, FakeDelivery, item_event
from tests.unit.importer.test_pipeline import LIMITS, Room, play


@pytest.mark.parametrize(
    ("entity_type_id", "deadline", "sent"),
    [(DEAL, 60, True), (QUOTE, 60, False), (QUOTE, 90, True)],
)
def test_a_call_that_the_deadline_may_cut_is_not_begun_for_what_cannot_be_asked_for(
    *, entity_type_id: int, deadline: float, sent: bool
) -> None:
    """A call takes 70 seconds at most: the item goes back unsent, or it is imported."""
    deliveries: list[FakeDelivery] = []

    async def story(room: Room) -> None:
        deliveries.extend(room.bring(item_event("a", entity_type_id)))

    room = play(story, replace(LIMITS, deadline=deadline))
    assert [sent] == [each.acked for each in deliveries]
    assert [sent] == [bool(room.portal.began)]
    assert [True] * sent == [isinstance(each.outcome, Imported) for each in room.publisher.kept]
    assert not sent or [0] == [each.returned for each in deliveries]
