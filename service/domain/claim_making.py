"""Makes the claim of one delivery, in the doubt that its message and the memory raise."""

from typing import Protocol, TypeVar

from service.domain.claims import Claim
from service.domain.events import ItemEvent
from service.domain.history import Doubt, History, doubt_by_word, doubt_of
from service.domain.last_words import LastWord


class Handed(Protocol):
    """What a delivery says of itself; see `doubt_of`."""

    received_at: float
    size: int
    copy: bool
    perhaps_sent: bool
    redriven: bool
    early: bool
    times: int


H = TypeVar("H", bound=Handed)


def noted_claim_of(
    delivery: H, event: ItemEvent, word: LastWord | None, *, ask: str, look_at: float, own: bool
) -> Claim[H]:
    """Return the claim of one delivery, where the memory knows every call.

    `word`: the last word on its event; `look_at`: loop time from which a look-up proves something
    of the call that it tells of; `own`: it is a word of this very process.
    """
    doubt = doubt_by_word(
        event,
        word,
        redelivered=delivery.copy,
        perhaps_sent=delivery.perhaps_sent,
        redriven=delivery.redriven,
        ask=ask,
    )
    told = word is not None and word.perhaps_sent and event.external_id is not None
    known = History(
        delivery.times,
        doubt=doubt,
        look_at=look_at if told else delivery.received_at,
        noted=told and not own,
        earlier=word is not None and word.stale,
    )
    return Claim(event, [delivery], delivery.received_at, delivery.size, known)


def claim_of(delivery: H, event: ItemEvent, *, ask: str, settle: float) -> Claim[H]:
    """Return the claim of one delivery, in the doubt that its message raises.

    `settle`: a message that was delivered before is not looked up earlier, in seconds.
    """
    doubt = doubt_of(
        event,
        copy=delivery.copy or delivery.perhaps_sent,
        redriven=delivery.redriven,
        early=delivery.early,
        ask=ask,
    )
    askable = doubt is Doubt.STRONG and event.external_id is not None
    look_at = delivery.received_at + (settle if askable else 0.0)
    known = History(delivery.times, doubt=doubt, look_at=look_at)
    return Claim(event, [delivery], delivery.received_at, delivery.size, known)
