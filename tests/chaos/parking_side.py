"""Strikes while events go into the queue of a closed lane, lie there, and come out again."""

import asyncio

from tests.chaos.broker_side import Harm, active, kill_broker
from tests.chaos.lane_watch import LANE, Step, begin, deny, lane_is_closed, waiting
from tests.chaos.memory_side import replace_service
from tests.chaos.trial import ADMIN, Act, Scenario, Trial, by_hand

WAITING, BESIDE = 25, 10
FIRST = 8


def killed_at(step: Step, *, passing: bool) -> Act:
    """Return an act: the service dies when an event comes to a step on its way into the queue.

    `passing`: the frame still arrives; else it is lost with the connection.
    """

    async def act(trial: Trial) -> None:
        watch = await begin(trial)
        service = trial.environment.service

        def strike() -> None:
            service.kill()
            if not passing:
                trial.proxy.cut()

        watch.at(step, trial.dice.randrange(1, FIRST), strike)
        await trial.publish(BESIDE, types=(2,))
        await trial.send(waiting(WAITING))
        await watch.reached()
        async with trial.fault(f"killed when {step}"):
            deny(trial)
            await trial.start()
        await trial.publish(BESIDE, types=(2,))

    return act


def killed_on_the_way_out(step: Step, *, passing: bool) -> Act:
    """Return an act: the service dies when an event comes to a step on its way out."""

    async def act(trial: Trial) -> None:
        watch = await begin(trial)
        await trial.send(waiting(WAITING))
        await watch.wait_copied(WAITING)
        service = trial.environment.service

        def strike() -> None:
            service.kill()
            if not passing:
                trial.proxy.cut()

        watch.at(step, trial.dice.randrange(1, WAITING), strike)
        deny(trial)
        await watch.reached()
        async with trial.fault(f"killed when {step}"):
            await trial.start()
        await trial.publish(BESIDE, types=(2,))

    return act


async def line_cut(trial: Trial) -> None:
    """Cut the line at each step of the way in, one after the other, and once on the way out."""
    watch = await begin(trial)
    for place, step in enumerate((Step.COPY_SENT, Step.COPY_CONFIRMED, Step.LET_GO, Step.TAKEN)):
        watch.at(step, trial.dice.randrange(1, FIRST), trial.proxy.cut)
        await trial.send(waiting(WAITING // 2, first=place * WAITING))
        await trial.publish(BESIDE // 2, types=(2,))
        async with trial.fault(f"line cut when {step}"):
            await watch.reached()
    deny(trial)


def while_it_waits(harm: Harm, *, wholly: bool = True) -> Act:
    """Return an act: harm is done while events lie in the queue.

    `wholly`: nowhere else; else some originals are held yet.
    """

    async def act(trial: Trial) -> None:
        watch = await begin(trial)
        await trial.send(waiting(WAITING))
        await (watch.wait_parked if wholly else watch.wait_copied)(WAITING)
        async with trial.fault(harm.__name__):
            await harm(trial)
            await trial.send(waiting(5, first=WAITING))
            await trial.publish(BESIDE, types=(2,))
            await asyncio.sleep(trial.dice.uniform(0.0, 2.0))
            deny(trial)

    return act


async def kill_and_start(trial: Trial) -> None:
    """Kill the service, and start another, for which the lane is closed too."""
    active(trial.environment).kill()
    await trial.start()
    await trial.publish(1, types=(2,))
    await lane_is_closed(trial)


async def take_over(trial: Trial) -> None:
    """Kill the active one of two; the stand-by knows of the queue only what it is told."""
    working = active(trial.environment)
    await trial.start()
    working.kill()


async def stop(trial: Trial) -> None:
    """Stop the service as Kubernetes does, while originals are held; then start another."""
    service = active(trial.environment)
    service.terminate()
    await by_hand(service.wait)
    await trial.start()


async def shut_portal(trial: Trial) -> None:
    """Shut the whole portal while a lane is closed."""
    trial.environment.portal.settings({"state": "credentials"})
    await asyncio.sleep(trial.dice.uniform(1.0, 3.0))
    trial.environment.portal.settings({"state": "ok"})


async def closed_again(trial: Trial) -> None:
    """Open the lane, and close it again when some have left; kill the service in between."""
    count = 3 * WAITING
    watch = await begin(trial, BATCH__MAX_ITEMS="5")
    await trial.send(waiting(count))
    await watch.wait_copied(count)
    for part in range(1, 3):
        deny(trial)
        await trial.imported(part * count // 4 + trial.dice.randrange(5))
        async with trial.fault("lane closed again"):
            deny(trial, LANE)
            await trial.publish(BESIDE, types=(2,))
            await asyncio.sleep(trial.dice.uniform(0.0, 1.5))
            if part > 1:
                await kill_and_start(trial)
    deny(trial)


async def broker_killed_on_the_way_out(trial: Trial) -> None:
    """Kill the broker while what waited flows."""
    watch = await begin(trial)
    await trial.send(waiting(3 * WAITING))
    await watch.wait_parked(3 * WAITING)
    deny(trial)
    await trial.imported(trial.dice.randrange(1, 2 * WAITING))
    async with trial.fault("SIGKILL broker"):
        await kill_broker(trial)
    await trial.publish(BESIDE, types=(2,))


async def broker_killed_on_the_way_in(trial: Trial) -> None:
    """Kill the broker when it has confirmed some copies in a queue that was just made."""
    watch = await begin(trial)
    await trial.send(waiting(WAITING))
    await watch.wait_copied(trial.dice.randrange(1, WAITING))
    async with trial.fault("SIGKILL broker"):
        await kill_broker(trial)
    await trial.publish(BESIDE, types=(2,))
    deny(trial)


def _named(name: str, act: Act, *, own_node: bool = False) -> Scenario:
    return Scenario(
        name=f"lane: {name}",
        act=act,
        portal=ADMIN,
        own_node=own_node,
        patience=90,
    )


SCENARIOS = (
    _named("killed, copy never arrived", killed_at(Step.COPY_SENT, passing=False)),
    _named("killed before the confirm", killed_at(Step.COPY_SENT, passing=True)),
    _named("killed after the confirm", killed_at(Step.COPY_CONFIRMED, passing=False)),
    _named("killed before the ack", killed_at(Step.LET_GO, passing=False)),
    _named("killed after the ack", killed_at(Step.LET_GO, passing=True)),
    _named("killed when taken", killed_on_the_way_out(Step.TAKEN, passing=True)),
    _named("killed before its last ack", killed_on_the_way_out(Step.ENDED, passing=False)),
    _named("line cut at each step", line_cut),
    _named("killed while closed", while_it_waits(kill_and_start)),
    _named("stopped while parking", while_it_waits(stop, wholly=False)),
    _named("stand-by takes over", while_it_waits(take_over)),
    _named("rolling update", while_it_waits(replace_service)),
    _named("portal shut meanwhile", while_it_waits(shut_portal, wholly=False)),
    _named("closed again half-way", closed_again),
    _named("broker killed while closed", while_it_waits(kill_broker), own_node=True),
    _named("broker killed on the way in", broker_killed_on_the_way_in, own_node=True),
    _named("broker killed on the way out", broker_killed_on_the_way_out, own_node=True),
)
