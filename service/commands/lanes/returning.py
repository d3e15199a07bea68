"""Sends what waits back to the intake queue: confirmed there first, acknowledged here after."""

import argparse
from collections.abc import Sequence
from functools import partial

from service.commands import terminal
from service.commands.lanes.moving import AT_TERMINAL, Move, Sender, Tally, Wanted, queues_of
from service.commands.runtime import CommandRuntime, command_runtime, run
from service.commands.watching import Watcher
from service.domain.parking import LINKS
from service.rabbit.confirms import Confirmer
from service.rabbit.connection import ConnectionLost
from service.rabbit.holding import depth
from service.rabbit.parked import InnerDepth, Parked
from service.rabbit.session import Missing
from service.rabbit.waiting import unparked
from service.settings.environment import load
from service.settings.tree import Settings

_LOST = (
    "A version that does not know `links` imports these events without their links, and gives "
    "no warning. Send them back only to a version that knows links, or if that does no harm."
)


def returning(options: argparse.Namespace) -> int:
    """Send back what is selected; with links only after a confirmation at a terminal."""
    settings = load()
    if options.links:
        terminal.say(_LOST)
        asks = not options.yes and terminal.can_ask()
        if asks and not terminal.confirm("Type links to send them back as well:", "links"):
            terminal.say("nothing was sent back")
            return 1
    return run(_return(options, settings))


async def _return(options: argparse.Namespace, settings: Settings) -> int:
    tally, wanted = Tally(), Wanted(options.type, links=options.links)
    async with command_runtime("lanes return", settings) as work:
        try:
            queues = await send_back(work, wanted, tally)
        finally:
            terminal.show(f"{terminal.many(tally.done, 'event')} sent back to the intake")
            tally.tell("not sent back")
    _tell_of_links(queues, wanted)
    return tally.code


async def tell_of_importers(work: CommandRuntime, watcher: Watcher) -> None:
    """Say that an importer is at work: it would park again what belongs to a closed lane."""
    queue = work.settings.rabbit.intake_queue
    try:
        _, consumers = await depth(await work.session.channel(), queue)
    except (ConnectionLost, Missing):
        return  # we may not ask; it is only a note
    if consumers:
        watcher.note(
            f"note: an importer consumes {queue}: events of a closed lane and doubtful events "
            f"will wait again. Before a roll-back, stop it first"
        )


async def send_back(
    work: CommandRuntime, wanted: Wanted, tally: Tally, watcher: Watcher = AT_TERMINAL
) -> list[InnerDepth]:
    """Send what is wanted back to the intake; return the queues that there are."""
    exchange = work.settings.rabbit.intake_exchange
    await work.session.needs_exchange(exchange)
    queues, _ = await queues_of(work, tally, wanted.entity_type_id)
    await tell_of_importers(work, watcher)
    reopen = partial(work.session.channel, confirms=True)
    sender = Sender(Confirmer(await reopen(), reopen), tally)

    async def send(chosen: Sequence[Parked]) -> list[Parked]:
        back = [unparked(each.message, each.waiting, exchange) for each in chosen]
        confirmed = await sender.all_of(back)
        return [each for each, sure in zip(chosen, confirmed, strict=True) if sure]

    await Move(work, wanted, tally, watcher=watcher).walk(queues, "sending back", send)
    return queues


def _tell_of_links(queues: Sequence[InnerDepth], wanted: Wanted) -> None:
    """Say what waits for items still, and was not meant."""
    for queue in queues:
        if queue.part == LINKS and queue.messages and not wanted.links:
            waits = "event waits" if queue.messages == 1 else "events wait"
            terminal.say(
                f"{queue.messages:,} {waits} for linked items, in {queue.name}: --links sends "
                f"them back as well"
            )
