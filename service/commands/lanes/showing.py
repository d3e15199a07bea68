"""Shows the lanes: which entity types flow, which wait and why, and how much waits."""

import argparse
from collections.abc import Iterator
from typing import Any

from service.commands import terminal
from service.commands.lanes.overview import (
    Lane,
    Overview,
    Waits,
    told_by_broker,
    told_by_importer,
)
from service.commands.moments import age, written
from service.commands.runtime import command_runtime
from service.commands.status_reading import Process, processes, shown
from service.settings.environment import load
from service.settings.tree import Settings

_TONES = {"open": "good", "closed": "bad", "trial": "warn"}
_WAITS = {"doubt": "in doubt, to be looked up", "link": "waiting for linked items"}


async def showing(options: argparse.Namespace) -> int:
    """Ask the importer, or else the broker, and show what it tells."""
    overview = await overview_of(load(portal=False))
    (_show_json if options.json else _show)(overview)
    return 0


async def overview_of(settings: Settings) -> Overview:
    """Return what is known of the lanes; raises CannotConnect, ConnectionLost, Stalled."""
    found = await processes(settings.status_url)
    process = shown(found)
    overview = told_by_importer(process) if process is not None else None
    if overview is not None:
        return overview
    async with command_runtime("lanes", settings) as work:
        overview = await told_by_broker(work)
    overview.notes.insert(0, _why_not(settings.status_url, found, process))
    return overview


def _why_not(url: str, found: list[Process], process: Process | None) -> str:
    """Say why the importer did not tell, and what that means."""
    if process is None:
        why = "; ".join(f"{each.address}: {each.problem}" for each in found)
    elif process.active is False:
        why = f"{process.address} is a stand-by, and only the active process knows"
    else:
        why = f"{process.address} has a version that does not tell of lanes"
    return (
        f"the importer did not answer ({url}: {why}). The broker shows what waits, not "
        f"whether a lane is closed now. IMPORTER_CONSOLE__STATUS_URL is the address of the "
        f"importer"
    )


def _show(overview: Overview) -> None:
    if overview.lanes:
        terminal.table(
            ["type", "state", "reason", "since", "next try", "parked"],
            [
                [
                    str(lane.entity_type_id),
                    terminal.Toned(lane.state or "unknown", _TONES.get(lane.state, "dim")),
                    lane.reason or "-",
                    age(lane.since) if lane.since else "-",
                    _next_try(lane),
                    "unknown" if lane.parked is None else f"{lane.parked:,}",
                ]
                for lane in overview.lanes
            ],
        )
    else:
        terminal.show("no lane is closed, and no event waits in a queue of a lane")
    for line in _beside(overview.parked):
        terminal.show(line)
    for line in _oldest(overview.parked):
        terminal.show(line)
    for note in overview.notes:
        terminal.say(f"note: {note}")
    for lane in overview.lanes:
        if lane.state == "closed":
            hint = terminal.command("lanes retry --type=N", N=str(lane.entity_type_id))
            terminal.show(f"try it at once: {hint}")
            break


def _beside(parked: list[Waits]) -> Iterator[str]:
    for each in parked:
        if each.entity_type_id is None and each.messages != 0:
            count = "unknown" if each.messages is None else terminal.many(each.messages, "event")
            yield f"{_WAITS.get(each.reason, each.reason)}: {count} in {each.queue}"


def _oldest(parked: list[Waits]) -> Iterator[str]:
    """Yield a line about the oldest event of each queue, so that its id can be looked up."""
    for each in parked:
        if each.messages and each.oldest_id:
            place = each.queue.rpartition(".")[2]
            hint = terminal.command("find ID", ID=each.oldest_id)
            yield f"the oldest in {place}: {hint}"


def _next_try(lane: Lane) -> str:
    match lane.state:
        case "trial":
            return "now"
        case "closed" if lane.next_try is not None:
            return f"in {lane.next_try:,.0f} s"
        case _:
            return "-"


def _show_json(overview: Overview) -> None:
    terminal.show_json(as_json(overview))


def as_json(overview: Overview) -> dict[str, Any]:
    """Return the lanes as `--json` shows them."""
    return {
        "source": "broker" if overview.address is None else "importer",
        "address": overview.address,
        "lanes": [
            {
                "entityTypeId": lane.entity_type_id,
                "state": lane.state or None,
                "reason": lane.reason,
                "since": lane.since and written(lane.since),
                "nextTrySeconds": lane.next_try,
                "parked": lane.parked,
            }
            for lane in overview.lanes
        ],
        "parked": [
            {
                "queue": each.queue,
                "entityTypeId": each.entity_type_id,
                "reason": each.reason or None,
                "messages": each.messages,
                "oldestId": each.oldest_id,
            }
            for each in overview.parked
        ],
        "notes": overview.notes,
    }
