"""Says which lanes are closed and which inner queues are broken, where an importer tells."""

from collections.abc import Mapping
from typing import Any, TypeGuard

from service.commands.check.rows import Row, ok, unknown, warn
from service.commands.status_reading import Process, processes, shown
from service.domain.links import MAX_ENTITY_TYPE

MAX_ROWS = 50
_CHECK, _SUBJECT = "importer.lanes", "lanes"


async def importer(url: str) -> Process | None:
    """Ask the importer's /status; None where nothing answers there: it may not run yet."""
    return shown(await processes(url))


def lane_rows(process: Process | None) -> list[Row]:
    """Return the rows on lanes and inner queues that the importer told of."""
    if process is None:
        return []
    status = process.status or {}
    return [*judged(status, process.address), *broken(status)]


def types_told(process: Process | None) -> set[int]:
    """Return the entity types whose lanes or queues the importer knows: AMQP lists no queues."""
    status = (process and process.status) or {}
    told = [status.get(name) for name in ("lanes", "parked")]
    rows = [each for rows in told if isinstance(rows, list) for each in rows[:MAX_ROWS]]
    numbers = [row.get("entity_type") for row in rows if isinstance(row, dict)]
    return {each for each in numbers if type(each) is int and 0 < each <= MAX_ENTITY_TYPE}


def broken(status: Mapping[str, Any]) -> list[Row]:
    """Return a row for each inner queue that the importer leaves alone, with what to do."""
    told = status.get("broken_queues")
    found = [*told.items()][:MAX_ROWS] if isinstance(told, dict) else []
    return [_broken(str(name)[:300], str(text)[:500]) for name, text in found]


def _broken(name: str, text: str) -> Row:
    why, _, remedy = text.rpartition("; ")
    found = f"broken: {why}; the importer leaves it alone until it can be read again"
    return warn("inner.queues", f"queue {name}", found, remedy)


def judged(status: Mapping[str, Any], address: str) -> list[Row]:
    """Return a row for each lane that is not open, or one that says that none is closed."""
    told = status.get("lanes")
    if status.get("active") is False or not _is_readable(told):
        found = f"the importer at {address} is a stand-by, or does not tell of lanes"
        return [unknown(_CHECK, _SUBJECT, found, "set IMPORTER_CONSOLE__STATUS_URL")]
    if not told:
        return [ok(_CHECK, _SUBJECT, f"the importer at {address} says that none is closed")]
    return [_closed(each) for each in told[:MAX_ROWS]]


def _is_readable(told: object) -> TypeGuard[list[Mapping[str, Any]]]:
    """Tell whether this is a list of lanes."""
    lanes = told if isinstance(told, list) else [None]
    return all(isinstance(each, dict) and "entity_type" in each for each in lanes)


def _closed(lane: Mapping[str, Any]) -> Row:
    number, reason = str(lane["entity_type"])[:20], str(lane.get("reason"))[:40]
    since, parked = str(lane.get("since"))[:40], str(lane.get("parked"))[:20]
    return warn(
        _CHECK,
        f"lane {number}",
        f"closed for {reason} since {since}; {parked} events wait",
        "see the runbook ImporterLaneClosed for this reason; when the cause is gone, the lane "
        "opens by itself",
        f"crm-importer lanes retry --type {number}",
    )
