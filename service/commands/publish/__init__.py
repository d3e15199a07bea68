"""Publishes item events from a file, each confirmed, and refuses bad lines; or rehearses that."""

import argparse
import asyncio
import os
import shlex
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial

from service.commands import terminal
from service.commands.publish.findings import Findings
from service.commands.publish.handover import Handover
from service.commands.publish.pace import Pace
from service.commands.publish.reading import Wanted, reads
from service.commands.publish.records import Note, Read, Record, RefusedLine
from service.commands.publish.repeats import Repeats
from service.commands.publish.sending import Sender
from service.commands.publish.source import STANDARD_INPUT, STDIN, Source, opened, size_of
from service.commands.runtime import command_runtime, run, stoppable
from service.factories import CannotStart
from service.rabbit.confirms import Confirmer
from service.rabbit.connection import ConnectionLost
from service.rabbit.reasons import RUN_AGAIN, why_ended
from service.rabbit.rights import of_upstream


@dataclass(slots=True, eq=False)
class Feed:
    """One run over a file; `after` is the event id up to which all is skipped."""

    sender: Sender
    after: str | None
    as_json: bool = False
    findings: Findings = field(default_factory=Findings)
    repeats: Repeats = field(default_factory=Repeats)
    skipped: int = 0
    stopped: bool = False

    @property
    def has_begun(self) -> bool:
        """Whether there is anything to tell."""
        return bool(self.findings.refused or self.skipped or self.sender.has_begun)

    async def take(self, read: Read) -> None:
        """Publish what can be published; tell what cannot."""
        match read:
            case Note():
                self.findings.note(read.text)
            case _ if self.after is not None:
                self.skipped += 1
                if isinstance(read, Record) and read.event.event_id == self.after:
                    self.after = None
            case RefusedLine():
                self.findings.refuse(read.place, read.reason)
            case Record():
                self._warn(read)
                await self.sender.send(read)

    def _warn(self, record: Record) -> None:
        repeated = self.repeats.warning(record)
        told = (*record.warnings, *record.documented)
        warnings = [*told, *([repeated] if repeated else [])]
        for warning in warnings:
            self.findings.warn(record.place, warning)
        self.findings.warned += bool(warnings)

    def report(self) -> None:
        """Say what was done."""
        sender = self.sender
        for record in sender.unwritable:
            self.findings.refuse(record.place, "it cannot be sent as a message")
        sender.unwritable.clear()
        self.findings.flush()
        if self.as_json:
            terminal.show_json(
                {
                    "exchange": sender.exchange,
                    "published": sender.confirmed,
                    "refused": self.findings.refused,
                    "warned": self.findings.warned,
                    "skipped": self.skipped,
                    "lastConfirmedId": sender.last.event.event_id if sender.last else None,
                }
            )
            return
        events = terminal.many(sender.confirmed, "item event")
        parts = [f"{events} published to exchange {sender.exchange}"]
        counts = (
            (self.findings.refused, "refused"),
            (self.findings.warned, "published with a warning"),
            (self.skipped, "skipped"),
        )
        for count, fate in counts:
            parts += [f"{terminal.many(count, 'line')} {fate}"] if count else []
        terminal.show(", ".join(parts))

    def tell_how_to_go_on(self) -> None:
        """Say up to where everything is confirmed, and what may have been sent beside."""
        sender, last = self.sender, self.sender.last
        unknown = ""
        if sender.unknown:
            unknown = (
                f"; {terminal.many(sender.unknown, 'event')} after it may have been sent as "
                f"well; sending them again does no harm"
            )
        if last is None:
            terminal.say(f"ended early: nothing was confirmed{unknown}; start again")
            return
        event_id = last.event.event_id
        quoted = shlex.quote(event_id)
        option = quoted if quoted != event_id else f"'{event_id}'"
        terminal.say(
            f"ended early: all up to event {event_id} ({last.place}) is confirmed{unknown}; "
            f"continue with --after {option}"
        )


def main(options: argparse.Namespace) -> int:
    """Publish a file and return the exit code."""
    with opened(options.file) as descriptor:
        if os.isatty(descriptor):
            terminal.say("reading item events, a line each, until Ctrl-D")
        if options.rehearse:
            # Only a rehearsal needs the portal.
            from service.commands.publish.rehearsal import rehearse  # noqa: PLC0415 - as said

            return rehearse(options, descriptor)
        return run(_publish(options, descriptor))


async def _publish(options: argparse.Namespace, descriptor: int) -> int:
    wanted = Wanted(options.format, options.entity_type, options.id_column, options.encoding)
    name = STANDARD_INPUT if options.file == STDIN else options.file
    async with command_runtime("publish", needs=of_upstream) as work:
        exchange = work.settings.rabbit.intake_exchange
        await work.session.needs_exchange(exchange)
        channel = partial(work.session.channel, confirms=True)
        confirmer = Confirmer(await channel(), channel)
        feed = Feed(Sender(confirmer, exchange), options.after, options.json)
        with stoppable() as stop:
            source = Source(name, descriptor, stop.is_set)
            # As JSON escapes it, a message may be longer than its line by less than that.
            longest = work.settings.rabbit.max_message_bytes + 1
            found = reads(source, wanted, work.decoder, longest)
            await _walk(feed, source, Handover(asyncio.get_running_loop()).reads(found))
            feed.stopped = stop.is_set()
    if feed.after is not None and not feed.stopped:
        raise CannotStart(
            f"no line has the event id {terminal.clean(feed.after)}: nothing was published"
        )
    feed.report()
    if feed.stopped:
        feed.tell_how_to_go_on()
    elif not feed.has_begun:
        terminal.say(f"warning: {name} is empty: there was nothing to publish")
    return 1 if feed.findings.refused or feed.stopped else 0


async def _walk(feed: Feed, source: Source, found: AsyncGenerator[Read]) -> None:
    """Take what is read until a stop is asked for; say how to continue after an early end."""
    try:
        with terminal.progress("publishing", size_of(source.descriptor), unit="bytes") as progress:
            pace = Pace(source, progress)
            async with aclosing(found):
                async for read in found:
                    if source.is_stopped():
                        break
                    await feed.take(read)
                    pace.show(feed.sender.confirmed, "event")
            await feed.sender.finish()
    except (Exception, asyncio.CancelledError) as error:
        feed.sender.abandon()
        if feed.has_begun:
            feed.report()
            feed.tell_how_to_go_on()
        if isinstance(error, ConnectionLost) and feed.sender.last is not None:
            ended = why_ended(str(error))
            if ended.remedy == RUN_AGAIN:  # how to go on is told already
                raise CannotStart(f"the broker ended the command: {ended.found}") from None
        raise
    finally:
        source.is_closed = True
