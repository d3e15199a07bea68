"""Finds the queues of what waits, and visits the memory, for the commands that look there."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from service import factories
from service.commands.runtime import CommandRuntime
from service.domain.outcomes import CallFailed
from service.domain.parking import DOUBTFUL, LINKS
from service.rabbit.management import Management, ManagementFailed
from service.rabbit.memory_visit import NoMemoryError, Visit, visit
from service.rabbit.notes import Owner
from service.rabbit.parked import InnerDepth, look_for
from service.settings.tree import Rabbit, Settings
from service.telemetry.metrics import Metrics

BUILT_IN = (1, 2, 3, 4, 7, 31)
"""Leads, deals, contacts, companies, estimates, invoices."""
ANSWER_SECONDS = 15.0
MAX_LANES = 500
"""So many queues are asked for, at most."""


@dataclass(slots=True)
class Inner:
    """The inner queues that exist, and what of the asking is worth a note.

    `told`: where the names of lanes came from, for people.
    """

    queues: list[InnerDepth] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    def lane(self, entity_type_id: int) -> InnerDepth | None:
        """Return the queue of a lane; None where there is none."""
        return next((each for each in self.queues if each.entity_type_id == entity_type_id), None)


async def inner_queues(work: CommandRuntime, memory: Visit | None, *more: int) -> Inner:
    """Ask for every inner queue that may exist; raises ConnectionLost.

    Nobody can list queues over AMQP: lanes are known from the settings, from the memory, where
    that tells of none from the portal's list of its types, from `more`, and from the management
    API where that is set.
    """
    rabbit, inner = work.settings.rabbit, Inner()
    prefix = rabbit.parked_name
    if not prefix:
        inner.notes.append("there are no inner queues: IMPORTER_RABBIT__PARKED_QUEUE is empty")
        return inner
    numbers = {*more, *types_known(work.settings)}
    inner.told.append("types that are built in or configured")
    if memory is not None:
        numbers |= memory.lanes | memory.types
        inner.told.append("the memory")
    if memory is None or not memory.lanes:
        numbers |= await _listed_by_portal(work.settings, inner)
    try:
        numbers |= set(await _listed(rabbit, prefix))
    except ManagementFailed as reason:
        inner.notes.append(f"the management API did not list queues: {reason}: {reason.remedy}")
    else:
        inner.told += ["the management API"] if rabbit.management_url else []
    parts = [DOUBTFUL, LINKS, *map(str, sorted(numbers)[:MAX_LANES])]
    for part in parts:
        found = await look_for(work.session, prefix, part)
        if found is not None:
            inner.queues.append(found)
    return inner


def types_known(settings: Settings) -> set[int]:
    """Return the entity types that are built in or configured."""
    return {*BUILT_IN, *settings.bitrix.external_id_fields}


async def _listed_by_portal(settings: Settings, inner: Inner) -> set[int]:
    """Return the types that the portal lists; none, with a note, where it cannot be asked."""
    if not factories.portal_host(settings):
        return set()
    try:
        async with factories.portal(settings, Metrics()) as portal:
            async with asyncio.timeout(ANSWER_SECONDS):
                types = await portal.types()
    except TimeoutError:
        why = f"no answer within {ANSWER_SECONDS:g} s"
    except CallFailed as failed:
        why = failed.fault.cause or failed.fault.code
    except factories.CannotStart as reason:
        why = str(reason)
    else:
        inner.told.append("the portal's list of types")
        return {*types}
    inner.notes.append(
        f"the portal did not list its types ({why}): queues of types that are named nowhere "
        f"else are not read"
    )
    return set()


@asynccontextmanager
async def memory_of(work: CommandRuntime) -> AsyncIterator[Visit]:
    """Come to the memory of this portal; raises NoMemoryError."""
    portal = factories.portal_host(work.settings)
    if not portal:
        raise NoMemoryError("the portal is not configured here, so its notes cannot be recognised")
    owner = Owner(portal, work.settings.bitrix.originator)
    async with visit(work.session, work.settings.rabbit.memory_name, owner) as found:
        yield found


async def _listed(rabbit: Rabbit, prefix: str) -> list[int]:
    """Return the lanes of which the management API lists queues; raises ManagementFailed."""
    if rabbit.management_url is None:
        return []
    url, vhost = rabbit.management_url.get_secret_value(), factories.virtual_host(rabbit)
    tls = factories.address(rabbit).tls

    def ask() -> list[str]:
        with Management(url, tls) as management:
            return management.queue_names(vhost)

    return list(_lanes(await asyncio.to_thread(ask), prefix))


def _lanes(names: Iterable[str], prefix: str) -> Iterator[int]:
    for name in names:
        part = name.removeprefix(f"{prefix}.")
        if name != part and part.isascii() and part.isdigit():
            yield int(part)
