"""Decides how doubtful an event's fate is, and remembers what is known of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum

from service.domain.events import ItemEvent, Profile, Reference
from service.domain.last_words import LastWord, Word
from service.domain.outcomes import Failed, Outcome


class Doubt(IntEnum):
    """How likely it is that the event's item exists already."""

    NONE = 0
    """Never sent, as far as anybody knows."""
    WEAK = 1
    """Another process may have sent it: ask if asking is possible, else send."""
    STRONG = 2
    """It was perhaps sent: ask; where asking is impossible, the ambiguity policy decides."""


@dataclass(slots=True)
class Linking:
    """What this process knows of the links of an unsettled event.

    `values`: the numbers of the items that they refer to, once all are known, by field; `at`: when
    that was, in seconds since the epoch; `waits`: one of them was not known already; `here_since`:
    loop time from which it waits here, and in no inner queue; `expired_at`: loop time at which it
    had waited long enough; `in_flight`: the references that were being imported while it waited,
    `awaits`: those that were so when it was last looked at;
    `asked_again`: the portal has refused these numbers, and was asked for them.
    """

    values: Mapping[str, int | list[int]] | None = None
    at: float = 0.0
    waits: bool = False
    here_since: float | None = None
    expired_at: float | None = None
    in_flight: frozenset[Reference] = frozenset()
    awaits: frozenset[Reference] = frozenset()
    asked_again: bool = False


@dataclass(slots=True)
class History:
    """What this process knows of an unsettled event; survives the return of its deliveries.

    `times`: how often its message had been delivered before; `look_at`: loop time before which a
    look-up proves nothing; `absent_once`: one look-up found nothing already; `fault`: why its
    last call failed; `refusal`: what stands if the item turns out to be absent; `unproved`: it was
    sent again although it may exist; `failures_alone`:
    calls with this event alone that failed while the portal was otherwise healthy; `refused_at`:
    when it was last refused for what may be its own fault or everybody's, `passed_by`: how often
    others of its type passed between two such refusals; `warnings`:
    what the portal would drop of it without a word, None while nobody has looked;
    `unproved_since`: seconds that the portal had taken imports for when it first answered a
    look-up that proves nothing; `asked`: how many such answers there were; `earlier`: an item of
    the event was known before the portal was set back; `noted`: its doubt rests on a note of
    another process; `outcome`: how it ended, where no delivery was left to publish or acknowledge
    that for; `told`: the result of its outcome is confirmed, `buried`: its dead letter as well;
    `struck`: how often a bug of ours
    ended the work on it.
    """

    times: int = 0
    doubt: Doubt = Doubt.NONE
    look_at: float = 0.0
    absent_once: bool = False
    fault: Failed | None = None
    refusal: Failed | None = None
    unproved: bool = False
    attempts: int = 0
    failures_alone: int = 0
    first_failed_at: float | None = None
    refused_at: float | None = None
    passed_by: int = 0
    batch_id: str | None = None
    warnings: tuple[str, ...] | None = None
    outcome: Outcome | None = None
    told: bool = False
    buried: bool = False
    struck: int = 0
    unproved_since: float | None = None
    asked: int = 0
    earlier: bool = False
    asks: frozenset[Profile] = frozenset()
    """What other messages of the event asked for that were perhaps sent."""
    noted: bool = False
    waited: float = 0.0
    parked_at: float | None = None
    links: Linking = field(default_factory=Linking)
    doubt_waited: float = 0.0
    """Seconds that it has waited for a proof elsewhere, as far as they count."""

    def perhaps_sent(self, fault: Failed, look_at: float, *, stands: bool = False) -> None:
        """Note a call whose outcome for this event is unknown.

        `stands`: the portal refused the item; if it is absent, that is its end.
        """
        self.doubt, self.absent_once, self.look_at = Doubt.STRONG, False, look_at
        self.fault, self.refusal = fault, fault if stands else None

    def for_copy(self, later: "History", *, copy: bool = True) -> "History":
        """Return what this knowledge means for the same message when it comes later.

        A message that was returned unsent is doubtful only if somebody else held it meanwhile.
        Not a `copy`: a new publish of it, which does not share the outcome of the earlier one.
        """
        held_elsewhere = later.times > self.times + 1
        held_elsewhere = held_elsewhere or later.noted
        unsent = later.doubt is Doubt.STRONG and not held_elsewhere
        floor = Doubt.NONE if unsent else later.doubt
        look_at = max(self.look_at, later.look_at if held_elsewhere else 0.0)
        once = self.absent_once and not held_elsewhere
        shares = copy and not held_elsewhere
        return replace(
            self,
            doubt=max(self.doubt, floor),
            look_at=look_at,
            absent_once=once,
            times=later.times,
            outcome=self.outcome if shares else None,
            told=self.told and shares,
            buried=self.buried and shares,
        )

    def suspected(
        self, doubt: Doubt, look_at: float, asks: frozenset[Profile] = frozenset()
    ) -> None:
        """Note that another message of the event was perhaps sent, and what it asked for."""
        self.asks |= asks
        self.doubt, self.look_at = max(self.doubt, doubt), max(self.look_at, look_at)
        self.absent_once = False

    def surely_absent(self) -> None:
        """Note that the item does not exist."""
        self.doubt, self.absent_once, self.refusal = Doubt.NONE, False, None
        self.unproved_since, self.asked, self.asks = None, 0, frozenset()
        self.doubt_waited = 0.0

    def nothing_proved(self, open_seconds: float) -> float:
        """Note an answered look-up that proves nothing; return how long such have been had.

        `open_seconds`: how long the portal has taken imports in the life of this process.
        """
        if self.unproved_since is None:
            self.unproved_since = open_seconds - self.doubt_waited
        self.asked += 1
        return open_seconds - self.unproved_since


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
