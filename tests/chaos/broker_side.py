"""Does to the importer what brokers, networks and operators of machines do."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from tests.chaos.trial import REJECTED, Scenario, Trial, by_hand, event
from tests.support.amqp import Upstream, wait_until
from tests.support.environment import DEAD_LETTERS, FAILED, INTAKE_QUEUE, SUCCEEDED, Environment
from tests.support.processes import ServiceProcess
from tests.support.proxy import Moment

EVENTS = 120
TRAP_SECONDS = 5.0
SILENT_SECONDS = 5.0
SUSPENDED_SECONDS = 14.0
FULL_SECONDS = 4.0
Harm = Callable[[Trial], Awaitable[None]]


def under_load(harm: Harm, *, times: int = 1, events: int = EVENTS) -> Harm:
    """Return an act: publish, and do harm so many times while the portal is at work."""

    async def act(trial: Trial) -> None:
        await trial.start()
        await trial.publish(events)
        for number in range(times):
            floor = number * events // (times + 1)
            await trial.imported(floor + trial.dice.randrange(1, events // (times + 1)))
            async with trial.fault(harm.__name__):
                await harm(trial)

    return act


def cut_at(moment: Moment, *, passing: bool = False) -> Harm:
    """Return a harm: the line is cut when a frame of a kind passes, or has just passed."""

    async def harm(trial: Trial) -> None:
        trial.proxy.set_trap(moment, trial.dice.randrange(1, 12), passing=passing)
        await trial.publish(EVENTS // 2)
        try:
            await wait_until(lambda: trial.proxy.sprung, TRAP_SECONDS, what="the cut")
        except AssertionError:
            # A broker may confirm many publishes with one frame: then fewer pass than we chose.
            trial.proxy.cut()

    harm.__name__ = f"cut at {moment.name}"
    return harm


async def kill_service(trial: Trial) -> None:
    """Kill the service that works, and start another at once."""
    active(trial.environment).kill()
    await trial.start()


async def suspend_service(trial: Trial) -> None:
    """Stop the service where it stands for longer than the broker bears, and let it go on."""
    service = active(trial.environment)
    await trial.start()
    service.freeze()
    await asyncio.sleep(SUSPENDED_SECONDS)
    service.thaw()


async def failed_full(trial: Trial) -> None:
    """Let the queue of failed results refuse: nothing is multiplied, and all of it ends."""
    arguments: dict[str, Any] = {
        "x-queue-type": "quorum",
        "x-max-length": 5,
        "x-overflow": "reject-publish",
    }
    async with Upstream(trial.environment.broker.url(trial.environment.vhost)) as upstream:
        await upstream.channel.declare_queue(FAILED, durable=True, arguments=arguments)
    trial.environment.portal.settings({"required": {"2": ["comments"]}})
    await trial.start()
    await trial.publish(40, types=(2,), may_end=REJECTED)
    await trial.publish(EVENTS // 4, types=(128,))
    async with trial.fault("failed queue full"):
        await asyncio.sleep(FULL_SECONDS)


async def kill_broker(trial: Trial) -> None:
    """Kill the broker as a lost machine does, and start it again."""
    await by_hand(trial.node.kill)
    await asyncio.sleep(trial.dice.uniform(0.0, 2.0))
    await by_hand(trial.node.restart)


async def part_leader(trial: Trial) -> None:
    """Cut the node that leads the intake off from the other two; clients still reach it."""
    await by_hand(trial.cluster.part)
    await asyncio.sleep(trial.dice.uniform(1.0, 8.0))
    await by_hand(trial.cluster.join)


async def freeze_broker(trial: Trial) -> None:
    """Stop the broker where it stands: it says nothing, and soon no call is made any more."""
    seconds = trial.dice.uniform(1.0, 9.0)
    trial.node.freeze()
    await asyncio.sleep(min(seconds, SILENT_SECONDS))
    calls = len(trial.environment.import_calls())
    await asyncio.sleep(max(0.0, seconds - SILENT_SECONDS))
    later = len(trial.environment.import_calls())
    trial.node.thaw()
    assert calls == later, f"{later - calls} calls were made although the broker was silent"


async def alarm(trial: Trial) -> None:
    """Raise the broker's memory alarm for a while: it takes no publishes."""
    await by_hand(trial.node.memory_alarm, on=True)
    await asyncio.sleep(trial.dice.uniform(1.0, 4.0))
    await by_hand(trial.node.memory_alarm, on=False)


async def close_connections(trial: Trial) -> None:
    """Close every connection, as an operator does."""
    await by_hand(trial.node.close_connections, trial.environment.vhost)


async def cut_line(trial: Trial) -> None:
    """Cut every connection once."""
    trial.proxy.cut()
    await asyncio.sleep(trial.dice.uniform(0.1, 1.0))


async def dead_network(trial: Trial) -> None:
    """Let nothing pass for a while, and tell nobody."""
    trial.proxy.hold()
    await asyncio.sleep(trial.dice.uniform(1.0, 6.0))
    trial.proxy.release()


async def storm(trial: Trial) -> None:
    """Cut the line a dozen times in a row: every message is delivered again and again."""
    for _ in range(12):
        await asyncio.sleep(trial.dice.uniform(0.05, 0.5))
        trial.proxy.cut()


async def replicas(trial: Trial) -> None:
    """Kill the active one of two replicas, twice; the stand-by goes on with what is new."""
    await trial.start()
    await trial.start()
    await trial.publish(EVENTS)
    for number in range(2):
        await trial.imported(EVENTS * number // 2 + trial.dice.randrange(1, EVENTS // 2))
        async with trial.fault("SIGKILL service"):
            active(trial.environment).kill()
            await trial.publish(10)
            await trial.start()


async def results_deleted(trial: Trial) -> None:
    """Delete the queue of results: they wait until it is there again."""
    await trial.start()
    await trial.environment.settle(await trial.publish(EVENTS // 3))
    async with trial.fault("result queue deleted"):
        await delete(trial.environment, SUCCEEDED)
    await trial.publish(EVENTS // 2)


async def dead_letters_deleted(trial: Trial) -> None:
    """Delete the queue of dead letters: refused events wait until it is there again."""
    trial.environment.portal.settings({"required": {"2": ["comments"]}})
    await trial.start()
    await trial.environment.settle(await trial.publish(5, types=(2,), may_end=REJECTED))
    async with trial.fault("dead-letter queue deleted"):
        await delete(trial.environment, DEAD_LETTERS)
    await trial.publish(15, types=(2,), may_end=REJECTED)
    await trial.publish(EVENTS // 2, types=(128,))


async def intake_deleted(trial: Trial) -> None:
    """Delete the intake under load; upstream publishes all of it again, to be safe."""
    await trial.start()
    ids = await trial.publish(EVENTS)
    trial.allow("purged", ids)
    await trial.imported(trial.dice.randrange(1, EVENTS - 20))
    async with trial.fault("intake queue deleted"):
        await delete(trial.environment, INTAKE_QUEUE)
        await trial.environment.wait_intake()
        await trial.send([event(each, (2, 128)[place % 2]) for place, each in enumerate(ids)])


async def delete(environment: Environment, queue: str) -> None:
    """Delete a queue with all it holds."""
    async with Upstream(environment.broker.url(environment.vhost)) as upstream:
        await (await upstream.queue(queue)).delete(if_unused=False, if_empty=False)


def active(environment: Environment) -> ServiceProcess:
    """Return the replica that is given messages, or any that lives."""
    living = environment.survivors()
    return next((each for each in living if each.metrics()["importer_consumer_active"]), living[0])


PROXIED: Mapping[str, Harm] = {
    "cut before deliver": cut_at(Moment.DELIVER),
    "cut after deliver": cut_at(Moment.DELIVER, passing=True),
    "cut before publish": cut_at(Moment.PUBLISH),
    "cut before confirm": cut_at(Moment.CONFIRM),
    "cut after confirm, before ack": cut_at(Moment.ACK),
    "dead network": dead_network,
    "redelivery storm": storm,
}
OWN_NODE: Mapping[str, Harm] = {
    "SIGKILL broker": kill_broker,
    "SIGSTOP broker": freeze_broker,
    "memory alarm": alarm,
    "connections closed": close_connections,
}

SCENARIOS = (
    Scenario(name="SIGKILL service", act=under_load(kill_service, times=2)),
    *(
        Scenario(name=name, act=under_load(harm), own_node=True, patience=90)
        for name, harm in OWN_NODE.items()
    ),
    *(Scenario(name=name, act=under_load(harm)) for name, harm in PROXIED.items()),
    Scenario(
        name="leader cut off",
        act=under_load(part_leader),
        own_node=True,
        nodes=3,
        patience=90,
    ),
    Scenario(name="SIGSTOP service", act=under_load(suspend_service), patience=90),
    Scenario(name="failed queue full", act=failed_full, patience=90),
    Scenario(name="two replicas, kills", act=replicas),
    Scenario(name="result queue deleted", act=results_deleted),
    Scenario(name="dead-letter queue deleted", act=dead_letters_deleted),
    # What goes on beside it would be in the intake, too, and nobody publishes that again.
    Scenario(name="intake queue deleted", act=intake_deleted, alone=True),
)
