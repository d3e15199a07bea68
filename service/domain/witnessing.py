"""Decides what proves that an item would be shown if it existed: witnesses, and what they must be.

Rights to read may depend on an item's responsible person, its pipeline and whether it is open to
everyone. So an item proves that another would be shown only if it has the same three today.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from service.domain.bounded_memory import Remembered
from service.domain.events import ExternalId, ItemEvent, Profile

KEPT = 8
"""Items kept for one profile; several, because items get deleted."""
PROFILES = 500
MAX_ASKED = 40
"""Witnesses in one look-up, so that the answer has few pages."""
DEAL = 2
PROFILE_FIELDS = ("assignedById", "categoryId", "opened")
"""The portal's fields that make a profile; system fields, the same in every batch."""
LARGEST = 10**18
_TRUE = frozenset({"true", "y", "Y"})
"""What the portal reads as yes, besides a boolean."""


class Seen(NamedTuple):
    """An item that the portal showed, and what it has today."""

    item_id: int
    has: Profile = Profile()


class Oneself(NamedTuple):
    """Who the portal says that we are."""

    user_id: str
    admin: bool


@dataclass(frozen=True, slots=True)
class Witness:
    """An item that this importer created; `made_at`: loop time, never later than it was."""

    entity_type_id: int
    external_id: ExternalId | None
    item_id: int
    asked: Profile
    made_at: float


class Witnesses:
    """The items imported lately, by entity type and by what their events asked for.

    Where an event leaves a thing to the portal, a witness must have what the portal gives the
    importer's own items. What is not known of that is learnt from the item that was seen soonest
    after its making, because people hand items over to others later.
    """

    def __init__(self) -> None:
        """Start without any."""
        self._made: Remembered[tuple[int, Profile], deque[Witness]] = Remembered(PROFILES)
        self._given: Remembered[int, dict[str, tuple[float, str]]] = Remembered(PROFILES)

    def forget(self) -> None:
        """Forget all: the portal was set back."""
        self.__init__()  # type: ignore[misc]  # as at the start

    def made(self, event: ItemEvent, item_id: int, at: float) -> Witness:
        """Note an item that this importer created; `at`: loop time, never later than it was."""
        witness = Witness(event.entity_type_id, event.external_id, item_id, event.asks, at)
        key = (event.entity_type_id, event.asks)
        kept = self._made.get(key)
        if kept is None:
            kept = deque(maxlen=KEPT)
            self._made.put(key, kept)
        if item_id not in [each.item_id for each in kept]:
            kept.append(witness)
        return witness

    def of(self, event: ItemEvent) -> list[Witness]:
        """Return the items made for what an event asks for, the newest first."""
        return [*reversed(self._made.get((event.entity_type_id, event.asks)) or ())]

    def to_ask(self, events: Iterable[ItemEvent]) -> list[Witness]:
        """Return the witnesses to look up together with some events."""
        lines = {event.asks: self.of(event) for event in events}
        each = max(1, MAX_ASKED // max(1, len(lines)))
        return [witness for line in lines.values() for witness in line[:each]][:MAX_ASKED]

    def learn(self, witness: Witness, has: Profile, now: float) -> None:
        """Note what the portal gives where nothing is asked for."""
        age = max(0.0, now - witness.made_at)
        given = dict(self.given(witness.entity_type_id))
        for name, asked, value in zip(Profile._fields, witness.asked, has, strict=True):
            if asked is None and value is not None:
                known = given.get(name)
                if known is None or age <= known[0]:
                    given[name] = (age, value)
        if given:
            self._given.put(witness.entity_type_id, given)

    def given(self, entity_type_id: int) -> Mapping[str, tuple[float, str]]:
        """Return what the portal gives to items of a type, and how old those were when seen."""
        known = self._given.get(entity_type_id) or {}
        return known | {"pipeline": (0.0, "0")} if entity_type_id == DEAL else known


class Shown:
    """What one look-up showed of our own items: for each what was asked for, and what it has.

    `oneself`: who we are, where the portal was asked for that as well; `made_elsewhere`: for what
    other processes have made items, by the memory.
    """

    def __init__(self, witnesses: Witnesses) -> None:
        """Begin with nothing shown."""
        self._witnesses = witnesses
        self._items: list[tuple[Profile, Profile]] = []
        self.oneself: Oneself | None = None
        self.made_elsewhere: set[Profile] = set()

    def add(self, witness: Witness, has: Profile, now: float) -> None:
        """Note an item that this importer created, and what it has today."""
        self._witnesses.learn(witness, has, now)
        self._items.append((witness.asked, has))

    def proves(self, event: ItemEvent, *, sure: bool) -> bool:
        """Tell whether an event's item would have been shown, if it existed.

        `sure`: the event was perhaps sent, so that an administrator's view is the least that
        proves anything; else its item is believed absent unless items were made for what it asks
        and none of them is shown. One that is shown but was handed over is no witness any more,
        and nobody waits for it: a portal that hands every new item over would hold up all.
        """
        if any(self._witnessed(event, asked, has) for asked, has in self._items):
            return True
        if not sure and any(asked == event.asks for asked, _ in self._items):
            return True
        if self._witnesses.of(event) or (sure and event.asks in self.made_elsewhere):
            return False
        return not sure or (self.oneself is not None and self.oneself.admin)

    def may_hang_on_oneself(self, event: ItemEvent) -> bool:
        """Tell whether it would matter who we are, where nothing is proved yet."""
        made = self._witnesses.of(event) or event.asks in self.made_elsewhere
        return bool(self._items) or not made

    def _witnessed(self, event: ItemEvent, asked: Profile, has: Profile) -> bool:
        """Tell whether an item proves that the event's item would be shown as well."""
        given = self._witnesses.given(event.entity_type_id)
        for name, wanted, same, value in zip(Profile._fields, event.asks, asked, has, strict=True):
            if value is None:
                # Unknown, such as the pipeline of a type without pipelines.
                proved = wanted == same
            elif wanted is None:
                proved = _is_own(name, value, given, self.oneself)
            else:
                proved = wanted == value
            if not proved:
                return False
        return True


def profile_of(fields: Mapping[str, object]) -> Profile:
    """Return what fields, of an event or of the portal, say of who may see their item."""
    person, pipeline, opened = (fields.get(name) for name in PROFILE_FIELDS)
    responsible = _number(person)
    return Profile(
        None if responsible == "0" else responsible, _number(pipeline), _yes_or_no(opened)
    )


def _number(value: object) -> str | None:
    """Return a number in decimal; "?" for what is none, None for nothing."""
    if value is None or value == "":
        return None
    if isinstance(value, int) and 0 <= value < LARGEST:
        return str(int(value))
    text = value.strip() if isinstance(value, str) else ""
    return str(int(text)) if text.isdecimal() and len(text) < len(str(LARGEST)) else "?"


def _yes_or_no(value: object) -> str | None:
    """Return Y or N as the portal reads it; None for nothing."""
    if value is None or value == "":
        return None
    return "Y" if value is True or (isinstance(value, str) and value in _TRUE) else "N"


def _is_own(
    name: str, value: str, given: Mapping[str, tuple[float, str]], oneself: Oneself | None
) -> bool:
    """Tell whether an unset property is as the portal gives it to our items.

    It makes us responsible if nobody else is named, and puts into the first pipeline, which is 0
    for deals. Where that is not known, what the youngest item had counts.
    """
    if name == "responsible":
        return oneself is not None and oneself.user_id == value
    _, usual = given.get(name, (0.0, None))
    return value == usual
