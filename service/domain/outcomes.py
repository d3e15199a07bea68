"""Describes how a call went and how an event ended, so that neither can be half-known."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

MAX_TEXT = 1200
"""Characters of the portal's message that are kept with an event: more than are told, so that a
secret in it is whole when it is masked."""


class FailureKind(StrEnum):
    """Why an event failed.

    malformed: unreadable; rejected: refused for its own content; unsupported: the portal does not
    import this type; ambiguous: may be in the CRM, look.
    """

    MALFORMED = "malformed"
    REJECTED = "rejected"
    UNSUPPORTED = "unsupported"
    AMBIGUOUS = "ambiguous"


@dataclass(frozen=True, slots=True)
class Imported:
    """The event's item is in the CRM.

    `reconciled`: found by asking rather than answered; `duplicate`: imported before, by another
    message or another process;
    `other_body`: that one had other fields, and those of this event are not in the CRM.
    """

    item_id: int
    reconciled: bool = False
    duplicate: bool = False
    other_body: bool = False


@dataclass(frozen=True, slots=True)
class Failed:
    """The event ended without an item that we know of."""

    kind: FailureKind
    code: str
    message: str
    http_status: int | None = None


Outcome = Imported | Failed


class RefusalKind(StrEnum):
    """What a per-item refusal says about the item."""

    REJECTED = "rejected"
    """Refused for its own content. Not saved."""
    UNCLEAR = "unclear"
    """May be saved: ask the portal."""
    REFUSED_UNCLEAR = "refused_unclear"
    """May be saved. If it is not, the refusal stands."""
    DENIED = "denied"
    """Not saved. The rights for this item, or for all items, are missing."""
    BARRED = "barred"
    """Not saved. The reason concerns all items of the type."""
    BARRED_UNCLEAR = "barred_unclear"
    """May be saved. If it is not, the reason concerns all items of the type."""
    PASSING = "passing"
    """May be saved. Refused for the rate: what is not saved is sent again later."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The portal named the item it created."""

    item_id: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The portal named an error for the item, or nothing that can be believed.

    `fault`: what is told of it where it may be the trouble of a whole type.
    """

    refusal_kind: RefusalKind
    code: str
    message: str
    fault: "Fault | None" = field(default=None, compare=False)


Verdict = Accepted | Refused

MISSING = Refused(
    RefusalKind.UNCLEAR, "UNREADABLE_ANSWER", "the portal's answer does not mention this item"
)


class Report:
    """Exactly one verdict per event of a call, in the order of the call.

    Built from any answer at all: what the answer leaves out is `MISSING`, what it says about
    items nobody sent is ignored.
    """

    __slots__ = ("_verdicts",)

    def __init__(self, size: int, verdicts: Mapping[int, Verdict]) -> None:
        """Take what the answer said about each position of a call of `size` events."""
        self._verdicts = tuple(verdicts.get(position, MISSING) for position in range(size))

    def __iter__(self) -> Iterator[Verdict]:
        """Iterate over the verdicts in the order of the call."""
        return iter(self._verdicts)

    def __len__(self) -> int:
        """Return the number of events of the call."""
        return len(self._verdicts)


class CallKind(StrEnum):
    """What the failure of a whole call means for the items in it."""

    THROTTLED = "throttled"
    """Refused before execution: too many requests."""
    OVER_BUDGET = "over_budget"
    """Refused before execution: the method's execution seconds are spent."""
    UNAVAILABLE = "unavailable"
    """Not executed: the portal, or its authorisation server, could not be reached."""
    BARRED = "barred"
    """Refused before execution for a reason that a person must remove: credentials, plan …"""
    SUSPECT = "suspect"
    """Refused before execution, perhaps because of one item's content."""
    UNSUPPORTED = "unsupported"
    """Refused before execution: the portal has no such entity type, or allows no imports into
    it."""
    TOO_LARGE = "too_large"
    """Refused before execution: the call must be split."""
    AMBIGUOUS = "ambiguous"
    """Perhaps executed, in whole or in part."""


class PauseReason(StrEnum):
    """Why intake is paused (label of `importer_paused`)."""

    CREDENTIALS = "credentials"
    SCOPE = "scope"
    PLAN = "plan"
    BLOCKED = "blocked"
    PORTAL_DELETED = "portal_deleted"
    AUTH_SERVER = "auth_server"
    UNAVAILABLE = "unavailable"
    OPERATING_LIMIT = "operating_limit"
    FAILURE_SHARE = "failure_share"

    @property
    def needs_a_person(self) -> bool:
        """Whether a person must act; otherwise it ends by itself."""
        return self not in {self.AUTH_SERVER, self.UNAVAILABLE, self.OPERATING_LIMIT}


@dataclass(frozen=True, slots=True)
class Fault:
    """What is known of a failed call.

    `answered`: the portal itself answered in full, so that it works on the call no longer;
    `sent_at`: loop time at which its body had wholly left, from which the portal's own clock runs
    (where that is not known: when the call ended); `lasted`: seconds that the call took; `pause`:
    what a pause for it would be called; `cause`, `remedy`: what happened and who must do what, for
    people, without a word of the portal's, which may hold field values; `bodiless`: the portal
    found nothing in the call, as a server says that does not read a body which is too large.
    """

    kind: CallKind
    code: str
    message: str
    http_status: int | None = None
    pause: PauseReason | None = None
    retry_after: float | None = None
    answered: bool = False
    sent_at: float = 0.0
    lasted: float = 0.0
    cause: str = ""
    remedy: str = ""
    bodiless: bool = False

    def failed(self, kind: FailureKind) -> Failed:
        """Return the failure of an event that this call brings about."""
        return Failed(kind, self.code, self.message[:MAX_TEXT], self.http_status)


class CallFailed(Exception):  # noqa: N818 - the house word for it
    """A call to the portal brought no report; `fault` says what that means."""

    def __init__(self, fault: Fault) -> None:
        """Keep the fault; the text carries no secret and no field value."""
        super().__init__(f"{fault.kind}: {fault.code}")
        self.fault = fault
