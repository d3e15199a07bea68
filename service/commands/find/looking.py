"""Looks for one event: in the memory, the dead letters, the inner queues, and the portal."""

import time
from collections.abc import Iterable

from service import factories
from service.commands.find.asking import ask_portal
from service.commands.find.places import DeadLetter, Found, Hidden, Waits
from service.commands.inner_queues import inner_queues, memory_of, types_known
from service.commands.runtime import CommandRuntime
from service.domain.events import ExternalId, Identity, ItemEvent, Malformed, event_digest
from service.domain.links import references
from service.rabbit.connection import ConnectionLost
from service.rabbit.holding import depth, hold
from service.rabbit.letters import Letter, text
from service.rabbit.memory_visit import NoMemoryError, Visit
from service.rabbit.parked import InnerDepth, Parked, parked_id, read_parked
from service.rabbit.reasons import why_ended
from service.rabbit.rights import of_operator
from service.rabbit.session import Missing
from service.rabbit.snapshot import open_snapshot

MAX_HELD = 10_000
"""Messages of an inner queue that are looked at: the importer lives on it, and we hold them."""
MAX_FOUND = 100
"""Most dead letters, and most waiting messages, of the event that are told."""


class _Look:
    """One look; `ids` are the external ids that messages of the event would be stamped with."""

    def __init__(self, work: CommandRuntime, event_id: str, entity_type_id: int | None) -> None:
        bitrix = work.settings.bitrix
        proof = bitrix.timeout_seconds + bitrix.settle_seconds
        self.work = work
        self.found = Found(event_id, entity_type_id, in_call_after=time.time() - proof)
        self.ids: dict[int, set[ExternalId]] = {}

    async def memory(self) -> Visit | None:
        """Read the memory; None where there is none."""
        try:
            async with memory_of(self.work) as visit:
                await visit.read()
                return visit
        except NoMemoryError as why:
            self.found.hidden.append(Hidden("the memory", str(why)))
            return None

    def remember(self, visit: Visit, types: Iterable[int]) -> None:
        """Take the words on the event, whatever its type."""
        for number in sorted(types):
            word = visit.words.of(event_digest(Identity(number, self.found.event_id)))
            if word is not None:
                self.found.words.append(word)

    async def dead_letters(self) -> None:
        """Look at every dead letter; each stays."""
        queue = self.work.settings.rabbit.dead_letter_queue
        try:
            async with open_snapshot(self.work.session, queue, self.work.decoder) as snapshot:
                async for window in snapshot.windows():
                    for letter in filter(self._is_it, window):
                        self._add(letter)
                    await snapshot.keep(window)
        except Missing:
            self.found.hidden.append(Hidden("the dead letters", f"there is no queue {queue}"))
        except ConnectionLost as lost:
            self._refused("the dead letters", lost)

    async def waiting(self, queues: Iterable[InnerDepth]) -> None:
        """Look at the beginning of each inner queue; each message goes back before the next."""
        for queue in queues:
            if queue.messages is None:
                self.found.hidden.append(
                    Hidden(f"queue {queue.name}", "we have no right to read it")
                )
            elif queue.messages:
                try:
                    await self._wait_in(queue)
                except ConnectionLost as lost:
                    self._refused(f"queue {queue.name}", lost)

    def _refused(self, place: str, lost: ConnectionLost) -> None:
        """Note what the broker refused; a connection that is gone ends the look later on."""
        needed = of_operator(factories.topology(self.work.settings.rabbit))
        self.found.hidden.append(Hidden(place, ": ".join(why_ended(str(lost), needed))))

    async def _wait_in(self, queue: InnerDepth) -> None:
        async with hold(self.work.session, queue.name) as holding:
            async for window in holding.windows(most=MAX_HELD):
                for message in window:
                    named = parked_id(message)
                    if named in {None, self.found.event_id}:
                        self._wait(queue, read_parked(message, self.work.decoder, queue.part))
            if holding.depth > MAX_HELD:
                why = f"only the first {MAX_HELD:,} were looked at"
                self.found.hidden.append(Hidden(f"queue {queue.name}", why, holding.depth))

    def _wait(self, queue: InnerDepth, parked: Parked) -> None:
        if not self._is_it(parked) or len(self.found.waiting) >= MAX_FOUND:
            return
        self._note_id(parked.event)
        told, event = parked.waiting, parked.event
        links = tuple(references(event.links)) if isinstance(event, ItemEvent) else ()
        self.found.waiting.append(
            Waits(
                queue=queue.name,
                entity_type_id=event.entity_type_id,
                reason=told.reason,
                received_at=told.received_at,
                parked_at=told.parked_at,
                waited=told.waited,
                perhaps_sent=told.perhaps_sent,
                links=links,
            )
        )

    def _add(self, letter: Letter) -> None:
        if len(self.found.letters) >= MAX_FOUND:
            return
        self._note_id(letter.event)
        message = text(letter.headers.get("import_error_message"))
        self.found.letters.append(
            DeadLetter(
                letter.entity_type_id,
                letter.kind,
                letter.code,
                message,
                letter.failed_at,
                letter.redrives,
            )
        )

    def _is_it(self, seen: Letter | Parked) -> bool:
        """Tell whether a message may be of the event: nobody knows a type that cannot be read."""
        wanted, event = self.found.entity_type_id, seen.event
        is_of_type = None in {wanted, event.entity_type_id} or wanted == event.entity_type_id
        return event.event_id == self.found.event_id and is_of_type

    def _note_id(self, event: ItemEvent | Malformed) -> None:
        """Note the external id of a message that was found: it may have brought its own."""
        if isinstance(event, ItemEvent) and event.external_id is not None:
            self.ids.setdefault(event.entity_type_id, set()).add(event.external_id)

    async def intake(self) -> None:
        """Say what lies in the intake: nobody but the importer can look into it."""
        queue = self.work.settings.rabbit.intake_queue
        place, channel = f"the intake queue {queue}", await self.work.session.channel()
        try:
            ready, _ = await depth(channel, queue)
        except Missing:
            self.found.hidden.append(Hidden(place, "it is missing"))
        except ConnectionLost as lost:
            # The rights of this command do not allow to read there.
            self.found.hidden.append(Hidden(place, why_ended(str(lost)).found))
        else:
            self.found.hidden.append(Hidden(place, "only the importer can read it", ready))


async def look(work: CommandRuntime, event_id: str, entity_type_id: int | None) -> Found:
    """Look everywhere for an event; raises ConnectionLost, Stalled."""
    this = _Look(work, event_id, entity_type_id)
    found = this.found
    visit = await this.memory()
    inner = await inner_queues(work, visit, *([] if entity_type_id is None else [entity_type_id]))
    found.hidden += [Hidden("inner queues", note) for note in inner.notes]
    await this.dead_letters()
    await this.waiting(inner.queues)
    types = {entity_type_id} if entity_type_id is not None else types_known(work.settings)
    if visit is not None:
        this.remember(visit, types if entity_type_id is not None else types | visit.types)
    types |= found.types() if entity_type_id is None else set()
    _stamp(this.ids, types, work, event_id)
    found.unaskable = sorted(number for number in types if not this.ids.get(number))
    await ask_portal(work.settings, found, this.ids)
    await this.intake()
    return found


def _stamp(
    ids: dict[int, set[ExternalId]], types: Iterable[int], work: CommandRuntime, event_id: str
) -> None:
    """Add the external id that stamping would give, for each type that has a field for one."""
    rules = factories.external_ids(work.settings.bitrix)
    for number in types:
        stamped = rules.stamp(number, event_id, {}, original_names=False).external_id
        if stamped is not None:
            ids.setdefault(number, set()).add(stamped)
