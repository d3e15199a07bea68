"""Decides what follows a look-up, an answer or a failed call, for every claim of a batch."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from service.domain.batch import Batch
from service.domain.claim import Claim
from service.domain.fields import Policy
from service.domain.outcomes import (
    MAX_TEXT,
    Accepted,
    CallKind,
    Failed,
    FailureKind,
    Fault,
    Imported,
    Outcome,
    RefusalKind,
    Refused,
    Report,
)
from service.domain.retry import RetryPolicy

TOO_LARGE = "the item is too large for the portal's server"
SMALLER = (
    "send less (long texts, files), or ask the portal's operator to raise the server's limits "
    "(client_max_body_size of nginx, post_max_size of PHP)"
)
LARGE_BYTES = 500_000
"""Servers take a megabyte or more unless told otherwise; PHP gets nothing of what is too much."""

OK = 200
PARTS = 4
PASSING_SECONDS = 60.0
"""Until an item that was refused for the rate is tried again."""
UNFINISHED = Failed(
    FailureKind.REJECTED,
    "UNREADABLE_ANSWER",
    "the importer broke off the call to the portal; the item may or may not exist",
)


@dataclass(frozen=True, slots=True)
class Rules:
    """What the decisions depend on; seconds.

    `settle`: how long an unanswered call may still work; `recheck`: wait before an absent item
    is looked up once more; `resend`: send again what may exist and cannot be asked for;
    `validation`: what follows when the portal would drop a part of an item without a word;
    `unproved_after`: how long an event waits for proof that its item would be shown; `ask_again`:
    first and longest time between two look-ups meanwhile; `links_wait`: how long an event waits
    for the items that it refers to; `links_gap`: between two look-ups of what waits, so that they
    are one call in ten.
    """

    retry: RetryPolicy
    settle: float
    recheck: float
    resend: bool = False
    validation: Policy = "off"
    unproved_after: float = 3600.0
    ask_again: tuple[float, float] = (15.0, 300.0)
    links_wait: float = 86400.0
    links_gap: float = 5.0


@dataclass(slots=True)
class Decision:
    """What is to happen: events that ended, and batches that go again when they are due.

    `later`: claims that join an open batch at a loop time; `parked`: claims that are to wait in an
    inner queue, with the last part of its name, and the reason.
    """

    ended: list[tuple[Claim, Outcome]] = field(default_factory=list)
    again: list[Batch] = field(default_factory=list)
    later: list[tuple[Claim, float]] = field(default_factory=list)
    parked: list[tuple[Claim, str, str]] = field(default_factory=list)

    def add(self, other: "Decision") -> "Decision":
        """Return itself with another decision joined."""
        self.ended += other.ended
        self.again += other.again
        self.later += other.later
        self.parked += other.parked
        return self

    def waiting(self) -> list[Claim]:
        """Return the claims that go on later, or elsewhere."""
        return [claim for claim, _ in self.later] + [claim for claim, *_ in self.parked]

    @property
    def imported_types(self) -> set[int]:
        """The entity types of which an item is in the CRM now."""
        ends = [(claim, end) for claim, end in self.ended if isinstance(end, Imported)]
        return {claim.event.entity_type_id for claim, _ in ends}


@dataclass(slots=True)
class Cleared:
    """What looking up has brought for the claims of one batch.

    `ended` are settled by it, `absent` may be sent, `again` must be looked up once more, `waiting`
    too, because nothing proves that their items would be shown.
    """

    ended: list[tuple[Claim, Outcome]] = field(default_factory=list)
    absent: list[Claim] = field(default_factory=list)
    again: list[Claim] = field(default_factory=list)
    waiting: list[Claim] = field(default_factory=list)


def after_look_up(
    batch: Batch, cleared: Cleared, *, rules: Rules, now: float, chance: float
) -> tuple[Decision, Batch | None]:
    """Return what follows a look-up, and the batch that may be sent now.

    After a whole-call failure one item may have broken the call. Where some items of it were
    found, the portal, which works in order, broke at the first absent one: that one is tried
    alone, the rest goes on as a batch. Where none was, the rest goes in small parts, so that one
    more broken call tells in which of them the guilty item is.
    """
    decision = Decision(ended=list(cleared.ended))
    whole = batch.fault is not None
    in_order = batch.some_found or any(isinstance(end, Imported) for _, end in cleared.ended)
    if cleared.waiting:
        decision.again.append(_waiting(batch, cleared.waiting, rules, now))
    if cleared.again:
        stay = [*cleared.again, *cleared.absent] if whole else cleared.again
        due = max(now + rules.recheck, *(claim.known.look_at for claim in stay))
        waiting = batch.part([c for c in batch.claims if c in stay], due)
        if batch.fault is None:
            decision.again.append(waiting)
        else:
            decision.again.append(waiting.broke(batch.fault, due, some_found=in_order))
            return decision, None
    absent = _without_worn_out(cleared.absent, decision, rules)
    if not absent:
        return decision, None
    if not whole:
        all_of_it = len(absent) == len(batch.claims)
        return decision, batch.ask_no_more() if all_of_it else batch.part(absent, now)
    alone, rest = _suspects(absent)
    for claim in alone:
        delay = rules.retry.delay(claim.known.failures_alone, chance)
        due = now + (delay if claim.known.failures_alone else 0.0)
        decision.again.append(batch.part([claim], due))
    if not rest:
        return decision, None
    first, *others = [rest] if in_order else _parts(rest)
    decision.again += [batch.part(part, now) for part in others]
    return decision, batch.part(first, now)


def after_report(batch: Batch, report: Report, *, now: float) -> Decision:
    """Return what follows an answer; denied items and spent plans are left to the caller."""
    decision = Decision()
    unclear: list[Claim] = []
    passing: list[Claim] = []
    for claim, verdict in zip(batch.claims, report, strict=True):
        match verdict:
            case Accepted(item_id):
                decision.ended.append((claim, Imported(item_id)))
            case Refused(refusal_kind=RefusalKind.REJECTED):
                decision.ended.append((claim, rejected(verdict)))
            case Refused(refusal_kind=RefusalKind.UNCLEAR | RefusalKind.REFUSED_UNCLEAR):
                _doubt(claim, verdict, now, alone=len(batch.claims) == 1)
                unclear.append(claim)
            case Refused(refusal_kind=RefusalKind.PASSING):
                _doubt(claim, verdict, now, alone=False)
                passing.append(claim)
            case _:
                pass
    if passing:
        decision.again.append(batch.part(passing, now + PASSING_SECONDS))
    if unclear:
        # Answered, so the portal works on it no longer: it can be looked up at once.
        unclear_answer = Fault(CallKind.AMBIGUOUS, "0", "", OK, answered=True)
        decision.again.append(batch.part(unclear, now).broke(unclear_answer, now))
    return decision


def _doubt(claim: Claim, verdict: Refused, now: float, *, alone: bool) -> None:
    """Note that an item may be saved although it was refused; `alone`: by a call of its own."""
    known = claim.known.failed_alone() if alone else claim.known
    stands = verdict.refusal_kind is RefusalKind.REFUSED_UNCLEAR
    claim.known = known.perhaps_sent(rejected(verdict), now, stands=stands)


def after_fault(
    batch: Batch, fault: Fault, *, rules: Rules, now: float, chance: float
) -> Decision:
    """Return what follows a failed import call; a lone suspect is left to the caller."""
    claims = batch.claims
    match fault.kind:
        case CallKind.UNSUPPORTED:
            return Decision(ended=[(c, fault.failed(FailureKind.UNSUPPORTED)) for c in claims])
        case CallKind.TOO_LARGE if len(claims) == 1:
            return Decision(ended=[(claims[0], refused_alone(claims[0], fault))])
        case CallKind.TOO_LARGE | CallKind.SUSPECT if len(claims) > 1:
            # Refused before execution, so nothing is in doubt: halving finds the guilty one.
            return Decision(again=_halves(batch, now))
        case CallKind.AMBIGUOUS:
            return Decision(again=[_in_doubt(batch, fault, rules, now)])
        case _:
            return Decision(again=[_refused(batch, fault, rules, now, chance)])


def after_failed_look_up(
    batch: Batch, fault: Fault, *, rules: Rules, now: float, chance: float
) -> Batch:
    """Return what a look-up that failed leaves: it changes nothing on the portal, so again."""
    return _refused(batch.look_up_failed(), fault, rules, now, chance)


def refused_alone(claim: Claim, fault: Fault) -> Failed:
    """Return the failure of an item whose call was refused while it was alone in it."""
    size = len(claim.event.fields) + len(claim.event.stamp)
    large = fault.kind is CallKind.TOO_LARGE or (fault.bodiless and size >= LARGE_BYTES)
    if not large:
        return fault.failed(FailureKind.REJECTED)
    text = f"{TOO_LARGE}: it has {size} bytes; {SMALLER}, and publish it again or redrive it"
    return Failed(FailureKind.REJECTED, fault.code, text, fault.http_status)


def rejected(refused: Refused) -> Failed:
    """Return the failure of an item that the portal refused by name."""
    return Failed(FailureKind.REJECTED, refused.code, refused.message[:MAX_TEXT], OK)


def _refused(batch: Batch, fault: Fault, rules: Rules, now: float, chance: float) -> Batch:
    """Put a batch back that was surely not executed."""
    return batch.refused(now + rules.retry.delay(batch.tries, chance, fault.retry_after))


def _in_doubt(batch: Batch, fault: Fault, rules: Rules, now: float) -> Batch:
    """Put a batch back that was perhaps executed, to be looked up when that can prove anything."""
    # Without an answer the portal may still be working: an early look-up would show no item.
    look_at = now if fault.answered else max(now, fault.sent_at + rules.settle)
    for claim in batch.claims:
        claim.known = claim.known.perhaps_sent(fault.failed(FailureKind.REJECTED), look_at)
    askable = any(claim.event.external_id is not None for claim in batch.claims)
    return batch.broke(fault, look_at if askable else now)


def _halves(batch: Batch, now: float) -> list[Batch]:
    middle = len(batch.claims) // 2
    return [batch.part(batch.claims[:middle], now), batch.part(batch.claims[middle:], now)]


def _without_worn_out(absent: Sequence[Claim], decision: Decision, rules: Rules) -> list[Claim]:
    """End the claims that have failed alone too often; return the others."""
    left: list[Claim] = []
    for claim in absent:
        fault = claim.known.fault
        if claim.known.failures_alone >= rules.retry.max_attempts and fault:
            # It was sent again although it may exist: its absence now proves nothing.
            if claim.known.unproved:
                fault = replace(fault, kind=FailureKind.AMBIGUOUS)
            decision.ended.append((claim, fault))
        else:
            left.append(claim)
    return left


def _waiting(batch: Batch, claims: Sequence[Claim], rules: Rules, now: float) -> Batch:
    """Return the claims that wait for a proof; they are asked for at a growing interval."""
    first, longest = rules.ask_again
    asked = min(claim.known.asked for claim in claims)
    due = now + min(first * 2.0 ** min(asked - 1, 32), longest, rules.unproved_after)
    waiting = batch.part([c for c in batch.claims if c in claims], due)
    if batch.fault is not None:
        waiting = waiting.broke(batch.fault, due)
    return waiting.waits_for_proof(now, due)


def _parts(claims: list[Claim]) -> list[list[Claim]]:
    """Split into few parts of one size: of 20 items the guilty one is alone after three calls."""
    size = -(-len(claims) // PARTS)
    return [claims[start : start + size] for start in range(0, len(claims), size)]


def _suspects(absent: list[Claim]) -> tuple[list[Claim], list[Claim]]:
    """Split into those to be tried alone and the rest; what cannot be asked for goes singly."""
    if absent[0].event.external_id is None:
        return absent, []
    return absent[:1], absent[1:]
