"""Holds what is known of an event's fate, and every way in which that changes.

A `History` is a value. It never changes: each method below returns the next one, and so do the
functions of `domain/copies`, for messages that come again. The owner of the claim replaces the
old one in one step: `claim.known = claim.known.called(batch_id)`.

=====================  ==============================  ===========================================
transition             who may make it                 when
=====================  ==============================  ===========================================
`came_back`            domain/claim_making             its message comes from an inner queue
`suspected`            domain/claims, importer/memory  another message of it was perhaps sent
`imported_earlier`     domain/claims                   the portal was set back since
`warned`               importer/field_check            its fields were compared with the portal's
`called`               importer/batch_import           a call with it leaves
`uncalled`             importer/batch_import           that call did not leave, or was never run
`perhaps_sent`         importer/batch_import,          the outcome of that call is unknown
                       domain/decisions
`refused`              importer/batch_import,          it was refused for what may be its own fault
                       importer/fault_attribution,     (again after it was parked for that)
                       importer/parking_lot
`broke`                importer/batch_import           a call with it broke
`failed_alone`         domain/decisions,               it was alone in a call that failed
                       importer/fault_attribution
`refused_alone`        importer/fault_attribution      it was refused, alone in its call
`absent`               importer/lookup                 a first look-up shows no item
`surely_absent`        importer/lookup                 there is no item, as far as is known
`sent_unproved`        importer/lookup                 it is sent again, although it may exist
`nothing_proved`       importer/lookup                 a look-up proves nothing
`with_links`           importer/link_resolution,       see `domain/linking`: what its links become
                       importer/link_refusals
`anew`                 importer/link_refusals          refused for wrong numbers, it is sent again
`ended`                domain/claims                   it ended while none of its messages was here
`told_result`          importer/results                the broker has confirmed its result
`buried_letter`        importer/results                the broker has confirmed its dead letter
`struck_by_bug`        importer/intake,                a bug of ours ended the work on it
                       importer/holdings
=====================  ==============================  ===========================================

`service/README.md` draws the states.
A named tuple, because it is copied eight times as fast as a frozen dataclass.
"""

from enum import IntEnum
from typing import NamedTuple

from service.domain.events import Profile
from service.domain.linking import Linking
from service.domain.outcomes import Failed, Outcome
from service.domain.parking import DOUBT, LINK, Stay


class Doubt(IntEnum):
    """How likely it is that the event's item exists already."""

    NONE = 0
    """Never sent, as far as is known."""
    WEAK = 1
    """Another process may have sent it: ask if asking is possible, else send."""
    STRONG = 2
    """It was perhaps sent: ask; where asking is impossible, the ambiguity policy decides."""


class Out(IntEnum):
    """How much of an event's outcome the broker has confirmed."""

    NOTHING = 0
    RESULT = 1
    LETTER = 2
    """The result, and the dead letter of a failed event."""


class History(NamedTuple):
    """What this process knows of an unsettled event; survives the return of its deliveries.

    `times`: how often its message had been delivered before; `mark`: names its stay in an inner
    queue, None where it came from the intake; `look_at`: loop time before which a look-up proves
    nothing; `absent_once`: one look-up found nothing already; `fault`: why its
    last call failed, `stands`: that is its end if the item turns out to be absent; `unproved`: it
    was sent again although it may exist; `asks`: what other messages of the event asked for that
    were perhaps sent; `earlier`: an item of the event was known before the portal was set back;
    `foreign`: when another process said the last word on it, in seconds since the epoch.

    `attempts`, `batch_id`: calls that carried it, and the last of them; `failures_alone`: calls
    with this event alone that failed while the portal was otherwise healthy; `refusals_alone`:
    those refused by a code of credentials, scope or plan, which proves nothing against an item;
    `refused_at`: when it was last refused for what may be its own fault or everybody's,
    `passed_by`: how often others of its type passed between two such refusals; `warnings`: what
    the portal would drop of it without a word, None while nobody has looked.

    `unproved_since`: seconds that the portal had taken imports for at the first look-up which
    proved nothing, `asked`: how many did; `doubt_waited`: seconds waited for a proof that count.

    `outcome`: how it ended, where no delivery was left to publish or acknowledge that for; `out`:
    what of its outcome is confirmed; `struck`: how often a bug of ours ended the work on it.
    """

    times: int = 0
    mark: float | None = None
    doubt: Doubt = Doubt.NONE
    look_at: float = 0.0
    absent_once: bool = False
    fault: Failed | None = None
    stands: bool = False
    unproved: bool = False
    asks: frozenset[Profile] = frozenset()
    earlier: bool = False
    foreign: float | None = None
    attempts: int = 0
    batch_id: str | None = None
    failures_alone: int = 0
    refusals_alone: int = 0
    first_failed_at: float | None = None
    refused_at: float | None = None
    passed_by: int = 0
    warnings: tuple[str, ...] | None = None
    unproved_since: float | None = None
    asked: int = 0
    doubt_waited: float = 0.0
    links: Linking = Linking()
    outcome: Outcome | None = None
    out: Out = Out.NOTHING
    struck: int = 0

    @property
    def asks_first(self) -> bool:
        """Whether it is looked up in a closed lane: it was perhaps sent, or waits for a proof.

        In its lane's queue that waiting would begin anew each time.
        """
        return self.doubt is Doubt.STRONG or bool(self.doubt and (self.asked or self.doubt_waited))

    @property
    def refusal(self) -> Failed | None:
        """What is its end if the item turns out to be absent."""
        return self.fault if self.stands else None

    @property
    def told(self) -> bool:
        """Whether the result of its outcome is confirmed."""
        return self.out >= Out.RESULT

    @property
    def buried(self) -> bool:
        """Whether its dead letter is confirmed as well."""
        return self.out >= Out.LETTER

    @property
    def compared_since(self) -> float | None:
        """Since when others of its type that passed speak against it.

        The first time, whoever passed since it was refused with others counts as well.
        """
        again = self.passed_by or self.refused_at is None
        return self.refused_at if again else self.first_failed_at

    def unproved_for(self, open_seconds: float) -> float:
        """Return for how many seconds look-ups have proved nothing, as far as they count.

        `open_seconds`: how long the portal has taken imports in the life of this process.
        """
        if self.unproved_since is None:
            return self.doubt_waited
        return open_seconds - self.unproved_since

    def came_back(self, stay: Stay) -> "History":
        """Take over what a message that waited elsewhere says of the time before."""
        mark = stay.mark if stay.queue else None
        known = self._replace(attempts=stay.attempts, mark=mark)
        if stay.reason == DOUBT:
            return known._replace(doubt_waited=stay.waited)
        if stay.reason == LINK:
            links = self.links.came_back(stay.waited, stay.parked_at, stay.received_at)
            return known.with_links(links)
        return known

    def suspected(
        self, doubt: Doubt, look_at: float, asks: frozenset[Profile] = frozenset()
    ) -> "History":
        """Note that another message of the event was perhaps sent, and what it asked for."""
        return self._replace(
            doubt=max(self.doubt, doubt),
            look_at=max(self.look_at, look_at),
            asks=self.asks | asks,
            absent_once=False,
        )

    def imported_earlier(self) -> "History":
        """Note that its item was known before the portal was set back."""
        return self.suspected(Doubt.STRONG, 0.0)._replace(earlier=True)

    def warned(self, warnings: tuple[str, ...]) -> "History":
        """Note what the portal would drop of it."""
        return self._replace(warnings=warnings)

    def called(self, batch_id: str) -> "History":
        """Note a call that carries it."""
        return self._replace(attempts=self.attempts + 1, batch_id=batch_id)

    def uncalled(self) -> "History":
        """Note that its last call did not reach the portal, or was not run there."""
        return self._replace(attempts=self.attempts - 1)

    def perhaps_sent(self, fault: Failed, look_at: float, *, stands: bool = False) -> "History":
        """Note a call whose outcome for this event is unknown.

        `stands`: the portal refused the item; if it is absent, that is its end.
        """
        return self._replace(
            doubt=Doubt.STRONG, absent_once=False, look_at=look_at, fault=fault, stands=stands
        )

    def refused(self, at: float) -> "History":
        """Note a refusal that may be its own fault, its type's, or everybody's."""
        first = at if self.refused_at is None else self.first_failed_at
        return self._replace(first_failed_at=first, refused_at=at)

    def broke(self, at: float) -> "History":
        """Note a call that broke; a refusal before it still counts."""
        return self._replace(first_failed_at=self.first_failed_at or at)

    def failed_alone(self) -> "History":
        """Note a failed call with this event alone."""
        return self._replace(failures_alone=self.failures_alone + 1)

    def refused_alone(self, at: float, *, others_passed: bool, own: bool) -> "History":
        """Note a refusal of this event alone; `others_passed`: since `compared_since`.

        `own`: it can be nobody else's fault. Tried again from the first time that others passed.
        """
        first = others_passed and not self.passed_by
        known = self.refused(at)._replace(passed_by=self.passed_by + others_passed)
        if own:
            return known._replace(failures_alone=1 if first else self.failures_alone + 1)
        return known._replace(refusals_alone=1 if first else self.refusals_alone + 1)

    def absent(self) -> "History":
        """Note that a look-up shows no item; it is asked for once more."""
        return self._replace(absent_once=True)

    def surely_absent(self) -> "History":
        """Note that the item does not exist."""
        return self._replace(
            doubt=Doubt.NONE,
            absent_once=False,
            stands=False,
            asks=frozenset(),
            unproved_since=None,
            asked=0,
            doubt_waited=0.0,
        )

    def sent_unproved(self) -> "History":
        """Note that it is sent although nothing proves that it does not exist."""
        unproved = self.unproved or self.doubt is Doubt.STRONG
        return self.surely_absent()._replace(unproved=unproved)

    def nothing_proved(self, open_seconds: float) -> "History":
        """Note an answered look-up that proves nothing; see `unproved_for`."""
        first = open_seconds - self.doubt_waited
        since = first if self.unproved_since is None else self.unproved_since
        return self._replace(unproved_since=since, asked=self.asked + 1)

    def with_links(self, links: Linking) -> "History":
        """Note what has become of its links."""
        return self._replace(links=links)

    def anew(self) -> "History":
        """Note that it was refused for wrong numbers: its item is absent, and it starts again."""
        links = self.links.unresolved()
        return self.surely_absent()._replace(links=links, fault=None, failures_alone=0)

    def ended(self, outcome: Outcome) -> "History":
        """Note how it ended, for a message of it that will come again."""
        return self._replace(outcome=outcome)

    def told_result(self) -> "History":
        """Note that its result is confirmed."""
        return self._replace(out=Out.RESULT)

    def buried_letter(self) -> "History":
        """Note that its dead letter is confirmed, after its result."""
        return self._replace(out=Out.LETTER)

    def struck_by_bug(self) -> "History":
        """Note a bug of ours in the work on it."""
        return self._replace(struck=self.struck + 1)
