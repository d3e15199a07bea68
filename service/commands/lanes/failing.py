"""Ends waiting events as failed: result, dead letter, note, and only then out of their queue."""

import argparse
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import cast

from service import factories
from service.commands import terminal
from service.commands.inner_queues import memory_of
from service.commands.lanes.moving import AT_TERMINAL, Move, Sender, Tally, Wanted, queues_of
from service.commands.runtime import CommandRuntime, command_runtime, run
from service.commands.watching import Watcher
from service.domain.delivery import Delivery, Settlement
from service.domain.ending import ended, is_imported, note_on
from service.domain.events import ItemEvent, Malformed
from service.domain.last_words import LastWord, word_on
from service.domain.outcomes import Failed, FailureKind
from service.factories import CannotStart
from service.rabbit.confirms import Confirmer
from service.rabbit.encoding import Encoder, Outgoing
from service.rabbit.memory_visit import NoMemoryError, Visit
from service.rabbit.parked import Parked
from service.rabbit.rights import of_ender
from service.settings.environment import load
from service.settings.tree import Settings

_IMPORTED = "in the CRM already: `lanes return` lets the importer publish that result"


@dataclass(slots=True, eq=False)
class Ends:
    """Ends events; `proof`: seconds after a call in which it may still be at work.

    `counts`: how many ended, or would end, by kind of failure and reason of their waiting.
    """

    visit: Visit | None
    tally: Tally
    proof: float
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)

    def settlements(self, chosen: Iterable[Parked]) -> list[Settlement]:
        """Return how each of the chosen ends; what is imported already does not."""
        made: list[Settlement] = []
        for each in chosen:
            word = self.word_on(each)
            if is_imported(word):
                self.tally.kept[_IMPORTED] += 1
                continue
            failed = _failed(each, word)
            self.counts[str(failed.kind), each.waiting.reason] += 1
            parked = cast("Delivery", each)
            made.append(Settlement(each.event, parked, failed, each.waiting.attempts))
        return made

    def word_on(self, parked: Parked) -> LastWord | None:
        """Return the last word on an event; None if there is none, or it is unknown."""
        if self.visit is None or not isinstance(parked.event, ItemEvent):
            return None
        return self.visit.words.of(parked.event.identity_digest)

    def notes(self, done: Iterable[Parked], writer: int) -> list[LastWord]:
        """Return what is to be noted of events that have ended."""
        now, words = time.time(), []
        for each in done:
            event, word = each.event, self.word_on(each)
            if not isinstance(event, ItemEvent):
                continue
            if _failed(each, word).kind is not FailureKind.AMBIGUOUS:
                continue
            sent = each.waiting.perhaps_sent
            look_at = now if sent is None else sent.timestamp()
            said = note_on(event, word, look_at=look_at, proof=self.proof, now=now)
            if said is not None:
                words.append(word_on(event, *said, writer))
        return words


def _failed(parked: Parked, word: LastWord | None) -> Failed:
    event, waiting = parked.event, parked.waiting
    if isinstance(event, Malformed):
        return Failed(FailureKind.MALFORMED, event.code, event.message)
    return ended(waiting.reason, perhaps_sent=waiting.perhaps_sent is not None, word=word)


def failing(options: argparse.Namespace) -> int:
    """Count the waiting events of a type, ask, and end no more than were counted."""
    if not (options.yes or terminal.can_ask()):
        raise CannotStart("there is no terminal to ask at: lanes fail needs --yes")
    settings, most = load(), None
    if not options.yes:
        counted = Tally()
        if code := run(_count(options.type, settings, counted)):
            return code
        if not counted.done:
            terminal.show(f"no event of type {options.type} is to be ended")
            counted.tell("not ended")
            return counted.code
        most = counted.done
        terminal.say(
            "This sends their failed results and dead letters; a redrive tries them again."
        )
        if not terminal.confirm(
            f"Type {most} to end {terminal.many(most, 'event')} of type {options.type}:", str(most)
        ):
            terminal.say("nothing was ended")
            return 1
    return run(_fail(options.type, settings, most))


async def _count(entity_type_id: int, settings: Settings, counted: Tally) -> int:
    """Count what would end; every event stays."""
    async with command_runtime("lanes fail", settings, needs=of_ender) as work:
        counts = await count_ends(work, entity_type_id, counted)
    _show(counts, "end")
    if counted.ended_early:
        terminal.say("interrupted: nothing was ended")
    return 1 if counted.ended_early else 0


async def count_ends(
    work: CommandRuntime, entity_type_id: int, counted: Tally, watcher: Watcher = AT_TERMINAL
) -> Counter[tuple[str, str]]:
    """Count what would end, by kind and reason of waiting; every event stays."""
    queues, visit = await queues_of(work, counted, entity_type_id)
    ends = Ends(visit, counted, _proof(work.settings))

    async def look(chosen: Sequence[Parked]) -> list[Parked]:
        counted.done += len(ends.settlements(chosen))
        return []

    wanted = Wanted(entity_type_id, links=True)
    await Move(work, wanted, counted, watcher=watcher).walk(queues, "counting", look)
    return ends.counts


async def _fail(entity_type_id: int, settings: Settings, most: int | None) -> int:
    tally, ended_as = Tally(), Counter[tuple[str, str]]()
    async with command_runtime("lanes fail", settings, needs=of_ender) as work:
        try:
            await end_all(work, entity_type_id, most, tally, ended_as)
        finally:
            _show(ended_as, "outcome")
            terminal.show(f"{terminal.many(tally.done, 'event')} of type {entity_type_id} ended")
            tally.tell("not ended")
    return tally.code


async def end_all(
    work: CommandRuntime,
    entity_type_id: int,
    most: int | None,
    tally: Tally,
    ended_as: Counter[tuple[str, str]],
    watcher: Watcher = AT_TERMINAL,
) -> None:
    """End what waits of a type, at most this many; counts in `ended_as` by kind and reason."""
    rabbit = work.settings.rabbit
    for exchange in (rabbit.results_exchange, rabbit.dead_letter_exchange):
        await work.session.needs_exchange(exchange)
    queues, visit = await queues_of(work, tally, entity_type_id)
    way = await _Way.open(work, Ends(visit, tally, _proof(work.settings)), ended_as)
    wanted = Wanted(entity_type_id, links=True)
    await Move(work, wanted, tally, most, watcher).walk(queues, "ending", way.end)


@dataclass(slots=True, eq=False)
class _Way:
    """Puts endings out: each dead letter after its result, each note before its event may go."""

    work: CommandRuntime
    ends: Ends
    sender: Sender
    encoder: Encoder
    ended: Counter[tuple[str, str]]

    @classmethod
    async def open(
        cls, work: CommandRuntime, ends: Ends, ended: Counter[tuple[str, str]]
    ) -> "_Way":
        settings = work.settings
        topology, host = factories.topology(settings.rabbit), factories.portal_host(settings)
        reopen = partial(work.session.channel, confirms=True)
        sender = Sender(Confirmer(await reopen(), reopen), ends.tally)
        return cls(work, ends, sender, Encoder(topology, portal_host=host), ended)

    async def end(self, chosen: Sequence[Parked]) -> list[Parked]:
        """End events; return those whose result and dead letter are confirmed."""
        now = datetime.now(UTC)
        made = self.ends.settlements(chosen)
        told = await self._confirmed(made, [self.encoder.result(each, now) for each in made])
        letters = [self.encoder.dead_letter(each, now) for each in told]
        buried = await self._confirmed(told, letters)
        done = [cast("Parked", each.delivery) for each in buried]
        await self._note(done)
        for each, parked in zip(buried, done, strict=True):
            kind = each.outcome.kind if isinstance(each.outcome, Failed) else ""
            self.ended[str(kind), parked.waiting.reason] += 1
        return done

    async def _confirmed(
        self, made: Sequence[Settlement], messages: Sequence[Outgoing]
    ) -> list[Settlement]:
        sure = await self.sender.all_of(messages)
        return [each for each, is_sure in zip(made, sure, strict=True) if is_sure]

    async def _note(self, done: Sequence[Parked]) -> None:
        """Note what may have been sent; a visit of its own, since the first one is over."""
        if self.ends.visit is None or not done:
            return
        noted = True
        words = self.ends.notes(done, self.ends.visit.writer)
        if words:
            try:
                async with memory_of(self.work) as visit:
                    noted = await visit.say(words)
            except NoMemoryError:
                noted = False
        if not noted:
            self.ends.tally.notes.append(
                f"{terminal.many(len(words), 'event')} could not be noted in the memory: if "
                "one is published again, it is looked up, or ends as ambiguous"
            )


def _proof(settings: Settings) -> float:
    return settings.bitrix.timeout_seconds + settings.bitrix.settle_seconds


def _show(counts: Counter[tuple[str, str]], name: str) -> None:
    if counts:
        rows: list[Sequence[terminal.Cell]] = [
            [kind, reason, count] for (kind, reason), count in sorted(counts.items())
        ]
        terminal.table([name, "waited for", "events"], rows)
