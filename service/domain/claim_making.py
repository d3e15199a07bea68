"""Makes the claim of one delivery, in the doubt that its message and the memory raise."""

from typing import NamedTuple

from service.domain.claim import Claim
from service.domain.delivery import Delivery
from service.domain.events import ItemEvent
from service.domain.history import Doubt, History
from service.domain.last_words import LastWord, Word
from service.domain.parking import Stay


class Noted(NamedTuple):
    """What the memory says of an event.

    `word`: the last word on it; `own`: of this very process; `look_at`: loop time from which a
    look-up proves something of the call that the word, or the message itself, tells of; `since`:
    from when on every word is known, in seconds since the epoch; None: from no time on.
    """

    word: LastWord | None
    own: bool
    look_at: float
    since: float | None


def noted_claim_of(delivery: Delivery, event: ItemEvent, noted: Noted, *, ask: str) -> Claim:
    """Return the claim of one delivery, where the memory knows every call."""
    word, stay = noted.word, delivery.stay
    before = stay is not None and (noted.since is None or stay.parked_at < noted.since)
    doubt = doubt_by_word(
        event,
        word,
        perhaps_sent=delivery.perhaps_sent,
        unsure=delivery.copy or delivery.redriven or (before and word is None),
        ask=ask,
    )
    told = word is not None and word.perhaps_sent and event.external_id is not None
    known = History(
        delivery.times,
        doubt=doubt,
        look_at=noted.look_at if told or _sent(stay) else delivery.received_at,
        foreign=word.at if word is not None and not noted.own else None,
        earlier=word is not None and word.stale,
    )
    return _claim(delivery, event, known)


def claim_of(
    delivery: Delivery,
    event: ItemEvent,
    *,
    ask: str,
    settle: float,
    look_at: float = 0.0,
    began: float = 0.0,
) -> Claim:
    """Return the claim of one delivery, in the doubt that its message raises.

    `began`: since when nobody but this process has worked, in seconds since the epoch.

    `settle`: a message that was delivered before is not looked up earlier, in seconds; `look_at`:
    nor before this loop time, where it says itself that it was perhaps sent.
    """
    stay = delivery.stay
    # Nobody knows whether who had it before has sent it, or only looked. What can be asked for
    # is asked for; the rest would be blamed for every look.
    seen = stay is not None and stay.seen and event.external_id is not None
    doubt = doubt_of(
        event,
        copy=delivery.copy or delivery.perhaps_sent or seen,
        redriven=delivery.redriven,
        # What was parked before that may have been sent by another process since.
        early=delivery.early or (stay is not None and stay.parked_at < began),
        ask=ask,
    )
    askable = doubt is Doubt.STRONG and event.external_id is not None
    if not _sent(stay):
        look_at = delivery.received_at + (settle if askable else 0.0)
    known = History(delivery.times, doubt=doubt, look_at=look_at)
    return _claim(delivery, event, known)


def _sent(stay: Stay | None) -> bool:
    return stay is not None and stay.perhaps_sent is not None


def doubt_by_word(
    event: ItemEvent,
    word: LastWord | None,
    *,
    perhaps_sent: bool,
    unsure: bool,
    ask: str,
) -> Doubt:
    """Return how doubtful the fate of a message is, where the memory knows every call.

    `word`: the last word on its event; `perhaps_sent`: the message says so itself; `unsure`: it
    was delivered or redriven before, or waits since before every word is known.
    """
    askable = event.external_id is not None
    if askable and ask == "never":
        return Doubt.NONE
    if word is not None and (word.perhaps_sent or word.stale):
        return Doubt.STRONG
    not_there = word is not None and word.word is Word.NOT_THERE
    if perhaps_sent and not not_there:
        return Doubt.STRONG
    if not askable or (not_there and ask != "always"):
        return Doubt.NONE
    return Doubt.WEAK if ask == "always" or unsure else Doubt.NONE


def doubt_of(event: ItemEvent, *, copy: bool, redriven: bool, early: bool, ask: str) -> Doubt:
    """Return how doubtful the fate of a message is that this process knows nothing of.

    `copy`: it says it was delivered before; `redriven`: it was redriven or dead-lettered;
    `early`: it is among the first after attaching; `ask`: the setting `LOOKUP`.
    """
    if copy and (event.external_id is None or ask != "never"):
        return Doubt.STRONG
    if event.external_id is None or ask == "never":
        return Doubt.NONE
    return Doubt.WEAK if ask == "always" or redriven or early else Doubt.NONE


def _claim(delivery: Delivery, event: ItemEvent, known: History) -> Claim:
    if delivery.stay is not None:
        known = known.came_back(delivery.stay)
    return Claim(
        event,
        [delivery],
        delivery.received_at,
        delivery.size,
        known,
        priority=delivery.priority,
    )
