"""Makes the events, claims and batches that the tests of the rules are about."""

import hashlib
from dataclasses import dataclass, field, replace
from typing import cast

from service.domain.batch import Batch
from service.domain.claim import Claim
from service.domain.decisions import Rules
from service.domain.delivery import Delivery
from service.domain.events import BatchKey, ExternalId, ItemEvent, Origin, Profile
from service.domain.history import Doubt, History
from service.domain.outcomes import CallKind, Fault, PauseReason
from service.domain.retry import RetryPolicy

DEAL = 2
ESTIMATE = 7
RULES = Rules(
    retry=RetryPolicy(base=1.0, cap=60.0, max_attempts=5), settle=65.0, recheck=3.0, resend=False
)


def event(
    name: str = "a",
    *,
    entity_type_id: int = DEAL,
    body: str = "",
    external: str | None = "",
    original_names: bool = False,
    redriven: int = 0,
) -> ItemEvent:
    """Return an event; `external` "" stands for its own name, None for no external id."""
    fields = b'{"title":"%b"}' % (body or name).encode()
    return ItemEvent(
        entity_type_id=entity_type_id,
        event_id=name,
        fields=memoryview(fields),
        original_names=original_names,
        digest=hashlib.sha256(fields).hexdigest(),
        external_id=None if external is None else external_id(external or name),
        origin=Origin(redrive_count=redriven),
    )


def asking(item: ItemEvent | str, asks: Profile) -> ItemEvent:
    """Return an event whose fields say who may see its item."""
    return replace(event(item) if isinstance(item, str) else item, asks=asks)


def external_id(value: str) -> ExternalId:
    """Return the external id that a deal with this value would carry."""
    return ExternalId("originId", value, "crm-importer")


@dataclass(unsafe_hash=True)
class Named:
    """A delivery of which nothing counts but which one it is, and whether it is here."""

    name: str
    live: bool = field(default=True, compare=False)
    stay: None = None

    def __str__(self) -> str:
        return self.name


def named(*names: str) -> list[Delivery]:
    """Return deliveries of these names."""
    return cast("list[Delivery]", [Named(name) for name in names])


def claim(
    item: ItemEvent | str = "a",
    *deliveries: str,
    doubt: Doubt = Doubt.NONE,
    size: int = 1,
    since: float = 0.0,
) -> Claim:
    """Return a claim of an event; its deliveries are named after it unless given."""
    item = event(item) if isinstance(item, str) else item
    held = named(*deliveries or [f"delivery of {item.event_id}"])
    return Claim(item, held, since, size, History(doubt=doubt))


def batch(*claims: Claim, fault: Fault | None = None, opened_at: float = 0.0) -> Batch:
    """Return a closed batch of claims."""
    key = claims[0].event.batch_key if claims else BatchKey(DEAL, original_names=False)
    return Batch(key, claims, opened_at, opened_at, fault=fault)


def fault(
    kind: CallKind = CallKind.AMBIGUOUS,
    code: str = "400",
    http_status: int | None = 400,
    *,
    answered: bool = True,
    pause: PauseReason | None = None,
    retry_after: float | None = None,
) -> Fault:
    """Return what is known of a failed call: answered, with an unknown code, unless told."""
    return Fault(kind, code, "said so", http_status, pause, retry_after, answered)
