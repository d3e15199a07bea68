"""Looks up the linked items of a refused event once more: a number may be wrong by now."""

from collections.abc import Iterator, Sequence

from service.domain.claim import Claim
from service.domain.decisions import Decision, Rules
from service.domain.events import Reference, several_of
from service.domain.links import references
from service.domain.outcomes import CallFailed, CallKind, Failed, FailureKind, Outcome
from service.importer.field_check import VALIDATION_FAILED
from service.importer.link_failures import CODES
from service.importer.link_numbers import MAX_ASKED, ItemNumbers, by_type
from service.importer.memory import CallNotes

NOT_THE_LINKS = frozenset(
    {
        *CODES,
        VALIDATION_FAILED,
        "CRM_FIELD_ERROR_REQUIRED",
        "BX_EMPTY_REQUIRED",
        "CRM_FIELD_ERROR_VALUE_NOT_UNIQUE",
        "CRM_FIELD_ERROR_CATEGORY_NOT_AVAILABLE",
        "CRM_FIELD_ERROR_PRODUCTS_NOT_FETCHED",
        "CREATE_DYNAMIC_ITEM_RESTRICTED",
        "HTTP_413",
    }
)
"""Codes of refusals that no wrong item number can bring about."""


class LinkRefusals:
    """Gives an event whose item numbers were wrong another try, once."""

    def __init__(self, numbers: ItemNumbers, rules: Rules, notes: CallNotes) -> None:
        """Look numbers up, and forget those that are wrong."""
        self._numbers, self._rules, self._notes = numbers, rules, notes

    async def look_again(self, decision: Decision) -> Decision:
        """Return a decision without the ends of events that were sent with wrong numbers."""
        suspects = [claim for claim, end in decision.ended if _may_be_the_links(claim, end)]
        if not suspects:
            return decision
        now = self._notes.clock()
        try:
            wrong = await self._wrong(suspects)
        except CallFailed as failed:
            # Unknown for now. A refused item does not exist: it may be sent again.
            wait = max(self._rules.retry.cap, failed.fault.retry_after or 0.0)
            return _anew(suspects, decision, now + wait)
        for claim in suspects:
            claim.known = claim.known.with_links(claim.known.links.checked())
        await self._numbers.forget(wrong)
        anew = [c for c in suspects if not wrong.isdisjoint(references(c.event.links))]
        return _anew(anew, decision, now)

    async def _wrong(self, suspects: Sequence[Claim]) -> set[Reference]:
        """Return the references whose items are gone, or have other numbers than were sent."""
        sent = {each: item_id for claim in suspects for each, item_id in _sent(claim)}
        wrong: set[Reference] = set()
        for entity_type_id, several in by_type(sent).items():
            asked = several[:MAX_ASKED]
            try:
                if await self._numbers.find(entity_type_id, asked):
                    found = {each: self._numbers.found(each) for each in asked}
                    wrong |= {each for each in asked if found[each] != sent[each]}
            except CallFailed as failed:
                if failed.fault.kind is not CallKind.UNSUPPORTED:
                    raise
        return wrong


def _may_be_the_links(claim: Claim, end: Outcome) -> bool:
    """Tell whether an event ended by a refusal that a wrong item number may have brought about."""
    links = claim.known.links
    return (
        isinstance(end, Failed)
        and end.kind is FailureKind.REJECTED
        and bool(links.values)
        and not links.asked_again
        and claim.known.attempts > 0
        and end.code.upper() not in NOT_THE_LINKS
    )


def _sent(claim: Claim) -> Iterator[tuple[Reference, int]]:
    """Yield each reference of a claim with the number that was sent for it."""
    for name, value in (claim.known.links.values or {}).items():
        numbers = value if isinstance(value, list) else [value]
        yield from zip(several_of(claim.event.links[name]), numbers, strict=True)


def _anew(claims: Sequence[Claim], decision: Decision, due: float) -> Decision:
    """Let refused claims be resolved again, from a time on."""
    for claim in claims:
        claim.known = claim.known.anew()
    decision.ended = [end for end in decision.ended if end[0] not in claims]
    decision.later += [(claim, due) for claim in claims]
    return decision
