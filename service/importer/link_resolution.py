"""Finds the items that events refer to, before they are sent; what is not found is waited for."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from service.domain.batch import Batch, ClosedBy
from service.domain.claim import Claim
from service.domain.claims import Claims
from service.domain.decisions import Decision, Rules
from service.domain.events import ItemEvent, Reference
from service.domain.links import members, missing, named, references, resolved
from service.domain.outcomes import Failed, Fault, Imported, Outcome
from service.domain.parking import LINK, LINKS
from service.importer.link_failures import NotFound, no_external_id, not_found, unknown_type
from service.importer.link_numbers import Asked, ItemNumbers, Open
from service.importer.link_refusals import LinkRefusals
from service.importer.link_waiting import LinkWaiting
from service.importer.looking import Lookup
from service.importer.memory import CallNotes
from service.telemetry import steady
from service.telemetry.metrics import Metrics

MAX_LOOKED_AT = 20
"""References of one claim that are looked at after each batch."""
HERE_SECONDS = 5.0
"""What waits for longer waits in an inner queue."""
FILL_SECONDS = 1.0
"""What may go is kept so long while its call is filled with others."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What of a batch may be sent, and what a failed look-up keeps back, with why."""

    ready: Batch | None
    kept: Batch | None = None
    fault: Fault | None = None


class LinkResolution:
    """Resolves the links of a batch: from memory, from what is in flight, else by asking."""

    def __init__(
        self,
        *,
        portal: Lookup,
        claims: Claims,
        rules: Rules,
        metrics: Metrics,
        notes: CallNotes,
        open_seconds: Callable[[], float],
    ) -> None:
        """Ask the portal, by the rules; `open_seconds`: how long it has taken imports.

        To be set before use: `may_hold` tells whether there is room for what waits here for some
        seconds; and what `waiting` asks for.
        """
        self.may_hold: Callable[[], bool] = lambda: True
        self._numbers = ItemNumbers(portal=portal, claims=claims, rules=rules, notes=notes)
        self._refusals = LinkRefusals(self._numbers, rules, notes)
        self._wait_seconds, self._metrics = rules.links_wait, metrics
        self.waiting = LinkWaiting(open_seconds, metrics)
        self._clock = notes.clock

    async def prepare(self, batch: Batch, decision: Decision) -> Prepared:
        """Return what of a batch may be sent.

        The rest is put into the decision: it ends, joins a batch later, or waits elsewhere.
        """
        if not any(claim.event.links for claim in batch.claims):
            return Prepared(batch)
        self._numbers.heed_set_back()
        left = [claim for claim in batch.claims if not self._is_impossible(claim, decision)]
        waiting: list[Open] = []
        for claim in left:
            await asyncio.sleep(0)  # Hundreds of references take long, and others want a turn.
            opened = self._opened(claim)
            waiting += [] if opened is None else [opened]
        asked = await self._numbers.ask(waiting)
        kept: list[Claim] = []
        for each in waiting:
            await asyncio.sleep(0)
            kept += [] if self._judged(each, asked, decision) else [each.claim]
        self.waiting.show()
        ready = [claim for claim in left if not claim.event.links or claim.known.links.values]
        if len(ready) == len(batch.claims):
            return Prepared(batch)
        if ready and self._may_fill_up(batch):
            # Other events take the places of waiting ones, at once and before younger events.
            rest = batch.part(ready, batch.due if batch.refilled else self._clock())
            decision.again.append(rest.to_fill_up())
            ready = []
        return Prepared(
            batch.part(ready, batch.due) if ready else None,
            batch.part(kept, batch.due) if kept else None,
            asked.fault,
        )

    async def after(self, decision: Decision) -> Decision:
        """Return what follows for a batch, once numbers that the portal refused are looked up."""
        decision = await self._refusals.look_again(decision)
        for claim, outcome in decision.ended:
            own = Reference(*claim.event.identity)
            if isinstance(outcome, Imported) and self.waiting.events.is_awaited(own.identity):
                self._numbers.put(own, outcome.item_id)
            if not claim.event.links:
                continue
            self.waiting.events.end(own.identity)
            links = claim.known.links
            if isinstance(outcome, Imported) and not links.values:
                # Found by a look-up: what it refers to is told where it is known, and not asked.
                claim.known = claim.known.with_links(links.found(self._values(claim)))
        self.waiting.show()
        return decision

    def must_wait(self, claim: Claim) -> bool:
        """Tell whether a new claim would only wait in a batch: nothing may be asked for it now."""
        several = list(islice(references(claim.event.links), MAX_LOOKED_AT + 1))
        if not 0 < len(several) <= MAX_LOOKED_AT or any(e.external_id is None for e in several):
            return False
        absent, soon = self._missing(claim), self._clock() + HERE_SECONDS
        here = [each for each in absent if not self._numbers.flies(each)]
        fresh = [each for each in here if self._numbers.asked_at(each) is None]
        if not here or any(self._numbers.may_ask_from(e.entity_type_id) <= soon for e in fresh):
            return False
        return self.waiting.begins(claim, absent)

    def lacks(self, claim: Claim) -> bool:
        """Tell whether a claim that may join no batch waits for items first."""
        absent = [] if claim.known.links.values else self._missing(claim)
        askable = bool(absent) and all(each.external_id is not None for each in absent)
        return askable and self.waiting.begins(claim, absent)

    def wakes(self, ended: Iterable[tuple[Claim, Outcome]]) -> bool:
        """Tell whether an item is in the CRM now that something waits for."""
        return any(
            isinstance(outcome, Imported) and self.waiting.events.is_awaited(claim.event.identity)
            for claim, outcome in ended
        )

    def may_go_on(self, claim: Claim) -> bool:
        """Tell whether an item is known now that a claim has waited for here."""
        links = claim.known.links
        some = islice(links.awaits, MAX_LOOKED_AT)
        return links.here_since is not None and any(map(self._is_known, some))

    def _may_fill_up(self, batch: Batch) -> bool:
        """Tell whether others may take the places in a batch that are free now.

        Only where more wait than fit into a batch, and nothing is being found out by this one.
        """
        plain = not batch.tries and batch.fault is None and not batch.suspected
        crowded = batch.closed_by in {ClosedBy.SIZE, ClosedBy.PRESSURE}
        kept_long = batch.refilled and self._clock() - batch.due > FILL_SECONDS
        return (
            plain
            and crowded
            and not kept_long
            and self.waiting.lane_is_open(batch.key.entity_type_id)
        )

    def _is_known(self, reference: Reference) -> bool:
        return self._numbers.of(reference) is not None

    def _is_impossible(self, claim: Claim, decision: Decision) -> bool:
        """End a claim that refers to what nobody can find."""
        for name, each in named(claim.event.links):
            if each.external_id is None:
                self._fail(claim, no_external_id(name, each), "impossible", decision)
                return True
        return False

    def _opened(self, claim: Claim) -> Open | None:
        """Resolve a claim from memory, or return it with what is missing."""
        links, set_back_at = claim.known.links, self._numbers.set_back_at
        stale = set_back_at is not None and links.at < set_back_at
        if not claim.event.links or (links.values and not stale):
            return None
        absent = self._missing(claim)
        if not absent:
            self._resolve(claim, ())
            return None
        self.waiting.count(claim, absent)
        return Open(claim, absent, self._asked_last(claim, absent))

    def _missing(self, claim: Claim) -> list[Reference]:
        return [e for e in dict.fromkeys(references(claim.event.links)) if not self._is_known(e)]

    def _resolve(self, claim: Claim, asked: Collection[Reference]) -> None:
        """Note the numbers of all items that a claim refers to."""
        links = claim.known.links
        for each in dict.fromkeys(references(claim.event.links)):
            how = "looked_up" if each in asked else "memory"
            self._metrics.links.labels("in_flight" if each in links.in_flight else how).inc()
        claim.known = claim.known.with_links(links.resolved(self._values(claim), steady.time()))
        self.waiting.events.end(claim.event.identity)

    def _values(self, claim: Claim) -> Mapping[str, int | list[int]] | None:
        """Return what the links of a claim become; None while an item is not known."""
        every = references(claim.event.links)
        items = {each: number for each in every if (number := self._numbers.of(each)) is not None}
        return None if missing(claim.event.links, items) else resolved(claim.event.links, items)

    def _asked_last(self, claim: Claim, absent: Sequence[Reference]) -> list[Reference]:
        """Return what a claim that has waited long enough was not asked for since then."""
        links = claim.known.links
        if links.waited < self._wait_seconds:
            return []
        # Its waiting travels with its message: what was asked for since it was over counts.
        over = self._clock() - (links.waited - self._wait_seconds)
        at = over if links.expired_at is None else links.expired_at
        claim.known = claim.known.with_links(links.overdue(at))
        return [e for e in absent if (when := self._numbers.asked_at(e)) is None or when < at]

    def _judged(self, each: Open, asked: Asked, decision: Decision) -> bool:
        """Say what follows for a claim; False where a failed look-up keeps it back."""
        claim, absent = each.claim, self._missing(each.claim)
        if not absent:
            self._resolve(claim, asked.references)
            return True
        for reference in absent:
            if reference.entity_type_id in asked.unknown_types:
                name = _field_of(claim, reference)
                self._fail(claim, unknown_type(name, reference), "impossible", decision)
                return True
        flying, last = set(filter(self._numbers.flies, absent)), set(each.last)
        unasked = [
            ref
            for ref in absent
            if (self._numbers.asked_at(ref) is None and ref not in flying)
            or (ref in last and ref not in asked.references)
        ]
        if unasked and asked.fault is not None:
            return False
        expired = claim.known.links.expired_at is not None
        if expired and not unasked and all(map(self.waiting.waits, flying)):
            self._time_out(claim, absent, decision)
        else:
            self._wait(claim, absent, unasked, decision)
        return True

    def _wait(
        self,
        claim: Claim,
        absent: Sequence[Reference],
        unasked: Sequence[Reference],
        decision: Decision,
    ) -> None:
        """Let a claim wait: here, while that is short and there is room, else in its queue."""
        links, now = claim.known.links, self._clock()
        since = now if links.here_since is None else links.here_since
        flying = frozenset(filter(self._numbers.flies, absent))
        until = now + HERE_SECONDS if len(flying) == len(absent) else float("inf")
        if unasked:
            until = max(now, *(self._numbers.may_ask_from(e.entity_type_id) for e in unasked))
        here = until <= since + HERE_SECONDS and self.may_hold()
        claim.known = claim.known.with_links(links.awaiting(flying, since if here else None))
        if here:
            decision.later.append((claim, until))
        else:
            decision.parked.append((claim, LINKS, LINK))

    def _time_out(self, claim: Claim, absent: Sequence[Reference], decision: Decision) -> None:
        name = _field_of(claim, absent[0])
        circle = self.waiting.events.circle(claim.event.identity)
        found = NotFound(name, absent, self._wait_seconds, circle)
        self._fail(claim, not_found(found), "timed_out", decision)

    def _fail(self, claim: Claim, why: Failed, how: str, decision: Decision) -> None:
        self._metrics.links.labels(how).inc()
        decision.ended.append((claim, why))


def to_send(claim: Claim) -> ItemEvent:
    """Return the event of a claim with the fields that its links have become."""
    values = claim.known.links.values
    return replace(claim.event, linked=members(values)) if values else claim.event


def _field_of(claim: Claim, reference: Reference) -> str:
    """Return the first field that holds a reference."""
    return next(name for name, each in named(claim.event.links) if each == reference)
