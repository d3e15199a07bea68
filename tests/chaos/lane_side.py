"""Lets people look and act while a lane is closed, and several things be waited for at once."""

import asyncio
from collections.abc import Mapping
from typing import Any

from aio_pika.abc import AbstractIncomingMessage

from tests.chaos.broker_side import active
from tests.chaos.lane_watch import (
    LANE,
    OTHER_LANE,
    WAITS,
    LaneWatch,
    begin,
    deny,
    lane_is_closed,
    waiting,
)
from tests.chaos.trial import ADMIN, REJECTED, SUCCEEDED, Act, Scenario, Trial, event
from tests.support.amqp import Upstream, next_of, wait_until
from tests.support.commands import Commands, Done
from tests.support.parked import lane

WAITING, BESIDE = 25, 10
QUEUE = lane(LANE)
EITHER = (*SUCCEEDED, *REJECTED)
OR_BOTH = (*EITHER, frozenset({"rejected", "succeeded"}))
"""Told of the refusal, killed before it was acknowledged, and tried again when all is mended."""
LOOKS = 1_100
"""More than the delivery limit of the intake."""
SELDOM: Mapping[str, str] = {
    "IMPORTER_PAUSE__PROBE_SECONDS": "120",
    "IMPORTER_PAUSE__PROBE_CAP_SECONDS": "240",
}
"""Nothing opens by itself within a run."""
LONG_DOUBT: Mapping[str, str] = {"IMPORTER_BITRIX__SETTLE_SECONDS": "7"}
"""What was in the call of a dead process waits elsewhere, not in the prefetch."""
CONTACT, DEAL = 3, 2
OF_THE_LANE = '"xmlId"'


async def window_held(trial: Trial) -> None:
    """Hold all that lies in the queue while the lane opens, as one who looks does, then return."""
    watch = await begin(trial)
    await trial.send(waiting(WAITING))
    await watch.wait_parked(WAITING)
    async with Upstream(trial.environment.broker.url(trial.environment.vhost)) as reader:
        queue = await reader.queue(QUEUE)
        held: list[AbstractIncomingMessage] = []

        async def take() -> bool:
            while (message := await next_of(queue)) is not None:
                held.append(message)
            return len(held) == WAITING

        async with trial.fault("window held"):
            await wait_until(take, what="the whole window")
            deny(trial)
            await trial.send(waiting(3, first=WAITING))
            await trial.publish(BESIDE, types=(2,))
            await asyncio.sleep(trial.dice.uniform(0.5, 3.0))
            for message in held:
                await message.reject(requeue=True)


async def looked_at_often(trial: Trial) -> None:
    """Take and return what waits more often than any delivery limit allows: nothing ends."""
    count, looks, over = 3, 0, asyncio.Event()
    watch = await begin(trial, **_plain(SELDOM))
    await trial.send(waiting(count))
    await watch.wait_parked(count)

    async def look(message: AbstractIncomingMessage) -> None:
        nonlocal looks
        looks += 1
        await message.reject(requeue=True)
        if looks >= LOOKS * count:
            over.set()

    async with (
        trial.fault("looked at often"),
        Upstream(trial.environment.broker.url(trial.environment.vhost)) as reader,
    ):
        queue = await reader.queue(QUEUE)
        tag = await queue.consume(look)
        async with asyncio.timeout(120):
            await over.wait()
        await queue.cancel(tag)
    deny(trial)
    assert 0 == (await _command(trial, "lanes", "retry", "--type", str(LANE))).code


async def commands_look(trial: Trial) -> None:
    """Let every command that reads queues do so while the lane opens, and kill one of them."""
    watch = await begin(trial)
    await trial.send(waiting(2 * WAITING))
    await watch.wait_copied(2 * WAITING)
    async with trial.fault("commands look"):
        looks = [
            _command(trial, "lanes"),
            _command(trial, "find", f"{WAITS}{LANE}-7", "--type", str(LANE)),
            _command(trial, "find", "nobody"),
            _command(trial, "dlq", "list"),
        ]
        working = asyncio.gather(*looks)
        killed = _commands(trial).start("find", "nobody", "--type", str(LANE))
        await asyncio.sleep(trial.dice.uniform(0.5, 2.0))
        deny(trial)
        await trial.publish(BESIDE, types=(2,))
        killed.kill()
        killed.communicate()
        await working


def ordered(*command: str, may_end: Any = SUCCEEDED) -> Act:  # noqa: ANN401 - as `send` takes it
    """Return an act: an operator gives an order while the lane opens."""

    async def act(trial: Trial) -> None:
        watch = await begin(trial)
        there = waiting(2 * WAITING)
        await trial.send(there, may_end=may_end)
        if "fail" in command:
            trial.allow("aside", [each["id"] for each in there])
        await watch.wait_copied(trial.dice.randrange(WAITING, 2 * WAITING))
        async with trial.fault(" ".join(command)):
            work = asyncio.create_task(_command(trial, *command, "--type", str(LANE)))
            await asyncio.sleep(trial.dice.uniform(0.0, 2.5))
            deny(trial)
            await trial.publish(BESIDE, types=(2,))
            done = await work
        assert 0 == done.code, done

    return act


async def retried(trial: Trial) -> None:
    """Have a lane tried that would wait for minutes: in vain first, then with the right back."""
    watch = await begin(trial)
    await trial.send(waiting(WAITING))
    await watch.wait_parked(WAITING)
    async with trial.fault("lanes retry"):
        await _command(trial, "lanes", "retry", "--type", str(LANE))
        await trial.publish(BESIDE, types=(2,))
        deny(trial)
        await _command(trial, "lanes", "retry", "--type", str(LANE))


async def endless_stream(trial: Trial) -> None:
    """Let events of the lane come without a break: it is tried all the same, and opens."""
    watch = await begin(trial)
    await trial.send(waiting(WAITING))
    await watch.wait_parked(WAITING)

    opened = asyncio.Event()

    async def stream() -> None:
        place = 0
        while not opened.is_set():
            place += WAITING
            await trial.send(waiting(WAITING, first=place))

    async with trial.fault("a stream without end"), asyncio.TaskGroup() as tasks:
        tasks.create_task(stream())
        deny(trial)
        await trial.imported(1)
        opened.set()


async def two_lanes(trial: Trial) -> None:
    """Close two lanes and open them one after the other, with a kill in between."""
    watch = LaneWatch(trial)
    deny(trial, LANE, OTHER_LANE)
    await trial.start()
    await trial.send([*waiting(WAITING), *waiting(WAITING, OTHER_LANE)])
    await trial.publish(BESIDE, types=(2,))
    await watch.wait_copied(2 * WAITING)
    async with trial.fault("one of two lanes opens"):
        deny(trial, OTHER_LANE)
        await trial.imported(BESIDE + trial.dice.randrange(1, WAITING))
        active(trial.environment).kill()
        await trial.start()
        await trial.publish(BESIDE, types=(2,))
        await asyncio.sleep(trial.dice.uniform(0.0, 2.0))
    deny(trial)


async def doubt_and_lane(trial: Trial) -> None:
    """Kill a process in a call, and close the lane before the call's fate is known."""
    watch = LaneWatch(trial)
    hang = {"kind": trial.dice.choice(("hang_before_commit", "hang_after_commit")), "seconds": 1.5}
    await trial.begin_memory()
    trial.environment.portal.faults([{**hang, "match": OF_THE_LANE}])
    await trial.start()
    await trial.send(waiting(WAITING))
    await wait_until(lambda: trial.environment.import_calls() != [], what="a call")
    async with trial.fault("SIGKILL service"):
        active(trial.environment).kill()
        deny(trial, LANE)
        await trial.start()
        await trial.publish(BESIDE, types=(2,))
        await trial.send(waiting(5, first=WAITING))
        await watch.wait_copied(trial.dice.randrange(1, WAITING))
        await asyncio.sleep(trial.dice.uniform(0.0, 3.0))
    deny(trial)


async def links_and_lane(trial: Trial) -> None:
    """Close the lane of what others refer to: both wait, and come in the right order."""
    watch = LaneWatch(trial)
    deny(trial, CONTACT)
    await trial.start()
    # The portal makes a contact's title, so its name tells whose it is.
    contacts = [
        {**each, "fields": {"name": f"Deal {each['id']}"}} for each in waiting(WAITING, CONTACT)
    ]
    await trial.send(contacts)
    await trial.send(
        [
            {
                **event(f"linked{n}", DEAL),
                "links": {"contactId": {"entityTypeId": CONTACT, "id": contact["id"]}},
            }
            for n, contact in enumerate(contacts)
        ]
    )
    await watch.wait_copied(WAITING)
    async with trial.fault("SIGKILL service"):
        if trial.dice.random() < 0.5:
            active(trial.environment).kill()
            await trial.start()
        await trial.publish(BESIDE, types=(2,))
    deny(trial)


async def priorities(trial: Trial) -> None:
    """Let what waits have priorities, and kill the service while it flows."""
    watch = await begin(trial)
    for priority in (0, 9, 5, 255):
        await trial.send(waiting(WAITING, first=priority * 100), priority=priority)
    await watch.wait_copied(4 * WAITING)
    deny(trial)
    await trial.imported(trial.dice.randrange(1, 2 * WAITING))
    async with trial.fault("SIGKILL service"):
        active(trial.environment).kill()
        await trial.start()
    await trial.publish(BESIDE, types=(2,))


async def published_again(trial: Trial) -> None:
    """Publish what waits again: each is imported once, and both messages are answered."""
    bodies = waiting(WAITING)
    watch = await begin(trial)
    await trial.send(bodies)
    await watch.wait_parked(WAITING)
    async with trial.fault("published again"):
        await trial.send(bodies)
        await trial.publish(BESIDE, types=(2,))
        await asyncio.sleep(trial.dice.uniform(0.0, 2.0))
        if trial.dice.random() < 0.5:
            active(trial.environment).kill()
            await trial.start()
    deny(trial)


async def braked(trial: Trial) -> None:
    """Close the lane by the brake, mend the portal, and kill the service at the first trial."""
    LaneWatch(trial)
    trial.environment.portal.settings({"required": {str(LANE): ["comments"]}})
    await trial.start(BRAKE__ITEMS="20")
    await trial.send(waiting(3 * WAITING), may_end=OR_BOTH)
    await lane_is_closed(trial)
    async with trial.fault("SIGKILL service"):
        await trial.publish(BESIDE, types=(2,))
        trial.environment.portal.settings({"required": {}})
        active(trial.environment).kill()
        await trial.start(BRAKE__ITEMS="20")


async def calls_break(trial: Trial) -> None:
    """Break every call of the lane until it closes, then none."""
    LaneWatch(trial)
    kind = trial.dice.choice(("cut_before_commit", "cut_after_commit"))
    trial.environment.portal.faults([{"kind": kind, "match": OF_THE_LANE, "times": -1}])
    await trial.start()
    async with trial.fault("calls of a lane break"):
        await trial.send(waiting(WAITING))
        for _ in range(4):
            await trial.publish(BESIDE, types=(2,))
            await asyncio.sleep(trial.dice.uniform(0.5, 1.5))
        trial.environment.portal.faults([])


def _commands(trial: Trial) -> Commands:
    """Return an operator's command line; he talks to the broker himself."""
    environment = trial.environment
    url = environment.broker.url(environment.vhost)
    status = f"{active(environment).url}status"
    return Commands(
        url,
        {
            **environment.settings(),
            "IMPORTER_RABBIT__URL": url,
            "IMPORTER_CONSOLE__STATUS_URL": status,
        },
    )


async def _command(trial: Trial, *arguments: str) -> Done:
    return await _commands(trial).run(*arguments)


def _plain(settings: Mapping[str, str]) -> dict[str, str]:
    return {name.removeprefix("IMPORTER_"): value for name, value in settings.items()}


def _named(name: str, act: Act, settings: Mapping[str, str] | None = None) -> Scenario:
    return Scenario(
        name=f"lane: {name}",
        act=act,
        portal=ADMIN,
        settings=settings or {},
        patience=90,
    )


SCENARIOS = (
    _named("its window held", window_held),
    _named("looked at 1,100 times", looked_at_often, SELDOM),
    _named("commands look", commands_look),
    _named("lanes retry", retried, SELDOM),
    _named("lanes return", ordered("lanes", "return")),
    _named("lanes fail", ordered("lanes", "fail", "--yes", may_end=EITHER)),
    _named("a stream without end", endless_stream),
    _named("two at once", two_lanes),
    _named("in doubt, too", doubt_and_lane, LONG_DOUBT),
    _named("links, too", links_and_lane),
    _named("priorities", priorities),
    _named("published again", published_again),
    _named("closed by the brake", braked),
    _named("closed by broken calls", calls_break),
)
