"""Says what a rule is, and what it means that one was broken."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from tests.checker.story import Story

RULES: Mapping[str, str] = {
    "damaged": "the log is whole: nothing ends in it without having passed the wire or the portal",
    "broken": "the run came to its end",
    "lost": "every accepted message is acknowledged and its event has a result; of a success the "
    "item was committed, and it was not gone long before it was told",
    "waiting": "nothing that has no result is still in a queue at the end",
    "doubled": "the portal never holds two items of one event",
    "stray": "every item is of an event that upstream published, and of its entity type",
    "wrong item": "a success names the item that the portal committed for that event",
    "wrong outcome": "an event ends as it may, and no two results contradict each other",
    "refused and there": "what was refused is not in the portal",
    "early success": "a success is told after the portal has committed the item",
    "dead letter": "an event has dead letters of the kinds that it failed as, and no others",
    "body": "a parked copy and a dead letter of an event have a body that upstream published",
    "result id": "repeats of a result carry one id, and no other event's result has it",
    "repeated": "an outcome is confirmed once for each time that a message was delivered, at most",
    "early acknowledgement": "a message is acknowledged after its outcome was confirmed, or after "
    "a copy of it in another queue was; an earlier outcome does not count for a later publish",
    "early dead letter": "a dead letter is sent after the failed result was confirmed",
    "batch": "a call has events of one entity type, each once, and at most 20",
    "left over": "nothing is left in the intake and in the queues for what waits",
    "late commit": "the portal commits within its settle time; else the run proves nothing",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """Says which rule was broken, and by what."""

    rule: str
    event: str
    text: str

    def __str__(self) -> str:
        about = f"{self.event}: " if self.event else ""
        return f"{self.rule}: {about}{self.text}"


Rule = Callable[[Story], Iterator[Finding]]
