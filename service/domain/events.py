"""Describes what one intake message asks for: an item event, or why it is none."""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

DIGEST_BYTES = 16
"""Length of a digest: two ids of one importer never share one by chance."""
NO_PAIR = bytes(DIGEST_BYTES)
CONTENT_BITS = 64
PRIORITY = 4
"""Of an event that names none: the middle, as the broker has it."""


class Identity(NamedTuple):
    """What makes two messages one event: the entity type and the event id."""

    entity_type_id: int
    event_id: str


class BatchKey(NamedTuple):
    """What the events of one call must share: `entityTypeId` and `useOriginalUfNames`."""

    entity_type_id: int
    original_names: bool


@dataclass(frozen=True, slots=True)
class ExternalId:
    """The value by which the portal can be asked whether an event's item exists.

    `field` and `value` (and `originator`, where the type has one) are compared exactly.
    `exact`: the portal surely keeps what was sent; else "not found" proves nothing.
    """

    field: str
    value: str
    originator: str | None = None
    exact: bool = dataclasses.field(default=True, compare=False)


class Profile(NamedTuple):
    """What a right to read an item may depend on: the words of an event, or of the portal.

    `responsible` and `pipeline` are numbers in decimal, `opened` is Y or N; None: not said.
    """

    responsible: str | None = None
    pipeline: str | None = None
    opened: str | None = None


NOTHING_ASKED = Profile()


@dataclass(frozen=True, slots=True)
class Origin:
    """What of the intake message travels on into the result event; `time` is the event's own."""

    correlation_id: str | None = None
    trace: Mapping[str, str] = field(default_factory=dict)
    redrive_count: int = 0
    time: str | None = None


@dataclass(frozen=True, slots=True)
class Reference:
    """One event that another one refers to; `originator`: who imported it, None for ourselves.

    `external_id` is what its item carries, by which the portal can be asked for it; None where
    items of its type cannot be found by one.
    """

    entity_type_id: int
    event_id: str
    originator: str | None = None
    external_id: ExternalId | None = field(default=None, compare=False)

    @property
    def identity(self) -> Identity:
        """The pair that identifies the event."""
        return Identity(self.entity_type_id, self.event_id)

    @property
    def said(self) -> tuple[str, str, str]:
        """What the event said, as text."""
        return str(self.entity_type_id), self.event_id, self.originator or ""

    def __str__(self) -> str:
        """Name it as people do."""
        return f"{self.entity_type_id}/{self.event_id}"


Target = Reference | tuple[Reference, ...]
"""What one field refers to: one item, or a list of them."""
Links = Mapping[str, Target]


def several_of(target: Target) -> tuple[Reference, ...]:
    """Return what a field refers to as a list, also where it is one."""
    return (target,) if isinstance(target, Reference) else target


@dataclass(frozen=True, slots=True)
class ItemEvent:
    """One item to import, as it came.

    `fields` is the raw JSON object, byte for byte; `stamp` are the JSON members that carry the
    external id where the event did not bring its own. `external_id` is None where the portal
    could not be asked. `digest` identifies the body: equal bodies have equal digests. `notes` say
    what of the event's own members is ignored, for the `warnings` of its result.
    `asks` is what the fields say of who may see the item. `links` are the fields that are to hold
    the items of other events; `linked` are these fields as JSON members, once they are known.

    The rest follows from these. It is worked out once, because it is asked for at every step.
    `identity_digest` and `pair_digest` stand for the identity and the external id in every
    memory; `content` tells one item from another.
    """

    entity_type_id: int
    event_id: str
    fields: memoryview
    original_names: bool
    digest: str
    external_id: ExternalId | None = None
    stamp: bytes = b""
    origin: Origin = Origin()
    notes: tuple[str, ...] = ()
    asks: Profile = NOTHING_ASKED
    links: Links = field(default_factory=dict, hash=False)
    linked: bytes = b""
    identity: Identity = field(init=False, compare=False, repr=False)
    batch_key: BatchKey = field(init=False, compare=False, repr=False)
    identity_digest: bytes = field(init=False, compare=False, repr=False)
    pair_digest: bytes = field(init=False, compare=False, repr=False)
    content: int = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Work out what follows."""
        identity = Identity(self.entity_type_id, self.event_id)
        batch_key = BatchKey(self.entity_type_id, self.original_names)
        object.__setattr__(self, "identity", identity)
        object.__setattr__(self, "batch_key", batch_key)
        object.__setattr__(self, "identity_digest", event_digest(identity))
        object.__setattr__(self, "pair_digest", pair_digest(self.external_id))
        object.__setattr__(self, "content", _content(self.fields, self.links))

    @property
    def message(self) -> str:
        """Identifies one message of the event: by its body and how often it was redriven."""
        return f"{self.digest[:16]}/{self.origin.redrive_count}"


class MalformedCode(StrEnum):
    """Why a message is not an item event (`error.code` of its failed event)."""

    NOT_JSON = "NOT_JSON"
    WRONG_SHAPE = "WRONG_SHAPE"
    MESSAGE_TOO_LARGE = "MESSAGE_TOO_LARGE"
    UNKNOWN_ENCODING = "UNKNOWN_ENCODING"


@dataclass(frozen=True, slots=True)
class Malformed:
    """A message that cannot become an item event; `message` names the thing and the remedy."""

    event_id: str
    entity_type_id: int | None
    code: MalformedCode
    message: str
    digest: str
    origin: Origin = Origin()
    notes: tuple[str, ...] = ()


def event_digest(identity: Identity) -> bytes:
    """Return what stands for an event in every memory: no id stands there in clear."""
    return _digest(f"{identity.entity_type_id} {identity.event_id}")


def pair_digest(external_id: ExternalId | None) -> bytes:
    """Return what stands for an external id, exactly as it is sent."""
    if external_id is None:
        return NO_PAIR
    return digest_of((external_id.field, external_id.value, external_id.originator or ""))


def digest_of(parts: Sequence[object]) -> bytes:
    """Return what is remembered instead of ids, which may be long: always as many bytes."""
    return _digest("\0".join(map(str, parts)))


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=DIGEST_BYTES).digest()


def _content(fields: memoryview, links: Links) -> int:
    """Return 64 bits of an item's fields, byte for byte, and of its links."""
    made = hashlib.blake2b(fields, digest_size=CONTENT_BITS // 8)
    for name, target in links.items():
        several = "list" if isinstance(target, tuple) else "one"
        parts = [name, several, *(part for each in several_of(target) for part in each.said)]
        made.update("\0".join(["", *parts]).encode(errors="surrogatepass"))
    return int.from_bytes(made.digest(), "big")
