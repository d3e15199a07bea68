"""Asks which item events are in the CRM already, many at a time, and forgets them at once."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from service.commands.publish.records import Place, Record
from service.commands.publish.rehearsal.asking import Asking, Gone
from service.commands.publish.rehearsal.verdicts import Finding, Level
from service.domain.events import ExternalId
from service.domain.outcomes import CallFailed
from service.domain.witnessing import Seen

AT_ONCE = 200
"""External ids in one question. An answer has 50 items a page, so a new file takes a call each."""
MAX_WAITING = 4_000
"""Events of all types that wait for their question; more types than this is asked for early."""

Late = Callable[[Place, int, Finding], None]
"""Takes a finding of a line that was counted before, by its number in the tally."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """An event that is to be looked up; `line`: its number in the tally."""

    place: Place
    external_id: ExternalId
    line: int


@dataclass(slots=True, eq=False)
class LookUps:
    """Collects events by type and asks for them; `found` counts those that are there.

    `policy`: the setting LOOKUP, which decides what becomes of an event that is there already.
    """

    asking: Asking
    policy: str
    late: Late
    found: int = 0
    _waiting: dict[int, list[Waiting]] = field(default_factory=dict)
    _refused: dict[int, str] = field(default_factory=dict)

    async def add(self, record: Record, line: int) -> None:
        """Have an event looked up, at once or with others."""
        event = record.event
        if event.external_id is None:
            return
        waiting = self._waiting.setdefault(event.entity_type_id, [])
        waiting.append(Waiting(record.place, event.external_id, line))
        if len(waiting) >= AT_ONCE:
            await self._ask(event.entity_type_id)
        elif sum(map(len, self._waiting.values())) >= MAX_WAITING:
            await self.finish()

    async def finish(self) -> None:
        """Ask for what still waits."""
        for number in list(self._waiting):
            await self._ask(number)

    async def _ask(self, number: int) -> None:
        waiting = self._waiting.pop(number)
        wanted = list(dict.fromkeys(each.external_id for each in waiting))
        try:
            items = {} if number in self._refused else await find(self.asking, number, wanted)
        except Gone:
            text = "whether these ids are in the CRM already, since the portal stopped answering"
            self._tell(waiting, Finding(Level.UNJUDGED, "UNASKED", text))
            return
        except CallFailed as failed:
            self._refused[number] = failed.fault.code
            items = {}
        if number in self._refused:
            text = (
                f"whether ids of type {number} are in the CRM already: the portal refuses to look "
                f"for them ({self._refused[number]})"
            )
            remedy = "`crm-importer check` shows whether the field of the external id exists"
            self._tell(waiting, Finding(Level.UNJUDGED, "UNASKED", text, remedy))
            return
        for each in waiting:
            seen = items.get(each.external_id, ())
            if seen:
                self.found += 1
                self.late(each.place, each.line, self._there(len(seen)))

    def _tell(self, waiting: Iterable[Waiting], finding: Finding) -> None:
        for each in waiting:
            self.late(each.place, each.line, finding)

    def _there(self, items: int) -> Finding:
        """Return the finding of an event that is in the CRM already."""
        several = f" ({items} items have this id)" if items > 1 else ""
        if self.policy == "always":
            text = (
                f"is in the CRM already{several}; the importer finds it, and makes no second one"
            )
            return Finding(Level.NOTE, "", text)
        text = (
            f"is in the CRM already{several}; unless the importer remembers this id, it makes a "
            "second item"
        )
        remedy = "leave these lines out, or let the importer ask first (IMPORTER_LOOKUP=always)"
        return Finding(Level.LOSS, "", text, remedy)


async def find(
    asking: Asking, number: int, wanted: list[ExternalId]
) -> dict[ExternalId, list[Seen]]:
    """Return the items that carry the external ids. Raises CallFailed and Gone."""
    return await asking.ask(lambda: asking.portal.find(number, wanted))
