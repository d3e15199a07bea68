"""Clears doubt: asks the portal which items exist, and says what follows for each event."""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from service.domain.claim import Claim
from service.domain.claims import Claims
from service.domain.codes import is_bad_request, is_refused_for_good
from service.domain.decisions import Cleared, Rules
from service.domain.events import ExternalId, ItemEvent
from service.domain.history import Doubt, History
from service.domain.last_words import LastWords
from service.domain.outcomes import (
    CallFailed,
    CallKind,
    Failed,
    FailureKind,
    Imported,
)
from service.domain.owning import Owned, Owners, noted_owner
from service.domain.witnessing import Seen, Shown, Witness, Witnesses
from service.importer.looking import Lookup, see_remembered
from service.telemetry import steady
from service.telemetry.metrics import Metrics

Items = Mapping[ExternalId, Sequence[Seen]]
UNKNOWN_FATE = Failed(
    FailureKind.AMBIGUOUS,
    "CONNECTION_LOST",
    "the message was delivered before, and the importer cannot find out whether its item was "
    "imported: search the CRM, and publish the event again if the item is not there",
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Clocks:
    """Loop time, and the seconds that the portal has taken imports of a type for."""

    now: Callable[[], float]
    open_seconds: Callable[[int], float]


@dataclass(slots=True)
class _Asked:
    """What one look-up has brought: the item of each claim that has one, and all it has shown.

    `at`: loop time at which it left.
    """

    at: float
    shown: Shown
    found: dict[Claim, int] = field(default_factory=dict)

    def proves(self, claim: Claim) -> bool:
        """Tell whether the claim's item would have been shown, if it existed."""
        sure = claim.known.doubt is Doubt.STRONG
        return all(self.shown.proves(event, sure=sure) for event in claim.perhaps_sent())


class Recovery:
    """Looks doubtful events up, believing "absent" only where a witness is shown.

    Everything is judged by one look-up: what an earlier one showed may be hidden by now.
    """

    def __init__(
        self,
        *,
        portal: Lookup,
        claims: Claims,
        rules: Rules,
        metrics: Metrics,
        clocks: Clocks,
    ) -> None:
        """Ask the portal, by the rules; `words`, to be set before use: what the memory knows."""
        self._portal, self._claims = portal, claims
        self._rules = rules
        self._metrics = metrics
        self._clocks = clocks
        self._witnesses, self.set_back_seen = Witnesses(), False
        self._owners = Owners(remember=claims.remember)
        nothing = LastWords(1)
        self.words: Callable[[], LastWords] = lambda: nothing

    def answered(self, event: ItemEvent, item_id: int) -> bool:
        """Note an item that the portal named for an event; False if it is not to be believed.

        A number that is known of another item may be a mistake of whoever answered: a look-up
        tells. Where none is possible, this event is in doubt, and those after it are not.
        """
        owned = self._own(event, item_id)
        if owned is Owned.OTHER_PAIR and event.external_id is None:
            self._set_back(event, item_id)
        if owned is not Owned.OURS:
            return False
        if event.external_id is not None:
            self._witnesses.made(event, item_id, self._clocks.now())
        return True

    async def clear(self, claims: Sequence[Claim], *, tries: int) -> Cleared:
        """Look the doubtful among the claims up; raises CallFailed when that fails.

        `tries` counts the look-ups of these claims that have failed already.
        """
        cleared = Cleared()
        askable = [c for c in claims if c.known.doubt and c.event.external_id is not None]
        try:
            asked = await self._ask(askable, tries)
            for claim in claims:
                self._judge(claim, asked, cleared)
        except CallFailed as failed:
            if failed.fault.kind is not CallKind.UNSUPPORTED:
                raise
            # No items of a type that the portal does not know; the import says the same.
            return Cleared(absent=_known_absent(claims))
        return cleared

    def _judge(self, claim: Claim, asked: "_Asked", cleared: Cleared) -> None:
        """Say what follows for one claim."""
        known, external = claim.known, claim.event.external_id
        if known.doubt is Doubt.NONE:
            cleared.absent.append(claim)
        elif claim in asked.found:
            cleared.ended.append((claim, self._reconciled(claim, asked.found[claim])))
        elif external is not None and asked.at < known.look_at:
            # A call that may still be working can make the item after this look-up.
            cleared.again.append(claim)
        elif external is None or not (external.exact or known.doubt is Doubt.WEAK):
            self._cannot_tell(claim, cleared)
        elif asked.proves(claim):
            self._believe_absent(claim, cleared)
        else:
            self._wait(claim, cleared)

    async def _ask(self, claims: Sequence[Claim], tries: int) -> "_Asked":
        """Ask the portal for the items of the claims, and for witnesses of the same kind."""
        asked = _Asked(self._clocks.now(), Shown(self._witnesses))
        if not claims:
            return asked
        witnesses = self._witnesses.to_ask(each for c in claims for each in c.perhaps_sent())
        askable: list[ItemEvent | Witness] = [*(claim.event for claim in claims), *witnesses]
        wanted = dict.fromkeys(each.external_id for each in askable)
        try:
            items = await self._portal.find(
                claims[0].event.entity_type_id, [each for each in wanted if each is not None]
            )
        except CallFailed as failed:
            await self._give_up_or_raise(failed, tries)
            return asked
        self._see_witnesses(witnesses, items, asked)
        self._see_items(claims, items, asked)
        try:
            await self._see_more(claims, asked)
        except CallFailed as failed:
            await self._give_up_or_raise(failed, tries)
        return asked

    async def _see_more(self, claims: Sequence[Claim], asked: "_Asked") -> None:
        """Ask for what may prove what is not proved yet: older items, then who we are."""
        left = [c for c in claims if c not in asked.found and not asked.proves(c)]
        events = [event for claim in left for event in claim.perhaps_sent()]
        own, shown, now = self._witnesses, asked.shown, self._clocks.now()
        await see_remembered(self._portal, self.words(), events, own=own, shown=shown, now=now)
        if any(shown.may_hang_on_oneself(event) for event in events):
            shown.oneself = await self._portal.oneself()

    def _see_witnesses(self, witnesses: Sequence[Witness], items: Items, asked: "_Asked") -> None:
        for witness in witnesses:
            for seen in items.get(witness.external_id, ()) if witness.external_id else ():
                if seen.item_id == witness.item_id:
                    asked.shown.add(witness, seen.has, self._clocks.now())

    def _see_items(self, claims: Sequence[Claim], items: Items, asked: "_Asked") -> None:
        """Find the item of each claim; an item settles at most one event."""
        for claim in claims:
            event = claim.event
            shown = items.get(event.external_id, ()) if event.external_id else ()
            for seen in sorted(shown, key=lambda each: each.item_id):
                if self._is_ours(event, seen.item_id):
                    asked.found[claim] = seen.item_id
                    # This process knows when the item was made only if it sent the item.
                    since = claim.since if claim.known.attempts else -math.inf
                    witness = self._witnesses.made(event, seen.item_id, since)
                    asked.shown.add(witness, seen.has, self._clocks.now())
                    break

    def _is_ours(self, event: ItemEvent, item_id: int) -> bool:
        """Tell whether an item that the portal shows under an event's external id is its item."""
        owned = self._own(event, item_id)
        if owned is Owned.OTHER_PAIR:
            self._set_back(event, item_id)
        return owned is not Owned.TAKEN

    def _own(self, event: ItemEvent, item_id: int) -> Owned:
        """Tell which event owns an item number, and give it to this event if none does."""
        word = self.words().owner(event.entity_type_id, item_id)
        return noted_owner(event, word) or self._owners.own(event, item_id)

    def _set_back(self, event: ItemEvent, item_id: int) -> None:
        """Note that the portal has older data than we: an item number was given out twice."""
        self._metrics.portal_set_back.inc()
        log.error(
            "the portal was set back: it gave out an item number again. Events imported "
            "before are looked up before they are answered or sent",
            extra={
                "entity_type": event.entity_type_id,
                "item_id": item_id,
                "remedy": "find out which items are missing, and publish their events again",
            },
        )
        self.set_back_seen = True
        self._claims.set_back()
        self.words().set_back(steady.time())
        self._witnesses.forget()
        self._owners.forget()
        self._owners.own(event, item_id)

    async def _give_up_or_raise(self, failed: CallFailed, tries: int) -> None:
        """Return if this type cannot be looked up; raise if the portal is paused or failing."""
        fault = failed.fault
        if fault.kind is CallKind.SUSPECT:
            await self._portal.probe()
            return
        tired = tries >= self._rules.retry.max_attempts and is_bad_request(fault)
        if not (is_refused_for_good(fault) or tired):
            raise failed

    def _reconciled(self, claim: Claim, item_id: int) -> Imported:
        self._metrics.reconciled.labels("yes").inc()
        # Without a call of ours: by another message, or a process that could not say so any more.
        return Imported(item_id, reconciled=True, duplicate=claim.known.attempts == 0)

    def _believe_absent(self, claim: Claim, cleared: Cleared) -> None:
        known = claim.known
        if known.doubt is Doubt.STRONG and not known.absent_once:
            claim.known = known.absent()
            cleared.again.append(claim)
            return
        self._metrics.reconciled.labels("no").inc()
        if known.refusal is not None:
            cleared.ended.append((claim, known.refusal))
            return
        _judged(claim, known.surely_absent())
        cleared.absent.append(claim)

    def _wait(self, claim: Claim, cleared: Cleared) -> None:
        """Let an event wait for a proof, for so long as the rules say."""
        begins = not (claim.known.asked or claim.known.doubt_waited)
        open_seconds = self._clocks.open_seconds(claim.event.entity_type_id)
        claim.known = claim.known.nothing_proved(open_seconds)
        if claim.known.unproved_for(open_seconds) >= self._rules.unproved_after:
            self._cannot_tell(claim, cleared)
            return
        if begins:
            log.warning(
                "an event waits: a call may have sent it, and it is not proved that the "
                "portal would show its item",
                extra=claim.event.identity._asdict(),
            )
        cleared.waiting.append(claim)

    def _cannot_tell(self, claim: Claim, cleared: Cleared) -> None:
        known = claim.known
        refused = known.refusal is not None
        if known.doubt is Doubt.STRONG and (refused or not self._rules.resend):
            unclear = replace(known.fault or UNKNOWN_FATE, kind=FailureKind.AMBIGUOUS)
            cleared.ended.append((claim, unclear))
            return
        _judged(claim, known.sent_unproved())
        cleared.absent.append(claim)


def _known_absent(claims: Sequence[Claim]) -> list[Claim]:
    for claim in claims:
        _judged(claim, claim.known.surely_absent())
    return list(claims)


def _judged(claim: Claim, known: History) -> None:
    """Take what is known of a claim now; only younger words stand against it."""
    claim.known, claim.judged_at = known, steady.time()
