"""Rehearses a file: judges every line as the importer and the portal will, and sends nothing."""

import argparse
import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field

from service import factories
from service.commands import terminal
from service.commands.publish.handover import Handover
from service.commands.publish.pace import Pace
from service.commands.publish.reading import Wanted, reads
from service.commands.publish.records import Note, Read, Record, RefusedLine
from service.commands.publish.rehearsal import report
from service.commands.publish.rehearsal.asking import Asking
from service.commands.publish.rehearsal.identities import Identities
from service.commands.publish.rehearsal.judging import Judge
from service.commands.publish.rehearsal.learning import Learnt, learnt
from service.commands.publish.rehearsal.look_ups import LookUps
from service.commands.publish.rehearsal.references import References
from service.commands.publish.rehearsal.tally import Tally
from service.commands.publish.rehearsal.verdicts import Level, of_refused, worst
from service.commands.publish.source import STANDARD_INPUT, STDIN, Source, size_of
from service.commands.runtime import run, stoppable
from service.domain.events import BatchKey
from service.domain.forecast import Limits, forecast
from service.factories import CannotStart
from service.settings.environment import load
from service.settings.tree import Settings
from service.telemetry.metrics import Metrics


@dataclass(slots=True, eq=False)
class Rehearsal:
    """One run over a file."""

    judge: Judge
    look_ups: LookUps
    references: References
    tally: Tally
    identities: Identities
    events: Counter[BatchKey] = field(default_factory=Counter)

    async def take(self, read: Read) -> None:
        """Judge what was read."""
        match read:
            case Note():
                terminal.say(terminal.clean(f"warning: {read.text}"))
            case RefusedLine():
                self.tally.line(read.place, [of_refused(read)])
            case Record():
                await self._judge(read)

    async def finish(self) -> None:
        """Ask what is left to ask."""
        await self.look_ups.finish()
        await self.references.finish()
        self.events -= self.references.failed

    async def _judge(self, record: Record) -> None:
        findings = await self.judge.findings(record)
        if worst(findings) < Level.FAIL:
            findings += self.references.findings(record.event)
        is_good = worst(findings) < Level.FAIL
        if is_good:
            findings += self.identities.findings(record)
        line = self.tally.line(record.place, findings)
        if is_good and self.identities.is_new(record):
            self.events[record.event.batch_key] += 1
            if self.judge.asking.gone is None:  # else the line says already what nobody can tell
                self.references.add(record, line)
                await self.look_ups.add(record, line)


def rehearse(options: argparse.Namespace, descriptor: int) -> int:
    """Rehearse a file and return the exit code."""
    if options.after is not None:
        raise CannotStart("--after continues a publish; a rehearsal always reads the whole file")
    return run(_rehearse(options, descriptor, load()))


async def _rehearse(options: argparse.Namespace, descriptor: int, settings: Settings) -> int:
    wanted = Wanted(options.format, options.entity_type, options.id_column, options.encoding)
    name = STANDARD_INPUT if options.file == STDIN else options.file
    async with factories.portal(settings, Metrics()) as portal:
        asking = Asking(portal)
        tally = Tally(report.tell)
        judge = Judge(
            asking, factories.external_ids(settings.bitrix), settings.validation == "reject"
        )
        identities = Identities()
        rehearsal = Rehearsal(
            judge,
            LookUps(asking, settings.lookup, tally.late),
            References(asking, tally.late, identities, settings.links.wait_seconds),
            tally,
            identities,
        )
        with stoppable() as stop:
            source = Source(name, descriptor, stop.is_set)
            longest = settings.rabbit.max_message_bytes + 1
            found = reads(source, wanted, factories.decoder(settings), longest)
            broken: CannotStart | None = None
            try:
                await _walk(rehearsal, source, Handover(asyncio.get_running_loop()).reads(found))
            except CannotStart as reason:
                broken = reason
    known = await learnt(settings.status_url)
    if broken is not None and not tally.lines:
        raise broken
    outcome = _outcome(rehearsal, settings, known, stopped=stop.is_set())
    show = report.show_json if options.json else report.show
    show(outcome)
    if not tally.lines.total():
        terminal.say(f"warning: {name} is empty: there was nothing to rehearse")
    if broken is not None:
        raise broken
    return outcome.code


async def _walk(rehearsal: Rehearsal, source: Source, found: AsyncGenerator[Read]) -> None:
    """Take what is read until a stop is asked for."""
    try:
        with terminal.progress("rehearsing", size_of(source.descriptor), unit="bytes") as progress:
            pace = Pace(source, progress)
            async with aclosing(found):
                async for read in found:
                    if source.is_stopped():
                        return
                    await rehearsal.take(read)
                    pace.show(rehearsal.tally.lines.total(), "line")
            await rehearsal.finish()
    finally:
        source.is_closed = True


def _outcome(
    rehearsal: Rehearsal, settings: Settings, known: Learnt, *, stopped: bool
) -> report.Outcome:
    """Return what was found, with the time that the import will take."""
    told = forecast(
        rehearsal.events,
        _limits(settings, known),
        known.costs,
        look_ups=_look_ups(rehearsal, settings),
    )
    return report.Outcome(
        rehearsal.tally,
        told,
        rehearsal.events.total(),
        gone=rehearsal.judge.asking.gone,
        stopped=stopped,
        nobody="" if known.told else settings.status_url,
    )


def _limits(settings: Settings, known: Learnt) -> Limits:
    bitrix, batch = settings.bitrix, settings.batch
    return Limits(
        slots=batch.slots,
        items=batch.max_items,
        rate=bitrix.requests_per_second,
        burst=bitrix.burst,
        budget=bitrix.operating_limit_seconds,
        window=bitrix.operating_window_seconds,
        used=known.used,
    )


def _look_ups(rehearsal: Rehearsal, settings: Settings) -> int:
    """Return how many requests the importer will make beside its imports."""
    batches = sum(-(-count // settings.batch.max_items) for count in rehearsal.events.values())
    always = batches if settings.lookup == "always" else 0
    return always + -(-rehearsal.references.asked // settings.batch.max_items)
