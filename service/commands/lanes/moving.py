"""Walks through inner queues and takes out of them what an operator sends on or ends."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field

from service import factories
from service.commands import terminal
from service.commands.inner_queues import inner_queues, memory_of
from service.commands.runtime import CommandRuntime
from service.commands.watching import AtTerminal, Watcher
from service.domain.parking import DOUBTFUL, LINKS
from service.rabbit.confirms import Confirmer, PublishResult
from service.rabbit.encoding import Outgoing, bare, bodyless
from service.rabbit.holding import hold
from service.rabbit.memory_visit import NoMemoryError, Visit
from service.rabbit.parked import InnerDepth, Parked, read_parked

AT_TERMINAL = AtTerminal("events")
WHY = {
    PublishResult.RETURNED: "no queue is bound to exchange {}",
    PublishResult.NACKED: "a queue bound to exchange {} is full and refuses",
    PublishResult.UNWRITABLE: "the message is too large for the broker, or its headers cannot "
    "be written",
    PublishResult.LOST: "the connection was lost; the message may have arrived, which does no "
    "harm",
}

Handle = Callable[[Sequence[Parked]], Awaitable[Sequence[Parked]]]
"""Works on chosen events; returns those that are done and may leave their queue."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events are meant: of one type or of all, those that wait for links or not."""

    entity_type_id: int | None
    links: bool

    @property
    def words(self) -> str:
        """Which events are meant, in words."""
        of = "all types" if self.entity_type_id is None else f"type {self.entity_type_id}"
        return f"parked, {of}" + (", with what waits for items" if self.links else "")

    def queues(self, found: Iterable[InnerDepth]) -> list[InnerDepth]:
        """Return the queues that may hold such events."""
        return [each for each in found if self._may_hold(each)]

    def _may_hold(self, queue: InnerDepth) -> bool:
        if queue.part == LINKS:
            return self.links
        return queue.part == DOUBTFUL or self.entity_type_id in {None, queue.entity_type_id}

    def holds(self, parked: Parked) -> bool:
        """Tell whether an event is meant; one without a readable type has that of its lane."""
        wanted, own = self.entity_type_id, parked.event.entity_type_id
        return wanted is None or wanted == own or (own is None and parked.part == str(wanted))


@dataclass(slots=True)
class Tally:
    """What became of the events: `done`, or left where they are.

    `others`: those of another portal; `kept`: those that need nothing, with the reason; `failed`:
    those that were to go and did not, with the reason. `refused`: nobody takes any more.
    """

    done: int = 0
    kept: Counter[str] = field(default_factory=Counter)
    others: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    ended_early: bool = False
    refused: bool = False

    def tell(self, verb: str) -> None:
        """Say what was not done, and why."""
        for portal, count in self.others.items():
            terminal.say(
                f"{verb}: {_events(count)}: parked for another portal ({portal}): point the "
                "importer's settings at it, or purge the queue"
            )
        for why, count in (self.kept + self.failed).items():
            terminal.say(f"{verb}: {_events(count)}: {why}")
        for note in self.notes:
            terminal.say(f"note: {note}")
        if self.ended_early:
            terminal.say("interrupted: the rest stays where it is")

    @property
    def code(self) -> int:
        """The exit code."""
        return 1 if self.failed or self.ended_early else 0


@dataclass(slots=True, eq=False)
class Move:
    """A walk through inner queues, for at most `most` events; None: all that are there now."""

    work: CommandRuntime
    wanted: Wanted
    tally: Tally
    most: int | None = None
    watcher: Watcher = AT_TERMINAL

    async def walk(self, queues: Sequence[InnerDepth], what: str, handle: Handle) -> None:
        """Go through the queues one after another; what is not done stays where it is.

        Raises ConnectionLost, Stalled, Missing.
        """
        for queue in self.wanted.queues(queues):
            if queue.messages is None:
                self.tally.failed[f"queue {queue.name} may not be read"] += 1
            elif queue.messages and not self._is_over:
                await self._through(queue, what, handle)

    async def _through(self, queue: InnerDepth, what: str, handle: Handle) -> None:
        async with hold(self.work.session, queue.name) as holding:
            with self.watcher.watching(f"{what} {queue.name}", holding.depth) as walk:
                async for window in holding.windows():
                    read = [read_parked(each, self.work.decoder, queue.part) for each in window]
                    gone = await handle(self._chosen(read))
                    await holding.take(each.tag for each in gone)
                    self.tally.done += len(gone)
                    walk.advance(len(window))
                    self.tally.ended_early = walk.stopped
                    if self._is_over:
                        return

    def _chosen(self, read: Iterable[Parked]) -> list[Parked]:
        own = factories.portal_host(self.work.settings)
        chosen: list[Parked] = []
        for each in filter(self.wanted.holds, read):
            if each.waiting.portal not in {"", own}:
                self.tally.others[each.waiting.portal] += 1
            elif self.most is None or self.tally.done + len(chosen) < self.most:
                chosen.append(each)
        return chosen

    @property
    def _is_over(self) -> bool:
        full = self.most is not None and self.tally.done >= self.most
        return full or self.tally.ended_early or self.tally.refused


@dataclass(slots=True, eq=False)
class Sender:
    """Publishes for a walk, and counts why something was not confirmed."""

    confirmer: Confirmer
    tally: Tally

    async def all_of(self, messages: Sequence[Outgoing]) -> list[bool]:
        """Publish messages; tell for each whether it is confirmed. Raises ConnectionLost."""
        results = await asyncio.gather(*map(self._one, messages))
        for message, result in zip(messages, results, strict=True):
            if result is not PublishResult.CONFIRMED:
                self.tally.failed[WHY[result].format(message.exchange)] += 1
        nobody = set(results) == {PublishResult.RETURNED}
        self.tally.refused |= nobody or PublishResult.NACKED in results
        if PublishResult.LOST in results:
            raise self.confirmer.lost()
        return [result is PublishResult.CONFIRMED for result in results]

    async def _one(self, message: Outgoing) -> PublishResult:
        """Publish one message; a dead letter that cannot be written goes without what hinders."""
        result = await self.confirmer.send(message)
        for spared in (bare, bodyless) if message.target == "dead_letter" else ():
            if result is PublishResult.UNWRITABLE:
                result = await self.confirmer.send(spared(message))
        return result


async def queues_of(
    work: CommandRuntime, tally: Tally, entity_type_id: int | None
) -> tuple[list[InnerDepth], Visit | None]:
    """Return the inner queues that exist and what the memory says; None: there is none."""
    visit: Visit | None = None
    try:
        async with memory_of(work) as found:
            await found.read()
            visit = found
    except NoMemoryError as why:
        tally.notes.append(f"there is no memory to read: {why}")
    named = [] if entity_type_id is None else [entity_type_id]
    inner = await inner_queues(work, visit, *named)
    tally.notes += inner.notes
    return inner.queues, visit


def _events(count: int) -> str:
    return terminal.many(count, "event")
