"""Decides whether sending a letter back could put its item into the CRM twice."""

from service.domain.events import ItemEvent
from service.rabbit.letters import PERHAPS_SENT, Letter


def may_double(letter: Letter, *, can_look_up: bool) -> bool:
    """Tell whether a letter's item may exist and cannot be looked up.

    What the broker put aside was perhaps sent, too: it exceeded its deliveries.
    """
    if letter.kind not in PERHAPS_SENT or not isinstance(letter.event, ItemEvent):
        return False
    return letter.event.external_id is None or not can_look_up
