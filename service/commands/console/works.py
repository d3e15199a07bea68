"""Plans and does what a task is about, with the functions of the commands."""

from collections import Counter

from service.commands.console.desk import DeadLetters
from service.commands.console.orders import Action, Planned, Stage, Task
from service.commands.dlq.groups import Groups
from service.commands.dlq.listing import grouped
from service.commands.dlq.purging import Purge
from service.commands.dlq.redriving import Redrive, Tally
from service.commands.lanes.failing import count_ends, end_all
from service.commands.lanes.moving import Tally as LaneTally
from service.commands.lanes.moving import Wanted, queues_of
from service.commands.lanes.returning import send_back, tell_of_importers
from service.commands.runtime import CommandRuntime
from service.factories import CannotStart
from service.rabbit.parked import InnerDepth
from service.rabbit.rights import of_ender


async def plan(task: Task, desk: DeadLetters) -> None:
    """Count what would be done; raises what `runtime.ENDS` names."""
    early = await _PLANS[task.order.action](task, desk)
    task.stage = Stage.STOPPED if early else Stage.PLANNED


async def work(task: Task, desk: DeadLetters) -> None:
    """Do it; raises what `runtime.ENDS` names."""
    early = await _WORKS[task.order.action](task, desk)
    task.stage = Stage.STOPPED if early else Stage.DONE


# ---- dead letters ----


async def _plan_redrive(task: Task, desk: DeadLetters) -> bool:
    async with desk.reading(task.follow) as (at_work, reading):
        redrive = _redrive_of(at_work, task, dry_run=True)
        await redrive.walk(reading)
    _take_groups(task, redrive.tally.groups)
    task.planned, task.stays = redrive.tally.sent, redrive.tally.stays()
    return reading.ended_early


async def _plan_purge(task: Task, desk: DeadLetters) -> bool:
    groups = Groups()
    async with desk.reading(task.follow) as (_, reading):
        await grouped(reading, task.order.selection, groups)
    _take_groups(task, groups)
    task.planned, task.groups = groups.count, groups
    return reading.ended_early


def _take_groups(task: Task, groups: Groups) -> None:
    task.plan = [Planned(each.kind, each.code, each.count, each.fate) for each in groups]


async def _redrive(task: Task, desk: DeadLetters) -> bool:
    async with desk.reading(task.follow) as (at_work, reading):
        await at_work.session.needs_exchange(at_work.settings.rabbit.intake_exchange)
        redrive = _redrive_of(at_work, task, dry_run=False)
        try:
            await redrive.walk(reading)
        finally:
            task.gone, task.failed = redrive.tally.sent, sum(redrive.tally.failed.values())
            # What the plan left out was not looked at again.
            task.stays = {**task.stays, **redrive.tally.stays()}
    if redrive.untried and not reading.ended_early:
        task.follow.note(f"ended early: {redrive.untried:,} letters not tried")
    return reading.ended_early


async def _purge(task: Task, desk: DeadLetters) -> bool:
    purge = Purge.of(task.order.selection, task.groups)
    async with desk.reading(task.follow) as (_, reading):
        try:
            await purge.walk(reading)
        finally:
            task.gone = purge.removed
    return reading.ended_early and purge.removed < purge.most


def _redrive_of(at_work: CommandRuntime, task: Task, *, dry_run: bool) -> Redrive:
    order = task.order
    return Redrive(
        at_work,
        order.selection,
        order.patch,
        task.planned or None,
        resend_ambiguous=order.resend,
        dry_run=dry_run,
        tally=Tally(),
    )


# ---- what is parked ----


async def _plan_return(task: Task, desk: DeadLetters) -> bool:
    wanted, tally = _wanted(task), LaneTally()
    async with desk.beside(task.follow) as at_work:
        _needs_portal(at_work)
        queues, _ = await queues_of(at_work, tally, wanted.entity_type_id)
        await tell_of_importers(at_work, task.follow)
    chosen = [each for each in wanted.queues(queues) if each.messages]
    task.plan = [Planned(_waits(each), each.name, each.messages or 0) for each in chosen]
    task.planned = sum(each.count for each in task.plan)
    _take_notes(task, tally)
    return False


async def _plan_end(task: Task, desk: DeadLetters) -> bool:
    tally = LaneTally()
    async with desk.beside(task.follow, needs=of_ender) as at_work:
        _needs_portal(at_work)
        counts = await count_ends(at_work, task.order.lane or 0, tally, task.follow)
    task.planned = tally.done
    _take_counts(task, counts)
    _take_stays(task, tally)
    return tally.ended_early


async def _return(task: Task, desk: DeadLetters) -> bool:
    tally = LaneTally()
    async with desk.beside(task.follow) as at_work:
        _needs_portal(at_work)
        try:
            await send_back(at_work, _wanted(task), tally, task.follow)
        finally:
            task.gone = tally.done
            _take_stays(task, tally)
    return tally.ended_early


async def _end(task: Task, desk: DeadLetters) -> bool:
    tally, counts = LaneTally(), Counter[tuple[str, str]]()
    async with desk.beside(task.follow, needs=of_ender) as at_work:
        _needs_portal(at_work)
        try:
            await end_all(at_work, task.order.lane or 0, task.planned, tally, counts, task.follow)
        finally:
            task.gone = tally.done
            _take_counts(task, counts)
            _take_stays(task, tally)
    return tally.ended_early


def _wanted(task: Task) -> Wanted:
    return Wanted(task.order.lane, links=task.order.links)


def _waits(queue: InnerDepth) -> str:
    return "its lane" if queue.entity_type_id is not None else queue.part


def _take_counts(task: Task, counts: Counter[tuple[str, str]]) -> None:
    task.plan = [Planned(kind, reason, count) for (kind, reason), count in counts.items()]


def _take_stays(task: Task, tally: LaneTally) -> None:
    others = {f"parked for another portal ({each})": n for each, n in tally.others.items()}
    task.stays = {**dict(tally.kept), **others, **dict(tally.failed)}
    task.failed = sum(tally.failed.values())
    _take_notes(task, tally)


def _take_notes(task: Task, tally: LaneTally) -> None:
    for note in tally.notes:
        task.follow.note(note)


def _needs_portal(at_work: CommandRuntime) -> None:
    """Raise CannotStart if it is unknown which portal's events these are."""
    bitrix = at_work.settings.bitrix
    if bitrix.webhook_url is None and bitrix.client_endpoint is None:
        raise CannotStart(
            "the portal is not configured here, so its events cannot be recognised: give the "
            "console the importer's IMPORTER_BITRIX__WEBHOOK_URL"
        )


_PLANS = {
    Action.SEND_BACK: _plan_redrive,
    Action.REMOVE: _plan_purge,
    Action.RETURN: _plan_return,
    Action.END: _plan_end,
}
_WORKS = {
    Action.SEND_BACK: _redrive,
    Action.REMOVE: _purge,
    Action.RETURN: _return,
    Action.END: _end,
}
