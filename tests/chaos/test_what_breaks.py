"""Shows what does break the promise, and that the checker sees it: the README lists it."""

import asyncio
from contextlib import suppress
from pathlib import Path

from aiormq.exceptions import ChannelNotFoundEntity

from tests.chaos.broker_side import delete
from tests.chaos.cells import Cell, version_of
from tests.chaos.listener import Listener
from tests.chaos.memory_side import OLD_SECONDS
from tests.chaos.trial import ADMIN, Audit, Order, Scenario, Trial, by_hand, event, run_trial
from tests.support.amqp import CUT_OFF, Upstream, wait_until
from tests.support.broker import Broker
from tests.support.environment import INTAKE_QUEUE, Environment
from tests.support.processes import ServiceProcess

EVENTS = 10
CALL_SECONDS = 5.0
"""After so long nothing of a call can come any more: more than its time-out and settle time."""
FREEZING = "tests.support.freezing"
READ_SECONDS = 20.0
"""A queue without a leader answers after five."""
WHOLE_SECONDS = 0.5
"""Until a request has left in full."""


async def audit_of(scenario: Scenario, broker: Broker, vhost: str, folder: Path) -> Audit:
    """Run a scenario that breaks a promise."""
    cell = Cell(scenario.name, version_of(broker.api("GET", "overview")))
    order = Order(cell=cell, seed=1, to=folder / "log.jsonl")
    return await run_trial(scenario, broker, vhost, order)


async def request_held_back(trial: Trial) -> None:
    """Hold a call back, on its way, for longer than its settle time."""
    await trial.begin_memory()
    async with Listener(trial.environment.portal.webhook_url) as listener:
        await trial.start(BITRIX__WEBHOOK_URL=listener.url)
        await trial.publish(EVENTS, types=(2,))
        await trial.environment.settle(trial.expected)
        listener.hold()
        await trial.publish(EVENTS, types=(2,))
        await wait_until(lambda: listener.held > 0, what="a request on its way")
        await asyncio.sleep(WHOLE_SECONDS)
        trial.environment.service.kill()
        await trial.start(BITRIX__WEBHOOK_URL=trial.environment.portal.webhook_url)
        await trial.environment.settle(trial.expected)
        listener.release()
        await wait_until(lambda: _items(trial) > 2 * EVENTS, what="the late request")


async def test_a_request_that_arrives_after_its_settle_time_doubles(
    broker: Broker, vhost: str, tmp_path: Path
) -> None:
    """The portal takes it at any time: there is no fence."""
    scenario = Scenario(name="a request held back", act=request_held_back, portal=ADMIN)
    audit = await audit_of(scenario, broker, vhost, tmp_path)
    assert audit.verdict.count("doubled") > 0


async def frozen_before_send(trial: Trial) -> None:
    """Freeze a process between its last check and its send, until another one has sent."""
    environment = trial.environment
    await trial.begin_memory()
    await trial.start()
    await trial.publish(EVENTS, types=(2,))
    await environment.settle(trial.expected)
    environment.service.terminate()
    await by_hand(environment.service.wait)
    frozen = environment.take(ServiceProcess(environment.settings(), module=FREEZING))
    await by_hand(frozen.wait_ready)
    await trial.publish(EVENTS, types=(2,))
    await wait_until(lambda: frozen.process.stands_still, what="a frozen process")
    await trial.start()
    await environment.settle(trial.expected)
    frozen.thaw()
    await wait_until(lambda: _items(trial) > 2 * EVENTS, what="the late call")


async def test_a_process_that_is_frozen_before_its_send_doubles(
    broker: Broker, vhost: str, tmp_path: Path
) -> None:
    """It was the only one when it looked, and goes on when another has done its work."""
    scenario = Scenario(name="frozen before its send", act=frozen_before_send, portal=ADMIN)
    audit = await audit_of(scenario, broker, vhost, tmp_path)
    assert audit.verdict.count("doubled") > 0


async def young_queue(trial: Trial) -> None:
    """Kill the broker right after the intake was made anew and has confirmed events."""
    environment = trial.environment
    await trial.start()
    await asyncio.sleep(OLD_SECONDS)
    await delete(environment, INTAKE_QUEUE)
    await environment.wait_intake()
    environment.service.kill()
    await trial.publish(EVENTS)
    await by_hand(lambda: trial.node.kill(at_once=True))
    await by_hand(trial.node.restart)
    assert not await _is_read(environment), "the broker has kept what it confirmed"
    with suppress(ChannelNotFoundEntity):
        await delete(environment, INTAKE_QUEUE)
    await trial.start()


async def _is_read(environment: Environment) -> bool:
    """Tell whether a message of the intake can be taken; its end gives it back."""
    async with Upstream(environment.broker.url(environment.vhost)) as upstream:
        with suppress(*CUT_OFF, TimeoutError):
            queue = await upstream.queue(INTAKE_QUEUE)
            return await queue.get(fail=False, timeout=READ_SECONDS) is not None
    return False


async def test_a_broker_that_is_killed_right_after_a_queue_was_made_loses_what_it_confirmed(
    broker: Broker, vhost: str, tmp_path: Path
) -> None:
    """It forgets the queue (4.3), or cannot read it until an operator deletes it (3.10, 4.0)."""
    scenario = Scenario(name="young queue", act=young_queue, own_node=True, patience=5)
    audit = await audit_of(scenario, broker, vhost, tmp_path)
    assert EVENTS == audit.verdict.count("lost")


async def two_queues(trial: Trial) -> None:
    """Feed one portal from two queues, each with an importer of its own."""
    other: dict[str, str] = {
        "RABBIT__INTAKE_QUEUE": "crm.items.other.import",
        "RABBIT__MEMORY_QUEUE": "crm.items.other.memory",
        "RABBIT__PARKED_QUEUE": "crm.items.other.parked",
    }
    for settings in ({}, other):
        await trial.begin_memory(**settings)
    for settings in ({}, other):
        await trial.start(**settings)
    await trial.publish(EVENTS)
    await trial.environment.settle(trial.expected)
    await wait_until(lambda: _items(trial) == 2 * EVENTS, what="the other importer's items")


async def test_two_queues_for_one_portal_double(
    broker: Broker, vhost: str, tmp_path: Path
) -> None:
    """Every event lies in both queues; neither importer knows of the other."""
    scenario = Scenario(name="two queues", act=two_queues, portal=ADMIN)
    audit = await audit_of(scenario, broker, vhost, tmp_path)
    assert EVENTS == audit.verdict.count("doubled")


async def never_looked_up(trial: Trial) -> None:
    """Kill the service in a call, with look-ups turned off; go on when the call is long over.

    Sooner, the memory keeps the next process from making a call of its own beside it.
    """
    trial.environment.portal.faults([{"kind": "hang_after_commit", "seconds": 5.0}])
    service = await trial.start()
    await trial.publish(EVENTS)
    await wait_until(lambda: _items(trial) > 0, what="the first items")
    service.kill()
    await asyncio.sleep(CALL_SECONDS)
    await trial.start()


async def test_without_look_ups_a_kill_doubles(broker: Broker, vhost: str, tmp_path: Path) -> None:
    """`LOOKUP=never` says so."""
    scenario = Scenario(
        name="never looked up",
        act=never_looked_up,
        portal=ADMIN,
        settings={"IMPORTER_LOOKUP": "never"},
    )
    audit = await audit_of(scenario, broker, vhost, tmp_path)
    assert audit.verdict.count("doubled") > 0


async def intake_deleted_for_good(trial: Trial) -> None:
    """Delete the intake with what lies in it; nobody publishes it again."""
    service = await trial.start()
    service.kill()
    await trial.send([event(f"e{n}") for n in range(EVENTS)])
    await delete(trial.environment, INTAKE_QUEUE)
    await trial.start()


async def test_what_lies_in_a_deleted_intake_is_lost(
    broker: Broker, vhost: str, tmp_path: Path
) -> None:
    """The broker has confirmed it, and an operator deletes it: upstream has to publish again."""
    scenario = Scenario(name="intake gone", act=intake_deleted_for_good, patience=5)
    audit = await audit_of(scenario, broker, vhost, tmp_path)
    assert EVENTS == audit.verdict.count("lost")


def _items(trial: Trial) -> int:
    count: int = trial.environment.portal.summary()["items"]
    return count
