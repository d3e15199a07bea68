"""Publishes item events from a file into the intake, each confirmed, and refuses bad lines."""

import argparse
import asyncio
import csv
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass

from service import console
from service.errand import Errand, errand, run, stoppable
from service.feed.records import Blank, Read, Record, Refused, of_csv, of_json_lines
from service.feed.sending import Sender
from service.feed.source import lines, opened, size_of
from service.parts import CannotStart
from service.rabbit.confirming import Confirmer


@dataclass(slots=True, eq=False)
class Feed:
    """One run over a file; `after` is the event id up to which all is skipped."""

    sender: Sender
    after: str | None
    refused: int = 0
    skipped: int = 0
    stopped: bool = False

    @property
    def has_begun(self) -> bool:
        """Whether there is anything to tell."""
        return bool(self.refused or self.skipped or self.sender.has_begun)

    async def take(self, read: Read) -> None:
        """Publish what can be published; tell what cannot."""
        match read:
            case Blank():
                return
            case _ if self.after is not None:
                self.skipped += 1
                if isinstance(read, Record) and read.event.event_id == self.after:
                    self.after = None
            case Refused():
                self.refuse(read.line, read.reason)
            case Record():
                await self.sender.send(read)

    def refuse(self, line: int, reason: str) -> None:
        """Tell which line is refused, and why."""
        self.refused += 1
        console.say(console.clean(f"line {line} refused: {reason}"))

    def report(self) -> None:
        """Say what was done, and how to go on where it ended early."""
        sender = self.sender
        for record in sender.unwritable:
            self.refuse(record.line, "it cannot be sent as a message")
        sender.unwritable.clear()
        events = console.many(sender.confirmed, "item event")
        parts = [f"{events} published to exchange {sender.exchange}"]
        for count, fate in ((self.refused, "refused"), (self.skipped, "skipped")):
            parts += [f"{console.many(count, 'line')} {fate}"] if count else []
        console.show(", ".join(parts))

    def tell_how_to_go_on(self) -> None:
        """Say up to where everything is confirmed."""
        if self.sender.last is None:
            console.say("ended early: nothing was confirmed, begin anew")
        else:
            last = console.clean(self.sender.last)
            console.say(
                f"ended early: all up to event {last} is confirmed; go on with --after '{last}'"
            )


def main(options: argparse.Namespace) -> int:
    """Publish a file and return the exit code."""
    is_csv = options.format == "csv" or (
        options.format == "auto" and options.file.lower().endswith(".csv")
    )
    if is_csv and options.entity_type is None:
        raise CannotStart("a CSV needs --entity-type: the entity type of its rows")
    if options.id_column is not None and not is_csv:
        raise CannotStart("--id-column is for CSV; a JSON line has its id in itself")
    with opened(options.file) as descriptor:
        if os.isatty(descriptor):
            console.say("reading item events, a line each, until Ctrl-D")
        return run(_publish(options, descriptor, is_csv=is_csv))


async def _publish(options: argparse.Namespace, descriptor: int, *, is_csv: bool) -> int:
    async with errand("publish") as work:
        exchange = work.settings.rabbit.intake_exchange
        await work.session.needs_exchange(exchange)
        confirmer = Confirmer(await work.session.channel(confirms=True))
        feed = Feed(Sender(confirmer, exchange), options.after)
        with stoppable() as stop:
            source = lines(descriptor, _longest(work), stop)
            reads = (
                of_csv(source, work.decoder, options.entity_type, options.id_column)
                if is_csv
                else of_json_lines(source, work.decoder, options.entity_type)
            )
            await _walk(feed, reads, size_of(descriptor))
            feed.stopped = stop.is_set()
    if feed.after is not None and not feed.stopped:
        raise CannotStart(
            f"no line has the event id {console.clean(feed.after)}: nothing was published"
        )
    feed.report()
    if feed.stopped:
        feed.tell_how_to_go_on()
    return 1 if feed.refused or feed.stopped else 0


async def _walk(feed: Feed, reads: AsyncIterator[Read], total: int | None) -> None:
    """Take everything that is read; whatever ends that early is followed by how to go on."""
    try:
        with console.progress("publishing", total, unit="bytes") as progress:
            async for read in reads:
                await feed.take(read)
                progress.advance(read.size)
            await feed.sender.finish()
    except (Exception, asyncio.CancelledError):
        feed.sender.abandon()
        if feed.has_begun:
            feed.report()
            feed.tell_how_to_go_on()
        raise


def _longest(work: Errand) -> int:
    """Return how long a line may be: as JSON escapes it, a message may grow by less than that."""
    longest = work.settings.rabbit.max_message_bytes + 1
    csv.field_size_limit(longest)
    return longest
