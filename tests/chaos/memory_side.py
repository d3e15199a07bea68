"""Does to the importer what restarts do, and takes its memory away."""

import asyncio
import tempfile
from pathlib import Path

from tests.chaos.broker_side import EVENTS, active, delete, kill_service, under_load
from tests.chaos.portal_side import NO_EXTERNAL_ID
from tests.chaos.trial import ADMIN, SLOW, Scenario, Trial, by_hand, event
from tests.support.amqp import wait_until

MEMORY = "crm.items.memory"
OLD_SECONDS = 3.0
"""A queue of this age is registered on the disk."""


async def replace_service(trial: Trial) -> None:
    """Start another process, then stop the one that works, as a rolling update does."""
    old = active(trial.environment)
    await trial.start()
    old.terminate()
    await by_hand(old.wait)


async def delete_memory(trial: Trial) -> None:
    """Delete the memory, and kill the service before it can know everything anew."""
    await delete(trial.environment, MEMORY)
    if trial.dice.random() < 0.5:
        await kill_service(trial)


async def updated_without_external_id(trial: Trial) -> None:
    """Update the service while items wait that nobody could look up: none is blamed."""
    await trial.start()
    await trial.publish(EVENTS, types=(NO_EXTERNAL_ID,))
    for number in range(2):
        await trial.imported(1 + number * EVENTS // 3)
        async with trial.fault("rolling update"):
            await replace_service(trial)


def published_again(name: str, *, kill: bool) -> Scenario:
    """Make a scenario in which upstream publishes again what was imported before a restart."""

    async def act(trial: Trial) -> None:
        service = await trial.start()
        bodies = [event(f"e{n}", (2, 128)[n % 2]) for n in range(EVENTS)]
        await trial.send(bodies)
        await trial.environment.settle(trial.expected)
        async with trial.fault(name):
            service.kill() if kill else service.terminate()
            await by_hand(service.wait)
            await trial.start()
        await trial.send(bodies)
        await trial.publish(10)

    return Scenario(name=name, act=act, portal=ADMIN)


async def killed_at_once(trial: Trial) -> None:
    """Kill the broker with nothing written out before; its queues are some seconds old."""
    await trial.start()
    await trial.environment.settle(await trial.publish(10))
    await asyncio.sleep(OLD_SECONDS)
    await trial.publish(EVENTS)
    await trial.imported(10 + trial.dice.randrange(1, EVENTS // 2))
    async with trial.fault("killed at once"):
        await by_hand(lambda: trial.node.kill(at_once=True))
        await asyncio.sleep(trial.dice.uniform(0.0, 2.0))
        await by_hand(trial.node.restart)


async def both_killed(trial: Trial) -> None:
    """Kill broker and service while the portal still works on their call: only the memory knows.

    The broker dies first, so it cannot note that the service let go of anything: RabbitMQ 4.3
    delivers again without the flag then.
    """
    await trial.begin_memory()
    service = await trial.start()
    await trial.environment.settle(await trial.publish(10))
    await asyncio.sleep(OLD_SECONDS)
    trial.environment.portal.faults([{"kind": "hang_before_commit", "seconds": 2.5, "times": 1}])
    await trial.publish(20, types=(2,))
    summary = trial.environment.portal.summary
    await wait_until(lambda: summary()["open"] > 0, what="a call that hangs")
    await asyncio.sleep(trial.dice.uniform(0.3, 1.5))
    async with trial.fault("both killed"):
        await by_hand(lambda: trial.node.kill(at_once=True))
        service.kill()
        await by_hand(trial.node.restart)
    await trial.start()


async def webhook_exchanged(trial: Trial) -> None:
    """Exchange the webhook's secret at the portal, and the file that it is mounted as later."""
    portal = trial.environment.portal
    with tempfile.TemporaryDirectory() as folder:
        mounted = Path(folder) / "webhook"
        mounted.write_text(portal.webhook_url)
        await trial.start(BITRIX__WEBHOOK_URL_FILE=str(mounted))
        await trial.publish(EVENTS)
        await trial.imported(trial.dice.randrange(1, EVENTS // 2))
        async with trial.fault("webhook exchanged"):
            portal.settings({"secret": "another-secret"})
            await asyncio.sleep(trial.dice.uniform(0.5, 3.0))
            renewed = mounted.with_suffix(".new")
            renewed.write_text(portal.webhook_url)
            renewed.replace(mounted)
        await trial.environment.settle(trial.expected)


SCENARIOS = (
    Scenario(name="rolling update", act=under_load(replace_service, times=2)),
    Scenario(name="rolling update, no external id", act=updated_without_external_id, portal=SLOW),
    Scenario(name="memory deleted", act=under_load(delete_memory, times=2)),
    published_again("restarted, published again", kill=False),
    published_again("killed, published again", kill=True),
    Scenario(name="webhook exchanged", act=webhook_exchanged),
    Scenario(name="SIGKILL broker at once", act=killed_at_once, own_node=True, patience=90),
    Scenario(
        name="broker and service killed in a call",
        act=both_killed,
        settings={"IMPORTER_BITRIX__SETTLE_SECONDS": "3"},
        own_node=True,
    ),
)
