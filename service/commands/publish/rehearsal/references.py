"""Follows the links of a file's events: to other lines, to the CRM, in circles, or nowhere.

An event is imported when every item that it refers to is in the CRM, or can be imported. Most of
that shows only at the end of the file, so links wait here, as digests.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from service.commands.publish.records import Place, Record
from service.commands.publish.rehearsal.asking import Asking, Gone
from service.commands.publish.rehearsal.identities import Identities
from service.commands.publish.rehearsal.look_ups import AT_ONCE, Late, find
from service.commands.publish.rehearsal.verdicts import Finding, Level, of_failed
from service.domain.events import BatchKey, ItemEvent, Reference, digest_of
from service.domain.links import cycle, named, stuck
from service.domain.outcomes import CallFailed, CallKind
from service.importer.link_failures import (
    REDRIVE,
    NotFound,
    no_external_id,
    not_found,
    unknown_type,
)

MAX_REFERENCES = 200_000
"""In one file; each takes some hundred bytes."""
MAX_FOLLOWED = 200
"""Events whose circle is looked for: each may lead through the whole file."""
MAX_NAME = 80
_UNASKED = "UNASKED"
_TOO_MANY = Finding(
    Level.UNJUDGED,
    _UNASKED,
    f"links, since the file has more than {MAX_REFERENCES:,}",
    "rehearse it in parts",
)
_GONE = Finding(
    Level.UNJUDGED,
    _UNASKED,
    "whether its linked items are in the CRM, since the portal stopped answering",
)
_REFUSED = Finding(
    Level.UNJUDGED,
    _UNASKED,
    "whether its linked items are in the CRM, since the portal refuses to look",
    "give the user the right to read items of that type",
)
_FORGOTTEN = Finding(
    Level.UNJUDGED,
    _UNASKED,
    "it refers to an item that is not in the CRM and not in the remembered part of the file",
    "rehearse it in parts",
)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A good event with links: for each the field, and the digest of what it refers to."""

    place: Place
    line: int
    key: BatchKey
    name: str
    links: tuple[tuple[str, bytes], ...]


@dataclass(slots=True, eq=False)
class References:
    """The links of one file; `wait_seconds`: the setting LINKS__WAIT_SECONDS.

    `failed` counts, by key, the events that will not be imported for their links; `asked` the
    items that the portal was asked for.
    """

    asking: Asking
    late: Late
    identities: Identities
    wait_seconds: float
    failed: Counter[BatchKey] = field(default_factory=Counter)
    asked: int = 0
    _waiting: dict[bytes, Waiting] = field(default_factory=dict)
    _named: dict[bytes, Reference] = field(default_factory=dict)
    _there: set[bytes] = field(default_factory=set)
    _unknown: set[bytes] = field(default_factory=set)
    _refused: set[bytes] = field(default_factory=set)

    def findings(self, event: ItemEvent) -> list[Finding]:
        """Return the findings about an event's links that are known at once."""
        every = list(named(event.links))
        for name, each in every:
            if each.external_id is None:
                return [of_failed(no_external_id(name, each), f"no id {name}")]
        return [_TOO_MANY] if every and len(self._named) + len(every) > MAX_REFERENCES else []

    def add(self, record: Record, line: int) -> None:
        """Note what a good event waits for; `line` is its number in the tally."""
        event = record.event
        every = list(named(event.links))
        if not every or len(self._named) + len(every) > MAX_REFERENCES:
            return
        for _, each in every:
            self._named.setdefault(_digest(each), each)
        links = tuple((name, _digest(each)) for name, each in every)
        name = str(Reference(*event.identity))
        shown = name if len(name) <= MAX_NAME else f"{name[:MAX_NAME]}…"
        waiting = Waiting(record.place, line, event.batch_key, shown, links)
        self._waiting[digest_of(event.identity)] = waiting

    async def finish(self) -> None:
        """Ask for what no line makes, and tell which events will never have their items."""
        try:
            await self._ask(each for each in self._named if self._line_of(each) is None)
            # An item that this file does not make may still be in the CRM.
            lost = stuck(self._waits_for())
            await self._ask(each for each in self._named if self._line_of(each) in lost)
        except Gone:
            for waiting in self._waiting.values():
                self.late(waiting.place, waiting.line, _GONE)
            return
        waits_for = self._waits_for()
        lost, followed = stuck(waits_for), 0
        for own, waiting in self._waiting.items():
            if own in lost:
                circle: list[bytes] = []
                if followed < MAX_FOLLOWED:
                    followed += 1
                    circle = cycle(own, lambda each: _those_in(lost, waits_for.get(each, ())))
                why = self._why(waiting, lost, circle)
                self.failed[waiting.key] += why.level is Level.FAIL
                self.late(waiting.place, waiting.line, why)
            elif any(digest in self._refused for _, digest in waiting.links):
                self.late(waiting.place, waiting.line, _REFUSED)

    async def _ask(self, digests: Iterable[bytes]) -> None:
        """Look items up, type by type. Raises Gone."""
        by_type: dict[int, list[bytes]] = {}
        for each in digests:
            by_type.setdefault(self._named[each].entity_type_id, []).append(each)
        for number, several in by_type.items():
            for start in range(0, len(several), AT_ONCE):
                await self._ask_some(number, several[start : start + AT_ONCE])

    async def _ask_some(self, number: int, digests: list[bytes]) -> None:
        wanted = {d: x for d in digests if (x := self._named[d].external_id) is not None}
        self.asked += len(digests)
        try:
            items = await find(self.asking, number, list(wanted.values()))
        except CallFailed as failed:
            known = failed.fault.kind is not CallKind.UNSUPPORTED
            (self._refused if known else self._unknown).update(digests)
            return
        self._there.update(each for each, external in wanted.items() if items.get(external))

    def _line_of(self, digest: bytes) -> bytes | None:
        """Return the event of the file whose item a reference means, if there is one."""
        return self.identities.meant(self._named[digest])

    def _waits_for(self) -> dict[bytes, list[bytes | None]]:
        """Return what each event waits for, but for what is in the CRM, or may be."""
        done = self._there | self._refused
        return {
            own: [self._line_of(digest) for _, digest in waiting.links if digest not in done]
            for own, waiting in self._waiting.items()
        }

    def _why(self, waiting: Waiting, lost: set[bytes], circle: Sequence[bytes]) -> Finding:
        """Return why an event is not imported, in the words of its result."""
        lacking: dict[bytes, str] = {}
        for name, digest in waiting.links:
            line = self._line_of(digest)
            if digest not in self._there | self._refused and (line is None or line in lost):
                lacking.setdefault(digest, name)
        for digest, name in lacking.items():
            if digest in self._unknown:
                return of_failed(unknown_type(name, self._named[digest]), f"no type {name}")
        if not self.identities.is_whole:
            return _FORGOTTEN
        names = [self._waiting[each].name for each in circle]
        missing = [self._named[each] for each in lacking]
        first = next(iter(lacking.values()))
        why = not_found(NotFound(first, missing, self.wait_seconds, names))
        told = replace(why, message=why.message.removesuffix(REDRIVE))
        return of_failed(told, f"{'circle' if names else 'nothing'} {first}")


def _digest(each: Reference) -> bytes:
    return digest_of(each.said)


def _those_in(lost: set[bytes], several: Iterable[bytes | None]) -> list[bytes]:
    return [each for each in several if each is not None and each in lost]
